package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// soaked is one MetricsExporter of the soak test, and what its windows must give.
// Its only metric has its name.
type soaked struct {
	name, database, table, exporter string
	every                           time.Duration
	columns                         []string
	body, transform                 string
	spec                            string // more of it
	// want adds the points of a window's rows, and returns how many rows the query
	// answers with and how many of them are rejected.
	want func(rows *table.Table, add func(labels map[string]any, at time.Time, v float64)) (answered, rejected int)
}

const (
	fromTelemetry = `ServiceTelemetry | where Timestamp between (_startTime .. _endTime) and Environment == "production"`
	lookAgain     = "reconcile: {after: 1m, lookback: 10m}"
	valueAtTime   = "valueColumn: Value, timestampColumn: at, labelColumns: [ServiceName]"
)

var telemetryColumns = []string{"Timestamp", "ServiceName", "Environment", "ResponseTimeMs"}

// production calls do with each row that fromTelemetry selects.
func production(rows *table.Table, do func(at time.Time, labels map[string]any, ms float64)) {
	for i := range rows.Rows() {
		if rows.Columns[2].Vec.Strings[i] == "production" {
			do(table.Time(rows.Columns[0].Vec.Ints[i]), map[string]any{"ServiceName": rows.Columns[1].Vec.Strings[i]}, rows.Columns[3].Vec.Reals[i])
		}
	}
}

// counted is the count of rows by service and second.
func counted(rows *table.Table, add func(map[string]any, time.Time, float64)) (answered, rejected int) {
	type group struct {
		service any
		at      time.Time
	}
	groups := map[group]float64{}
	production(rows, func(at time.Time, labels map[string]any, _ float64) {
		groups[group{labels["ServiceName"], at.Truncate(time.Second)}]++
	})
	for g, n := range groups {
		add(map[string]any{"ServiceName": g.service}, g.at, n)
	}
	return len(groups), 0
}

// everyRow is the wide rows of the benchmark tables, as they are.
func everyRow(rows *table.Table, add func(map[string]any, time.Time, float64)) (answered, rejected int) {
	for i := range rows.Rows() {
		labels := map[string]any{}
		for _, c := range rows.Columns[1:5] {
			labels[c.Name] = c.Vec.Strings[i]
		}
		add(labels, table.Time(rows.Columns[0].Vec.Ints[i]), rows.Columns[5].Vec.Reals[i])
	}
	return rows.Rows(), 0
}

// soakedExporters are one with few points, one with a point for each row, a
// counter, one without rows, one with rows that are refused, one of two row
// batches, and one of many. The names of the exporters they go to and the clusters
// they come from are crossed, so that every stage has work of several.
func soakedExporters(hugeEvery time.Duration) []soaked {
	bench := []string{"Timestamp", "MetricName", "Service", "Region", "Host", "Value"}
	const benchLabels = "valueColumn: Value, timestampColumn: Timestamp, labelColumns: [MetricName, Service, Region, Host]"
	return []soaked{
		{
			name: "small", database: "TelemetryDB", table: "ServiceTelemetry", exporter: "a", every: time.Second, columns: telemetryColumns, spec: lookAgain,
			body: fromTelemetry + " | summarize Value = count() by ServiceName, at = bin(Timestamp, 1s)", transform: valueAtTime,
			want: counted,
		},
		{
			name: "each", database: "TelemetryDB", table: "ServiceTelemetry", exporter: "b", every: time.Second, columns: telemetryColumns,
			body: fromTelemetry + " | extend at = Timestamp, Value = ResponseTimeMs", transform: valueAtTime,
			want: func(rows *table.Table, add func(map[string]any, time.Time, float64)) (answered, rejected int) {
				production(rows, func(at time.Time, labels map[string]any, ms float64) { add(labels, at, ms); answered++ })
				return answered, 0
			},
		},
		{
			name: "counter", database: "TelemetryDB", table: "ServiceTelemetry", exporter: "a", every: time.Second, columns: telemetryColumns,
			body: fromTelemetry + " | summarize Value = count() by ServiceName, at = bin(Timestamp, 1s)", transform: valueAtTime + ", type: sum, monotonic: true, temporality: delta",
			want: counted,
		},
		{
			name: "none", database: "TelemetryDB", table: "ServiceTelemetry", exporter: "b", every: time.Second, columns: telemetryColumns,
			body: fromTelemetry + ` and ServiceName == "nobody" | extend at = Timestamp, Value = ResponseTimeMs`, transform: valueAtTime,
			want: func(*table.Table, func(map[string]any, time.Time, float64)) (answered, rejected int) { return 0, 0 },
		},
		{
			name: "some", database: "TelemetryDB", table: "ServiceTelemetry", exporter: "a", every: time.Second, columns: telemetryColumns,
			body: fromTelemetry + ` | extend at = Timestamp, Value = iff(ServiceName == "search", "n/a", tostring(tolong(ResponseTimeMs)))`, transform: valueAtTime,
			want: func(rows *table.Table, add func(map[string]any, time.Time, float64)) (answered, rejected int) {
				production(rows, func(at time.Time, labels map[string]any, ms float64) {
					answered++
					if labels["ServiceName"] == "search" {
						rejected++
					} else {
						add(labels, at, float64(int64(ms)))
					}
				})
				return answered, rejected
			},
		},
		{
			name: "large", database: "Bench", table: "TenThousand", exporter: "b", every: 4 * time.Second, columns: bench, spec: lookAgain,
			body: "TenThousand | where Timestamp between (_startTime .. _endTime)", transform: benchLabels, want: everyRow,
		},
		{
			name: "huge", database: "Bench", table: "HundredThousand", exporter: "a", every: hugeEvery, columns: bench,
			body: "HundredThousand | where Timestamp between (_startTime .. _endTime)", transform: benchLabels, want: everyRow,
		},
	}
}

