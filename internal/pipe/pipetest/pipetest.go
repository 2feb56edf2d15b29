// Package pipetest starts a real JetStream for tests: the embedded server on a
// temporary directory, with all the streams.
package pipetest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
)

// MustOpen returns a pipe to an embedded server that ends with the test, with the
// streams of the named exporters.
func MustOpen(tb testing.TB, exporters ...string) *pipe.Pipe {
	tb.Helper()
	return MustConnect(tb, MustStart(tb, tb.TempDir()), exporters...)
}

// MustStart starts an embedded server on a data directory until the test ends.
func MustStart(tb testing.TB, dataDir string) *pipe.Server {
	tb.Helper()
	s, err := pipe.StartServer(dataDir, Logger(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// MustConnect connects to s until the test ends, with the streams of the named
// exporters.
func MustConnect(tb testing.TB, s *pipe.Server, exporters ...string) *pipe.Pipe {
	tb.Helper()
	p, err := pipe.Open(pipe.Config{Server: s, Logger: Logger(tb), Metrics: telemetry.NewMetrics(), Grace: 2 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	var streams []pipe.ExporterStream
	for _, name := range exporters {
		streams = append(streams, pipe.ExporterStream{Name: name, MaxBacklogBytes: 64 << 20})
	}
	if err := p.EnsureStreams(tb.Context(), streams); err != nil {
		tb.Fatal(err)
	}
	return p
}

// Logger writes to the test's log; what each message did only if the tests are verbose,
// so that the cause of a failure stays in sight.
func Logger(tb testing.TB) *slog.Logger {
	level := slog.LevelInfo
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: level}))
}
