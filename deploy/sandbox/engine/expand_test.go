package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestMvExpand(t *testing.T) {
	w := mustWorld(t, nil)
	const bags = `datatable (a: int, b: dynamic)[1, dynamic({"prop1": "a1", "prop2": "b1"}), 2, dynamic({"prop1": "a2", "prop2": "b2"})] `
	w.expect([][2]string{
		// Kusto docs: mv-expand operator.
		{`datatable (a: int, b: dynamic)[1, dynamic([10, 20]), 2, dynamic(['a', 'b'])] | mv-expand b`, "1|10\n1|20\n2|\"a\"\n2|\"b\""},
		{bags + `| mv-expand b`, "1|{\"prop1\":\"a1\"}\n1|{\"prop2\":\"b1\"}\n2|{\"prop1\":\"a2\"}\n2|{\"prop2\":\"b2\"}"},
		{bags + `| mv-expand kind=array b | extend key = b[0], val=b[1] | project a, key, val`, "1|\"prop1\"|\"a1\"\n1|\"prop2\"|\"b1\"\n2|\"prop1\"|\"a2\"\n2|\"prop2\"|\"b2\""},
		{bags + `| mv-expand bagexpansion=array b | take 1`, `1|["prop1","a1"]`},
		{`datatable (a: int, b: dynamic, c: dynamic)[1, dynamic({"prop1":"a", "prop2":"b"}), dynamic([5, 4, 3])] | mv-expand b, c`, "1|{\"prop1\":\"a\"}|5\n1|{\"prop2\":\"b\"}|4\n1|null|3"},
		{`datatable (a: int, b: dynamic, c: dynamic)[1, dynamic({"prop1":"a", "prop2":"b"}), dynamic([5, 6])] | mv-expand b | mv-expand c`,
			"1|{\"prop1\":\"a\"}|5\n1|{\"prop1\":\"a\"}|6\n1|{\"prop2\":\"b\"}|5\n1|{\"prop2\":\"b\"}|6"},
		{`datatable (a: string, b: dynamic, c: dynamic)["Constant", dynamic([1, 2, 3, 4]), dynamic([6, 7, 8, 9])] | mv-expand b, c to typeof(int) | getschema`,
			"a|0|System.String|string\nb|1|System.Object|dynamic\nc|2|System.Int32|int"},
		{`datatable(x:dynamic)[dynamic([1, 2, 3, 4])] | mv-expand with_itemindex=Index x`, "1|0\n2|1\n3|2\n4|3"},
		// Null is one record, an empty array or bag none, a scalar itself.
		{`datatable(a:long, d:dynamic)[1, dynamic(null), 2, dynamic([]), 3, dynamic({}), 4, dynamic(7), 5, dynamic("x"), 6, dynamic([null])] | mv-expand d`, "1|null\n4|7\n5|\"x\"\n6|null"},
		{`datatable(a:long, d:dynamic, e:dynamic)[1, dynamic([]), dynamic([1]), 2, dynamic([]), dynamic([])] | mv-expand d, e`, "1|null|1"},
		{`datatable(d:dynamic)[dynamic([1, 2, 3]), dynamic([4])] | mv-expand with_itemindex=i d limit 2`, "1|0\n2|1\n4|0"},
		{`datatable(d:dynamic)[dynamic([1, 2])] | mv-expand d limit 0`, ""},
		{`datatable(d:dynamic)[dynamic({"k": [1, 2]}), dynamic({})] | mv-expand d.k, e = d.k to typeof(string) | project d_k, e`, "1|1\n2|2\nnull|"},
		// Typing casts and does not convert.
		{`datatable(d:dynamic)[dynamic(["a", 1, 2.5, null, true, {"a":1}, [1], "2"])] | mv-expand s = d to typeof(string), r = d to typeof(real), b = d to typeof(bool) | project s, r, b`,
			"a|null|null\n1|1.0|null\n2.5|2.5|null\n|null|null\ntrue|null|true\n{\"a\":1}|null|null\n[1]|null|null\n2|null|null"},
		{`datatable(d:dynamic)[dynamic([1, 3000000000, "4", null])] | mv-expand l = d to typeof(long), s = d to typeof(string) | project l, s`, "1|1\n3000000000|3000000000\nnull|4\nnull|"},
		{`datatable(d:dynamic)[dynamic(["2025-06-25T10:00:00.0000000Z", "2025-06-25", "01:00:00", "x"])] | mv-expand t = d to typeof(datetime), s = d to typeof(timespan) | project t, s`,
			"2025-06-25T10:00:00.0000000Z|null\nnull|null\nnull|01:00:00\nnull|null"},
		{`datatable(d:dynamic)[dynamic(["NaN", "-Infinity", "1"])] | mv-expand d to typeof(real)`, "NaN\n-Infinity\nnull"},
		{`datatable(d:dynamic)[dynamic(["74BE27DE-1e4e-49d9-b579-fe0b05d3642c", "x"])] | mv-expand d to typeof(guid)`, "74be27de-1e4e-49d9-b579-fe0b05d3642c\nnull"},
		{`datatable(a:long, d:dynamic)[1, dynamic([1, 2]), 2, dynamic([3])] | sort by a desc | mv-expand d to typeof(long) | extend p = prev(d)`, "2|3|null\n1|1|3\n1|2|1"},
		{`range x from 1 to 3 step 1 | extend d = range(1, x) | mv-expand d to typeof(long) | summarize sum(d), count()`, "10|6"},
	})
	for query, want := range map[string]string{
		`datatable(d:dynamic)[dynamic([1.5])] | mv-expand d to typeof(long)`:        `mv-expand of 1.5 to typeof(long) is a case that the sandbox does not know Kusto's answer to`,
		`datatable(d:dynamic)[dynamic([3000000000])] | mv-expand d to typeof(int)`:  `mv-expand of 3000000000 to typeof(int) is a case that the sandbox does not know Kusto's answer to`,
		`datatable(d:dynamic, i:long)[] | mv-expand with_itemindex=i d | project d`: `1:34: operator "mv-expand" that makes column "i" twice is not supported by the sandbox`,
		`datatable(d:dynamic)[dynamic([1])] | mv-expand d to typeof(decimal)`:       `1:48: operator "mv-expand" to decimal is not supported by the sandbox`,
	} {
		if _, err := Run(context.Background(), w.analyze(query), w.tables, Options{Now: now}); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", query, err, want)
		}
	}
}

