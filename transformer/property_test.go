package transformer

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// decompress returns a batch's body as a receiver reads it.
func decompress(tb testing.TB, b Batch) []byte {
	tb.Helper()
	var r io.Reader = bytes.NewReader(b.Data)
	switch b.Encoding {
	case "":
		return b.Data
	case "gzip":
		z, err := gzip.NewReader(r)
		require.NoError(tb, err)
		r = z
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		require.NoError(tb, err)
		defer z.Close()
		r = z
	default:
		tb.Fatalf("encoding %q", b.Encoding)
	}
	data, err := io.ReadAll(r)
	require.NoError(tb, err)
	return data
}

// request unmarshals a batch and checks that the protobuf library writes the very
// same bytes for it.
func request(tb testing.TB, b Batch) *collectorpb.ExportMetricsServiceRequest {
	tb.Helper()
	data := decompress(tb, b)
	m := new(collectorpb.ExportMetricsServiceRequest)
	require.NoError(tb, proto.Unmarshal(data, m))
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	require.NoError(tb, err)
	require.True(tb, bytes.Equal(data, again), "proto.Marshal gives other bytes for %s: %x\n%x", m, data[:min(1000, len(data))], again[:min(1000, len(again))])
	return m
}

// randomCell returns a cell of a type: mostly plain, often repeated, sometimes null
// or strange.
func randomCell(rng *rand.Rand, typ string) any {
	if rng.IntN(12) == 0 {
		return nil
	}
	pick := func(s ...any) any { return s[rng.IntN(len(s))] }
	odd := rng.IntN(8) == 0
	switch typ {
	case "bool":
		return rng.IntN(2) == 0
	case "int", "long":
		if odd {
			return pick(int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt32), int64(0))
		}
		return rng.Int64N(5)
	case "real":
		if odd {
			return pick(math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 1e21, 1e-7, 123456789e300, 5e-324, 0.30000000000000004)
		}
		return float64(rng.IntN(4)) / 2
	case "decimal":
		return pick("1.5", "0", "-12.250", "79228162514264337593543950335", "0.0000000000000000000000000001")
	case "string":
		if odd {
			return pick("", "NaN", "Infinity", "1e400", "a\x00b", "größe", strings.Repeat("x", 200), "abc")
		}
		return pick("1", "2.5", "1e3", "-7", "+4")
	case "guid":
		return pick("74BE27DE-1E4E-49D9-B579-FE0B331D3642", "74be27de-1e4e-49d9-b579-fe0b331d3642")
	case "dynamic":
		if odd {
			return pick(`{"b": 1, "a": [1, 2]}`, `[]`, `"text"`, `null`, `"a\u00e9\n"`, `true`, `"12"`, `bare`)
		}
		return pick(`1`, `2.5`, `-3e2`)
	case "datetime":
		if odd {
			return pick(time.Unix(0, 0).UTC(), time.Date(1601, 1, 1, 0, 0, 0, 100, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999900, time.UTC),
				time.Date(2262, 4, 11, 23, 47, 16, 854775800, time.UTC), time.Date(2262, 4, 11, 23, 47, 16, 854775900, time.UTC))
		}
		return epoch.Add(time.Duration(rng.IntN(6)) * 30 * time.Second).Add(time.Duration(rng.IntN(2)*rng.IntN(20)) * 100)
	case "timespan":
		return time.Duration(rng.Int64N(4)-2) * 36 * time.Hour / 7 / 100 * 100
	}
	panic(typ)
}

var cellTypes = []string{"bool", "int", "long", "real", "decimal", "string", "guid", "dynamic", "datetime", "timespan"}
var numberTypes = []string{"bool", "int", "long", "real", "decimal", "string", "dynamic", "timespan"}

