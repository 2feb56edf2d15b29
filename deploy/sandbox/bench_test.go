package sandbox_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// million streams the rows of Bench.Million without evaluating a query.
func million() sandbox.Engine {
	def := (samples.Source{}).Catalog().Database("", "Bench").Table("Million")
	scan := engine.ScanRequest{Database: "Bench", Table: def.Name, Now: time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC)}
	for _, f := range def.Schema {
		scan.Columns = append(scan.Columns, f.Name)
	}
	return sandbox.EngineFunc(func(context.Context, *sandbox.Request) (*sandbox.Result, error) {
		return &sandbox.Result{Tables: []sandbox.ResultTable{{
			Schema: def.Schema,
			Scan: func(ctx context.Context, yield func(*table.Table) error) error {
				return samples.Source{}.Scan(ctx, scan, yield)
			},
		}}}, nil
	})
}

// BenchmarkMillion is what 1,000,000 rows of 8 columns cost this end; the bytes per operation bound
// what the server holds of them.
func BenchmarkMillion(b *testing.B) {
	for name, c := range map[string]struct {
		encoding string
		engine   sandbox.Engine // nil: the evaluator
	}{
		"identity": {"identity", million()}, "gzip": {"gzip", million()}, "evaluated": {"identity", nil},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s := start(b, sandbox.Config{Engine: c.engine})
			transport := &http.Transport{DisableCompression: true}
			defer transport.CloseIdleConnections()
			for b.Loop() {
				req, err := http.NewRequest(http.MethodPost, s.URL()+"/v2/rest/query", strings.NewReader(
					`{"db":"Bench","csl":"Million","properties":{"Options":{"notruncation":true,"results_v2_fragment_primary_tables":true}}}`))
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Accept-Encoding", c.encoding)
				resp, err := transport.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil {
					b.Fatal(err)
				}
				if err := resp.Body.Close(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n)/1e6, "B/row")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/row")
		})
	}
}
