package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Values of the tests whose name begins with a document's are those of its examples.

func TestLet(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(10, now)})
	w.expect([][2]string{
		// Kusto docs: let statement.
		{`let ['some number'] = 20; range y from 0 to ['some number'] step 5`, "0\n5\n10\n15\n20"},
		{`let MultiplyByN = (val:long, n:long) { val * n }; range x from 1 to 5 step 1 | extend result = MultiplyByN(x, 5)`, "1|5\n2|10\n3|15\n4|20\n5|25"},
		{`let foo1 = (_start:long, _end:long, _step:long) { range x from _start to _end step _step}; let foo2 = (_step:long) { foo1(1, 100, _step)}; foo2(2) | count`, "50"},
		{`let CountRecordsInTable=(T: (*)) { T | count }; ServiceTelemetry | invoke CountRecordsInTable()`, "10"},
		{`let StateState=(T: (State: string)) { T | extend s_s=strcat(State, State) }; datatable(n:long, State:string)[1, "FLORIDA", 2, ""] | invoke StateState() | project State, s_s`, "FLORIDA|FLORIDAFLORIDA\n|"},
		// Kusto docs: user-defined functions.
		{`let Add7 = (arg0:long = 5) { arg0 + 7 }; range x from 1 to 2 step 1 | extend x_plus_7 = Add7(x), five_plus_seven = Add7()`, "1|8|12\n2|9|12"},
		{`let MyFilter = (T:(x:long), v:long) { T | where x >= v }; MyFilter((range x from 1 to 10 step 1), 9)`, "9\n10"},
		{`let MyDistinct = (T:(*)) { T | distinct * }; MyDistinct((range x from 1 to 3 step 1))`, "1\n2\n3"},
		{`let Test1 = (id: int) { let Test2 = 10; let Test3 = 10 + Test2 + id; let Test4 = (arg: int) { let Test5 = 20; Test2 + Test3 + Test5 + arg }; Test4(10) }; range x from 1 to Test1(10) step 1 | count`, "70"},
		{`let f = (a:long, b:string = "b.default", c:long = 0) { strcat(a, "-", b, "-", c) }; print f(12, c=7)`, "12-b.default-7"},
		{`let f = (a:long, b:string = "b.default", c:long = 0) { strcat(a, "-", b, "-", c) }; union (print x=f(c=7, a=12)), (print x=f(12, c=7))`, "12-b.default-7\n12-b.default-7"},
		{`let a=(){123}; range x from 1 to 2 step 1 | extend y = x * a, z = x * a()`, "1|123|123\n2|246|246"},
		{`let T=(){ range x from 1 to 2 step 1 | project x1 = x * 10 }; union T, (T())`, "10\n20\n10\n20"},
		{`let f=(a:string, b:string) { strcat(a, " (la la la)", b) }; print f("hello", "world")`, "hello (la la la)world"},
		{`let append_to_column_a=(T:(a:string), what:string) { T | extend a=strcat(a, " ", what) }; datatable (a:string) ["sad", "really", "sad"] | invoke append_to_column_a(":-)")`, "sad :-)\nreally :-)\nsad :-)"},
		// Names mean what they meant where they were declared.
		{`let a = 1; let f = () { a }; let g = (a:long) { f() * 10 + a }; print g(5)`, "15"},
		{`let a = 1; let f = (b:long) { let a = b + 1; let c = a * 2; c }; print f(a), a, f(f(a))`, "4|1|10"},
		{`let t = datatable(a:long)[1, 2]; let f = (t:(a:long)) { t | where a > 1 }; f((t | extend a = a * 2))`, "2\n4"},
		{`let f = (x:real) { x / 2 }; print f(3), f(int(3))`, "1.5|1.5"},
		{`let f = (x:long) { x }; print f(long(null)), isnull(f(long(null)))`, "null|true"},
		{`let f = (x:long) { iff(x > 1, "many", "few") }; datatable(x:long)[1, 2, long(null)] | summarize count() by f(x)`, "few|2\nmany|1"},
		{`let share = (n:long, total:long) { 100.0 * n / total }; datatable(x:long)[1, 2, 3, 4] | summarize share(countif(x > 1), count())`, "75.0"},
		{`let f = (v:long) { datatable(x:long)[1, 2, 3] | where x > v }; union (f(1)), (f(2))`, "2\n3\n3"},
		{`let n = 2; let f = (n:long = 7) { n }; print f(), f(n)`, "7|2"},
		// as, across operators and statements.
		{`range x from 1 to 3 step 1 | as N | where x > 1 | join kind=inner (N | extend y = x * 2) on x; N | count`, "3"},
		{`range x from 1 to 3 step 1 | as N | count | union N`, "3|null\nnull|1\nnull|2\nnull|3"},
	})
}