// randomWindow returns a spec and row batches for it.
func randomWindow(rng *rand.Rand) (*schemas.MetricsExporterSpec, []answer) {
	spec := new(schemas.MetricsExporterSpec)
	t := &spec.Transform
	t.TimestampColumn = "at"
	cols := columns("unused:string at:datetime")
	names := []any{"requests", "errors", "service_response_time", nil, ""}
	if rng.IntN(4) > 0 {
		t.MetricNameColumn = "metric"
		cols = append(cols, schemas.ColumnType{Name: "metric", Type: "string"})
	}
	if t.MetricNameColumn == "" || rng.IntN(2) == 0 {
		t.DefaultMetricName = "fallback"
	}
	number := func(name string) {
		cols = append(cols, schemas.ColumnType{Name: name, Type: numberTypes[rng.IntN(len(numberTypes))]})
	}
	if rng.IntN(3) == 0 {
		t.ValueColumns = []string{"MaxMs", "p95Ms", "HTTPErrors", "Count"}[:1+rng.IntN(4)]
		for _, c := range t.ValueColumns {
			number(c)
		}
		if rng.IntN(2) == 0 {
			t.MetricNamePrefix = "team"
		}
	} else {
		t.ValueColumn = "value"
		number("value")
	}
	for i := range rng.IntN(6) {
		name := fmt.Sprintf("Label%d", i)
		cols = append(cols, schemas.ColumnType{Name: name, Type: cellTypes[rng.IntN(len(cellTypes))]})
		t.LabelColumns = append(t.LabelColumns, name)
		if rng.IntN(10) == 0 {
			t.LabelColumns = append(t.LabelColumns, name)
		}
	}
	if rng.IntN(3) == 0 {
		t.Type = schemas.Sum
		t.Monotonic = rng.IntN(2) == 0
		t.Temporality = []schemas.Temporality{"", schemas.Delta, schemas.Cumulative}[rng.IntN(3)]
	}
	if rng.IntN(2) == 0 {
		t.Unit, t.Description = "ms", "Ö, of services"
	}
	if rng.IntN(3) == 0 {
		t.NullValue = schemas.NullZero
	}
	rng.Shuffle(len(cols), func(i, j int) { cols[i], cols[j] = cols[j], cols[i] })

	batches := make([]answer, 1+rng.IntN(3)*rng.IntN(2))
	for i := range batches {
		batches[i].columns = cols
		for range rng.IntN(2 + []int{3, 60, 1000}[rng.IntN(3)]) {
			row := make([]any, len(cols))
			for c, col := range cols {
				if row[c] = randomCell(rng, col.Type); col.Name == "metric" {
					row[c] = names[rng.IntN(len(names))]
				}
			}
			batches[i].rows = append(batches[i].rows, row)
		}
	}
	return spec, batches
}

// TestWindowIsWhatTheReferenceWrites is the property: for any rows the bytes are
// those that proto.Marshal makes of messages built the plain way, and so are the
// counts.
func TestWindowIsWhatTheReferenceWrites(t *testing.T) {
	t.Parallel()
	n := 600
	if testing.Short() {
		n = 200
	}
	compressions := []Compression{Gzip, Zstd, None}
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		spec, answers := randomWindow(rng)
		out := Output{Compression: compressions[seed%3], ServiceVersion: "1.2.3", ResourceAttributes: map[string]string{"zone": "a", "env": "prod"}}
		tr := mustNew(t, out)
		if seed%5 == 0 {
			tr.maxArena = 500
		}
		batches, res := transform(t, tr, window(t, spec, answers...))
		ref := reference{spec: spec, out: out}
		want := ref.requests(answers...)
		require.Len(t, batches, len(want), "seed %d", seed)
		for i, b := range batches {
			got := request(t, b)
			if !proto.Equal(want[i], got) {
				require.Equal(t, want[i].String(), got.String(), "seed %d", seed)
			}
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(want[i])
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, decompress(t, b)), "seed %d: other bytes than the reference's", seed)
			require.Equal(t, i, b.N)
		}
		counts := res.Rejected.Counts()
		if counts == nil {
			counts = map[string]uint64{}
		}
		require.Equal(t, ref.rejected, counts, "seed %d", seed)
		values := uint64(max(1, len(spec.Transform.ValueColumns)))
		require.Equal(t, res.Rows*values, res.Points+res.Rejected.Total(), "seed %d: a value is neither point nor rejected", seed)

		again, _ := transform(t, tr, window(t, spec, answers...))
		require.Equal(t, batches, again, "seed %d: the same rows give other bytes", seed)
	}
}
