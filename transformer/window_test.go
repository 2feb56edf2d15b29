package transformer

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// points returns all points of batches as "name{labels}@seconds=value" with the
// seconds since epoch.
func points(tb testing.TB, batches []Batch) (all []string) {
	tb.Helper()
	for _, b := range batches {
		n := 0
		for _, m := range request(tb, b).ResourceMetrics[0].ScopeMetrics[0].Metrics {
			dps := m.GetGauge().GetDataPoints()
			if m.GetSum() != nil {
				dps = m.GetSum().DataPoints
			}
			for _, p := range dps {
				var labels []string
				for _, a := range p.Attributes {
					labels = append(labels, a.Key+"="+a.Value.GetStringValue())
				}
				var value any
				switch v := p.Value.(type) {
				case *metricspb.NumberDataPoint_AsInt:
					value = v.AsInt
				case *metricspb.NumberDataPoint_AsDouble:
					value = fmt.Sprintf("%#v", v.AsDouble)
				}
				at := time.Unix(0, int64(p.TimeUnixNano)).Sub(epoch).Seconds()
				all = append(all, fmt.Sprintf("%s{%s}@%v=%v", m.Name, strings.Join(labels, ","), at, value))
				n++
			}
		}
		require.Equal(tb, b.Points, n)
	}
	return all
}

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

// gauge returns a spec with columns "name", "v", "at" and the given labels.
func gauge(labels ...string) *schemas.MetricsExporterSpec {
	return &schemas.MetricsExporterSpec{Transform: schemas.TransformConfig{
		MetricNameColumn: "name", ValueColumn: "v", TimestampColumn: "at", LabelColumns: labels}}
}

// TestValue has, for every Kusto type, what becomes of a value.
func TestValue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		typ  string
		cell any
		want string // the value as Go writes it, or the reason
	}{
		{"int", int64(-5), "-5"}, {"long", int64(math.MaxInt64), "9223372036854775807"}, {"long", nil, "null_value"},
		{"real", 0.987, "0.987"}, {"real", 2.0, "2"}, {"real", math.Copysign(0, -1), "-0"}, {"real", nil, "null_value"},
		{"real", math.NaN(), "not_finite"}, {"real", math.Inf(1), "not_finite"}, {"real", math.Inf(-1), "not_finite"},
		{"decimal", "12.50", "12.5"}, {"decimal", "1E+3", "1000"}, {"decimal", nil, "null_value"},
		{"bool", true, "1"}, {"bool", false, "0"}, {"bool", nil, "null_value"},
		{"timespan", 1500 * time.Millisecond, "1.5"}, {"timespan", -100 * time.Nanosecond, "-1e-07"}, {"timespan", nil, "null_value"},
		{"string", "42", "42"}, {"string", " -1.5e3\t", "-1500"}, {"string", "", "null_value"}, {"string", "  ", "null_value"},
		{"string", "abc", "not_a_number"}, {"string", "0x10", "not_a_number"}, {"string", "1_000", "not_a_number"}, {"string", "1,5", "not_a_number"},
		{"string", "NaN", "not_finite"}, {"string", "-Infinity", "not_finite"}, {"string", "1e999", "not_finite"},
		{"dynamic", "42", "42"}, {"dynamic", "-1.5", "-1.5"}, {"dynamic", `"7"`, "7"}, {"dynamic", "true", "1"}, {"dynamic", "false", "0"},
		{"dynamic", "null", "null_value"}, {"dynamic", `""`, "null_value"}, {"dynamic", "[1]", "not_a_number"}, {"dynamic", `{"a":1}`, "not_a_number"},
		{"dynamic", `"abc"`, "not_a_number"}, {"dynamic", `"cut`, "not_a_number"}, {"dynamic", nil, "null_value"},
	} {
		name := fmt.Sprintf("%s %v", tt.typ, tt.cell)
		a := answer{columns: columns("name:string at:datetime v:" + tt.typ), rows: [][]any{{"m", epoch, tt.cell}}}
		batches, res := transform(t, mustNew(t, Output{}), window(t, gauge(), a))
		if len(batches) == 0 {
			require.Equal(t, map[string]uint64{tt.want: 1}, res.Rejected.Counts(), name)
			require.Contains(t, res.Rejected.Samples()[tt.want], `row 1: column "v" is `, name)
			continue
		}
		require.Equal(t, []string{"m{}@0=" + tt.want}, points(t, batches), name)
		value := request(t, batches[0]).ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetGauge().DataPoints[0].Value
		switch tt.typ {
		case "int", "long", "bool":
			require.IsType(t, new(metricspb.NumberDataPoint_AsInt), value, name)
		default:
			require.IsType(t, new(metricspb.NumberDataPoint_AsDouble), value, name)
		}

		spec := gauge()
		spec.Transform.NullValue = schemas.NullFail
		_, res = transform(t, mustNew(t, Output{}), window(t, spec, a))
		require.Equal(t, uint64(1), res.Points, name)
	}
}

