package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// BenchmarkPipeline runs windows of 1,000,000 rows of 8 columns, 7 of which the
// transform reads, through one process: query, row batches on JetStream's file store, OTLP batches on it, and
// requests to an endpoint. Kusto and the endpoint are in another process, so that
// cpu-ns/row (of all cores) and peak-heap-MiB are the pipeline's alone. The latter
// is that of one window; windows back to back have more, since the embedded
// server's file store keeps what it wrote in the last ten seconds in memory.
func BenchmarkPipeline(b *testing.B) {
	const rows = 1_000_000
	kusto, endpoint := startServers(b)
	dir := b.TempDir()
	path := filepath.Join(dir, "pipeline.yaml")
	write(b, path, fmt.Sprintf(`
dataDir: %s/data
kusto: [{name: sandbox, endpoint: %s, databases: [Bench], auth: {type: none}, noTruncation: true}]
exporters: [{name: bench, endpoint: %s}]
telemetry: {listen: "127.0.0.1:0"}
`, dir, kusto, endpoint))
	cfg, err := config.Load(path)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	p, err := openPipeline(ctx, cfg, []schemas.Stage{schemas.Querier, schemas.Transformer, schemas.Sender}, slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	defer p.Close()
	exported := make(chan uint64, 1024)
	watched, ran := make(chan error, 1), make(chan error, 1)
	go func() {
		watched <- p.pipe.Watch(ctx, func(e *wire.Event) {
			switch schemas.EventType(e.Type) {
			case schemas.EventExported:
				exported <- e.Points
			case schemas.EventFailed, schemas.EventRetrying:
				b.Errorf("%s: %s", e.Type, e.Message)
				cancel()
			}
		})
	}()
	go func() { ran <- p.Run(ctx) }()
	spec := benchSpec(b)
	window := func(n int) {
		job := &wire.WindowJob{Namespace: "bench", Name: "million", Generation: 1, Lane: string(schemas.LaneLive), Cluster: "sandbox", Spec: spec}
		w := schemas.Window{Start: time.Date(2026, 1, 1, 0, n, 0, 0, time.UTC), End: time.Date(2026, 1, 1, 0, n+1, 0, 0, time.UTC)}
		job.StartUnixNano, job.EndUnixNano = w.Start.UnixNano(), w.End.UnixNano()
		job.Window = schemas.WindowID{Namespace: job.Namespace, Name: job.Name, Window: w, Generation: 1}.String()
		data, err := proto.Marshal(job)
		require.NoError(b, err)
		_, err = p.pipe.Publish(ctx, pipe.Outgoing{Subject: schemas.JobSubject("sandbox", "bench", schemas.LaneLive, "bench", "million", w.Start, ""),
			Header: schemas.JobHeader(job, "bench"), Data: data})
		require.NoError(b, err)
		for points := uint64(0); points < rows; {
			select {
			case n := <-exported:
				points += n
			case <-ctx.Done():
				b.FailNow()
			}
		}
	}
	one := watchHeap()
	window(0)
	onePeak := one()
	runtime.GC()
	more := watchHeap()
	before := cpuTime()
	b.ResetTimer()
	for n := 0; b.Loop(); n++ {
		window(n + 1)
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/rows, "cpu-ns/row")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "wall-ns/row")
	b.ReportMetric(float64(onePeak)/(1<<20), "peak-heap-MiB")
	b.ReportMetric(float64(more())/(1<<20), "back-to-back-heap-MiB")
	b.ReportMetric(0, "ns/op")
	cancel()
	require.NoError(b, <-ran)
	require.NoError(b, <-watched)
}

func benchSpec(b *testing.B) []byte {
	spec, err := json.Marshal(schemas.MetricsExporterSpec{
		Database: "Bench", Exporter: "bench",
		Body: "Million | where Timestamp between (_startTime .. _endTime)",
		Transform: schemas.TransformConfig{MetricNameColumn: "MetricName", ValueColumn: "Value", TimestampColumn: "Timestamp",
			LabelColumns: []string{"Service", "Region", "Host", "Ok"}, Type: schemas.Gauge, NullValue: schemas.NullSkip},
	})
	require.NoError(b, err)
	return spec
}

// watchHeap samples the memory of live and not yet collected objects until the
// returned function is called, which returns the most it saw.
func watchHeap() (peak func() uint64) {
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		t := time.NewTicker(5 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				metrics.Read(sample)
				most.Store(max(most.Load(), sample[0].Value.Uint64()))
			}
		}
	}()
	return func() uint64 { close(done); <-ended; return most.Load() }
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startServers starts a Kusto and an OTLP endpoint in a process of their own, which
// ends with the benchmark.
func startServers(b *testing.B) (kusto, endpoint string) {
	b.Helper()
	cmd := program()
	cmd.Env = append(os.Environ(), asProgram+"=servers")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(b, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(b, err)
	_, err = fmt.Sscan(strings.TrimSpace(line), &kusto, &endpoint)
	require.NoError(b, err)
	return kusto, endpoint
}

// serveForBenchmark is that process: it prints the two addresses and serves until
// its standard input ends. The endpoint takes everything and decodes nothing.
func serveForBenchmark() int {
	kusto, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0"})
	if err == nil {
		err = kusto.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailure
	}
	defer kusto.Close()
	endpoint := http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailure
	}
	go func() { _ = endpoint.Serve(l) }()
	defer endpoint.Close()
	fmt.Println(kusto.URL(), "http://"+l.Addr().String()+"/v1/metrics")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return exitOK
}
