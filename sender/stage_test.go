package sender_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/otlptest"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
	"github.com/kusto2otlp/kusto2otlp/sender"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }

const window = "monitoring/times@2026-01-01T00:00:00Z/2026-01-01T00:05:00Z#1"

// publish puts one OTLP batch with a single point of the given value on the
// exporter's stream.
func publish(t *testing.T, p *pipe.Pipe, exporter string, n int, encoding string) {
	t.Helper()
	publishOf(t, p, exporter, "times", n, encoding)
}

// publishOf is publish for the MetricsExporter of the given name.
func publishOf(t *testing.T, p *pipe.Pipe, exporter, name string, n int, encoding string) {
	t.Helper()
	body, err := proto.Marshal(&colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{{Name: "m", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{
			DataPoints: []*metrics.NumberDataPoint{{TimeUnixNano: 1, Value: &metrics.NumberDataPoint_AsInt{AsInt: int64(n)}}}}}}}}}}}})
	require.NoError(t, err)
	h := nats.Header{}
	if encoding == "gzip" {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body)
		require.NoError(t, w.Close())
		body = b.Bytes()
		h.Set(schemas.HeaderEncoding, "gzip")
	}
	h.Set(schemas.HeaderWindow, strings.Replace(window, "times", name, 1))
	h.Set(schemas.HeaderLane, "live")
	h.Set(schemas.HeaderExporter, exporter)
	h.Set(schemas.HeaderRun, "run")
	h.Set(schemas.HeaderPoints, "1")
	h.Set(schemas.HeaderBatch, strconv.Itoa(n))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err = p.Publish(t.Context(), pipe.Outgoing{
		Subject: schemas.OTLPSubject(exporter, schemas.LaneLive, "monitoring", name, at, "run", n), Header: h, Data: body})
	require.NoError(t, err)
}

// run runs a sender until stop is called.
func run(t *testing.T, p *pipe.Pipe, exporters ...config.Exporter) (stop func()) {
	t.Helper()
	for i := range exporters {
		exporters[i].Timeout = 5 * time.Second
		exporters[i].MaxBackoff = 20 * time.Millisecond
		exporters[i].MaxBacklogBytes = 1 << 20
	}
	return start(t, sender.Config{Pipe: p, Exporters: exporters, Version: "1.2.3", ReplayRetention: time.Hour,
		Logger: pipetest.Logger(t), Metrics: telemetry.NewMetrics()})
}

func start(t *testing.T, cfg sender.Config) (stop func()) {
	t.Helper()
	s, err := sender.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-done)
		})
	}
	t.Cleanup(stop)
	return stop
}

// endpoint collects the values of all points it accepted.
type endpoint struct {
	url    string
	values chan int64
}

func mustStartEndpoint(t *testing.T, refuse func(value int64) error) endpoint {
	t.Helper()
	e := endpoint{values: make(chan int64, 100)}
	e.url = otlptest.MustStartCollector(t, func(md pmetric.Metrics) error {
		dp := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0)
		if err := refuse(dp.IntValue()); err != nil {
			return err
		}
		e.values <- dp.IntValue()
		return nil
	})
	return e
}

func (e endpoint) receive(t *testing.T) int64 {
	t.Helper()
	select {
	case v := <-e.values:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing arrived")
		return 0
	}
}

func accept(int64) error { return nil }

func event(t *testing.T, p *pipe.Pipe, kind schemas.EventType) *wire.Event {
	t.Helper()
	var e wire.Event
	require.Eventually(t, func() bool {
		msg, err := p.Get(t.Context(), schemas.EventsStream, schemas.EventSubject("monitoring", "times", kind))
		return err == nil && proto.Unmarshal(msg.Data, &e) == nil
	}, time.Minute, 5*time.Millisecond)
	return &e
}

func waitDelivered(t *testing.T, p *pipe.Pipe, exporter string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b, err := p.Backlog(t.Context(), exporter)
		return err == nil && b.Messages == 0
	}, time.Minute, 5*time.Millisecond)
}

