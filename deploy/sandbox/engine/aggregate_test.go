package engine

import (
	"context"
	"strings"
	"testing"
)

// Values of the aggregates beyond count, sum, avg, min and max, which TestAggregates has.
func TestMoreAggregates(t *testing.T) {
	w := mustWorld(t, nil)
	const empty = `datatable(x:long, r:real, s:string, t:timespan, d:datetime, m:decimal, j:dynamic)[]`
	const fruit = `datatable(Fruit: string, Color: string, Version: int)["Apple", "Red", 1, "Apple", "Green", int(null), "Banana", "Yellow", int(null),
		"Banana", "Green", int(null), "Pear", "Brown", 1, "Pear", "Green", 2]`
	const some = `datatable(k:string, x:long, r:real, s:string)["a", 3, 1.5, "p", "a", long(null), real(null), "", "b", 7, real(nan), "q", "a", 1, 2.5, "r", "a", 3, 0.5, "p"]`
	const bags = `datatable(k:string, j:dynamic)["a", dynamic({"x": 1, "y": 2}), "a", dynamic({"x": 3, "z": "q"}), "a", dynamic(null), "b", dynamic([1]), "b", dynamic("t")]`
	w.expect([][2]string{
		// Kusto docs: summarize, "Default values of aggregations".
		{empty + `| summarize take_any(x), arg_max(x, s), arg_min(x, *), max(x), min(x), percentile(x, 55), stdev(x), sum(x), sumif(x, x > 0), variance(x)`, "null|null||null|null||null|null|null|null|null|null|null|0.0|0|0|0.0"},
		{empty + `| summarize dcount(x), dcountif(x, x > 0), count_distinct(x), make_set(x), make_list(x), make_bag(j), sum(m), avg(m), max(m), avg(d), percentiles_array(r, 50)`, "0|0|0|[]|[]|{}|0|null|null|null|[null]"},
		{empty + `| summarize binary_all_and(x), stdevp(r), variancep(r), stdevif(r, true), take_any(s), take_anyif(x, true), percentiles(d, 1, 2)`, "null|0.0|0.0|0.0||null|null|null"},
		{empty + `| summarize dcount(x), arg_max(x, *), percentiles(x, 5, 50) by s`, ""},
		{`range x from 1 to 4 step 1 | extend y = iff(x == 1, real(null), real(5)) | summarize sum(y), avg(y), make_set(y), make_set(y)`, "15.0|5.0|[5.0]|[5.0]"},
		// Kusto docs: variance, stdev, stdevp, variancep, varianceif.
		{`range x from 1 to 5 step 1 | summarize make_list(x), variance(x), stdev(x), variancep(x), stdevp(x)`, "[1,2,3,4,5]|2.5|1.5811388300841898|2.0|1.4142135623730951"},
		{`range x from 1 to 100 step 1 | summarize varianceif(x, x % 2 == 0), stdevif(x, x % 2 == 0)`, "850.0|29.154759474226502"},
		{`print x = 7 | summarize stdev(x), variance(x), stdevp(x)`, "0.0|0.0|0.0"},
		{`datatable(m:decimal)[decimal(1), decimal(4)] | summarize variance(m)`, "4.5"},
		{`datatable(x:real)[real(inf), 1.0] | summarize stdev(x), variance(x)`, "NaN|NaN"},
		{`datatable(x:real)[1e9, 1000000001.0, 1000000002.0] | summarize variance(x)`, "1.0"},
		// Kusto docs: arg_max, arg_min (null handling).
		{fruit + `| summarize arg_max(Version, *) by Fruit`, "Apple|1|Red\nBanana|null|Yellow\nPear|2|Green"},
		{fruit + `| summarize arg_min(Version, *) by Fruit`, "Apple|1|Red\nBanana|null|Yellow\nPear|1|Brown"},
		{some + `| summarize arg_max(x, s, r * 2) by k`, "a|3|p|3.0\nb|7|q|NaN"},
		{some + `| summarize arg_max(r, x), arg_min(r, x), arg_max(s, k)`, "2.5|1|0.5|3|r|a"},
		{some + `| summarize (most, at) = arg_max(x, s), n = count(), v = arg_min(x, r) by k | project k, most, at, n, v, r`, "a|3|p|4|1|2.5\nb|7|q|1|7|NaN"},
		{some + `| summarize arg_max(x, *) by x`, "3|3|a|1.5|p\nnull|null|a|null|\n7|7|b|NaN|q\n1|1|a|2.5|r"},
		{some + `| summarize arg_max(x + 1, *) by bin(x, 10)`, "0|8|b|7|NaN|q\nnull|null|a|null|null|"},
		{some + `| summarize 1 + arg_max(x), count()`, "8|5"},
		{`datatable(m:decimal, s:string)[decimal(10), "a", decimal(9), "b"] | summarize arg_max(m, s), min(m), max(m), sum(m), avg(m)`, "10|a|9|10|19|9.5"},
		// take_any prefers a value; several columns are of one row.
		{some + `| where isempty(s) or s == "r" | summarize take_any(s), take_any(x), take_any(s, x), take_anyif(s, x == 1), any(r)`, "r|1||null|r|2.5"},
		{some + `| summarize take_any(*) by k`, "a|3|1.5|p\nb|7|NaN|q"},
		// dcount, exact.
		{some + `| summarize dcount(x), dcount(s), dcount(x, 2), dcountif(x, k == "a"), dcountif(x, k == "a", 3) by k`, "a|2|3|2|2|2\nb|1|1|1|0|0"},
		{some + `| where isnotnull(x) | summarize count_distinct(x), count_distinctif(x, x > 1), dcount(k)`, "3|2|2"},
		{`datatable(m:decimal)[decimal(1.0), decimal(1)] | summarize dcount(m)`, "1"},
		{some + `| summarize dcount(r)`, "4"},
		// Lists, sets and bags.
		{some + `| summarize make_list(x), make_list_with_nulls(x), make_set(x), make_list(x, 2), make_list_if(x, x > 1), make_list_if(x, true, 1), make_set_if(s, x > 0) by k`,
			`a|[3,1,3]|[3,null,1,3]|[3,1]|[3,1]|[3,3]|[3]|["p","r"]` + "\n" + `b|[7]|[7]|[7]|[7]|[7]|[7]|["q"]`},
		{some + `| summarize make_list(s), make_set(s), make_list(r), make_set(r)`, `["p","","q","r","p"]|["p","","q","r"]|[1.5,"NaN",2.5,0.5]|[1.5,"NaN",2.5,0.5]`},
		{`datatable(Val: int, Arr1: dynamic)[1, dynamic(['A1', 'A2', 'A3']), 5, dynamic(['A2', 'C1']), 7, dynamic(['C2', 'A3']), 5, dynamic(['C2', 'A1'])]
			| summarize Val_set=make_set(Val), Arr1_set=make_set(Arr1), n = array_length(make_list(Arr1))`, `[1,5,7]|["A1","A2","A3","C1","C2"]|4`},
		{bags + `| summarize make_bag(j), make_list(j), make_bag_if(j, isnotnull(j.z)) by k`, `a|{"x":1,"y":2,"z":"q"}|[{"x":1,"y":2},{"x":3,"z":"q"}]|{"x":3,"z":"q"}` + "\n" + `b|{}|[[1],"t"]|{}`},
		{bags + `| summarize make_bag(j, 1), make_set(j, 1)`, `{"x":1}|[{"x":1,"y":2}]`},
		{`range x from 1 to 300 step 1 | summarize array_length(makelist(x)), array_length(makeset(x)), array_length(make_list(x))`, "128|128|300"},
		// Deprecated names.
		{some + `| summarize argmax(x, s), argmin(x, s), anyif(s, x == 1), variancepif(x, x < 5)`, "7|q|1|r|r|0.8888888888888888"},
		{bags + `| summarize make_dictionary(j)`, `{"x":1,"y":2,"z":"q"}`},
		// Percentiles: the nearest rank, exactly. Kusto docs: percentiles, "Nearest-rank percentile".
		{`range x from 1 to 100 step 1 | summarize percentile(x, 0), percentile(x, 7), percentile(x, 7.5), percentile(x, 100), toint(percentile(x, 50)) + 1`, "1|7|8|100|51"},
		{`range x from 1 to 1000 step 1 | summarize percentile(x, 16.1)`, "161"}, // 16.1 * 1000 / 100 is a little above in a double
		{`range x from 1 to 5 step 1 | summarize percentiles(x, 0, 20, 20.1, 50, 99.9)`, "1|1|2|3|5"},
		{`range x from 1 to 5 step 1 | summarize percentiles_array(x, 5, 95), percentiles_array(x, dynamic([5, 50.5])), percentile(x * 1.5, 50), percentile(1s * x, 50)`, "[1,5]|[1,3]|4.5|00:00:03"},
		{some + `| summarize percentile(x, 50), percentiles(x, 1, 90) by k`, "a|3|1|3\nb|7|7|7"},
		{some + `| summarize (low, high) = percentiles(x, 1, 90) by k | project high, low`, "3|1\n7|7"},
		{`datatable(i:int)[int(5), int(7)] | summarize percentile(i, 50), binary_all_or(i), binary_all_and(i), binary_all_xor(i)`, "5|7|5|2"},
		// Kusto docs: binary_all_and.
		{`datatable(num:long)[0xFFFFFFFF, 0xFFFFF00F, 0xCFFFFFFD, 0xFAFEFFFF] | summarize toupper(tohex(binary_all_and(num)))`, "CAFEF00D"},
		// Averages of times are exact; so are those of decimals.
		{`datatable(t:datetime)[datetime(2025-01-01), datetime(2025-01-02T00:00:00.0000002), datetime(null)] | summarize avg(t), avgif(t, t > datetime(2025-01-01))`,
			"2025-01-01T12:00:00.0000001Z|2025-01-02T00:00:00.0000002Z"},
		{`datatable(t:timespan)[-1s, -2s, 106751d, 106751d, 106751d] | summarize avg(t), sum(t)`, "64050.14:23:59.4000000|320252.23:59:57"},
	})
	const rows200 = `union (range x from 1 to 100 step 1), (range x from 101 to 200 step 1)`
	for query, want := range map[string]string{
		`datatable(r:real)[real(nan)] | summarize percentile(r, 50)`:                      "a percentile of NaN is a case that the sandbox does not know Kusto's answer to",
		`datatable(x:long)[long(null)] | summarize count_distinct(x)`:                     "count_distinct of a null is a case that the sandbox does not know Kusto's answer to",
		`datatable(m:decimal)[decimal(1), decimal(1), decimal(2)] | summarize 2 * avg(m)`: "a quotient of decimals that has no end within 34 digits is a case that the sandbox does not know Kusto's answer to",
		rows200 + `| summarize percentile(x, 5)`:                                          "percentile holds more than 100 rows, the sandbox's limit",
		rows200 + `| summarize make_list(x)`:                                              "make_list holds more than 100 rows, the sandbox's limit",
		rows200 + `| summarize make_set_if(x, x > 0)`:                                     "make_set holds more than 100 rows, the sandbox's limit",
		rows200 + `| summarize dcount(x)`:                                                 "dcount holds more than 100 rows, the sandbox's limit",
		`print x = 1 | summarize percentile(x, 101)`:                                      `1:25: aggregate "percentile" of anything but constants from 0 to 100 is not supported by the sandbox`,
		`print x = 1.5 | summarize make_list(decimal(1))`:                                 `1:27: aggregate "make_list" of decimal is not supported by the sandbox`,
		`print x = decimal(1) | summarize percentile(x, 5)`:                               `1:34: aggregate "percentile" of decimal and long is not supported by the sandbox`,
		`print x = 1 | summarize hll(x)`:                                                  `1:25: function "hll" is not supported by the sandbox`,
	} {
		_, err := Run(context.Background(), w.analyze(query), w.tables, Options{Now: now, MaxRows: 100})
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", strings.TrimSpace(query), err, want)
		}
	}
}
