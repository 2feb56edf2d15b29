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
	only     func(value int64) int // status of the answer to a batch; nil: status for all
	hangs    bool                  // refusals come only when the client has gone
	accepted []int64
	attempts map[int64]int // refused, by value
	refused  int
	running  int
	most     int // requests at a time since the last reset
}

func mustStartFlaky(t *testing.T) *flaky {
	t.Helper()
	f := &flaky{attempts: map[int64]int{}}
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
	value := m.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetGauge().DataPoints[0].GetAsInt()
	f.mu.Lock()
	defer f.mu.Unlock()
	status := int(f.status.Load())
	if status == 0 && f.only != nil {
		status = f.only(value)
	}
	if status != 0 {
		f.refused++
		f.attempts[value]++
		if f.hangs {
			f.mu.Unlock()
			<-r.Context().Done()
			f.mu.Lock()
		}
		if after := f.after.Load().(string); after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
		return
	}
	f.accepted = append(f.accepted, value)
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

// refuse makes f answer batches with the status that only returns, 0 being success.
func (f *flaky) refuse(only func(value int64) int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.only = only
}

// tries returns how often batches from one value up were refused.
func (f *flaky) tries(from int64) (values, attempts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for v, n := range f.attempts {
		if v >= from {
			values++
			attempts += n
		}
	}
	return values, attempts
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
		publishOf(t, p, "prom", []string{"times", "others"}[i%2], i, "gzip")
	}
	var log lines
	m := telemetry.NewMetrics()
	e := config.Exporter{Name: "prom", Endpoint: config.Address(f.url), Timeout: 5 * time.Second, MaxBackoff: 50 * time.Millisecond, MaxBacklogBytes: 1 << 20}
	start(t, sender.Config{Pipe: p, Exporters: []config.Exporter{e}, Version: "1", ReplayRetention: time.Hour,
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Metrics: m})

	require.Eventually(t, func() bool {
		states, err := p.ExporterStates(t.Context())
		return err == nil && len(states) == 1 && states[0].State == "down"
	}, time.Minute, time.Millisecond)
	states, err := p.ExporterStates(t.Context())
	require.NoError(t, err)
	require.Equal(t, "prom", states[0].Exporter)
	require.Contains(t, states[0].Reason, `exporter "prom": the endpoint answered 503`)
	f.counts()
	require.Eventually(t, func() bool { _, refused := f.sofar(); return refused >= 20 }, time.Minute, time.Millisecond)
	_, _, most := f.counts()
	require.LessOrEqual(t, most, 1, "one request at a time probes")
	cons, err := p.JS.Consumer(t.Context(), schemas.OTLPStream("prom"), schemas.SenderDurable("prom", schemas.LaneLive))
	require.NoError(t, err)
	require.LessOrEqual(t, cons.CachedInfo().NumRedelivered, 8, "and is one of those on their way then, or of those looked at")
	values, attempts := f.tries(0)
	require.Less(t, values, n/2, "%d attempts: the others have used none", attempts)
	require.Zero(t, up(t, m), "and the metric says so")

	f.status.Store(0)
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted >= n }, time.Minute, time.Millisecond)
	waitDelivered(t, p, "prom")
	accepted, _, most := f.counts()
	require.Len(t, accepted, n, "each arrives, once")
	require.LessOrEqual(t, most, 8)
	early := 0
	for i, v := range accepted {
		if v-int64(i) > 16 {
			early++
		}
	}
	require.LessOrEqual(t, early, 2, "oldest first, but for the probe that happened to find it up: %v", accepted)
	require.Eventually(t, func() bool {
		states, err := p.ExporterStates(t.Context())
		return err == nil && len(states) == 0
	}, time.Minute, time.Millisecond)
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
	}, time.Minute, time.Millisecond)
	// One that is on its way to a process that ends comes after its lease.
	require.Eventually(t, func() bool {
		c, err := p.JS.Consumer(t.Context(), schemas.OTLPStream("prom"), schemas.SenderDurable("prom", schemas.LaneLive))
		return err == nil && c.CachedInfo().NumPending == 0
	}, time.Minute, time.Millisecond)
	began := time.Now()
	stop()
	require.Less(t, time.Since(began), 2*time.Second, "the grace of the test's pipe, which it must not need")
	states, err := p.ExporterStates(t.Context())
	require.NoError(t, err)
	require.Empty(t, states, "a process that is gone knows nothing")

	f.status.Store(0)
	f.counts()
	run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(f.url)})
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted >= 10 }, 10*time.Second, time.Millisecond,
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
	}, time.Minute, time.Millisecond)
	f.counts()
	require.Eventually(t, func() bool { _, refused := f.sofar(); return refused >= 20 }, time.Minute, time.Millisecond)
	_, _, most := f.counts()
	require.LessOrEqual(t, most, 2, "one probe of each")
	f.status.Store(0)
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted >= n }, time.Minute, time.Millisecond)
	waitDelivered(t, p, "prom")
	accepted, _, most := f.counts()
	require.Len(t, accepted, n)
	require.LessOrEqual(t, most, 16)
}

// A sender that starts knows of what is stuck from the one before, and need not wait for
// a batch of others.
func TestStuckHandedOver(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	f := mustStartFlaky(t)
	f.only = func(value int64) int {
		if value < 100 {
			return http.StatusTooManyRequests
		}
		return 0
	}
	for i := range 30 {
		publishOf(t, p, "prom", "bad", i, "gzip")
	}
	stuck := func(batches func(n int) bool) func() bool {
		return func() bool {
			states, err := p.ExporterStates(t.Context())
			if err != nil {
				return false
			}
			for _, s := range states {
				if len(s.Stuck) == 1 && strings.HasSuffix(s.Stuck[0].MetricsExporter, "/bad") && batches(s.Stuck[0].Batches) {
					return true
				}
			}
			return false
		}
	}
	e := config.Exporter{Name: "prom", Endpoint: config.Address(f.url)}
	stop := run(t, p, e)
	publishOf(t, p, "prom", "good", 100, "gzip")
	require.Eventually(t, stuck(func(n int) bool { return n > 20 }), time.Minute, time.Millisecond)
	stop()
	require.Eventually(t, stuck(func(n int) bool { return n == 0 }), time.Minute, time.Millisecond, "whose, and not how many")
	run(t, p, e)
	require.Eventually(t, stuck(func(n int) bool { return n > 20 }), time.Minute, time.Millisecond)
	accepted, _, _ := f.counts()
	require.Equal(t, []int64{100}, accepted)
}