func TestNullValue(t *testing.T) {
	t.Parallel()
	a := answer{columns: columns("name:string at:datetime v:real"), rows: [][]any{
		{"m", at(0), 1.0}, {"m", at(1), nil}, {"m", at(2), math.NaN()}, {"m", at(3), 4.0}}}
	t.Run("OK/Skip", func(t *testing.T) {
		batches, res := transform(t, mustNew(t, Output{}), window(t, gauge(), a))
		require.Equal(t, []string{"m{}@0=1", "m{}@3=4"}, points(t, batches))
		require.Equal(t, map[string]uint64{"null_value": 1, "not_finite": 1}, res.Rejected.Counts())
		require.Equal(t, map[string]string{"null_value": `row 2: column "v" is null`, "not_finite": `row 3: column "v" is NaN`}, res.Rejected.Samples())
	})
	t.Run("OK/Zero", func(t *testing.T) {
		spec := gauge()
		spec.Transform.NullValue = schemas.NullZero
		batches, res := transform(t, mustNew(t, Output{}), window(t, spec, a))
		require.Equal(t, []string{"m{}@0=1", "m{}@1=0", "m{}@2=0", "m{}@3=4"}, points(t, batches))
		require.Nil(t, res.Rejected.Counts())
		require.Nil(t, res.Rejected.Samples())
	})
	t.Run("ErrFail", func(t *testing.T) {
		spec := gauge()
		spec.Transform.NullValue = schemas.NullFail
		ok := answer{columns: a.columns, rows: a.rows[:1]}
		for _, w := range []Window{window(t, spec, a), window(t, spec, ok, a)} {
			fails(t, w, fmt.Sprintf(`row %d: column "v" is null (nullValue is fail)`, w.Batches+1))
		}
	})
}

// fails transforms a window that has a permanent error and checks that nothing of
// it comes out.
func fails(t *testing.T, w Window, want string) {
	t.Helper()
	_, err := mustNew(t, Output{}).Window(w, func(Batch) error {
		t.Error("an OTLP batch of a window that fails")
		return nil
	})
	require.EqualError(t, err, want)
	kind, _ := pipe.KindOf(err)
	require.Equal(t, pipe.KindPermanent, kind)
}

