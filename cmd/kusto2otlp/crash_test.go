package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/otlptest"
)

// point is one series at one instant.
type point struct {
	series string
	at     int64
}

// endpoint keeps every point that a Collector's receiver took, and what is wrong
// with them.
type endpoint struct {
	url string

	mu      sync.Mutex
	points  map[point]float64
	repeats int
	wrong   []string
}

func mustStartEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{points: map[point]float64{}}
	e.url = otlptest.MustStartCollector(t, func(md pmetric.Metrics) error { e.take(md); return nil })
	return e
}

func (e *endpoint) take(md pmetric.Metrics) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				for _, dp := range m.Gauge().DataPoints().All() {
					p := point{m.Name() + fmt.Sprint(dp.Attributes().AsRaw()), dp.Timestamp().AsTime().UnixNano()}
					v := float64(dp.IntValue()) + dp.DoubleValue()
					if before, ok := e.points[p]; ok {
						e.repeats++
						if before != v {
							e.wrong = append(e.wrong, fmt.Sprintf("%v came as %v and as %v", p, before, v))
						}
					}
					e.points[p] = v
				}
			}
		}
	}
}

// between returns the points of [start, end).
func (e *endpoint) between(start, end time.Time) map[point]float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := map[point]float64{}
	for p, v := range e.points {
		if p.at >= start.UnixNano() && p.at < end.UnixNano() {
			found[p] = v
		}
	}
	return found
}

// first returns the earliest second in which there are points of a metric.
func (e *endpoint) first(metric string) (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var first int64
	for p := range e.points {
		if strings.HasPrefix(p.series, metric) && (first == 0 || p.at < first) {
			first = p.at
		}
	}
	return time.Unix(0, first).UTC().Truncate(time.Second), first > 0
}

// kill -9 at any moment, and a restart, leave every window exported: at the end
// the endpoint has exactly the points that one query over the whole time gives.
func TestKill(t *testing.T) {
	kills, between := 12, 2500*time.Millisecond
	if testing.Short() {
		kills = 5
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	kusto, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, kusto.Start())
	t.Cleanup(func() { require.NoError(t, kusto.Close()) })

	e := mustStartEndpoint(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pipeline.yaml"), fmt.Sprintf(`
dataDir: %[1]s/data
kusto:
  - {name: sandbox, endpoint: %[2]s, databases: [TelemetryDB, Bench], auth: {type: none}}
exporters:
  - {name: prom, endpoint: %[3]s, maxBacklogBytes: 64MiB}
resources: {files: ["%[1]s/exporters/*.yaml"]}
telemetry: {listen: "127.0.0.1:0"}
`, dir, kusto.URL(), e.url))
	// Few points a window, many, and so many that a window has several row batches.
	for name, body := range map[string]string{
		"small": "summarize Value = count() by ServiceName, at = bin(Timestamp, 1s)",
		"each":  "extend at = Timestamp, Value = ResponseTimeMs",
	} {
		write(t, filepath.Join(dir, "exporters", name+".yaml"), fmt.Sprintf(`
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: %[1]s, namespace: test}
spec:
  database: TelemetryDB
  exporter: prom
  interval: 1s
  body: |
    ServiceTelemetry
    | where Timestamp between (_startTime .. _endTime) and Environment == "production"
    | %[2]s
  transform: {defaultMetricName: %[1]s, valueColumn: Value, timestampColumn: at, labelColumns: [ServiceName]}
`, name, body))
	}

	write(t, filepath.Join(dir, "exporters", "large.yaml"), `
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: large, namespace: test}
spec:
  database: Bench
  exporter: prom
  interval: 2s
  body: TenThousand | where Timestamp between (_startTime .. _endTime)
  transform: {defaultMetricName: large, valueColumn: Value, timestampColumn: Timestamp, labelColumns: [MetricName, Service, Region, Host]}
