package engine

import (
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestColumns(t *testing.T) {
	w := mustWorld(t, nil)
	w.expect([][2]string{
		// Kusto docs: project-rename, project-reorder, project-away, project-keep, getschema.
		{`print a='a', b='b', c='c' | project-rename new_b=b, new_a=a`, "a|b|c"},
		{`print a='a', b='b', c='c' | project-reorder b`, "b|a|c"},
		{`print b = 'b', a2='a2', a3='a3', a1='a1' | project-reorder a* asc`, "a1|a2|a3|b"},
		{`print b = 'b', a2='a2', a3='a3', a1='a1' | project-reorder a* desc`, "a3|a2|a1|b"},
		{`print b = 'b', a20='a20', a100='a100' | project-reorder a* granny-asc`, "a20|a100|b"},
		{`print x1=1, x2=2, y=3 | project-away x*`, "3"},
		{`print x1=1, x2=2, y=3 | project-keep x*, y`, "1|2|3"},
		{`datatable (a: string, b: dynamic, c: int)[] | getschema`, "a|0|System.String|string\nb|1|System.Object|dynamic\nc|2|System.Int32|int"},
		{`datatable (a:bool, b:datetime, c:guid, d:long, e:real, f:timespan, g:decimal)[] | getschema | project DataType`,
			"System.SByte\nSystem.DateTime\nSystem.Guid\nSystem.Int64\nSystem.Double\nSystem.TimeSpan\nSystem.Data.SqlTypes.SqlDecimal"},
		{`range x from 1 to 2 step 1 | render timechart with (title="x")`, "1\n2"},
		{`datatable(a:string, b:string)["x y", "z", "xy", "q", "", ""] | where * has "x"`, "x y|z"},
		{`datatable(a:string, b:string)["x", "z", "q", "x"] | where * == "x" and b != "z"`, "q|x"},
	})
}

func TestUnion(t *testing.T) {
	two := table.New("T_two", table.Schema{{Name: "x", Type: table.Long}}, 0)
	mustRow(t, two, int64(2))
	one := table.New("T_one", table.Schema{{Name: "x", Type: table.Long}, {Name: "s", Type: table.String}}, 0)
	mustRow(t, one, int64(1), "a")
	w := mustWorld(t, []*table.Table{one, two, {Name: "Other", Columns: two.Columns}}, "far")
	w.expect([][2]string{
		{`union T_*`, "1|a\n2|"},
		{`union T_*, Other | count`, "3"},
		{`union * | summarize sum(x)`, "5"},
		{`union withsource=src T_one, (T_two | where x > 0) | project src, x`, "T_one|1\nT_two|2"},
		{`T_one | where x > 0 | union withsource=src T_two`, "T_one|1|a\nT_two|2|"},
		{`union withsource=src T_* | where src == "T_two" | project x`, "2"},
		{`union kind=inner T_two, Other, (T_one | project x) | count`, "3"},
		{`union isfuzzy=true T_one, Missing`, "1|a"},
		{`union isfuzzy=false T_one, T_two | count`, "2"},
		{`union withsource=src cluster('local').database('TelemetryDB').T_two, cluster('far').database('TelemetryDB').T_two | count`, "2"},
		// Kusto docs: union operator, source columns' types mismatch.
		{`let View_1 = view () { print x=1 }; let View_2 = view () { print x=toint(2) }; union withsource=TableName View_1, View_2`, "View_1|1|null\nView_2|null|2"},
		{`let View_1 = view () { print x=1 }; let View_2 = view () { print x=1 }; union isfuzzy=true (View_1 | where x > 0), (View_2 | where x > 0) | count`, "2"},
	})
}

func TestWindows(t *testing.T) {
	w := mustWorld(t, nil)
	const airports = `datatable (Airport:string, Airline:string, Departures:long)["SEA","LH",3,"SEA","LY",100,"SEA","UA",3,"SEA","BA",2,"SEA","EL",3] | sort by Departures asc | project Airline, Departures, `
	w.expect([][2]string{
		// Kusto docs: row_number(), row_cumsum(), row_rank_dense(), row_rank_min(), prev(), next().
		{`range a from 1 to 3 step 1 | sort by a desc | extend rn=row_number()`, "3|1\n2|2\n1|3"},
		{`range a from 1 to 3 step 1 | sort by a desc | extend rn=row_number(7)`, "3|7\n2|8\n1|9"},
		{`datatable (Airport:string, Airline:string, Departures:long)["TLV","LH",1,"TLV","LY",100,"SEA","LH",1,"SEA","BA",2,"SEA","LY",0] | sort by Airport asc, Departures desc | extend Rank=row_number(1, prev(Airport) != Airport)`,
			"SEA|BA|2|1\nSEA|LH|1|2\nSEA|LY|0|3\nTLV|LY|100|1\nTLV|LH|1|2"},
		{`datatable (a:long)[1,2,3,4,5,6,7,8,9,10] | where a%2==0 | serialize cs=row_cumsum(a)`, "2|2\n4|6\n6|12\n8|20\n10|30"},
		{`datatable (name:string, month:int, salary:long)["Alice",1,1000,"Bob",1,1000,"Alice",2,2000,"Bob",2,1950,"Alice",3,1400,"Bob",3,1450] | order by name asc, month asc | extend total=row_cumsum(salary, name != prev(name))`,
			"Alice|1|1000|1000\nAlice|2|2000|3000\nAlice|3|1400|4400\nBob|1|1000|1000\nBob|2|1950|2950\nBob|3|1450|4400"},
		{airports + `Rank=row_rank_dense(Departures)`, "BA|2|1\nLH|3|2\nUA|3|2\nEL|3|2\nLY|100|3"},
		{airports + `Rank=row_rank_min(Departures)`, "BA|2|1\nLH|3|2\nUA|3|2\nEL|3|2\nLY|100|5"},
		{`datatable (Airport:string, Airline:string, Departures:long)["SEA","LH",3,"SEA","LY",100,"SEA","BA",2,"AMS","EL",1,"AMS","BA",1] | sort by Airport desc, Departures asc | extend Rank=row_rank_dense(Departures, prev(Airport) != Airport)`,
			"SEA|BA|2|1\nSEA|LH|3|2\nSEA|LY|100|3\nAMS|EL|1|1\nAMS|BA|1|1"},
		{`range a from 1 to 4 step 1 | serialize | extend p = prev(a), p2 = prev(a, 2, -1), n = next(a), n9 = next(a, 9), z = prev(a, 0)`, "1|null|-1|2|null|1\n2|1|-1|3|null|2\n3|2|1|4|null|3\n4|3|2|null|null|4"},
		{`datatable(s:string, r:real)["a", real(null), "", 2, "b", 3.5] | serialize | extend p = prev(s), q = next(s, 1, "end"), c = row_cumsum(r), rk = row_rank_dense(s)`, "a|null|||0.0|1\n|2.0|a|b|2.0|2\nb|3.5||end|5.5|3"},
		{`range a from 1 to 4 step 1 | serialize n = row_number(5, a % 2 == 1), c = row_cumsum(a, a == 3), r = row_rank_min(a / 3, a == 4)`, "1|5|1|1\n2|6|3|1\n3|5|3|3\n4|6|7|1"},
		// Over more rows than a batch has.
		{`range x from 1 to 40000 step 1 | serialize | project x, p = prev(x, 20000, 0), n = row_number() | where x != n or x > 20000 and p != x - 20000 | count`, "0"},
		{`range x from 1 to 40000 step 1 | serialize c = row_cumsum(x) | where next(x) == 16385 or prev(x) == 16384 or x == 40000 | project x, c`, "16384|134225920\n16385|134242305\n40000|800020000"},
		{`range x from 1 to 40000 step 1 | sort by x desc | extend n = row_number() | summarize max(n), max(x + n), min(x + n)`, "40000|40001|40001"},
		{`datatable(x:long)[] | serialize n = row_number()`, ""},
		{`datatable(x:long)[1, 2, 4, 8] | sort by x asc | where x - prev(x) > 1 | extend n = row_number()`, "4|1\n8|2"},
		{`datatable(x:long)[1, 2, 4, 8] | sort by x asc | project-rename y = x | take 3 | project d = y - prev(y, 1, 0) | where d > 1`, "2"},
		// Kusto docs: serialize operator. The rows of these are in order as they come.
		{`range a from 1 to 3 step 1 | extend n = row_number(), p = prev(a)`, "1|1|null\n2|2|1\n3|3|2"},
		{`print b = 1, a = 2 | getschema | where ColumnName == next(ColumnName) or row_number() == 2 | project ColumnName`, "a"},
		{`datatable(x:long)[3, 1, 2] | top 2 by x asc | extend n = row_number() * 10`, "1|10\n2|20"},
	})
	for query, want := range map[string]string{
		`datatable(a:long)[1] | extend n = row_number()`:                                             `operator "extend" uses a function of neighbouring rows, whose order is not known: sort or serialize them first`,
		`range a from 1 to 3 step 1 | sort by a | summarize n = count() by a | where prev(n) == 1`:   `operator "where" uses a function of neighbouring rows, whose order is not known: sort or serialize them first`,
		`range a from 1 to 3 step 1 | sort by a | summarize count() by row_number()`:                 `1:63: function "row_number" here is not supported by the sandbox`,
		`range a from 1 to 3 step 1 | sort by a | union (print a = 1) | extend n = row_cumsum(a)`:    `operator "extend" uses a function of neighbouring rows, whose order is not known: sort or serialize them first`,
		`range a from 1 to 3 step 1 | sort by a | extend p = prev(a, a)`:                             `1:53: function "prev" with an offset that is not a constant from 0 up is not supported by the sandbox`,
		`range a from 1 to 3 step 1 | sort by a | join (print a = 1) on a | extend n = row_number()`: `operator "extend" uses a function of neighbouring rows, whose order is not known: sort or serialize them first`,
	} {
		if _, err := Compile(w.analyze(query), Options{Now: now}); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", query, err, want)
		}
	}
}
