package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// backfilled is a spec with a backfill of the hour before ten, of 60 windows.
func backfilled(maxInFlight int, lines ...string) string {
	return spec("a", append(lines, fmt.Sprintf("backfill: {requestId: may, startTime: 2025-06-25T09:00:00Z, endTime: 2025-06-25T10:00:00Z, maxInFlight: %d}", maxInFlight))...)
}

// answers stands for all stages that follow: it takes the jobs of the backfill lane
// and reports what became of them.
type answers struct {
	stage   *stage
	outcome func(job *wire.WindowJob) schemas.EventType
	stop    func()

	mu    sync.Mutex
	times map[string]int // a window was asked for
	order []string
	now   int
	most  int           // under way at a time
	hold  chan struct{} // what is taken waits until it is closed; nil: not
}

func (s *stage) answer(hold chan struct{}) *answers {
	a := &answers{stage: s, times: map[string]int{}, hold: hold}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.pipe.Consume(ctx, pipe.ConsumerConfig{Stage: schemas.Querier, Stream: schemas.JobsStream, Durable: "answers",
			Filter: schemas.JobFilter("kusto", "out", schemas.LaneBackfill), Concurrency: 8, Handle: a.handle})
	}()
	var once sync.Once
	a.stop = func() { once.Do(func() { cancel(); require.NoError(s.tb, <-done) }) }
	s.tb.Cleanup(a.stop)
	return a
}

