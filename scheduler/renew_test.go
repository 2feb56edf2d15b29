package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/deadletter"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// handle has messages handled until the returned function is called.
func (s *stage) handle(stage schemas.Stage, stream, filter string, handle func(m *pipe.Message) error) (stop func()) {
	s.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.pipe.Consume(ctx, pipe.ConsumerConfig{Stage: stage, Stream: stream, Durable: "handle", Filter: filter,
			Handle: func(_ context.Context, m *pipe.Message) error { return handle(m) }})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(s.tb, <-done)
		require.NoError(s.tb, s.pipe.JS.DeleteConsumer(context.Background(), stream, "handle"))
	})
	s.tb.Cleanup(stop)
	return stop
}

// bury makes dead letters of n messages.
func (s *stage) bury(stage schemas.Stage, stream, filter string, n int) {
	s.tb.Helper()
	seen := make(chan struct{}, n)
	stop := s.handle(stage, stream, filter, func(*pipe.Message) error {
		seen <- struct{}{}
		return pipe.Permanent(errors.New("no such column"))
	})
	for range n {
		<-seen
	}
	stop()
}

// buryJobs makes dead letters of n jobs of a lane.
func (s *stage) buryJobs(lane schemas.Lane, n int) {
	s.tb.Helper()
	s.bury(schemas.Querier, schemas.JobsStream, schemas.JobFilter("kusto", "out", lane), n)
}

// publishJob puts a job into the stream, as a replay does.
func (s *stage) publishJob(job *wire.WindowJob) {
	s.tb.Helper()
	m, err := schemas.JobMessage(job, "out")
	require.NoError(s.tb, err)
	_, err = s.pipe.Publish(s.tb.Context(), pipe.Outgoing{Subject: m.Subject, Header: m.Header, Data: m.Data})
	require.NoError(s.tb, err)
}

// letters returns the ids of the letters that there are.
func (s *stage) letters() []uint64 {
	s.tb.Helper()
	list, err := (&deadletter.Desk{Pipe: s.pipe}).List(s.tb.Context(), deadletter.Filter{})
	require.NoError(s.tb, err)
	var ids []uint64
	for _, l := range list {
		ids = append(ids, l.ID)
	}
	return ids
}

// renewed returns the jobs that wait for windows that failed before.
func (s *stage) renewed() []string {
	s.tb.Helper()
	var list []string
	s.each(schemas.JobsStream, func(m *jetstream.RawStreamMsg) {
		if m.Header.Get(schemas.HeaderPutBack) == "" {
			return
		}
		job := new(wire.WindowJob)
		require.NoError(s.tb, proto.Unmarshal(m.Data, job))
		require.Equal(s.tb, job.Window, m.Header.Get(schemas.HeaderWindow))
		require.Equal(s.tb, job.Lane, m.Header.Get(schemas.HeaderLane))
		require.Equal(s.tb, "1", m.Header.Get(schemas.HeaderVersion))
		list = append(list, renewedJob(s.tb, job))
	})
	return list
}

// renewedJob writes a job as "lane start/end#generation body", and its request.
func renewedJob(tb testing.TB, job *wire.WindowJob) string {
	tb.Helper()
	id, err := schemas.ParseWindowID(job.Window)
	require.NoError(tb, err)
	require.Equal(tb, schemas.JobWindow(job), id.Window)
	require.Equal(tb, job.Generation, id.Generation)
	spec, err := schemas.JobSpec(job)
	require.NoError(tb, err)
	request, letter, _ := strings.Cut(job.Request, schemas.AgainMark)
	require.NotEmpty(tb, letter)
	return strings.TrimSpace(fmt.Sprintf("%s %s/%s#%d %s %s", job.Lane, clockTime(id.Window.Start), clockTime(id.Window.End), id.Generation, spec.Body, request))
}

// until waits until a list of strings is as wanted.
func until(tb testing.TB, want []string, list func() []string) {
	tb.Helper()
	var got []string
	if !eventually(func() bool { got = list(); return slices.Equal(got, want) }) {
		require.Equal(tb, want, got)
	}
}

func eventually(done func() bool) bool {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}

// look has the scheduler look for letters once more, from the beginning to the end.
func (r *running) look() {
	r.stage.tb.Helper()
	for range 2 { // the first may be taken by a look that is under way
		before := r.renewals.looks.Load()
		r.renewals.wake <- struct{}{}
		require.True(r.stage.tb, eventually(func() bool { return r.renewals.looks.Load() > before }))
	}
}