func TestRejectedRows(t *testing.T) {
	t.Parallel()
	a := answer{columns: columns("name:string at:datetime v:string L:string")}
	a.rows = [][]any{
		{"m", at(0), "1", "a"}, {"m", nil, "1", "a"}, {"", at(1), "1", "a"}, {nil, at(1), "1", "a"}, {"m", at(1), strings.Repeat("x", 5000), "a"},
		{"m", time.Unix(0, 0), "1", "a"}, {"m", time.Unix(0, -100), "1", "a"}, {"m", time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), "1", "a"},
		{"m", at(0), "2", "a"}, {"m", at(0), "3", "b"},
	}
	batches, res := transform(t, mustNew(t, Output{}), window(t, gauge("L"), a))
	require.Equal(t, []string{"m{L=a}@0=2", "m{L=b}@0=3"}, points(t, batches))
	require.Equal(t, uint64(10), res.Rows)
	require.Equal(t, map[string]uint64{"no_timestamp": 1, "empty_name": 2, "not_a_number": 1, "time_out_of_range": 3, "duplicate": 1}, res.Rejected.Counts())
	require.Equal(t, uint64(8), res.Rejected.Total())
	require.Equal(t, uint64(3), res.Rejected.Count(TimeOutOfRange))
	samples := res.Rejected.Samples()
	require.LessOrEqual(t, len(samples["not_a_number"]), sampleBytes)
	require.Contains(t, samples["not_a_number"], `row 5: column "v" is "xxx`)
	delete(samples, "not_a_number")
	require.Equal(t, map[string]string{
		"no_timestamp":      `row 2: column "at" is null`,
		"empty_name":        `row 3: column "name" is ""`,
		"time_out_of_range": `row 6: column "at" is 1970-01-01T00:00:00Z`,
		"duplicate":         `row 1: row 9 has the same metric "m", labels and timestamp 2025-06-25T10:00:00Z`,
	}, samples)

	t.Run("OK/DefaultName", func(t *testing.T) {
		spec := gauge("L")
		spec.Transform.DefaultMetricName = "fallback"
		batches, _ := transform(t, mustNew(t, Output{}), window(t, spec, answer{a.columns, a.rows[:4]}))
		require.Equal(t, []string{"m{L=a}@0=1", "fallback{L=a}@1=1"}, points(t, batches)) // the fourth row is the third again
	})
	t.Run("OK/NothingLeft", func(t *testing.T) {
		batches, res := transform(t, mustNew(t, Output{}), window(t, gauge("L"), answer{a.columns, a.rows[1:4]}))
		require.Empty(t, batches)
		require.Equal(t, &Result{Rows: 3, Rejected: res.Rejected}, res)
	})
	t.Run("OK/NoRows", func(t *testing.T) {
		for _, a := range []answer{{columns: a.columns}, {}} {
			batches, res := transform(t, mustNew(t, Output{}), window(t, gauge("L"), a))
			require.Empty(t, batches)
			require.Equal(t, &Result{}, res)
		}
		batches, _ := transform(t, mustNew(t, Output{}), window(t, gauge("L")))
		require.Empty(t, batches)
	})
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	cols := columns("name:string at:datetime v:long L:string K:long")
	t.Run("OK/AcrossBatches", func(t *testing.T) {
		one := answer{cols, [][]any{{"m", at(0), 1, "a", 1}, {"m", at(1), 2, "a", 1}, {"m", at(0), 3, "a", 2}, {"n", at(0), 4, "a", 1}}}
		two := answer{cols, [][]any{{"m", at(1), 5, "a", 1}, {"m", at(2), 6, "a", 1}, {"m", at(2), 7, "a", 1}}}
		three := answer{cols, [][]any{{"m", at(0), 8, "a", 1}}}
		batches, res := transform(t, mustNew(t, Output{}), window(t, gauge("L", "K"), one, two, three))
		require.Equal(t, []string{"m{L=a,K=2}@0=3", "n{L=a,K=1}@0=4", "m{L=a,K=1}@1=5", "m{L=a,K=1}@2=7", "m{L=a,K=1}@0=8"}, points(t, batches))
		require.Len(t, batches, 3)
		require.Equal(t, map[string]uint64{"duplicate": 3}, res.Rejected.Counts())
		require.Equal(t, `row 2: row 5 has the same metric "m", labels and timestamp 2025-06-25T10:00:01Z`, res.Rejected.Samples()["duplicate"])
	})
	t.Run("OK/ByText", func(t *testing.T) {
		// A real 2, a long 2 and a string "2" are one label, also when the batches'
		// columns are of different types.
		var batches []answer
		for i, typ := range []string{"real", "long", "string", "dynamic"} {
			cell := []any{2.0, 2, "2", `"2"`}[i]
			batches = append(batches, answer{columns("name:string at:datetime v:long L:" + typ), [][]any{{"m", at(0), i, cell}}})
		}
		got, res := transform(t, mustNew(t, Output{}), window(t, gauge("L"), batches...))
		require.Equal(t, []string{"m{L=2}@0=3"}, points(t, got))
		require.Equal(t, uint64(3), res.Rejected.Count(Duplicate))
	})
	t.Run("OK/RejectedReplacesNothing", func(t *testing.T) {
		a := answer{cols, [][]any{{"m", at(0), 1, "a", 1}, {"m", at(0), nil, "a", 1}}}
		got, _ := transform(t, mustNew(t, Output{}), window(t, gauge("L", "K"), a))
		require.Equal(t, []string{"m{L=a,K=1}@0=1"}, points(t, got))
	})
	t.Run("OK/ValueColumns", func(t *testing.T) {
		spec := gauge("L")
		spec.Transform.ValueColumn, spec.Transform.ValueColumns = "", []string{"MaxMs", "MinMs"}
		cols := columns("name:string at:datetime MaxMs:long MinMs:long L:string")
		a := answer{cols, [][]any{{"m", at(0), 1, 2, "a"}, {"m", at(0), 3, nil, "a"}, {"", at(0), 5, 6, "a"}}}
		// "m"+"MaxMs" and "m_max"+"Ms" would be one metric as well.
		got, res := transform(t, mustNew(t, Output{}), window(t, spec, a))
		require.Equal(t, []string{"m_min_ms{L=a}@0=2", "m_max_ms{L=a}@0=3"}, points(t, got))
		require.Equal(t, map[string]uint64{"duplicate": 1, "null_value": 1, "empty_name": 2}, res.Rejected.Counts())
	})
	t.Run("OK/Many", func(t *testing.T) {
		// More keys than the window claims rows for, so that the table grows.
		var tab table
		tab.reset(10)
		for i := range uint32(10_000) {
			_, ok := tab.put(hashName(fmt.Sprint(i)).at(1), i)
			require.False(t, ok)
		}
		for i := range uint32(10_000) {
			before, ok := tab.put(hashName(fmt.Sprint(i)).at(1), i+1)
			require.True(t, ok)
			require.Equal(t, i, before)
			_, ok = tab.put(hashName(fmt.Sprint(i)).at(2), 0)
			require.False(t, ok)
		}
	})
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, radixMin - 1, radixMin, 5000} {
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		a := answer{columns: columns("name:string at:datetime v:long L:long")}
		for i := range n {
			// Seconds, single ticks, and hours apart.
			offset := time.Duration(rng.IntN(50))*time.Second + time.Duration(rng.IntN(3)*100) + time.Duration(rng.IntN(3)/2)*time.Hour
			a.rows = append(a.rows, []any{fmt.Sprint("m", rng.IntN(7)), epoch.Add(offset), i, i})
		}
		batches, _ := transform(t, mustNew(t, Output{}), window(t, gauge("L"), a))
		var names []string
		total := 0
		for _, m := range request(t, batches[0]).ResourceMetrics[0].ScopeMetrics[0].Metrics {
			require.NotContains(t, names, m.Name)
			names = append(names, m.Name)
			points := m.GetGauge().DataPoints
			total += len(points)
			for i := 1; i < len(points); i++ {
				p, q := points[i-1], points[i]
				require.LessOrEqual(t, p.TimeUnixNano, q.TimeUnixNano)
				if p.TimeUnixNano == q.TimeUnixNano {
					p, _ := p.Value.(*metricspb.NumberDataPoint_AsInt)
					q, _ := q.Value.(*metricspb.NumberDataPoint_AsInt)
					require.Less(t, p.AsInt, q.AsInt, "points of one time are not in the answer's order")
				}
			}
		}
		require.Equal(t, n, total)
	}
}

