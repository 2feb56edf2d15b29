package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestMakeSeries(t *testing.T) {
	w := mustWorld(t, nil)
	const docs = `let data=datatable(timestamp:datetime, metric: real)[datetime(2016-12-31T06:00), 50, datetime(2017-01-01), 4, datetime(2017-01-02), 3, datetime(2017-01-03), 4, datetime(2017-01-03T03:00), 6,
		datetime(2017-01-05), 8, datetime(2017-01-05T13:40), 13, datetime(2017-01-06), 4, datetime(2017-01-07), 3, datetime(2017-01-08), 8, datetime(2017-01-08T21:00), 8, datetime(2017-01-09), 2, datetime(2017-01-09T12:00), 11, datetime(2017-01-10T05:00), 5];
		let interval = 1d; let stime = datetime(2017-01-01); let etime = datetime(2017-01-10); data `
	const days = `["2017-01-01T00:00:00.0000000Z","2017-01-02T00:00:00.0000000Z","2017-01-03T00:00:00.0000000Z","2017-01-04T00:00:00.0000000Z","2017-01-05T00:00:00.0000000Z","2017-01-06T00:00:00.0000000Z","2017-01-07T00:00:00.0000000Z","2017-01-08T00:00:00.0000000Z","2017-01-09T00:00:00.0000000Z"]`
	const some = `datatable(k:string, x:long, v:real)["a", 0, 1, "b", 3, 2, "a", 5, 3, "a", 4, real(null), "c", 99, 4, "b", long(null), 7] `
	w.expect([][2]string{
		// Kusto docs: make-series operator.
		{docs + `| make-series avg(metric) on timestamp from stime to etime step interval`, "[4.0,3.0,5.0,0.0,10.5,4.0,3.0,8.0,6.5]|" + days},
		{docs + `| take 0 | make-series avg(metric) default=1.0 on timestamp from stime to etime step interval | count`, "0"},
		{docs + `| take 0 | make-series kind=nonempty avg(metric) default=1.0 on timestamp from stime to etime step interval`, "[1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0]|" + days},
		// What is in no bin is in no series.
		{some + `| make-series s = sum(v), n = count() * 2 default=int(null) on x from 0 to 6 step 2 by k`, "a|[1.0,0.0,3.0]|[2,null,4]|[0,2,4]\nb|[0.0,2.0,0.0]|[null,2,null]|[0,2,4]"},
		{some + `| make-series s = sum(v) default=7 on x from 0 to 5 step 2 by k`, "a|[1.0,7.0,0.0]|[0,2,4]\nb|[7.0,2.0,7.0]|[0,2,4]"},
		{some + `| make-series m = max(v) default=real(null), count() on x from 4 to 6 step 2 by upper = toupper(k)`, "A|[3.0]|[2]|[4]"},
		{some + `| make-series avg(v) on x from 4 to 5 step 1`, `["NaN"]|[4]`},
		{some + `| make-series count() on x from -4 to -1 step 2 | count`, "0"},
		{some + `| make-series n = count() on x from 0 step 2 by k | where k != "c"`, "a|[1,0,2]|[0,2,4]\nb|[0,1]|[0,2]"},
		{`datatable(x:real)[0.1, 0.25, 0.3, 0.9, real(nan), real(+inf), real(null)] | make-series count() on x from 0.0 to 1.0 step 0.25`, "[1,2,0,1]|[0.0,0.25,0.5,0.75]"},
		{`range i from 20 to 0 step -1 | extend x = i / 10.0 | make-series count() on x from 0.0 to 2.1 step 0.3 | project array_length(count_), array_sum(count_), array_length(x)`, "7|21.0|7"},
		{`datatable(x:real)[1.0, 0.5, 1e300] | make-series count() on x from 0.5 to 1.0000000000000002 step 0.1 | project count_`, "[1,0,0,0,0,1]"},
		{`datatable(k:string, x:long)["a", 5, "a", 1, "b", 0] | make-series n = count() on x from 0 step 2 by k`, "a|[1,0,1]|[0,2,4]\nb|[1]|[0]"},
		{`datatable(x:timespan)[1s, 90s] | make-series count() on x from 0s to 2m step 1m`, `[1,1]|["00:00:00","00:01:00"]`},
		{`let lo = toscalar(print 1); datatable(x:long)[1, 2] | make-series count() on x from lo to toscalar(print 3) step toscalar(print 1)`, "[1,1]|[1,2]"},
		{`datatable(x:long)[9223372036854775807, -9223372036854775807] | make-series count() on x from -9223372036854775807 to 9223372036854775807 step 9223372036854775807`, "[1,0]|[-9223372036854775807,0]"},
		{some + `| make-series n = count() on x from 0 to 6 step 2 by k | mv-expand n to typeof(long), x to typeof(long) | summarize sum(n) by x`, "0|1\n2|1\n4|2"},
	})
	for query, want := range map[string]string{
		`make-series count() on x step 1`:                                    `operator "make-series" without from is not supported by the sandbox`,
		`make-series count() on x in range(1, 2, 1)`:                         `operator "make-series" with in range (write from … to … step …) is not supported by the sandbox`,
		`make-series kind=nonempty count() on x from 0 to 1 step 1 by k`:     `kind "nonempty" of operator "make-series" by columns is not supported by the sandbox`,
		`make-series max(k) on x from 0 to 1 step 1`:                         `make-series of a string without a default is not supported by the sandbox`,
		`make-series count() default=1.5 on x from 0 to 1 step 1`:            `a real as the default of a make-series of long is not supported by the sandbox`,
		`make-series count() on x from 0 to 1 step -1`:                       `make-series must have a step above 0`,
		`make-series count() on x from 1 to 1 step 1`:                        `make-series must end after it starts`,
		`make-series count() on x from 0 to 1048577 step 1`:                  `make-series must have at most 1048576 values, got more`,
		`extend x = x * 100000 | make-series count() on x from 0 step 1`:     `make-series must have at most 1048576 values, got more`,
		`make-series count() on v from 0.0 to 1.0 step 1e-12`:                `make-series must have at most 1048576 values, got more`,
		`make-series count(), sum(v) on x from 0 to 600 step 1 by k, rank=x`: `make-series holds more than 1000 rows, the sandbox's limit`,
	} {
		_, err := Run(context.Background(), w.analyze(some+"| "+query), w.tables, Options{Now: now, MaxRows: 1000})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", query, err, want)
		}
	}
}