func (a *answers) handle(ctx context.Context, m *pipe.Message) error {
	job := new(wire.WindowJob)
	if err := proto.Unmarshal(m.Data, job); err != nil {
		return err
	}
	if job.Request == "" {
		return nil // the schedule's, catching up
	}
	a.mu.Lock()
	a.times[job.Window]++
	a.order = append(a.order, fmt.Sprintf("%s/%s#%d", clockTime(schemas.JobWindow(job).Start), clockTime(schemas.JobWindow(job).End), job.Generation))
	a.now++
	a.most = max(a.most, a.now)
	a.mu.Unlock()
	if a.hold != nil {
		select {
		case <-a.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	kind := schemas.EventQueried
	if a.outcome != nil {
		kind = a.outcome(job)
	}
	// Before the report, after which another may come.
	a.mu.Lock()
	a.now--
	a.mu.Unlock()
	return a.stage.pipe.Event(ctx, schemas.JobEvent(job, schemas.Querier, kind, time.Now()))
}

// windows returns what was asked for, in order, and checks that it was once.
func (a *answers) windows() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range a.times {
		require.Equal(a.stage.tb, 1, n, id)
	}
	return slices.Clone(a.order)
}

// until waits until the backfill's state is as wanted.
func (s *stage) until(id string, wanted func(request.State) bool) (state request.State) {
	s.tb.Helper()
	store := &request.Store{JS: s.pipe.JS}
	require.Eventually(s.tb, func() bool {
		var err error
		state, err = store.Read(s.tb.Context(), "ns", "a", id)
		require.NoError(s.tb, err)
		return state.Seq != 0 && wanted(state)
	}, time.Minute, 5*time.Millisecond)
	return state
}

// done waits until the backfill is.
func (s *stage) done(id string) request.State {
	s.tb.Helper()
	return s.until(id, request.State.Done)
}

// flying returns a function that returns the most windows that were in flight since,
// by the states that were published.
func (s *stage) flying(id string) func() int {
	s.tb.Helper()
	sub, err := s.pipe.JS.Conn().SubscribeSync(schemas.RequestSubject("ns", "a", id))
	require.NoError(s.tb, err)
	return func() (most int) {
		require.NoError(s.tb, s.pipe.JS.Conn().Flush())
		for {
			m, err := sub.NextMsg(time.Millisecond)
			if errors.Is(err, nats.ErrTimeout) {
				return most
			}
			require.NoError(s.tb, err)
			state := new(wire.Request)
			require.NoError(s.tb, proto.Unmarshal(m.Data, state))
			most = max(most, len(state.InFlight))
		}
	}
}

// minutes are the windows of an hour, of one generation.
func minutes(generation int) []string {
	var list []string
	for m := range 60 {
		start := instant("2025-06-25T09:00:00Z").Add(time.Duration(m) * time.Minute)
		list = append(list, fmt.Sprintf("%s/%s#%d", clockTime(start), clockTime(start.Add(time.Minute)), generation))
	}
	return list
}

func TestBackfill(t *testing.T) {
	t.Run("OKOnce", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		a, most := s.answer(nil), s.flying("may")
		r := s.start(nil, backfilled(1, minutely))
		state := s.done("may")
		require.EqualValues(t, 60, state.Windows)
		require.EqualValues(t, 60, state.Issued)
		require.EqualValues(t, 60, state.Exported)
		require.Empty(t, state.InFlight)
		require.Equal(t, minutes(1), a.windows())
		require.Equal(t, 1, a.most)
		require.Equal(t, 1, most())
		r.stop()

		// Another life, and another spec, do not run it again; another id does.
		r = s.start(nil, backfilled(2, "interval: 2m"))
		r.settle()
		r.stop()
		require.Len(t, a.windows(), 60)
		planned := 0
		for _, e := range s.events(schemas.EventPlanned, "a") {
			if e.Request == "may" {
				planned++
			}
		}
		require.Equal(t, 60, planned)
		require.Len(t, s.logs("backfill is done"), 1)
	})

	t.Run("OKMaxInFlight", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		hold := make(chan struct{})
		a, most := s.answer(hold), s.flying("may")
		s.start(nil, backfilled(3, minutely))
		watch, err := s.pipe.JS.OrderedConsumer(t.Context(), schemas.EventsStream, orderedBy("k2o.event.ns.a.planned"))
		require.NoError(t, err)
		for seen := 0; seen < 4; seen++ { // with the live one
			_, err := watch.Next()
			require.NoError(t, err)
		}
		close(hold)
		s.done("may")
		require.Len(t, a.windows(), 60)
		require.LessOrEqual(t, a.most, 3)
		require.Equal(t, 3, most())
	})

	t.Run("OKFailedGoesOn", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		a := s.answer(nil)
		a.outcome = func(job *wire.WindowJob) schemas.EventType {
			if schemas.JobWindow(job).Start.Minute()%3 == 0 {
				return schemas.EventFailed
			}
			return schemas.EventQueried
		}
		s.start(nil, backfilled(2, minutely))
		state := s.done("may")
		require.EqualValues(t, 20, state.Failed)
		require.EqualValues(t, 40, state.Exported)
	})

	t.Run("OKPaused", func(t *testing.T) {
		// A query that can never work does not fail every window of a backfill.
		s := newStage(t, "2025-06-25T10:00:30Z")
		a := s.answer(nil)
		a.outcome = func(job *wire.WindowJob) schemas.EventType {
			if job.Generation == 1 && schemas.JobWindow(job).Start.Minute() >= 10 {
				return schemas.EventFailed
			}
			return schemas.EventQueried
		}
		r := s.start(nil, backfilled(1, minutely))
		state := s.until("may", func(state request.State) bool { return state.Paused != "" })
		require.EqualValues(t, 10, state.Exported)
		require.EqualValues(t, pauseAfter, state.Failed)
		require.Equal(t, `3 windows in a row failed, the last error is ""`, state.Paused)
		r.stop()
		// Neither time nor another life goes on with it.
		s.clock.advance(time.Minute)
		r = s.start(nil, backfilled(1, minutely))
		r.settle()
		s.clock.advance(time.Minute)
		r.settle()
		require.Len(t, a.windows(), 13)
		require.Len(t, s.logs("the backfill is paused until the spec is changed"), 1)

		r.declare(backfilled(1, minutely, "ingestionDelay: 1s"))
		state = s.done("may")
		require.EqualValues(t, 57, state.Exported)
		require.EqualValues(t, 3, state.Failed)
		require.Empty(t, state.Paused)
		require.Len(t, a.windows(), 60)
	})

	t.Run("OKTwoSchedulers", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		a := s.answer(nil)
		s.start(nil, backfilled(4, minutely))
		s.start(nil, backfilled(4, minutely))
		state := s.done("may")
		require.EqualValues(t, 60, state.Exported)
		require.Len(t, a.windows(), 60)
		require.LessOrEqual(t, a.most, 4)
	})

	t.Run("OKChangedSpec", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		var r *running
		half := make(chan struct{})
		a := s.answer(nil)
		a.outcome = func(job *wire.WindowJob) schemas.EventType {
			if schemas.JobWindow(job).Start.Minute() == 31 {
				close(half)
			}
			return schemas.EventQueried
		}
		r = s.start(nil, backfilled(1, minutely))
		<-half
		r.declare(backfilled(1, "interval: 10m"))
		s.done("may")
		var at = "09:00:00"
		for _, w := range a.windows() { // without gap or overlap
			require.Equal(t, at, w[:8])
			at = w[9:17]
		}
		require.Equal(t, "10:00:00", at)
		require.Equal(t, "09:50:00/10:00:00#2", a.order[len(a.order)-1])
	})

	t.Run("OKOtherSpecElsewhere", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		hold := make(chan struct{})
		a := s.answer(hold)
		s.start(nil, backfilled(1, minutely)).settle()
		s.until("may", func(state request.State) bool { return state.Issued == 1 })
		// Another has a newer version of the file: its spec is the one from now on.
		s.clock.advance(10 * time.Minute)
		r := s.start(nil, spec("a", "interval: 10m"))
		r.settle()
		close(hold)
		s.until("may", func(state request.State) bool { return state.Exported == 1 })
		r.declare(backfilled(1, "interval: 10m"))
		s.done("may")
		require.Equal(t, []string{"09:00:00/09:01:00#1", "09:01:00/09:10:00#2", "09:10:00/09:20:00#2", "09:20:00/09:30:00#2",
			"09:30:00/09:40:00#2", "09:40:00/09:50:00#2", "09:50:00/10:00:00#2"}, a.windows())
	})

	t.Run("OKNotBeforeItIsDue", func(t *testing.T) {
		s := newStage(t, "2025-06-25T09:30:30Z")
		a := s.answer(nil)
		r := s.start(nil, backfilled(100, minutely, "ingestionDelay: 10m"))
		s.until("may", func(state request.State) bool { return state.Exported == 20 })
		require.Len(t, a.windows(), 20)
		s.clock.advance(40 * time.Minute)
		r.settle()
		s.done("may")
		require.ElementsMatch(t, minutes(1), a.windows())
	})

	t.Run("ErrRequestOfReplay", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		_, err := (&request.Store{JS: s.pipe.JS}).Advance(t.Context(), request.State{}, &wire.Request{Id: "may", Namespace: "ns", Name: "a",
			Kind: request.KindQuery, NextUnixNano: 1}, "out", nil)
		require.NoError(t, err)
		r := s.start(nil, backfilled(1, minutely))
		require.Eventually(t, func() bool {
			return len(s.logs("the backfill's requestId is that of a replay: it is not run")) == 1
		}, time.Minute, time.Millisecond)
		r.stop()
		require.Empty(t, func() (jobs []*wire.WindowJob) {
			for _, j := range s.jobs() {
				if j.Request != "" {
					jobs = append(jobs, j)
				}
			}
			return jobs
		}())
	})
}

