package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

var points = []point{pointRead, pointSkip, pointSkipped, pointIssue, pointIssued, pointReport, pointReported}

var errKilled = errors.New("killed")

// killAt makes a scheduler end at the n-th time it comes to a point: nothing of
// it does anything after that.
func killAt(r **running, at point, n int, killed *atomic.Int32) func(*Scheduler) {
	var mu sync.Mutex
	dead := false
	return func(s *Scheduler) {
		s.probe = func(p point) error {
			mu.Lock()
			defer mu.Unlock()
			if p == at {
				n--
			}
			if n > 0 && !dead {
				return nil
			}
			if !dead {
				dead = true
				killed.Add(1)
				(*r).cancel()
			}
			return errKilled
		}
	}
}

// A scheduler that is killed between any two steps, in a life that has a first
// run, live windows, a downtime with skips and a changed spec, and its
// successor, issue each window once.
func TestKilledAnywhere(t *testing.T) {
	catchUp := func(c *Config) { c.CatchUp = time.Hour }
	for _, at := range points {
		for n := 1; n <= 3; n++ {
			if n > 1 && (at == pointSkip || at == pointSkipped) {
				continue // a life has one skip
			}
			t.Run(fmt.Sprintf("OK %s, time %d", at, n), func(t *testing.T) {
				s := newStage(t, "2025-06-25T10:00:30Z")
				document := spec("a", minutely)
				var killed atomic.Int32
				live := func() (r *running) {
					ready := make(chan struct{})
					r = new(running)
					kill := killAt(&r, at, n, &killed)
					started := s.startWith(catchUp, func(s *Scheduler) {
						kill(s)
						inner := s.probe
						s.probe = func(p point) error { <-ready; return inner(p) }
					})
					r = started
					close(ready)
					r.declare(document)
					r.settle()
					return r
				}
				next := func(r *running) *running {
					r.settle()
					r.mu.Lock()
					dead := r.ended
					r.mu.Unlock()
					select {
					case <-r.done:
						dead = true
						r.done <- nil
					default:
					}
					if dead {
						r = s.start(catchUp, document)
						r.settle()
					}
					return r
				}
				r := next(live())
				for range 3 {
					s.clock.advance(time.Minute)
					r = next(r)
				}
				r.stop()
				s.clock.advance(5 * time.Hour)
				r = next(live())
				document = spec("a", "interval: 5m")
				r.declare(document)
				r = next(r)
				s.clock.advance(10 * time.Minute)
				r = next(r)
				r.stop()
				// A successor to whoever was killed last.
				s.start(catchUp, document).settle()
				s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T15:10:00Z"))
				if n == 1 {
					require.NotZero(t, killed.Load())
				}
			})
		}
	}
}

// What may become of a batch on its way.
func TestLostOnTheWay(t *testing.T) {
	lost := errors.New("no ack came")
	for name, publish := range map[string]func(s *stage, later *[]func()) publishFunc{
		"OK the ack is lost": func(s *stage, _ *[]func()) publishFunc {
			return func(ctx context.Context, js jetstream.JetStream, m []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
				if _, err := s.publish(ctx, js, m, opts...); err != nil {
					return nil, err
				}
				return nil, lost
			}
		},
		"OK the batch is lost": func(*stage, *[]func()) publishFunc {
			return func(context.Context, jetstream.JetStream, []*nats.Msg, ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
				return nil, lost
			}
		},
		"OK the batch arrives late": func(s *stage, later *[]func()) publishFunc {
			return func(_ context.Context, js jetstream.JetStream, m []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
				*later = append(*later, func() { _, _ = s.publish(context.Background(), js, m, opts...) })
				return nil, lost
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "2025-06-25T10:00:30Z")
			var later []func()
			failing := publish(s, &later)
			fail := true
			r := s.startWith(nil, func(sch *Scheduler) {
				sch.jobs.publish = func(ctx context.Context, js jetstream.JetStream, m []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
					if fail {
						fail = false
						return failing(ctx, js, m, opts...)
					}
					return s.publish(ctx, js, m, opts...)
				}
			}, spec("a", minutely))
			for i := range 10 {
				r.settle()
				if i%3 == 1 {
					fail = true
				}
				s.clock.advance(20 * time.Second)
				r.settle()
				for _, f := range later {
					f()
				}
				later = nil
				s.clock.advance(40 * time.Second)
			}
			r.settle()
			s.clock.advance(maxBackoff)
			r.settle()
			s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:10:00Z"))
			require.NotEmpty(t, s.logs("no ack came"))
		})
	}
}

