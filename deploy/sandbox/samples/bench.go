package samples

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// benchSeries is the number of label sets in a benchmark table: 20 services in 5 regions on 10 hosts.
const benchSeries = 1000

var bench = []*generator{
	benchTable("Thousand", 1_000), benchTable("TenThousand", 10_000),
	benchTable("HundredThousand", 100_000), benchTable("Million", 1_000_000),
	benchTable("TenMillion", 10_000_000),
}

func benchTable(name string, rows int64) *generator {
	return &generator{
		name: name, doc: fmt.Sprintf("%d rows of %d series, evenly over any range", rows, benchSeries),
		time: "Timestamp", rows: rows, seed: 300,
		columns: []column{
			timestamp("Timestamp"),
			perSeries("MetricName", func(s int) string { return fmt.Sprintf("bench_metric_%d", s%4) }, benchSeries),
			perSeries("Service", func(s int) string { return fmt.Sprintf("service-%02d", s%20) }, benchSeries),
			perSeries("Region", func(s int) string { return fmt.Sprintf("region-%d", s/20%5) }, benchSeries),
			perSeries("Host", func(s int) string { return fmt.Sprintf("host-%d", s/100) }, benchSeries),
			realColumn("Value", func(_ int, noise uint64, _ float64) float64 { return 100 * unit(noise) }),
			longColumn("Requests", func(_ int, noise uint64, _ float64) int64 { return int64(noise % 100_000) }),
			{"Ok", table.Bool, func(b *block, v *table.Vector) {
				for _, n := range b.noise {
					v.AppendBool(n%100 != 0)
				}
			}},
		},
	}
}