// make-series against its definition, over random rows.
func TestMakeSeriesAgainstLoop(t *testing.T) {
	events := table.New("Events", table.Schema{{Name: "k", Type: table.String}, {Name: "x", Type: table.Long}, {Name: "v", Type: table.Long}}, 0)
	w := mustWorld(t, []*table.Table{events})
	rng := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		from, step := rng.Int64N(20)-10, 1+rng.Int64N(5)
		to := from + 1 + rng.Int64N(30)
		q := w.analyze(fmt.Sprintf(`Events | make-series n = count(), s = sum(v) default=-1 on x from %d to %d step %d by k`, from, to, step))
		tab := table.New("Events", events.Schema(), 0)
		for range rng.IntN(40) {
			tab.Columns[0].Vec.AppendString([]string{"", "a", "b"}[rng.IntN(3)])
			if rng.IntN(8) == 0 {
				tab.Columns[1].Vec.AppendNull()
			} else {
				tab.Columns[1].Vec.AppendInt(rng.Int64N(60) - 20)
			}
			tab.Columns[2].Vec.AppendInt(rng.Int64N(9))
		}
		out, err := Run(context.Background(), q, batches{Tables{"local/TelemetryDB/Events": tab}, 7}, Options{Now: now})
		if err == nil {
			err = wrongResult(q, out)
		}
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, k := range []string{"", "a", "b"} {
			var n, s, x []string
			there := false
			for start := from; start < to; start += step {
				count, sum := 0, int64(0)
				for i := range tab.Rows() {
					at := tab.Columns[1].Vec
					if tab.Columns[0].Vec.Strings[i] == k && !at.IsNull(i) && at.Ints[i] >= start && at.Ints[i] < min(start+step, to) {
						count, sum = count+1, sum+tab.Columns[2].Vec.Ints[i]
					}
				}
				if there = there || count > 0; count == 0 {
					sum = -1
				}
				n, s, x = append(n, fmt.Sprint(count)), append(s, fmt.Sprint(sum)), append(x, fmt.Sprint(start))
			}
			if there {
				want = append(want, k+"|"+array(n)+"|"+array(s)+"|"+array(x))
			}
		}
		got := strings.Split(text(out[0]), "\n")
		slices.Sort(got)
		slices.Sort(want)
		if g := strings.Join(got, "\n"); g != strings.Join(want, "\n") {
			t.Fatalf("from %d to %d step %d\n%s\ngot\n%s\nwant\n%s", from, to, step, text(tab), g, strings.Join(want, "\n"))
		}
	}
}

func TestRange(t *testing.T) {
	w := mustWorld(t, nil)
	w.expect([][2]string{
		// Kusto docs: range operator.
		{`range Steps from 1 to 8 step 3`, "1\n4\n7"},
		{`range r from 0.0 to 1 step 0.25`, "0.0\n0.25\n0.5\n0.75\n1.0"},
		{`range r from 0 to 1.0 step 0.5`, "0.0\n0.5\n1.0"},
		{`range r from 1 to 0.0 step -0.5`, "1.0\n0.5\n0.0"},
		{`range t from 2s to 1s step -500ms`, "00:00:02\n00:00:01.5000000\n00:00:01"},
		{`range i from int(1) to int(3) step int(2)`, "1\n3"},
		{`range x from 1 to 100000 step 1 | summarize count(), sum(x)`, "100000|5000050000"},
		{`range r from 0.0 to real(nan) step 1.0 | count`, "0"},
	})
	_, err := Run(context.Background(), w.analyze(`range x from 1 to 2 step toscalar(print 0)`), w.tables, Options{Now: now})
	var ve *ValueError
	if !errors.As(err, &ve) || err.Error() != "range must have a step other than 0" {
		t.Errorf("got %v", err)
	}
}