type publishFunc = func(context.Context, jetstream.JetStream, []*nats.Msg, ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error)

// Several schedulers that come and go over the same resources.
func TestSeveralSchedulers(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	const resources = 10
	var specs []string
	for i := range resources {
		specs = append(specs, spec(fmt.Sprintf("a%d", i), minutely))
	}
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 1))
	var schedulers []*running
	for range 3 {
		schedulers = append(schedulers, s.start(nil, specs...))
	}
	for _, sch := range schedulers {
		sch.settle()
	}
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		s.clock.advance(time.Duration(1+r.IntN(3)) * time.Minute)
		if r.IntN(5) == 0 {
			i := r.IntN(len(schedulers))
			schedulers[i].cancel() // while it is at work
			schedulers[i] = s.start(nil, specs...)
		}
		if r.IntN(3) == 0 {
			for _, sch := range schedulers {
				sch.settle()
			}
		}
	}
	for _, sch := range schedulers {
		sch.settle()
	}
	// Somebody may have been stopped between a batch and its report.
	s.start(nil, specs...).settle()
	end := s.clock.Now().Truncate(time.Minute)
	for i := range resources {
		s.requireOnce(fmt.Sprintf("a%d", i), instant("2025-06-25T09:59:00Z"), end)
	}
}

// A rollout: some schedulers have the new version of a file, some the old one.
func TestRollout(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	before, after := spec("a", minutely), spec("a", minutely, "ingestionDelay: 1s")
	a, b := s.start(nil, before), s.start(nil, before)
	a.settle()
	b.settle()
	b.declare(after)
	b.settle()
	for range 120 {
		s.clock.advance(10 * time.Second)
		b.settle()
		a.settle()
	}
	generation := func() string {
		windows := s.windows("a")
		last := windows[len(windows)-1]
		return last[len(last)-2:]
	}
	require.Equal(t, "#2", generation(), "the older spec gave way")
	require.Len(t, s.logs("the spec has changed"), 1)

	// The new version is gone and was not rolled back: the old one takes over, once.
	b.stop()
	for range 120 {
		s.clock.advance(30 * time.Second)
		a.settle()
	}
	require.Equal(t, "#3", generation())
	require.Len(t, s.logs("took_over=true"), 1)

	a.declare(after)
	a.settle()
	s.clock.advance(time.Minute)
	a.settle()
	require.Equal(t, "#4", generation())
	s.requireOnce("a", instant("2025-06-25T09:59:00Z"), s.clock.Now().Truncate(time.Minute))
}

// One MetricsExporter whose ack does not come does not hold up the others.
func TestStuck(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	release := make(chan struct{})
	r := s.startWith(nil, func(sch *Scheduler) {
		sch.jobs.publish = func(ctx context.Context, js jetstream.JetStream, m []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
			if m[len(m)-1].Subject == "k2o.cursor.ns.stuck" {
				select {
				case <-release:
				case <-ctx.Done():
				}
				return nil, errors.New("no ack came")
			}
			return s.publish(ctx, js, m, opts...)
		}
	}, spec("stuck", minutely), spec("b", minutely), spec("c", minutely))
	require.Eventually(t, func() bool { return len(s.windows("b")) == 1 && len(s.windows("c")) == 1 }, 5*time.Second, time.Millisecond)
	s.clock.advance(time.Minute)
	require.Eventually(t, func() bool { return len(s.windows("b")) == 2 && len(s.windows("c")) == 2 }, 5*time.Second, time.Millisecond)
	require.Empty(t, s.windows("stuck"))
	close(release)
	r.settle()
}

// The cursor is deleted under a running scheduler, which knows where it was.
func TestCursorGone(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	r := s.start(nil, spec("a", minutely))
	r.settle()
	require.NoError(t, s.pipe.Purge(t.Context(), "K2O_JOBS", ">"))
	s.clock.advance(3 * time.Minute)
	r.settle()
	s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:03:00Z"))
	require.Len(t, s.windows("a"), 4)
}