func TestCuts(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, tr *Transformer, a answer, spec *schemas.MetricsExporterSpec) []Batch {
		batches, res := transform(t, tr, window(t, spec, a))
		total := 0
		for i, b := range batches {
			require.Equal(t, i, b.N)
			require.LessOrEqual(t, len(b.Data), tr.maxMessageBytes)
			require.LessOrEqual(t, len(decompress(t, b)), tr.maxRequestBytes)
			require.LessOrEqual(t, b.Points, tr.maxPoints)
			total += b.Points
		}
		require.Equal(t, uint64(total), res.Points)
		require.Len(t, points(t, batches), total)
		require.Equal(t, res.Batches, len(batches))
		return batches
	}
	t.Run("OK/Points", func(t *testing.T) {
		spec := serviceSpec()
		spec.Transform.ValueColumn, spec.Transform.ValueColumns = "", []string{"metric_value", "Code"}
		batches := check(t, mustNew(t, Output{}), services(schemas.RowBatchRows, 100), spec)
		require.Len(t, batches, 2)
		require.Equal(t, batches[0].Points, batches[1].Points)
	})
	t.Run("OK/Uncompressed", func(t *testing.T) {
		require.Len(t, check(t, mustNew(t, Output{Compression: None}), services(schemas.RowBatchRows, 100), serviceSpec()), 2)
	})
	t.Run("OK/Incompressible", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		a := answer{columns: columns("name:string at:datetime v:long L:string")}
		for range 100 {
			b := make([]byte, 500)
			for i := range b {
				b[i] = byte('!' + rng.IntN(90))
			}
			a.rows = append(a.rows, []any{"m", at(0), 1, string(b)})
		}
		for _, c := range []Compression{Gzip, Zstd, None} {
			tr := mustNew(t, Output{Compression: c})
			tr.maxMessageBytes = 5000
			require.Greater(t, len(check(t, tr, a, gauge("L"))), 8)
		}
	})
	t.Run("OK/TooLarge", func(t *testing.T) {
		a := answer{columns: columns("name:string at:datetime v:long L:string"), rows: [][]any{
			{"m", at(0), 1, "a"}, {"m", at(1), 2, strings.Repeat("x", 5000)}, {"m", at(2), 3, "b"}}}
		tr := mustNew(t, Output{Compression: None})
		tr.maxMessageBytes = 1000
		batches, res := transform(t, tr, window(t, gauge("L"), a))
		require.Equal(t, []string{"m{L=a}@0=1", "m{L=b}@2=3"}, points(t, batches))
		require.Equal(t, map[string]uint64{"too_large": 1}, res.Rejected.Counts())
		require.Regexp(t, `^metric "m": one point makes \d+ bytes, 1000 are a message's most$`, res.Rejected.Samples()["too_large"])
	})
}