func TestToScalar(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(10, now)})
	w.expect([][2]string{
		// Kusto docs: toscalar().
		{`let Start = toscalar(print x=1); let End = toscalar(range x from 1 to 9 step 1 | count); let Step = toscalar(2); range z from Start to End step Step | extend start=Start, end=End, step=Step`,
			"1|1|9|2\n3|1|9|2\n5|1|9|2\n7|1|9|2\n9|1|9|2"},
		{`print toscalar(datatable(a:long, b:string)[1, "x", 2, "y"]), toscalar(datatable(b:string, a:long)["x", 1]), toscalar(datatable(a:long)[]), toscalar(datatable(a:string)[])`, "1|x|null|"},
		{`let n = toscalar(ServiceTelemetry | count); ServiceTelemetry | take n / 5 | count`, "2"},
		{`ServiceTelemetry | summarize n = count() by ServiceName | extend p = 100.0 * n / toscalar(ServiceTelemetry | count) | order by p desc, ServiceName asc | take 1`, "api|3|30.0"},
		{`let newest = toscalar(ServiceTelemetry | summarize max(Timestamp)); ServiceTelemetry | where Timestamp >= newest - 2ms | count`, "3"},
		{`let f = (n:long) { toscalar(range x from 1 to n step 1 | count) }; print f(3), f(4), f(toscalar(print 5))`, "3|4|5"},
		{`ServiceTelemetry | where Status in (datatable(s:long)[201, long(null), 202]) | count`, "6"},
		{`ServiceTelemetry | where ServiceName !in~ (datatable(s:string)["API", "AUTH", ""]) | count`, "4"},
		{`datatable(x:long)[1, 2, long(null)] | where x in (datatable(y:real)[1.0, real(nan), real(null)])`, "1"},
		{`datatable(x:long)[1, 2, long(null)] | where x !in (datatable(y:long)[1, long(null)])`, "2\nnull"},
		{`datatable(x:real)[real(nan), 0.0] | where x in (datatable(y:real)[real(nan), -0.0])`, "0.0"},
		{`datatable(x:decimal)[decimal(1.50), decimal(null), decimal(2)] | where x in (datatable(y:decimal)[decimal(1.5), decimal(null)])`, "1.50"},
		{`datatable(x:string)["", "a"] | where x in (datatable(y:string)["", "b"])`, ""},
		{`datatable(x:string)["ǅ", "K"] | where x in~ (datatable(y:string)["ǆ", "K"]) | count`, "2"},
		// What stands for a value before it is known is not what the functions see.
		{`let s = toscalar(print "b"); print indexof("abc", s), s == "b", iff(s == "b", 1 / toscalar(print 2.0), 0.0)`, "1|true|0.5"},
		{`print extract(toscalar(print "(b)c"), 1, "abc")`, "b"},
		{`let l = toscalar(datatable(s:string)["a", "b"] | summarize make_list(s)); datatable(s:string)["a", "c"] | where s in (l) or s has_any (l) | extend d = array_length(l), e = l[1]`, `a|2|"b"`},
		{`let p = toscalar(print 50); range x from 1 to 9 step 1 | summarize percentile(x, p)`, "5"},
		{`print iff(1 in (range x from 1 to 3 step 1), "in", "out"), substring("abc", toscalar(print 1))`, "in|bc"},
		{`let lim = 3; range x from 1 to 10 step 1 | where x in (range y from 1 to lim step 1) | summarize sum(x)`, "6"},
	})
	t.Run("ErrRowDependent", func(t *testing.T) {
		q := w.analyze(`let f = (v:long) { toscalar(range x from 1 to 3 step 1 | where x == v | count) }; ServiceTelemetry | extend y = f(Status)`)
		_, err := Compile(q, Options{Now: now})
		if want := `the argument "v" depends on the row and cannot be used in a subquery`; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrValue", func(t *testing.T) {
		// An unsupported value is refused once it is known.
		_, err := Run(context.Background(), w.analyze(`print replace_regex("a", "a", toscalar(print @"\1"))`), w.tables, Options{Now: now})
		if want := `1:7: function "replace_regex" with the rewrite pattern "\\1" is not supported by the sandbox`; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrSource", func(t *testing.T) {
		// What went wrong is said, also where a constant is asked for and its absence would be an error of its own.
		for _, query := range []string{`let n = toscalar(ServiceTelemetry | count); ServiceTelemetry | take n`, `print toscalar(ServiceTelemetry | count)`, `range x from 1 to 3 step 1 | where x in (ServiceTelemetry | project Status)`} {
			_, err := Run(context.Background(), w.analyze(query), Tables{}, Options{Now: now})
			if want := `scan table "ServiceTelemetry": table "ServiceTelemetry" of database "TelemetryDB" on cluster "local" is not there`; err == nil || err.Error() != want {
				t.Errorf("%s: got %v", query, err)
			}
		}
	})
	t.Run("ErrCanceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		e := &endless{batch: serviceTelemetry(100, now), after: func(n int) {
			if n == 3 {
				cancel()
			}
		}}
		if _, err := Run(ctx, w.analyze(`print toscalar(ServiceTelemetry | count)`), e, Options{Now: now}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMaterialize(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(10, now)})
	const query = `let m = materialize(ServiceTelemetry | summarize n = count() by ServiceName); let f = () { m | where n > 2 };
		m | join kind=inner m on ServiceName | union m | union (f()) | extend all = toscalar(m | summarize sum(n)) | summarize count(), max(all)`
	src := &asked{Tables: w.tables}
	q := w.analyze(query)
	out, err := Run(context.Background(), q, src, Options{Now: now})
	if err == nil {
		err = wrongResult(q, out)
	}
	if err != nil || text(out[0]) != "10|10" {
		t.Fatalf("got %v: %v", out, err)
	}
	if len(src.reqs) != 1 {
		t.Errorf("the table was read %d times", len(src.reqs))
	}
	// A function's arguments are part of what is materialized.
	w.expect([][2]string{
		{`let f = (n:long) { let m = materialize(range x from 1 to n step 1); m }; union (f(1)), (f(2))`, "1\n1\n2"},
		{`let m = materialize(datatable(x:long)[]); m | union m | count`, "0"},
	})
	_, err = Run(context.Background(), w.analyze(`let m = materialize(range x from 1 to 20 step 1 | union (range x from 1 to 20 step 1)); m | take 1`), w.tables, Options{Now: now, MaxRows: 30})
	if want := "materialize holds more than 30 rows, the sandbox's limit"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestCallsAreBounded(t *testing.T) {
	w := mustWorld(t, nil)
	var b strings.Builder
	b.WriteString("let f0 = (n:long) { n };")
	for i := range 14 {
		fmt.Fprintf(&b, "let f%d = (n:long) { f%d(n) + f%d(n) };", i+1, i, i)
	}
	_, err := Compile(w.analyze(b.String()+"print f14(1)"), Options{Now: now})
	if err == nil || !strings.Contains(err.Error(), "in a query of more than 10000 calls is not supported") {
		t.Errorf("got %v", err)
	}
	w.expect([][2]string{{b.String() + "print f9(1)", "512"}})
}
