package scheduler

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const sigkillDir = "K2O_TEST_SIGKILL_DIR"

func sigkillSpecs() []string {
	var specs []string
	for i := range 8 {
		specs = append(specs, spec(fmt.Sprintf("a%d", i), "interval: 1s"))
	}
	return specs
}

// A process with server and scheduler that is killed with SIGKILL again and again
// while it catches up in large batches: no half batch, no gap, no event missing.
func TestSIGKILL(t *testing.T) {
	if dir := os.Getenv(sigkillDir); dir != "" {
		runToBeKilled(t, dir)
		return
	}
	dir := t.TempDir()
	begin := time.Now().UTC().Truncate(time.Second).Add(-24 * time.Hour)
	docs := documents(t, sigkillSpecs()...)
	func() {
		server, err := pipe.StartServer(dir, pipetest.Logger(t))
		require.NoError(t, err)
		defer server.Close()
		p := pipetest.MustConnect(t, server)
		defer p.Close()
		scheduler, err := New(Config{Pipe: p, Source: failingSource{}, ClusterFor: func(string) (string, bool) { return "", false }})
		require.NoError(t, err)
		for _, d := range docs {
			target, err := newTarget(d, "kusto")
			require.NoError(t, err)
			_, err = scheduler.jobs.advance(t.Context(), target, cursor{}, cursor{next: begin, generation: 1, hash: target.hash}, nil)
			require.NoError(t, err)
		}
	}()
	kills := 8
	if testing.Short() {
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for kill := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSIGKILL$")
		cmd.Env = append(os.Environ(), sigkillDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		said := make([]byte, 1)
		_, err = io.ReadFull(out, said)
		require.NoError(t, err)
		if kill == kills-1 { // all may have come before anything was issued
			_, err = io.ReadFull(out, said)
			require.NoError(t, err)
		}
		// Not a wait for anything: when the kill comes is the point.
		time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}

	p := pipetest.MustConnect(t, pipetest.MustStart(t, dir))
	s := &stage{tb: t, pipe: p, issued: map[string]int{}, lanes: map[string]string{}}
	windows := map[string][]schemas.Window{}
	for _, job := range s.jobs() {
		windows[job.Name] = append(windows[job.Name], schemas.JobWindow(job))
	}
	store := jobStore{js: p.JS}
	total := 0
	for _, d := range docs {
		name := d.MetricsExporter.Name
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		c, last, err := store.read(ctx, &target{namespace: "ns", name: name})
		cancel()
		require.NoError(t, err)
		at := begin
		for _, w := range windows[name] {
			require.Equal(t, at, w.Start, "gap, overlap or disorder of %s", name)
			at = w.End
		}
		require.Equal(t, c.next, at, "the cursor of %s is where its jobs end", name)
		total += len(windows[name])

		// All is reported, but for what the next scheduler would report first.
		planned := map[string]bool{}
		for _, e := range s.events(schemas.EventPlanned, name) {
			planned[e.Window] = true
		}
		for _, j := range last {
			planned[j.job.Window] = true
		}
		require.Len(t, planned, len(windows[name]))
	}
	require.NotZero(t, total)
	t.Logf("%d kills, %d windows", kills, total)
}

// runToBeKilled writes a byte when it begins, and one when it has issued and reported windows.
func runToBeKilled(t *testing.T, dir string) {
	server, err := pipe.StartServer(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p, err := pipe.Open(pipe.Config{Server: server, Metrics: telemetry.NewMetrics()})
	require.NoError(t, err)
	source := make(testSource)
	scheduler, err := New(Config{Pipe: p, Source: source, CatchUp: 25 * time.Hour,
		ClusterFor: func(string) (string, bool) { return "kusto", true }})
	require.NoError(t, err)
	go func() { source <- resource.Set{Documents: documents(t, sigkillSpecs()...)} }()
	fmt.Print("r")
	go func() {
		for {
			events, err := p.JS.Stream(context.Background(), schemas.EventsStream)
			if err == nil && events.CachedInfo().State.Msgs > 0 {
				fmt.Print("w")
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	require.NoError(t, scheduler.Run(context.Background()))
}