const mended = "body: T2"

func mend(name string) string {
	return strings.Replace(spec(name, minutely), "body: T\n", mended+"\n", 1)
}

// What failed for good with a spec is queried again once there is another.
func TestRenew(t *testing.T) {
	const now = "2025-06-25T10:00:30Z"

	t.Run("OK when the spec is changed", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely), spec("b", minutely))
		r.settle()
		s.clock.advance(time.Minute)
		r.settle()
		s.buryJobs(schemas.LaneLive, 4)
		require.Len(t, s.letters(), 4)
		r.look()
		require.Empty(t, s.renewed(), "the spec is the same")

		r.declare(mend("a"), spec("b", minutely))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2", "backfill 10:00:00/10:01:00#2 T2"}, s.renewed)
		r.look()
		require.Len(t, s.letters(), 2, "those of the other stay")
		require.Len(t, s.renewed(), 2)
		var told []string
		for _, e := range s.events(schemas.EventRetrying, "a") {
			require.NotZero(t, e.LetterUnixNano)
			require.Equal(t, "querier", e.Stage)
			told = append(told, e.Message)
		}
		require.Len(t, told, 2)
		require.Contains(t, told[0], " is queried again, with the changed spec")
		require.NotEmpty(t, s.logs("windows that failed with a former spec are queried again metrics_exporter=ns/a windows=2 generation=2"))
	})

	t.Run("OK it fails again, and the spec is changed again", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		s.buryJobs(schemas.LaneLive, 1)
		r.declare(mend("a"))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2"}, s.renewed)
		s.buryJobs(schemas.LaneBackfill, 1)
		r.look()
		require.Len(t, s.letters(), 1, "it is not tried again with the same")
		require.Empty(t, s.renewed())
		r.declare(spec("a", minutely))
		until(t, []string{"backfill 09:59:00/10:00:00#3 T"}, s.renewed)
	})

	t.Run("OK a change and back is none", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		for _, spec := range []string{mend("a"), spec("a", minutely)} {
			r.declare(spec)
			r.settle()
		}
		s.buryJobs(schemas.LaneLive, 1)
		r.look()
		require.Empty(t, s.renewed())
		require.Len(t, s.letters(), 1)
	})

	t.Run("OK the spec was changed while nobody ran", func(t *testing.T) {
		s := newStage(t, now)
		s.start(nil, spec("a", minutely)).settle()
		s.buryJobs(schemas.LaneLive, 1)
		s.start(nil, mend("a"))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2"}, s.renewed)
	})

	t.Run("OK a job of the former spec fails after the change", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		r.declare(mend("a"))
		r.settle()
		s.buryJobs(schemas.LaneLive, 1)
		r.look()
		require.Equal(t, []string{"backfill 09:59:00/10:00:00#2 T2"}, s.renewed())
	})

	t.Run("OK rows that could not be transformed", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		job := s.jobs()[0]
		data, err := proto.Marshal(&wire.WindowRows{Job: job, Run: "RUN", Rows: 1, Parts: 1})
		require.NoError(t, err)
		_, err = s.pipe.Publish(t.Context(), pipe.Outgoing{
			Subject: schemas.RowsSubject("out", schemas.LaneLive, "ns", "a", schemas.JobWindow(job).Start, "RUN"),
			Header:  schemas.JobHeader(job, "out"), Data: data})
		require.NoError(t, err)
		s.bury(schemas.Transformer, schemas.RowsStream, schemas.RowsFilter("out", schemas.LaneLive), 1)
		r.declare(mend("a"))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2"}, s.renewed)
		until(t, nil, func() []string { return stringsOf(s.letters()) })
		require.Equal(t, "transformer", s.events(schemas.EventRetrying, "a")[0].Stage)
	})

	t.Run("OK for the request that asked", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		for _, request := range []string{"may", "may" + schemas.AgainMark + "RUN", schemas.ReconcileRequest, schemas.AgainMark + "RUN"} {
			job := proto.CloneOf(s.jobs()[0])
			job.Lane, job.Request = string(schemas.LaneBackfill), request
			s.publishJob(job)
			s.buryJobs(schemas.LaneBackfill, 1)
		}
		r.declare(mend("a"))
		until(t, []string{"3"}, func() []string { return stringsOf(s.letters()) })
		require.Equal(t, []string{"backfill 09:59:00/10:00:00#2 T2 may", "backfill 09:59:00/10:00:00#2 T2 may", "backfill 09:59:00/10:00:00#2 T2"}, s.renewed())
	})

	t.Run("OK not what has a later spec", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		newer := documents(t, mend("a"))[0]
		target, err := newTarget(newer, "kusto")
		require.NoError(t, err)
		job := target.job(PlannedWindow{schemas.JobWindow(s.jobs()[0]), schemas.LaneBackfill}, 2)
		job.Request = "may"
		s.publishJob(job)
		s.buryJobs(schemas.LaneBackfill, 1)
		r.look()
		require.Empty(t, s.renewed(), "this scheduler has not come to it")
		require.Len(t, s.letters(), 1)
		r.declare(mend("a"))
		r.settle()
		r.look()
		require.Empty(t, s.renewed(), "it has the spec of now")
		r.declare(spec("a", minutely))
		until(t, []string{"backfill 09:59:00/10:00:00#3 T may"}, s.renewed)
	})

	t.Run("OK a replay that guessed the generation", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		job := proto.CloneOf(s.jobs()[0])
		job.Lane, job.Request, job.Generation = string(schemas.LaneBackfill), "may", 2
		job.Window = strings.TrimSuffix(job.Window, "#1") + "#2"
		s.publishJob(job)
		s.buryJobs(schemas.LaneBackfill, 1)
		r.declare(mend("a"))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2 may"}, s.renewed)
	})

	t.Run("OK to where the spec says now", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(func(c *Config) {
			c.ClusterFor = func(database string) (string, bool) { return "kusto of " + database, true }
		}, spec("a", minutely))
		r.settle()
		s.bury(schemas.Querier, schemas.JobsStream, schemas.JobFilter("kusto of DB", "out", schemas.LaneLive), 1)
		r.declare(strings.NewReplacer("database: DB\n", "database: DB2\n", "exporter: out\n", "exporter: out2\n").Replace(spec("a", minutely)))
		subject := schemas.JobSubject("kusto of DB2", "out2", schemas.LaneBackfill, "ns", "a", instant("2025-06-25T09:59:00Z"), schemas.AgainMark+"1")
		require.True(t, eventually(func() bool {
			m, err := s.pipe.Get(t.Context(), schemas.JobsStream, subject)
			return err == nil && m.Header.Get(schemas.HeaderExporter) == "out2"
		}))
	})

	t.Run("OK few at a time, each once, by two schedulers", func(t *testing.T) {
		const windows = 3*renewAhead + 5
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		for range windows - 1 {
			s.clock.advance(time.Minute)
			r.settle()
		}
		s.buryJobs(schemas.LaneLive, windows)
		other := s.start(nil, spec("a", minutely))
		other.settle()
		r.declare(mend("a"))
		other.declare(mend("a"))
		require.True(t, eventually(func() bool { return len(s.renewed()) >= renewAhead }))
		r.look()
		other.look()
		waiting := len(s.renewed())
		require.LessOrEqual(t, waiting, 2*renewAhead, "neither puts more than that")

		var mu sync.Mutex
		times := map[string]int{}
		var order []string
		stop := s.handle(schemas.Querier, schemas.JobsStream, schemas.JobFilter("kusto", "out", schemas.LaneBackfill), func(m *pipe.Message) error {
			job := new(wire.WindowJob)
			if err := proto.Unmarshal(m.Data, job); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			times[job.Window]++
			order = append(order, job.Window)
			return nil
		})
		defer stop()
		require.True(t, eventually(func() bool {
			select {
			case r.renewals.wake <- struct{}{}:
			case other.renewals.wake <- struct{}{}:
			}
			mu.Lock()
			defer mu.Unlock()
			return len(times) == windows
		}))
		until(t, nil, func() []string { return stringsOf(s.letters()) })
		stop()
		for window, n := range times {
			require.Equal(t, 1, n, window)
		}
		require.True(t, slices.IsSorted(order[:renewAhead]), "the oldest first: %v", order)
	})

	t.Run("OK those left are for the newest spec", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		for range renewAhead + 1 {
			s.clock.advance(time.Minute)
			r.settle()
		}
		s.buryJobs(schemas.LaneLive, renewAhead+2)
		r.declare(mend("a"))
		require.True(t, eventually(func() bool { return len(s.letters()) == 2 }))
		r.look()
		require.Len(t, s.letters(), 2)
		s.buryJobs(schemas.LaneBackfill, renewAhead)
		r.declare(strings.Replace(mend("a"), "T2", "T3", 1))
		require.True(t, eventually(func() bool { return len(s.renewed()) == renewAhead }))
		for _, job := range s.renewed() {
			require.Contains(t, job, "#3 T3")
		}
		require.Contains(t, s.renewed()[0], "10:15:00/10:16:00", "those that nobody came to are the oldest letters")
	})

	t.Run("OK not what is suspended, gone or elsewhere", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		s.buryJobs(schemas.LaneLive, 1)
		for _, specs := range [][]string{
			{strings.Replace(mend("a"), "spec:\n", "spec:\n  suspend: true\n", 1)},
			{strings.Replace(mend("a"), "spec:\n", "spec:\n  criteria: {region: [westus]}\n", 1)},
			{spec("b", minutely)},
		} {
			r.declare(specs...)
			r.settle()
			r.look()
			require.Empty(t, s.renewed())
			require.Len(t, s.letters(), 1)
		}
		r.declare(mend("a"))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2"}, s.renewed)
		// One that fails while it is suspended.
		r.declare(strings.Replace(mend("a"), "T2", "T3", 1))
		r.settle()
		r.declare(strings.Replace(mend("a"), "spec:\n", "spec:\n  suspend: true\n", 1))
		r.settle()
		s.buryJobs(schemas.LaneBackfill, 1)
		r.look()
		require.Empty(t, s.renewed())
		r.declare(strings.Replace(mend("a"), "T2", "T3", 1))
		until(t, []string{"backfill 09:59:00/10:00:00#3 T3"}, s.renewed)
	})

	t.Run("OK not by one whose spec is a former one", func(t *testing.T) {
		s := newStage(t, now)
		old := s.start(nil, spec("a", minutely))
		old.settle()
		old.declare(mend("a"))
		old.settle()
		newest := strings.Replace(mend("a"), "T2", "T3", 1)
		r := s.start(nil, newest)
		r.settle()
		r.stop()
		s.buryJobs(schemas.LaneLive, 1)
		old.look()
		require.Empty(t, s.renewed(), "it gives way")
		require.Len(t, s.letters(), 1)
		s.start(nil, newest)
		until(t, []string{"backfill 09:59:00/10:00:00#3 T3"}, s.renewed)
	})

	t.Run("ErrNoJob", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely))
		r.settle()
		subject := s.jobs()[0].Window
		_, err := s.pipe.Publish(t.Context(), pipe.Outgoing{Subject: schemas.JobSubject("kusto", "out", schemas.LaneBackfill, "ns", "a", instant(now), ""),
			Header: map[string][]string{schemas.HeaderWindow: {subject}}, Data: []byte("\xff\xff")})
		require.NoError(t, err)
		s.buryJobs(schemas.LaneBackfill, 1)
		s.buryJobs(schemas.LaneLive, 1)
		r.declare(mend("a"))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2"}, s.renewed)
		r.look()
		require.Len(t, s.letters(), 1, "it waits for somebody to drop it")
		require.Empty(t, s.logs("could not be put back"))
	})

	t.Run("ErrNoStream", func(t *testing.T) {
		s := newStage(t, now)
		r := s.start(nil, spec("a", minutely), spec("b", minutely))
		r.settle()
		s.bury(schemas.Querier, schemas.JobsStream, "k2o.job.kusto.out.live.ns.a.>", 1)
		r.look()
		stream, err := s.pipe.JS.Stream(t.Context(), schemas.DeadStream)
		require.NoError(t, err)
		cfg := stream.CachedInfo().Config
		require.NoError(t, s.pipe.JS.DeleteStream(t.Context(), schemas.DeadStream))
		r.look()
		require.Len(t, s.logs("WARN windows that failed with a former spec could not be put back, trying again"), 1)
		// The stream is another, whose ids begin anew.
		_, err = s.pipe.JS.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
		s.bury(schemas.Querier, schemas.JobsStream, "k2o.job.kusto.out.live.ns.b.>", 1)
		require.Equal(t, []uint64{1}, s.letters())
		r.declare(mend("a"), mend("b"))
		until(t, []string{"backfill 09:59:00/10:00:00#2 T2"}, s.renewed)
		require.Eventually(t, func() bool { return len(s.events(schemas.EventRetrying, "b")) == 1 }, time.Minute, time.Millisecond)
	})
}

func stringsOf(ids []uint64) []string {
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprint(id))
	}
	return list
}