// More elements than a batch has rows, in a source that uses its memory again.
func TestMvExpandBatches(t *testing.T) {
	wide := table.New("Wide", table.Schema{{Name: "id", Type: table.Long}, {Name: "d", Type: table.Dynamic}}, 0)
	for i := range 5 {
		mustRow(t, wide, int64(i), array(slices.Repeat([]string{fmt.Sprint(i)}, 9000)))
	}
	w := mustWorld(t, []*table.Table{wide})
	for _, size := range []int{1, 2, 1000} {
		q := w.analyze(`Wide | mv-expand with_itemindex=n d to typeof(long) | summarize count(), sum(d), sum(n), max(n) by id`)
		out, err := Run(context.Background(), q, batches{w.tables, size}, Options{Now: now})
		if err == nil {
			err = wrongResult(q, out)
		}
		if want := "0|9000|0|40495500|8999\n1|9000|9000|40495500|8999\n2|9000|18000|40495500|8999\n3|9000|27000|40495500|8999\n4|9000|36000|40495500|8999"; err != nil || text(out[0]) != want {
			t.Fatalf("batches of %d: got %v: %v", size, out, err)
		}
	}
}

func TestMvApply(t *testing.T) {
	w := mustWorld(t, nil)
	w.expect([][2]string{
		// Kusto docs: mv-apply operator.
		{`datatable (index: int, Arr: dynamic)[0, dynamic([7]), 1, dynamic([6, 11, 7])] | mv-apply Arr2=Arr to typeof(long) on (take 100)`, "0|[7]|7\n1|[6,11,7]|6\n1|[6,11,7]|11\n1|[6,11,7]|7"},
		{`datatable (index: int, Arr: dynamic)[0, dynamic([1, 5, 3]), 1, dynamic([10, 2, 5, 7])] | mv-apply topElem=Arr to typeof(long) on (top 1 by topElem)`, "0|[1,5,3]|5\n1|[10,2,5,7]|10"},
		{`datatable (row: int, Arr: dynamic)[0, dynamic([5, 1, 3]), 1, dynamic([4, 10, 8, 7])] | mv-apply with_itemindex=index value=Arr to typeof(long) on (where index >= 2)`, "0|[5,1,3]|3|2\n1|[4,10,8,7]|8|2\n1|[4,10,8,7]|7|3"},
		// The row's other columns are there, what is expanded is in the place of its column.
		{`datatable(a:long, d:dynamic)[1, dynamic([1, 2, 3]), 2, dynamic([4])] | mv-apply d to typeof(long) on (where d > a | summarize s = sum(d), n = count())`, "1|5|2\n2|4|1"},
		{`datatable(a:long, d:dynamic)[1, dynamic([1, 2]), 2, dynamic([]), 3, dynamic(null)] | mv-apply d to typeof(long) on (summarize n = count(), s = sum(d))`, "1|2|3\n3|1|0"},
		{`datatable(a:long, d:dynamic)[1, dynamic([1, 2]), 2, dynamic([3])] | mv-apply d to typeof(long) on (where d > 5)`, ""},
		{`datatable(a:long, d:dynamic)[1, dynamic([[1, 2], [3]]), 2, dynamic([[4]])] | mv-apply d on (mv-apply e = d to typeof(long) on (summarize s = sum(e)) | summarize t = sum(s))`, "1|6\n2|4"},
		{`datatable(a:long, d:dynamic)[1, dynamic([3, 1, 2]), 2, dynamic([9, 8])] | mv-apply d to typeof(long) on (order by d asc | extend n = row_number(), p = prev(d) | where n > 1)`, "1|2|2|1\n1|3|3|2\n2|9|2|8"},
		{`datatable(a:long, d:dynamic, e:dynamic)[1, dynamic(["x", "y"]), dynamic([1, 2, 3])] | mv-apply d to typeof(string), e to typeof(long) limit 2 on (summarize s = max(strcat(d, e)))`, "1|y2"},
		{`datatable(a:long, d:dynamic)[1, dynamic({"x": 1, "y": 2})] | mv-apply d on (mv-expand kind=array d | where d[1] > 1 | project key = tostring(d[0]))`, "1|y"},
		{`let f = (n:long) { datatable(a:long, d:dynamic)[1, dynamic([1, 2, 3])] | mv-apply d to typeof(long) on (where d > n | count) }; union (f(1)), (f(2))`, "1|2\n1|1"},
		{`let lim = toscalar(print 2); datatable(a:long, d:dynamic)[1, dynamic([1, 2, 3])] | mv-apply d to typeof(long) on (where d in (range x from 1 to lim step 1) | summarize s = sum(d))`, "1|3"},
	})
	_, err := Compile(w.analyze(`datatable(a:long, d:dynamic)[1, dynamic([1])] | mv-apply d on (extend a = 5)`), Options{Now: now})
	if want := `1:49: operator "mv-apply" whose subquery makes another column "a" is not supported by the sandbox`; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