func TestSum(t *testing.T) {
	t.Parallel()
	a := answer{columns("name:string at:datetime v:long"), [][]any{{"m", at(1), 1}}}
	for _, tt := range []struct {
		temporality schemas.Temporality
		monotonic   bool
		want        metricspb.AggregationTemporality
	}{
		{"", false, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA},
		{schemas.Delta, true, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA},
		{schemas.Cumulative, true, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE},
	} {
		spec := gauge()
		spec.Transform.Type, spec.Transform.Temporality, spec.Transform.Monotonic = schemas.Sum, tt.temporality, tt.monotonic
		batches, _ := transform(t, mustNew(t, Output{}), window(t, spec, a))
		sum := request(t, batches[0]).ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetSum()
		require.Equal(t, tt.want, sum.AggregationTemporality)
		require.Equal(t, tt.monotonic, sum.IsMonotonic)
		require.Equal(t, uint64(1750845600000000000), sum.DataPoints[0].StartTimeUnixNano)
		require.Equal(t, uint64(1750845601000000000), sum.DataPoints[0].TimeUnixNano)
	}
}

func TestResource(t *testing.T) {
	t.Parallel()
	a := answer{columns("name:string at:datetime v:long"), [][]any{{"m", at(1), 1}}}
	for _, tt := range []struct {
		out  Output
		want string
	}{
		{Output{}, "service.name=adx-mon-metrics-exporter"},
		{Output{ServiceVersion: "1.0.0"}, "service.name=adx-mon-metrics-exporter service.version=1.0.0"},
		{Output{ServiceVersion: "1.0.0", ResourceAttributes: map[string]string{"service.name": "mine", "zone": "b", "env": "prod"}},
			"env=prod service.name=mine service.version=1.0.0 zone=b"},
		{Output{ServiceVersion: "1.0.0", ResourceAttributes: map[string]string{"service.version": ""}}, "service.name=adx-mon-metrics-exporter"},
	} {
		batches, _ := transform(t, mustNew(t, tt.out), window(t, gauge(), a))
		var got []string
		for _, a := range request(t, batches[0]).ResourceMetrics[0].Resource.Attributes {
			got = append(got, a.Key+"="+a.Value.GetStringValue())
		}
		require.Equal(t, tt.want, strings.Join(got, " "))
	}
	_, err := NewTransformer(Output{Compression: "brotli"})
	require.EqualError(t, err, `compression must be gzip, zstd or none, got "brotli"`)
}