// What another scheduler does of a backfill is no failure, and a failure after progress
// is a first one.
func TestBackfillConflicts(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	s.answer(nil)
	calls := 0
	s.startWith(nil, func(scheduler *Scheduler) {
		scheduler.backfills.store.Publish = func(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
			calls++
			if calls == 20 || calls == 30 {
				return nil, errors.New("no answer")
			}
			ack, err := jetstreamext.PublishMsgBatch(ctx, js, messages, opts...)
			if err == nil && calls <= 5 { // the other was first, with the same
				return nil, &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}
			}
			return ack, err
		}
	}, backfilled(1, minutely))
	require.EqualValues(t, 60, s.done("may").Exported)
	require.Len(t, s.logs("the backfill failed"), 2)
}

// A scheduler that is killed between any two steps of a backfill, and its successor,
// issue each window once and report each.
func TestBackfillKilledAnywhere(t *testing.T) {
	for n := 1; n <= 8; n++ {
		t.Run(fmt.Sprintf("OK at step %d", n), func(t *testing.T) {
			s := newStage(t, "2025-06-25T10:00:30Z")
			a := s.answer(nil)
			killed := make(chan struct{})
			var once sync.Once
			left := n
			r := s.startWith(nil, func(s *Scheduler) {
				s.backfills.probe = func() error {
					if left--; left > 0 {
						return nil
					}
					once.Do(func() { close(killed) })
					return errors.New("killed")
				}
			}, backfilled(1, minutely))
			<-killed
			r.stop()
			s.start(nil, backfilled(1, minutely))
			state := s.done("may")
			require.EqualValues(t, 60, state.Exported)
			require.Equal(t, minutes(1), a.windows())
			reported := map[string]bool{}
			for _, e := range s.events(schemas.EventPlanned, "a") {
				if e.Request == "may" {
					reported[e.Window] = true
				}
			}
			require.Len(t, reported, 60)
		})
	}
}

func orderedBy(subject string) jetstream.OrderedConsumerConfig {
	return jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}}
}

// Whoever takes over after a long time reads the events since the oldest window in
// flight was issued.
func TestBackfillSince(t *testing.T) {
	f := &backfill{backfills: new(backfills)}
	now := instant("2025-06-25T10:00:00Z")
	f.now.Store(now.UnixNano())
	f.state = request.State{Request: &wire.Request{}}
	require.Equal(t, now.Add(-time.Hour), f.since().UTC())
	for _, hours := range []time.Duration{3, 30, 5} {
		f.state.InFlight = append(f.state.InFlight, &wire.IssuedWindow{IssuedUnixNano: now.Add(-hours * time.Hour).UnixNano()})
	}
	require.Equal(t, now.Add(-31*time.Hour), f.since().UTC())
}

// A window of which nothing is told any more holds up the others no longer.
func TestBackfillUnreported(t *testing.T) {
	f := &backfill{tracker: request.NewTracker("may")}
	now := instant("2025-06-25T10:00:00Z")
	to := &wire.Request{InFlight: []*wire.IssuedWindow{
		{Window: "old", IssuedUnixNano: now.Add(-reportKept - 1).UnixNano()}, {Window: "new", IssuedUnixNano: now.Add(-reportKept).UnixNano()}}}
	require.Equal(t, []string{"old"}, f.settle(to, now))
	require.EqualValues(t, 1, to.Unreported)
	require.Len(t, to.InFlight, 1)
}
