package querier

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestShares(t *testing.T) {
	now := time.Unix(1000, 0)
	s := newShares(3, func() time.Time { return now })
	enter := func(key string) func(error) {
		t.Helper()
		leave, err := s.enter(key, 1)
		require.NoError(t, err)
		return leave
	}
	waits := func(key string, attempt uint64) time.Duration {
		t.Helper()
		_, err := s.enter(key, attempt)
		kind, delay := pipe.KindOf(err)
		require.Equal(t, pipe.KindLater, kind)
		return delay
	}
	a1, a2 := enter("a"), enter("a")
	require.Equal(t, time.Second, waits("a", 1), "one slot less than there are")
	require.Equal(t, 4*time.Second, waits("a", 4))
	require.Equal(t, 15*time.Second, waits("a", 1000))
	enter("b")(nil)

	now = now.Add(10 * time.Second)
	a1(errors.New("timed out"))
	require.Equal(t, 10*time.Second, waits("a", 1), "it rests for as long as the query took")
	enter("b")(nil)
	now = now.Add(10 * time.Second)
	require.Equal(t, time.Second, waits("a", 1), "one at a time after a failure, and one still runs")
	a2(nil)
	a1 = enter("a")
	a1(pipe.Permanent(errors.New("no such column")))
	enter("a")(errors.New("refused"))
	now = now.Add(minRest)
	enter("a")(nil)
	require.Empty(t, s.of, "who has nothing to remember is forgotten")
}

func TestSharesOfOneSlot(t *testing.T) {
	s := newShares(1, time.Now)
	leave, err := s.enter("a", 1)
	require.NoError(t, err)
	leave(nil)
}

// A MetricsExporter whose queries hang until their timeout, with many windows
// waiting, leaves the others on its cluster and exporter their turns.
func TestPoisonMetricsExporter(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	var hung atomic.Int32
	hold := make(chan struct{})
	defer close(hold)
	server := mustSandbox(t, sandbox.Config{
		Engine: canned(metrics(1)),
		Fault: func(r *sandbox.Request) *sandbox.Fault {
			if strings.HasSuffix(r.Query, "Hang") {
				hung.Add(1)
				return &sandbox.Fault{Hold: hold}
			}
			return nil
		},
	})
	s := mustStage(t, p, server.URL(), func(c *Config) {
		c.Clusters[0].QueryTimeout = time.Second
		c.Clusters[0].MaxConcurrentQueries = 2
	})
	jobs := func(name, body string, n int) {
		sp := spec()
		sp.Body = body
		for i := range n {
			job := jobOf(t, sp)
			w := schemas.Window{Start: window.Start.Add(time.Duration(i) * time.Hour), End: window.End.Add(time.Duration(i) * time.Hour)}
			job.Name, job.StartUnixNano, job.EndUnixNano = name, w.Start.UnixNano(), w.End.UnixNano()
			job.Window = schemas.WindowID{Namespace: job.Namespace, Name: name, Window: w, Generation: job.Generation}.String()
			publish(t, p, job)
		}
	}
	jobs("poison", "Hang", 20)
	jobs("good", "T", 20)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	good := map[string]bool{}
	require.Eventually(t, func() bool {
		for _, subject := range subjects(t, p, schemas.RowsStream) {
			good[subject] = true
		}
		return len(good) == 20
	}, 30*time.Second, 20*time.Millisecond, "the good ones wait for the poison")
	require.Less(t, hung.Load(), int32(40), "and Kusto is spared")
}