func (s soaked) document() string {
	return fmt.Sprintf(`
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: %[1]s, namespace: soak}
spec:
  database: %[2]s
  exporter: %[3]s
  interval: %[4]s
  body: '%[5]s'
  transform: {defaultMetricName: %[1]s, %[6]s}
  %[7]s
`, s.name, s.database, s.exporter, s.every, s.body, s.transform, s.spec)
}

// broken is a document by which no window with more than one row can be exported: its query
// cannot work, or its transform.
func (s soaked) broken(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		s.body += " | where NoSuchColumn > 0"
	} else {
		s.spec += "\n  limits: {maxSeries: 1}"
	}
	return s.document()
}

// answer is what a window must give.
type answer struct {
	points         map[point]float64
	rows, rejected int
}

// directly asks the sandbox's rows themselves for a window.
func (s soaked) directly(t *testing.T, w schemas.Window) answer {
	t.Helper()
	a := answer{points: map[point]float64{}}
	err := samples.Source{}.Scan(t.Context(), engine.ScanRequest{
		Database: s.database, Table: s.table, Now: w.End, Columns: s.columns,
		Ranges: []engine.TimeRange{{Column: "Timestamp", From: table.Ticks(w.Start), To: table.Ticks(w.End) - 1}},
	}, func(rows *table.Table) error {
		answered, rejected := s.want(rows, func(labels map[string]any, at time.Time, v float64) {
			a.points[point{s.name + fmt.Sprint(labels), at.UnixNano()}] += v
		})
		a.rows += answered
		a.rejected += rejected
		return nil
	})
	require.NoError(t, err)
	return a
}

// receiver keeps every point that reached any of the endpoints.
type receiver struct {
	every map[string]time.Duration // of each metric: the length of its windows

	mu     sync.Mutex
	series map[string]uint32 // a number for each
	points map[received]float64
	again  int
	wrong  []string
}

// received is point in less memory: there are millions.
type received struct {
	series uint32
	at     int64
}

func newReceiver(list []soaked) *receiver {
	r := &receiver{every: map[string]time.Duration{}, series: map[string]uint32{}, points: map[received]float64{}}
	for _, s := range list {
		r.every[s.name] = s.every
	}
	return r
}

func (r *receiver) take(md pmetric.Metrics) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				var points pmetric.NumberDataPointSlice
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					points = m.Gauge().DataPoints()
				case pmetric.MetricTypeSum:
					points = m.Sum().DataPoints()
					if !m.Sum().IsMonotonic() || m.Sum().AggregationTemporality() != pmetric.AggregationTemporalityDelta {
						r.complain("%s is %s, monotonic %v", m.Name(), m.Sum().AggregationTemporality(), m.Sum().IsMonotonic())
					}
				default:
					r.complain("%s is a %s", m.Name(), m.Type())
					continue
				}
				if want := pmetric.MetricTypeSum; (m.Name() == "counter") != (m.Type() == want) {
					r.complain("%s is a %s", m.Name(), m.Type())
				}
				for _, dp := range points.All() {
					r.takePoint(m, dp)
				}
			}
		}
	}
}

func (r *receiver) takePoint(m pmetric.Metric, dp pmetric.NumberDataPoint) {
	at, name := dp.Timestamp().AsTime(), m.Name()+fmt.Sprint(dp.Attributes().AsRaw())
	start := pcommon.Timestamp(0)
	if m.Type() == pmetric.MetricTypeSum {
		start = pcommon.NewTimestampFromTime(at.Truncate(r.every[m.Name()]))
	}
	if dp.StartTimestamp() != start {
		r.complain("%s at %s starts at %s", name, at, dp.StartTimestamp())
	}
	id, ok := r.series[name]
	if !ok {
		id = uint32(len(r.series))
		r.series[name] = id
	}
	p, v := received{id, at.UnixNano()}, float64(dp.IntValue())+dp.DoubleValue()
	if before, ok := r.points[p]; ok {
		r.again++
		if before != v {
			r.complain("%s at %s came as %v and as %v", name, at, before, v)
		}
	}
	r.points[p] = v
}

func (r *receiver) complain(format string, args ...any) {
	const enough = 20
	if len(r.wrong) < enough {
		r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
	}
}

// compare returns how many of the points of a window are there, and how many as
// they must be.
func (r *receiver) compare(a answer) (there, right int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, want := range a.points {
		if id, ok := r.series[p.series]; ok {
			if v, ok := r.points[received{id, p.at}]; ok {
				there++
				if v == want {
					right++
				}
			}
		}
	}
	return there, right
}

// perWindow returns how many points of a metric there are in each window.
func (r *receiver) perWindow(metric string) map[time.Time]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := map[uint32]bool{}
	for name, id := range r.series {
		if len(name) > len(metric) && name[:len(metric)+1] == metric+"m" {
			mine[id] = true
		}
	}
	windows := map[time.Time]int{}
	for p := range r.points {
		if mine[p.series] {
			windows[time.Unix(0, p.at).UTC().Truncate(r.every[metric])]++
		}
	}
	return windows
}

func (r *receiver) figures() (points, again int, wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.points), r.again, append([]string(nil), r.wrong...)
}
