package transformer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// answer is rows as a test writes them. A cell is nil, bool, int64 (also int),
// float64, string, time.Time or, for a timespan, time.Duration.
type answer struct {
	columns []schemas.ColumnType
	rows    [][]any
}

// columns reads "name:type name:type".
func columns(s string) (cols []schemas.ColumnType) {
	for _, f := range strings.Fields(s) {
		name, typ, _ := strings.Cut(f, ":")
		cols = append(cols, schemas.ColumnType{Name: name, Type: typ})
	}
	return cols
}

// ticks returns a time in ticks since the Unix epoch.
func ticks(t time.Time) int64 { return t.Unix()*ticksPerSecond + int64(t.Nanosecond()/100) }

// batch encodes the answer as one row batch, as the querier does.
func (a answer) batch() *wire.RowBatch {
	b := &wire.RowBatch{Rows: uint32(len(a.rows))}
	for c, col := range a.columns {
		out := &wire.Column{Name: col.Name, Type: col.Type}
		var last int64
		dict := map[string]uint32{}
		for r, row := range a.rows {
			cell := row[c]
			if cell == nil {
				if out.Nulls == nil {
					out.Nulls = make([]byte, (len(a.rows)+7)/8)
				}
				out.Nulls[r/8] |= 1 << (r % 8)
			}
			switch col.Type {
			case "bool", "int", "long", "timespan":
				var n int64
				switch v := cell.(type) {
				case bool:
					if v {
						n = 1
					}
				case int:
					n = int64(v)
				case int64:
					n = v
				case time.Duration:
					n = int64(v) / 100
				}
				out.Integers = append(out.Integers, n)
			case "datetime":
				d := int64(0)
				if t, ok := cell.(time.Time); ok {
					d, last = ticks(t)-last, ticks(t)
				}
				out.Integers = append(out.Integers, d)
			case "real":
				f, _ := cell.(float64)
				out.Reals = append(out.Reals, f)
			default:
				i := uint32(0)
				if cell != nil {
					s := cell.(string)
					var ok bool
					if i, ok = dict[s]; !ok {
						i = uint32(len(out.Dictionary))
						dict[s] = i
						out.Dictionary = append(out.Dictionary, s)
					}
				}
				out.Indexes = append(out.Indexes, i)
			}
		}
		b.Columns = append(b.Columns, out)
	}
	return b
}

func (a answer) bytes(tb testing.TB) []byte {
	tb.Helper()
	data, err := proto.Marshal(a.batch())
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// window makes a Window of answers that are a row batch each.
func window(tb testing.TB, spec *schemas.MetricsExporterSpec, batches ...answer) Window {
	w := Window{Spec: spec, Start: epoch, Batches: len(batches)}
	var data [][]byte
	for _, a := range batches {
		w.Rows += uint64(len(a.rows))
		data = append(data, a.bytes(tb))
	}
	w.Batch = func(n int) ([]byte, error) { return data[n], nil }
	return w
}

// epoch is the start of the tests' windows.
var epoch = time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC)

func mustNew(tb testing.TB, out Output) *Transformer {
	tb.Helper()
	t, err := NewTransformer(out)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// transform returns a window's batches and result.
func transform(tb testing.TB, t *Transformer, w Window) ([]Batch, *Result) {
	tb.Helper()
	var batches []Batch
	res, err := t.Window(w, func(b Batch) error {
		batches = append(batches, b)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return batches, res
}

// services is an answer like the design document's: rows points of services in a
// few environments, a minute apart, in no order of time.
func services(rows, series int) answer {
	rng := rand.New(rand.NewPCG(1, 2))
	a := answer{columns: columns("metric_name:string metric_value:real timestamp:datetime ServiceName:string Environment:string Region:string Code:long Host:string")}
	for i := range rows {
		s := i % series
		a.rows = append(a.rows, []any{
			"service_response_time_avg", 100 * rng.Float64(), epoch.Add(time.Duration(i/series) * time.Second),
			fmt.Sprintf("service-%03d", s), []string{"production", "staging", "test"}[s%3], []string{"eastus", "westus", "europe"}[s/3%3],
			int64(200 + s%5*100), fmt.Sprintf("host-%05d.example.com", s%97),
		})
	}
	return a
}

// shuffle returns the answer with its rows in another order.
func (a answer) shuffle() answer {
	a.rows = slices.Clone(a.rows)
	rng := rand.New(rand.NewPCG(3, 4))
	rng.Shuffle(len(a.rows), func(i, j int) { a.rows[i], a.rows[j] = a.rows[j], a.rows[i] })
	return a
}

func serviceSpec() *schemas.MetricsExporterSpec {
	return &schemas.MetricsExporterSpec{Transform: schemas.TransformConfig{
		MetricNameColumn: "metric_name", ValueColumn: "metric_value", TimestampColumn: "timestamp",
		LabelColumns: []string{"ServiceName", "Environment", "Region", "Code", "Host"}, Unit: "ms",
	}}
}
