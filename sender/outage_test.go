package sender_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/sender"
)

// flaky is an endpoint with outages that keeps the order of what it accepted.
type flaky struct {
	url    string
	status atomic.Int32 // of every answer; 0: accept
	after  atomic.Value // Retry-After

	mu       sync.Mutex
	accepted []int64
	refused  int
	running  int
	most     int // requests at a time since the last reset
}

func mustStartFlaky(t *testing.T) *flaky {
	t.Helper()
	f := &flaky{}
	f.after.Store("")
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.enter()
	defer f.leave()
	zr, err := gzip.NewReader(r.Body)
	if err != nil {
		panic(err)
	}
	body, err := io.ReadAll(zr)
	var m colmetrics.ExportMetricsServiceRequest
	if err != nil || proto.Unmarshal(body, &m) != nil {
		panic("no batch")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if status := f.status.Load(); status != 0 {
		f.refused++
		if after := f.after.Load().(string); after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(int(status))
		return
	}
	f.accepted = append(f.accepted, m.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetGauge().DataPoints[0].GetAsInt())
}

func (f *flaky) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running++
	f.most = max(f.most, f.running)
}

func (f *flaky) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
}

// counts returns what there was since the last call, and how many requests at a time.
func (f *flaky) counts() (accepted []int64, refused, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	accepted, refused, most = f.accepted, f.refused, f.most
	f.accepted, f.refused, f.most = nil, 0, f.running
	return accepted, refused, most
}

func (f *flaky) sofar() (accepted, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.accepted), f.refused
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// An outage: while it lasts the batches wait, unfetched but for a few, and one
// request probes; then all arrive, oldest first, a few at a time.
func TestOutage(t *testing.T) {
	const n = 80
	p := pipetest.MustOpen(t, "prom")
	f := mustStartFlaky(t)
	f.status.Store(503)
	for i := range n {
		publish(t, p, "prom", i, "gzip")
	}
	var log lines
	m := telemetry.NewMetrics()
	e := config.Exporter{Name: "prom", Endpoint: config.Address(f.url), Timeout: 5 * time.Second, MaxBackoff: 50 * time.Millisecond, MaxBacklogBytes: 1 << 20}
	start(t, sender.Config{Pipe: p, Exporters: []config.Exporter{e}, Version: "1", ReplayRetention: time.Hour,
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Metrics: m})

	require.Eventually(t, func() bool {
		states, err := p.ExporterStates(t.Context())
		return err == nil && len(states) == 1 && states[0].State == "down"
	}, 20*time.Second, time.Millisecond)
	states, err := p.ExporterStates(t.Context())
	require.NoError(t, err)
	require.Equal(t, "prom", states[0].Exporter)
	require.Contains(t, states[0].Reason, `exporter "prom": the endpoint answered 503`)
	f.counts()
	require.Eventually(t, func() bool { _, refused := f.sofar(); return refused >= 20 }, 20*time.Second, time.Millisecond)
	_, _, most := f.counts()
	require.LessOrEqual(t, most, 1, "one request at a time probes")
	cons, err := p.JS.Consumer(t.Context(), schemas.OTLPStream("prom"), schemas.SenderDurable("prom", schemas.LaneLive))
	require.NoError(t, err)
	require.Less(t, cons.CachedInfo().Delivered.Consumer, uint64(20), "the others have not been fetched, nor used an attempt")
	require.Zero(t, up(t, m), "and the metric says so")

	f.status.Store(0)
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted >= n }, 20*time.Second, time.Millisecond)
	waitDelivered(t, p, "prom")
	accepted, _, most := f.counts()
	require.Len(t, accepted, n, "each arrives, once")
	require.LessOrEqual(t, most, 8)
	for i, v := range accepted {
		require.InDelta(t, i, v, 12, "oldest first: %v", accepted)
	}
	require.Eventually(t, func() bool {
		states, err := p.ExporterStates(t.Context())
		return err == nil && len(states) == 0
	}, 20*time.Second, time.Millisecond)
	require.Equal(t, 1, log.count("endpoint is down"), log.b.String())
	require.Equal(t, 1, log.count("endpoint takes batches again"), log.b.String())
	require.EqualValues(t, 1, up(t, m))
}

func up(t *testing.T, m *telemetry.Metrics) float64 {
	t.Helper()
	families, err := m.Registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "kusto2otlp_exporter_up" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("there is no such metric")
	return 0
}

// A stop in an outage does not wait for the endpoint, and gives the batches it
// held back at once, for another process to go on with.
func TestOutageStop(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	f := mustStartFlaky(t)
	f.status.Store(503)
	f.after.Store("3600")
	for i := range 10 {
		publish(t, p, "prom", i, "gzip")
	}
	stop := run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(f.url)})
	require.Eventually(t, func() bool {
		states, err := p.ExporterStates(t.Context())
		return err == nil && len(states) == 1
	}, 20*time.Second, time.Millisecond)
	began := time.Now()
	stop()
	require.Less(t, time.Since(began), 2*time.Second, "the grace of the test's pipe, which it must not need")
	states, err := p.ExporterStates(t.Context())
	require.NoError(t, err)
	require.Empty(t, states, "a process that is gone knows nothing")

	f.status.Store(0)
	f.counts()
	run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(f.url)})
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted == 10 }, 10*time.Second, time.Millisecond,
		"sooner than the leases of the first process end")
}

// Two senders share nothing, and both find out.
func TestOutageOfTwo(t *testing.T) {
	const n = 60
	p := pipetest.MustOpen(t, "prom")
	f := mustStartFlaky(t)
	f.status.Store(503)
	for i := range n {
		publish(t, p, "prom", i, "gzip")
	}
	run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(f.url)})
	run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(f.url)})
	require.Eventually(t, func() bool {
		states, err := p.ExporterStates(t.Context())
		return err == nil && len(states) == 2
	}, 20*time.Second, time.Millisecond)
	f.counts()
	require.Eventually(t, func() bool { _, refused := f.sofar(); return refused >= 20 }, 20*time.Second, time.Millisecond)
	_, _, most := f.counts()
	require.LessOrEqual(t, most, 2, "one probe of each")
	f.status.Store(0)
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted >= n }, 20*time.Second, time.Millisecond)
	waitDelivered(t, p, "prom")
	accepted, _, most := f.counts()
	require.Len(t, accepted, n)
	require.LessOrEqual(t, most, 16)
}
