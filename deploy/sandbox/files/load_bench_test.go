package files_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/files"
)

// BenchmarkLoad is the reading of 100,000 rows.
func BenchmarkLoad(b *testing.B) {
	const rows = 100_000
	var csv, ndjson strings.Builder
	csv.WriteString("Timestamp:datetime,Service:string,Ms:real,N:long\n")
	for i := range rows {
		at := fmt.Sprintf("2025-06-25T10:%02d:%02d.%03dZ", i/60%60, i%60, i%1000)
		fmt.Fprintf(&csv, "%s,service-%d,%.3f,%d\n", at, i%20, float64(i)/7, i)
		fmt.Fprintf(&ndjson, `{"Timestamp":"%s","Service":"service-%d","Ms":%.3f,"N":%d}`+"\n", at, i%20, float64(i)/7, i)
	}
	b.Run("CSV", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := files.CSV(strings.NewReader(csv.String()), "T.csv", "T"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	b.Run("NDJSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := files.NDJSON(strings.NewReader(ndjson.String()), "T.ndjson", "T", nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
}
