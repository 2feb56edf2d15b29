package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// life is a whole pipeline in this process between a sandbox and a Collector's
// receiver, that commands can look at and steer by its configuration file.
type life struct {
	path     string // of the configuration
	dir      string
	endpoint *endpoint
	pipe     *pipe.Pipe

	mu     sync.Mutex
	events []*wire.Event
	more   chan struct{} // closed and made anew with each event
}

// mustLive starts a pipeline until the test ends, with the MetricsExporters given:
// their specs by name, in namespace test.
func mustLive(t *testing.T, kusto sandbox.Config, specs map[string]string) *life {
	t.Helper()
	kusto.Listen = "127.0.0.1:0"
	server, err := sandbox.New(kusto)
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() { require.NoError(t, server.Close()) })

	l := &life{dir: t.TempDir(), endpoint: mustStartEndpoint(t), more: make(chan struct{})}
	l.path = filepath.Join(l.dir, "pipeline.yaml")
	write(t, l.path, fmt.Sprintf(`
dataDir: %[1]s/data
kusto:
  - {name: sandbox, endpoint: %[2]s, databases: [TelemetryDB], auth: {type: none}}
exporters:
  - {name: prom, endpoint: %[3]s, maxBacklogBytes: 64MiB}
resources: {files: ["%[1]s/exporters/*.yaml"]}
telemetry: {listen: "127.0.0.1:0"}
`, l.dir, server.URL(), l.endpoint.url))
	for name, spec := range specs {
		l.declare(t, name, spec)
	}
	cfg, err := config.Load(l.path)
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithCancel(context.Background())
	p, err := openPipeline(ctx, cfg, schemas.Stages, log)
	require.NoError(t, err)
	l.pipe = p.pipe
	ran, watched := make(chan error, 1), make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	go func() { watched <- p.pipe.Watch(ctx, l.see) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, errors.Join(<-ran, <-watched))
		p.Close()
	})
	return l
}

// productionRT are the response times of production, one point a row.
const productionRT = `
  body: |
    ServiceTelemetry
    | where Timestamp between (_startTime .. _endTime) and Environment == "production"
    | extend at = Timestamp, Value = ResponseTimeMs`

// declare writes a MetricsExporter's file.
func (l *life) declare(t *testing.T, name, spec string) {
	t.Helper()
	write(t, filepath.Join(l.dir, "exporters", name+".yaml"), fmt.Sprintf(`
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: %[1]s, namespace: test}
spec:
  database: TelemetryDB
  exporter: prom
  transform: {defaultMetricName: %[1]s, valueColumn: Value, timestampColumn: at, labelColumns: [ServiceName]}
%[2]s
`, name, spec))
}

func (l *life) see(e *wire.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	close(l.more)
	l.more = make(chan struct{})
}

// seen returns the events so far, and a channel that is closed when there are more.
func (l *life) seen() ([]*wire.Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events, l.more
}

// wait waits until done, which is asked after each event, says so of all events so
// far.
func (l *life) wait(t *testing.T, what string, done func(events []*wire.Event) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		events, more := l.seen()
		if done(events) {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%s did not come to pass", what)
		}
	}
}

// count returns how many windows of a MetricsExporter have an event of a type and
// request.
func count(events []*wire.Event, name string, kind schemas.EventType, request string) int {
	windows := map[string]bool{}
	for _, e := range events {
		if e.Name == name && e.Type == string(kind) && e.Request == request {
			windows[e.Window] = true
		}
	}
	return len(windows)
}