func TestStage(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		p := pipetest.MustOpen(t, "prom")
		e := mustStartEndpoint(t, accept)
		publish(t, p, "prom", 7, "gzip")
		publish(t, p, "prom", 8, "")
		run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(e.url)})
		require.ElementsMatch(t, []int64{7, 8}, []int64{e.receive(t), e.receive(t)})
		waitDelivered(t, p, "prom")
		s, err := p.JS.Stream(t.Context(), schemas.OTLPStream("prom"))
		require.NoError(t, err)
		require.EqualValues(t, 2, s.CachedInfo().State.Msgs, "delivered batches are kept for a replay")
		ev := event(t, p, schemas.EventExported)
		require.Equal(t, window, ev.Window)
		require.EqualValues(t, 1, ev.Points)
		require.Equal(t, "prom", ev.Exporter)
	})

	t.Run("ErrRetry", func(t *testing.T) {
		p := pipetest.MustOpen(t, "prom")
		var mu sync.Mutex
		refusals := 0
		e := mustStartEndpoint(t, func(int64) error {
			mu.Lock()
			defer mu.Unlock()
			if refusals++; refusals <= 3 {
				return errors.New("the queue is full") // the receiver answers 503
			}
			return nil
		})
		publish(t, p, "prom", 7, "gzip")
		run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(e.url)})
		require.EqualValues(t, 7, e.receive(t))
		waitDelivered(t, p, "prom")
		require.EqualValues(t, 4, event(t, p, schemas.EventExported).Attempt)
		require.Contains(t, event(t, p, schemas.EventRetrying).Message,
			`exporter "prom": the endpoint answered 503 Service Unavailable: the queue is full`)
	})

	t.Run("ErrPermanent", func(t *testing.T) {
		p := pipetest.MustOpen(t, "prom")
		f := mustStartFlaky(t)
		f.refuse(func(v int64) int {
			if v == 7 {
				return http.StatusBadRequest
			}
			return 0
		})
		publish(t, p, "prom", 7, "gzip")
		publish(t, p, "prom", 8, "gzip")
		run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(f.url)})
		waitDelivered(t, p, "prom")
		accepted, _, _ := f.counts()
		require.Equal(t, []int64{8}, accepted, "a refused batch does not hold up the next")
		dead, err := p.Get(t.Context(), schemas.DeadStream, schemas.DeadSubject(schemas.Sender, "monitoring", "times"))
		require.NoError(t, err)
		require.Equal(t, "7", dead.Header.Get(schemas.HeaderBatch), "kept whole, with its headers")
		require.Contains(t, dead.Header.Get(schemas.HeaderDeadReason), "400 Bad Request")
	})

	t.Run("ErrGarbageHeaders", func(t *testing.T) {
		p := pipetest.MustOpen(t, "prom")
		e := mustStartEndpoint(t, accept)
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: "k2o.otlp.prom.live.whatever", Data: []byte("x")})
		require.NoError(t, err)
		publish(t, p, "prom", 8, "gzip")
		run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(e.url)})
		require.EqualValues(t, 8, e.receive(t))
		waitDelivered(t, p, "prom")
		dead, err := p.Get(t.Context(), schemas.DeadStream, schemas.DeadSubject(schemas.Sender, "", ""))
		require.NoError(t, err)
		require.Equal(t, "x", string(dead.Data))
	})
}

// One dead exporter does not delay another.
func TestIsolation(t *testing.T) {
	p := pipetest.MustOpen(t, "dead", "prom")
	dead := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }))
	t.Cleanup(dead.Close)
	e := mustStartEndpoint(t, accept)
	const n = 50
	for i := range n {
		publish(t, p, "dead", i, "gzip")
	}
	run(t, p, config.Exporter{Name: "dead", Endpoint: config.Address(dead.URL)}, config.Exporter{Name: "prom", Endpoint: config.Address(e.url)})
	for i := range n {
		publish(t, p, "prom", i, "gzip")
		require.EqualValues(t, i, e.receive(t))
	}
	b, err := p.Backlog(t.Context(), "dead")
	require.NoError(t, err)
	require.EqualValues(t, n, b.Messages, "and loses nothing")
}

// A sender that ends between the endpoint's answer and the ack sends again, and
// the batch is not lost.
func TestCrashBeforeAck(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	first := true
	var stop func()
	arrived := make(chan struct{}, 1)
	e := mustStartEndpoint(t, func(int64) error {
		if first {
			first = false
			arrived <- struct{}{}
			<-t.Context().Done() // the answer never comes
		}
		return nil
	})
	publish(t, p, "prom", 7, "gzip")
	// The grace of the test's pipe is 2 s; the request's timeout is longer.
	stop = run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(e.url)})
	<-arrived
	stop()
	run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(e.url)})
	require.EqualValues(t, 7, e.receive(t))
	waitDelivered(t, p, "prom")
	require.EqualValues(t, 2, event(t, p, schemas.EventExported).Attempt)
}

func TestStageTLS(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	got := make(chan struct{}, 1)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- struct{}{} }))
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	publish(t, p, "prom", 7, "gzip")

	stop := run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(srv.URL)})
	require.Contains(t, event(t, p, schemas.EventRetrying).Message, "certificate signed by unknown authority")
	stop()
	run(t, p, config.Exporter{Name: "prom", Endpoint: config.Address(srv.URL), TLS: config.ExporterTLS{CAFile: ca}})
	<-got
	waitDelivered(t, p, "prom")
}