// Without a stream to report to, the cursor does not leave behind what was not
// reported.
func TestEventsUnavailable(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	r := s.start(nil, spec("a", minutely))
	r.settle()
	stream, err := s.pipe.JS.Stream(t.Context(), schemas.EventsStream)
	require.NoError(t, err)
	require.NoError(t, s.pipe.JS.DeleteStream(t.Context(), schemas.EventsStream))
	for range 3 {
		s.clock.advance(time.Minute)
		r.settle()
	}
	require.Equal(t, []string{"live 09:59:00/10:00:00#1", "live 10:00:00/10:01:00#1"}, s.windows("a"))
	require.Len(t, s.logs("windows could not be issued, trying again"), 1)

	_, err = s.pipe.JS.CreateStream(t.Context(), stream.CachedInfo().Config)
	require.NoError(t, err)
	s.clock.advance(time.Minute)
	r.settle()
	require.Len(t, s.windows("a"), 5)
	require.Len(t, s.events(schemas.EventPlanned, "a"), 4, "all but the first, which went with the stream")
	require.Len(t, s.logs("windows are issued again"), 1)
}

// What is declared while a step is under way takes effect after it.
func TestChangedUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		specs [][]string
		want  []string
	}{
		"OK another spec":   {[][]string{{spec("a", "interval: 5m")}}, []string{"live 10:01:00/10:05:00#2"}},
		"OK gone":           {[][]string{{spec("b", minutely)}}, nil},
		"OK gone and back":  {[][]string{{spec("b", minutely)}, {spec("a", "interval: 5m")}}, []string{"live 10:01:00/10:05:00#2"}},
		"OK there and back": {[][]string{{spec("a", "interval: 5m")}, {spec("a", "interval: 4m")}}, []string{"live 10:01:00/10:04:00#2"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "2025-06-25T10:00:30Z")
			reached, release := make(chan struct{}), make(chan struct{})
			var issued atomic.Int32
			r := s.startWith(nil, func(sch *Scheduler) {
				sch.probe = func(p point) error {
					if p == pointIssue && issued.Add(1) == 2 {
						close(reached)
						<-release
					}
					return nil
				}
			}, spec("a", minutely))
			r.settle()
			s.clock.advance(time.Minute)
			<-reached
			for _, specs := range tt.specs {
				r.declare(specs...)
			}
			close(release)
			r.settle()
			s.clock.advance(4 * time.Minute)
			r.settle()
			require.Equal(t, append([]string{"live 09:59:00/10:00:00#1", "live 10:00:00/10:01:00#1"}, tt.want...), s.windows("a"))
		})
	}
}

// One that catches up lines up behind those that are due now.
func TestFairness(t *testing.T) {
	clock := newTestClock("2025-06-25T10:00:00Z")
	s := &Scheduler{cfg: Config{Clock: clock}.withDefaults(), entries: map[string]*entry{}, renewals: &renewals{present: map[string]present{}}}
	behind := &entry{key: "behind", target: &target{}, index: -1}
	behind.want = behind.target
	due := &entry{key: "due", index: -1}
	s.queue.put(due, clock.Now().Add(-time.Second))
	s.finish(result{entry: behind, next: clock.Now().Add(-time.Hour)})
	require.Same(t, due, s.queue.take(clock.Now()))
	require.Same(t, behind, s.queue.take(clock.Now()))
	require.Nil(t, s.queue.take(clock.Now()))
}

// A cursor that this version cannot read is left alone.
func TestCursorUnreadable(t *testing.T) {
	for name, m := range map[string]struct {
		version string
		data    []byte
		want    string
	}{
		"Err of a newer version": {"2", nil, `the message on k2o.cursor.ns.a has version "2" and this process reads up to 1`},
		"Err no protobuf":        {"1", []byte{0xff}, "decode the cursor on k2o.cursor.ns.a: "},
		"Err empty":              {"1", nil, "decode the cursor on k2o.cursor.ns.a: it has no position"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "2025-06-25T10:00:30Z")
			_, err := s.pipe.JS.PublishMsg(t.Context(), &nats.Msg{Subject: "k2o.cursor.ns.a", Header: nats.Header{"K2o-Version": {m.version}}, Data: m.data})
			require.NoError(t, err)
			r := s.start(nil, spec("a", minutely), spec("b", minutely))
			r.settle()
			require.Empty(t, s.windows("a"))
			require.Len(t, s.windows("b"), 1)
			require.Len(t, s.logs(m.want), 1)
		})
	}
}