// A job that comes again after its querier died is looked up, also where the
// stream no longer remembers its id.
func TestVisibleBefore(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	var queries atomic.Int32
	w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: sandbox.EngineFunc(func(context.Context, *sandbox.Request) (*sandbox.Result, error) {
		queries.Add(1)
		return sandbox.Tables(metrics(3)), nil
	})}).URL())
	job := jobOf(t, spec())
	again := func() { t.Helper(); m := message(t, job); m.Attempt = 2; require.NoError(t, w.handle(t.Context(), m)) }

	again()
	require.EqualValues(t, 1, queries.Load(), "a second attempt of what was never visible is a query")
	again()
	require.EqualValues(t, 1, queries.Load(), "its rows wait for the transform")
	list := events(t, p)
	require.Equal(t, list[0].Run, list[len(list)-1].Run)

	require.NoError(t, p.Purge(t.Context(), schemas.RowsStream, ">"))
	otlp := pipe.Outgoing{
		Subject: schemas.OTLPSubject(exporter, schemas.LaneLive, job.Namespace, job.Name, schemas.JobWindow(job).Start, "run", 0),
		Header:  schemas.JobHeader(job, exporter), Data: []byte("batch"),
	}
	_, err := p.Publish(t.Context(), otlp)
	require.NoError(t, err)
	again()
	require.EqualValues(t, 1, queries.Load(), "OTLP batches were made of them")

	replay := proto.CloneOf(job)
	replay.Request = "may"
	m := message(t, replay)
	m.Attempt = 2
	require.NoError(t, w.handle(t.Context(), m))
	require.EqualValues(t, 2, queries.Load(), "a replay is another matter")
}

// Windows of a MetricsExporter whose queries come and go wait their turn where they
// are; only those behind queries that hang or failed are put back.
func TestSharesJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShares(2, time.Now)
		first, err := s.enter("a", 1)
		require.NoError(t, err)
		joined := make(chan func(error))
		go func() {
			leave, _ := s.join(t.Context(), "a", 1)
			joined <- leave
		}()
		time.Sleep(turnWait - time.Millisecond)
		first(nil)
		leave := <-joined
		require.NotNil(t, leave)

		began := time.Now()
		_, err = s.join(t.Context(), "a", 1)
		kind, _ := pipe.KindOf(err)
		require.Equal(t, pipe.KindLater, kind, "a query that hangs is waited for no longer than that")
		require.Equal(t, turnWait, time.Since(began))
		_, err = s.join(t.Context(), "a", 1)
		require.Error(t, err)
		require.Equal(t, turnWait, time.Since(began), "nor is it by the next")

		leave(errors.New("timed out"))
		began = time.Now()
		_, err = s.join(t.Context(), "a", 1)
		require.Error(t, err)
		require.Zero(t, time.Since(began), "who failed rests, and holds up no worker")
	})
}

// A backfill whose queries take long, or fail, leaves the live windows of its own
// MetricsExporter their turns.
func TestBackfillBesideLive(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	hold := make(chan struct{})
	defer close(hold)
	var held atomic.Int32
	server := mustSandbox(t, sandbox.Config{
		Engine: canned(metrics(1)),
		Fault: func(r *sandbox.Request) *sandbox.Fault {
			if strings.HasSuffix(r.Query, "Hang") {
				held.Add(1)
				return &sandbox.Fault{Hold: hold}
			}
			return nil
		},
	})
	s := mustStage(t, p, server.URL(), func(c *Config) {
		c.Clusters[0].QueryTimeout = time.Minute
		c.Clusters[0].MaxConcurrentQueries = 4
	})
	issue := func(lane schemas.Lane, body string, n int) {
		sp := spec()
		sp.Body = body
		for i := range n {
			job := jobOf(t, sp)
			w := schemas.Window{Start: window.Start.Add(time.Duration(i) * time.Hour), End: window.End.Add(time.Duration(i) * time.Hour)}
			job.Lane, job.StartUnixNano, job.EndUnixNano = string(lane), w.Start.UnixNano(), w.End.UnixNano()
			job.Window = schemas.WindowID{Namespace: job.Namespace, Name: job.Name, Window: w, Generation: job.Generation}.String()
			if lane == schemas.LaneBackfill {
				job.Request = "may"
			}
			publish(t, p, job)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	issue(schemas.LaneBackfill, "Hang", 10)
	require.Eventually(t, func() bool { return held.Load() == 3 }, time.Minute, 5*time.Millisecond)
	issue(schemas.LaneLive, "T", 10)
	require.Eventually(t, func() bool { return len(subjects(t, p, schemas.RowsStream)) == 10 }, 30*time.Second, 20*time.Millisecond,
		"live windows wait for a backfill")
	require.EqualValues(t, 3, held.Load(), "and the backfill has no more than its slots")
}