func TestMaxSeries(t *testing.T) {
	t.Parallel()
	cols := columns("name:string at:datetime v:long L:string")
	one := answer{cols, [][]any{{"m", at(0), 1, "a"}, {"m", at(1), 1, "a"}, {"m", at(0), 1, "b"}, {"m", nil, 1, "c"}}}
	two := answer{cols, [][]any{{"m", at(0), 1, "b"}, {"n", at(0), 1, "a"}}}
	spec := gauge("L")
	spec.Limits.MaxSeries = 3
	t.Run("OK", func(t *testing.T) {
		_, res := transform(t, mustNew(t, Output{}), window(t, spec, one, two))
		require.Equal(t, uint64(4), res.Points)
	})
	t.Run("ErrTooMany", func(t *testing.T) {
		fewer := *spec
		fewer.Limits.MaxSeries = 2
		fails(t, window(t, &fewer, one, two), "the window has more than 2 series (limits.maxSeries)")
	})
}

func TestWindowErrors(t *testing.T) {
	t.Parallel()
	a := answer{columns("name:string at:datetime v:long L:string"), [][]any{{"m", at(0), 1, "a"}}}
	for _, tt := range []struct {
		name   string
		change func(*schemas.TransformConfig)
		want   string
	}{
		{"ErrMissingLabel", func(c *schemas.TransformConfig) { c.LabelColumns = []string{"L", "Lost"} },
			`row batch 0: transform.labelColumns[1]: the answer has no column "Lost"; it has name (string), at (datetime), v (long), L (string)`},
		{"ErrMissingValue", func(c *schemas.TransformConfig) { c.ValueColumn = "w" },
			`row batch 0: transform.valueColumn: the answer has no column "w"; it has name (string), at (datetime), v (long), L (string)`},
		{"ErrTimestampType", func(c *schemas.TransformConfig) { c.TimestampColumn = "v" },
			`row batch 0: transform.timestampColumn: column "v" is long, want datetime`},
		{"ErrNoValue", func(c *schemas.TransformConfig) { c.ValueColumn = "" }, "transform: one of valueColumn and valueColumns is needed"},
		{"ErrBothValues", func(c *schemas.TransformConfig) { c.ValueColumns = []string{"v"} }, "transform: only one of valueColumn and valueColumns may be set"},
		{"ErrNoTimestamp", func(c *schemas.TransformConfig) { c.TimestampColumn = "" }, "transform.timestampColumn is needed"},
		{"ErrNoName", func(c *schemas.TransformConfig) { c.MetricNameColumn = "" }, "transform: one of metricNameColumn and defaultMetricName is needed"},
		{"ErrEmptyLabel", func(c *schemas.TransformConfig) { c.LabelColumns = []string{"L", ""} }, "transform.labelColumns[1] is empty"},
		{"ErrType", func(c *schemas.TransformConfig) { c.Type = "histogram" }, `transform.type must be gauge or sum, got "histogram"`},
		{"ErrTemporality", func(c *schemas.TransformConfig) { c.Type, c.Temporality = "sum", "x" }, `transform.temporality must be delta or cumulative, got "x"`},
		{"ErrNullValue", func(c *schemas.TransformConfig) { c.NullValue = "x" }, `transform.nullValue must be skip, zero or fail, got "x"`},
		{"ErrSameNames", func(c *schemas.TransformConfig) { c.ValueColumn, c.ValueColumns = "", []string{"MaxMs", "v", "max_ms"} },
			`transform.valueColumns[2]: "MaxMs" and "max_ms" make the same metric name, ending in "max_ms"`},
		{"ErrNoLetter", func(c *schemas.TransformConfig) { c.ValueColumn, c.ValueColumns = "", []string{"_"} },
			`transform.valueColumns[0]: no metric name can be made from "_": it has no letter or digit`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := gauge("L")
			tt.change(&spec.Transform)
			fails(t, window(t, spec, a), tt.want)
		})
	}
	t.Run("ErrSecondBatch", func(t *testing.T) {
		b := answer{columns("name:string at:datetime v:long"), [][]any{{"m", at(0), 1}}}
		fails(t, window(t, gauge("L"), a, b),
			`row batch 1: transform.labelColumns[0]: the answer has no column "L"; it has name (string), at (datetime), v (long)`)
	})
	t.Run("ErrRows", func(t *testing.T) {
		for _, w := range []Window{window(t, gauge("L"), a), window(t, gauge("L"), a, a)} {
			w.Rows++
			fails(t, w, fmt.Sprintf("row batches have %d rows, the window says %d", w.Rows-1, w.Rows))
		}
	})
	t.Run("ErrGarbage", func(t *testing.T) {
		w := window(t, gauge("L"), a)
		w.Batch = func(int) ([]byte, error) { return []byte("garbage"), nil }
		fails(t, w, "row batch 0: decode row batch: the message is cut or garbled")
	})
	t.Run("ErrClaimedRows", func(t *testing.T) {
		// What the message claims must not decide what memory is asked for.
		w := window(t, gauge("L"), a)
		w.Rows, w.Batches = math.MaxUint64, math.MaxInt32
		stop := errors.New("stop")
		w.Batch = func(int) ([]byte, error) { return nil, stop }
		_, err := mustNew(t, Output{}).Window(w, nil)
		require.Equal(t, stop, err)
	})
	t.Run("ErrSource", func(t *testing.T) {
		lost := errors.New("lost")
		for n := range 4 {
			w := window(t, gauge("L"), a, a)
			batch, calls := w.Batch, 0
			w.Batch = func(i int) ([]byte, error) {
				if calls++; calls > n {
					return nil, lost
				}
				return batch(i)
			}
			_, err := mustNew(t, Output{}).Window(w, func(Batch) error { return nil })
			require.Equal(t, lost, err)
		}
	})
	t.Run("ErrEmit", func(t *testing.T) {
		full := errors.New("full")
		_, err := mustNew(t, Output{}).Window(window(t, gauge("L"), a), func(Batch) error { return full })
		require.Equal(t, full, err)
	})
}
