package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/scheduler"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// A handClock is set by hand, and wakes whoever sleeps when it is.
type handClock struct {
	mu   sync.Mutex
	now  time.Time
	more chan struct{}
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) At(time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	woken, stop := make(chan time.Time, 1), make(chan struct{})
	more := c.more
	go func() {
		select {
		case <-more:
			woken <- time.Time{}
		case <-stop:
		}
	}()
	return woken, sync.OnceFunc(func() { close(stop) })
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	close(c.more)
	c.more = make(chan struct{})
}

// declared is a source of MetricsExporters that do not change.
type declared []resource.Document

func (d declared) Run(ctx context.Context, apply func(resource.Set)) error {
	apply(resource.Set{Documents: d})
	<-ctx.Done()
	return ctx.Err()
}

// TestReconcile has rows of three windows come late, change and go, and looks at what
// the endpoint is sent.
func TestReconcile(t *testing.T) {
	var mu sync.Mutex
	values := map[string]float64{"a": 1, "b": 2, "c": 3} // of each window's series
	var points []string                                  // in the order of their arrival
	engine := func(_ context.Context, r *sandbox.Request) (*sandbox.Result, error) {
		var start time.Time
		for name, value := range r.Parameters {
			if strings.Contains(name, "_startTime") {
				var err error
				if start, err = time.Parse(time.RFC3339Nano, strings.TrimSuffix(strings.TrimPrefix(value, "datetime("), ")")); err != nil {
					return nil, err
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		rows := table.New("PrimaryResult", table.Schema{{Name: "v", Type: table.Real}, {Name: "L", Type: table.String}, {Name: "t", Type: table.DateTime}}, len(values))
		for _, label := range []string{"a", "b", "c", "late"} {
			value, ok := values[label]
			if !ok {
				continue
			}
			if err := rows.AppendRow(value, label, start); err != nil {
				return nil, err
			}
		}
		return sandbox.Tables(rows), nil
	}
	kusto, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0", Engine: sandbox.EngineFunc(engine)})
	require.NoError(t, err)
	require.NoError(t, kusto.Start())
	t.Cleanup(func() { require.NoError(t, kusto.Close()) })
	endpoint, err := otlp.New(otlp.Config{OnRequest: func(_ string, _ *http.Request, m *colmetrics.ExportMetricsServiceRequest) {
		mu.Lock()
		defer mu.Unlock()
		for _, metric := range m.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			for _, p := range metric.GetGauge().DataPoints {
				points = append(points, fmt.Sprintf("%s %s=%v", time.Unix(0, int64(p.TimeUnixNano)).UTC().Format("15:04"),
					p.Attributes[0].Value.GetStringValue(), p.GetAsDouble()))
			}
		}
	}})
	require.NoError(t, err)
	srv := httptest.NewServer(endpoint.Handler())
	t.Cleanup(srv.Close)

	dir := t.TempDir()
	path := filepath.Join(dir, "pipeline.yaml")
	write(t, path, fmt.Sprintf(`
dataDir: %s/data
telemetry: {listen: "127.0.0.1:0"}
kusto: [{name: kusto, endpoint: %s, databases: [DB], auth: {type: none}}]
exporters: [{name: out, endpoint: %s/v1/metrics, maxBacklogBytes: 64MiB}]
`, dir, kusto.URL(), srv.URL))
	cfg, err := config.Load(path)
	require.NoError(t, err)
	documents, problems := resource.Parse("late.yaml", []byte(`
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: late, namespace: test}
spec:
  database: DB
  exporter: out
  interval: 1m
  body: T
  transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t, labelColumns: [L]}
  reconcile: {after: 10m, lookback: 1h}
`), resource.Context{})
	require.Empty(t, problems)

	ctx, cancel := context.WithCancel(context.Background())
	p, err := openPipeline(ctx, cfg, []schemas.Stage{schemas.Querier, schemas.Transformer, schemas.Sender}, pipetest.Logger(t))
	require.NoError(t, err)
	clock := &handClock{now: epoch.Add(10 * time.Second), more: make(chan struct{})}
	sched, err := scheduler.New(scheduler.Config{Pipe: p.pipe, Source: declared(documents), Clock: clock, Logger: pipetest.Logger(t),
		ClusterFor: func(string) (string, bool) { return "kusto", true }})
	require.NoError(t, err)
	l := &life{more: make(chan struct{})}
	ran := make(chan error, 3)
	for _, run := range []func(context.Context) error{p.Run, sched.Run, func(ctx context.Context) error { return p.pipe.Watch(ctx, l.see) }} {
		go func() { ran <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		require.NoError(t, errors.Join(<-ran, <-ran, <-ran))
		p.Close()
	})

	reconciled := func() (list []*wire.Event) {
		l.mu.Lock()
		defer l.mu.Unlock()
		seen := map[string]bool{}
		for _, e := range l.events {
			if e.Type == string(schemas.EventTransformed) && e.Reconciled && !seen[e.Window] {
				seen[e.Window] = true
				list = append(list, e)
			}
		}
		return list
	}
	// The schedule's windows, one after the other.
	for n := range 3 {
		if n > 0 {
			clock.advance(time.Minute)
		}
		l.wait(t, "a window", func(events []*wire.Event) bool { return count(events, "late", schemas.EventExported, "") > n })
	}
	mu.Lock()
	require.Len(t, points, 9)
	points = nil
	values = map[string]float64{"a": 1, "b": 20, "late": 4}
	mu.Unlock()

	// Ten minutes after its end each is looked at again; the windows after them have
	// the rows as they are from now on.
	clock.advance(9 * time.Minute)
	require.Eventually(t, func() bool {
		if len(reconciled()) >= 3 {
			return true
		}
		clock.advance(time.Second)
		return false
	}, time.Minute, 50*time.Millisecond)
	for n, e := range reconciled()[:3] {
		require.Equal(t, schemas.ReconcileRequest, e.Request)
		require.EqualValues(t, 2, e.Points, n)
		require.EqualValues(t, 1, e.Unchanged)
		require.EqualValues(t, 1, e.Vanished)
	}
	l.wait(t, "the revisions", func(events []*wire.Event) bool {
		return count(events, "late", schemas.EventExported, schemas.ReconcileRequest) >= 3
	})
	mu.Lock()
	var revisions []string
	for _, p := range points {
		if at, _, _ := strings.Cut(p, " "); at == "23:59" || at == "00:00" || at == "00:01" {
			revisions = append(revisions, p)
		}
	}
	mu.Unlock()
	require.ElementsMatch(t, []string{"23:59 b=20", "23:59 late=4", "00:00 b=20", "00:00 late=4", "00:01 b=20", "00:01 late=4"}, revisions)

	// Of those that were exported as they are nothing is sent.
	clock.advance(9 * time.Minute)
	require.Eventually(t, func() bool {
		if len(reconciled()) >= 6 {
			return true
		}
		clock.advance(time.Second)
		return false
	}, time.Minute, 50*time.Millisecond)
	for _, e := range reconciled()[3:] {
		require.Zero(t, e.Points, e.Window)
		require.Zero(t, e.Batches)
		require.EqualValues(t, 3, e.Unchanged)
	}
}