`)

	logs, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	t.Cleanup(func() {
		logs.Close()
		if t.Failed() {
			text, _ := os.ReadFile(logs.Name())
			t.Logf("the log of all lives:\n%s", text[max(0, len(text)-20_000):])
		}
	})
	start := func() *exec.Cmd {
		cmd := program("run", "--config", filepath.Join(dir, "pipeline.yaml"))
		cmd.Stdout, cmd.Stderr = logs, logs
		require.NoError(t, cmd.Start())
		return cmd
	}
	life := start()
	t.Cleanup(func() { _ = life.Process.Kill(); _ = life.Wait() })
	// Each MetricsExporter begins with its own last complete window.
	var began time.Time
	for _, metric := range []string{"small", "each", "large"} {
		require.Eventually(t, func() bool {
			first, ok := e.first(metric)
			if first.After(began) {
				began = first.Add(time.Second).Truncate(2 * time.Second)
			}
			return ok
		}, time.Minute, 10*time.Millisecond)
	}
	for range kills {
		<-time.After(time.Duration(random.Int64N(int64(between))))
		require.NoError(t, life.Process.Kill())
		_ = life.Wait()
		life = start()
	}

	// Windows due before now must all arrive.
	end := time.Now().UTC().Truncate(2 * time.Second)
	want := directly(t, began, end)
	require.NotEmpty(t, want)
	for deadline := time.Now().Add(time.Minute); len(e.between(began, end)) < len(want) && time.Now().Before(deadline); {
		<-time.After(50 * time.Millisecond)
	}
	got := e.between(began, end)
	for p, v := range want {
		if value, ok := got[p]; !ok {
			t.Errorf("lost %s at %s", p.series, time.Unix(0, p.at).UTC())
		} else if value != v {
			t.Errorf("%s at %s is %v, want %v", p.series, time.Unix(0, p.at).UTC(), value, v)
		}
	}
	require.Len(t, got, len(want))
	require.Empty(t, e.wrongNow(), "a point that came twice came as the same")

	// The last life works on, and stops in good order when it is told to.
	require.Eventually(t, func() bool { return len(e.between(end, end.Add(time.Hour))) > 0 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, life.Process.Signal(syscall.SIGTERM))
	require.NoError(t, life.Wait(), "exit code 0 after SIGTERM")
	t.Logf("%d kills, %s, %d points, %d of them sent again, lost 0", kills, end.Sub(began), len(want), e.repeatsNow())
}

// directly returns the points that the windows of [start, end) have, from the
// sandbox's rows themselves.
func directly(t *testing.T, start, end time.Time) map[point]float64 {
	t.Helper()
	points := map[point]float64{}
	err := samples.Source{}.Scan(t.Context(), engine.ScanRequest{
		Database: "TelemetryDB", Table: "ServiceTelemetry", Now: end,
		Columns: []string{"Timestamp", "ServiceName", "Environment", "ResponseTimeMs"},
		Ranges:  []engine.TimeRange{{Column: "Timestamp", From: table.Ticks(start), To: table.Ticks(end) - 1}},
	}, func(rows *table.Table) error {
		for i := range rows.Rows() {
			if rows.Columns[2].Vec.Strings[i] != "production" {
				continue
			}
			at, labels := table.Time(rows.Columns[0].Vec.Ints[i]), fmt.Sprint(map[string]any{"ServiceName": rows.Columns[1].Vec.Strings[i]})
			points[point{"small" + labels, at.Truncate(time.Second).UnixNano()}]++
			points[point{"each" + labels, at.UnixNano()}] = rows.Columns[3].Vec.Reals[i]
		}
		return nil
	})
	require.NoError(t, err)
	// The rows of this table depend on the range that is asked for.
	for w := start; w.Before(end); w = w.Add(2 * time.Second) {
		err := samples.Source{}.Scan(t.Context(), engine.ScanRequest{
			Database: "Bench", Table: "TenThousand", Now: end,
			Columns: []string{"Timestamp", "MetricName", "Service", "Region", "Host", "Value"},
			Ranges:  []engine.TimeRange{{Column: "Timestamp", From: table.Ticks(w), To: table.Ticks(w.Add(2*time.Second)) - 1}},
		}, func(rows *table.Table) error {
			for i := range rows.Rows() {
				labels := map[string]any{}
				for _, c := range rows.Columns[1:5] {
					labels[c.Name] = c.Vec.Strings[i]
				}
				points[point{"large" + fmt.Sprint(labels), table.Time(rows.Columns[0].Vec.Ints[i]).UnixNano()}] = rows.Columns[5].Vec.Reals[i]
			}
			return nil
		})
		require.NoError(t, err)
	}
	return points
}
