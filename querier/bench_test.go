package querier

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"runtime"
	"syscall"
	"testing"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/querier/frames"
)

const benchRows = 100_000

var benchTypes = []string{"datetime", "string", "string", "string", "string", "long", "real", "real"}

// benchAnswer is an answer of 8 columns in fragments of 1,000 rows, as a cluster
// sends it.
func benchAnswer() []byte {
	var b bytes.Buffer
	b.WriteString(`[{"FrameType":"DataSetHeader","IsProgressive":false,"Version":"v2.0","IsFragmented":true,"ErrorReportingPlacement":"EndOfTable"}` + "\n")
	b.WriteString(`,{"FrameType":"DataTable","TableId":0,"TableKind":"QueryProperties","TableName":"@ExtendedProperties","Columns":[{"ColumnName":"TableId","ColumnType":"int"},{"ColumnName":"Key","ColumnType":"string"},{"ColumnName":"Value","ColumnType":"dynamic"}],"Rows":[[1,"Visualization","{}"]]}` + "\n")
	b.WriteString(`,{"FrameType":"TableHeader","TableId":1,"TableKind":"PrimaryResult","TableName":"PrimaryResult","Columns":[`)
	for i, typ := range benchTypes {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"ColumnName":"c%d","ColumnType":"%s"}`, i, typ)
	}
	b.WriteString("]}\n")
	for i := range benchRows {
		switch {
		case i == 0:
			b.WriteString(`,{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[`)
		case i%1000 == 0:
			b.WriteString("]}\n" + `,{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[`)
		default:
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `["2025-06-25T10:%02d:%02d.%07dZ","service_response_time_avg","service-%d","production","eastus-%d",%d,%d.%d,0.%d]`,
			i/60%60, i%60, i*7919%10000000, i*31%500, i%7, i*37, i%1000, i%89, i%997)
	}
	fmt.Fprintf(&b, "]}\n"+`,{"FrameType":"TableCompletion","TableId":1,"RowCount":%d}`+"\n", benchRows)
	b.WriteString(`,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}` + "\n]\n")
	return b.Bytes()
}

// benchServer answers every query with the same bytes, compressed beforehand or
// not, so that the server costs little.
func benchServer(b *testing.B, compress bool) string {
	b.Helper()
	answer := benchAnswer()
	if compress {
		var z bytes.Buffer
		gz := gzip.NewWriter(&z)
		if _, err := gz.Write(answer); err != nil || gz.Close() != nil {
			b.Fatal(err)
		}
		answer = z.Bytes()
	}
	return mustServe(b, func(w http.ResponseWriter, _ *http.Request) {
		if compress {
			w.Header().Set("Content-Encoding", "gzip")
		}
		_, _ = w.Write(answer)
	}).URL
}

var benchBodies = map[string]bool{"gzip": true, "identity": false}

// perRow reports CPU time of the whole process, the server's part included, and
// allocations.
func perRow(b *testing.B, query func() int) {
	b.Helper()
	var before, after runtime.MemStats
	query() // connect, fill pools
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	for b.Loop() {
		if n := query(); n != benchRows {
			b.Fatalf("%d rows", n)
		}
	}
	cpu = cpuTime(b) - cpu
	runtime.ReadMemStats(&after)
	rows := float64(b.N) * benchRows
	b.ReportMetric(float64(cpu)/rows, "cpu-ns/row")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/rows, "allocs/row")
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkDecode is a query from the request to the last row batch.
func BenchmarkDecode(b *testing.B) {
	for name, compress := range benchBodies {
		b.Run(name, func(b *testing.B) {
			c := mustClient(b, ClientConfig{Cluster: cluster(benchServer(b, compress))})
			q := Query{ID: windowID, Database: "TelemetryDB", Window: window, Body: "T", Answer: frames.Query{
				Columns: []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"}, Take: func(frames.Batch) error { return nil }}}
			perRow(b, func() int {
				r, err := c.Query(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				return int(r.Rows)
			})
		})
	}
}

// BenchmarkIterativeQuery is the same query read by azkustodata, row by row.
func BenchmarkIterativeQuery(b *testing.B) {
	for name, compress := range benchBodies {
		b.Run(name, func(b *testing.B) {
			client, err := azkustodata.New(&azkustodata.ConnectionStringBuilder{DataSource: benchServer(b, compress)})
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			perRow(b, func() int {
				set, err := client.IterativeQuery(b.Context(), "TelemetryDB", kql.New("T"))
				if err != nil {
					b.Fatal(err)
				}
				defer set.Close()
				n := 0
				for table := range set.Tables() {
					if table.Err() != nil {
						b.Fatal(table.Err())
					}
					for row := range table.Table().Rows() {
						if row.Err() != nil {
							b.Fatal(row.Err())
						}
						n++
					}
				}
				return n
			})
		})
	}
}
