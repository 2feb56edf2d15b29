package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// A lateStage keeps what is issued for reconciliation apart from the schedule's.
type lateStage struct {
	*stage
	mu    sync.Mutex
	again []string // windows in order
	times map[string]int
}

func newLateStage(tb testing.TB, now string) *lateStage {
	return &lateStage{stage: newStage(tb, now), times: map[string]int{}}
}

func (s *lateStage) publish(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
	if !strings.HasSuffix(messages[len(messages)-1].Subject, ".reconcile.windows") {
		return s.stage.publish(ctx, js, messages, opts...)
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, js, messages, opts...)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range messages[:len(messages)-1] {
			id, perr := schemas.ParseWindowID(m.Header.Get(schemas.HeaderWindow))
			if perr != nil || m.Header.Get(schemas.HeaderRequest) != schemas.ReconcileRequest || m.Header.Get(schemas.HeaderLane) != "backfill" {
				panic(fmt.Sprint(perr, m.Header))
			}
			s.times[id.String()]++
			s.again = append(s.again, fmt.Sprintf("%s/%s#%d", clockTime(id.Window.Start), clockTime(id.Window.End), id.Generation))
		}
	}
	return ack, err
}

func (s *lateStage) run(change func(*Config), replace func(*Scheduler), specs ...string) *running {
	return s.startWith(change, func(r *Scheduler) {
		r.jobs.publish = s.publish
		if replace != nil {
			replace(r)
		}
	}, specs...)
}

// query takes all jobs off the stream, as queriers do.
func (s *lateStage) query() {
	s.tb.Helper()
	require.NoError(s.tb, s.pipe.Purge(s.tb.Context(), schemas.JobsStream, schemas.AllJobs))
}

// pass lets minutes pass one by one, with queriers at work.
func (s *lateStage) pass(minutes int, rs ...*running) {
	s.tb.Helper()
	for range minutes {
		s.query()
		s.clock.advance(time.Minute)
		for _, r := range rs {
			r.settle()
		}
	}
}

// windows returns the windows that were looked at again, each of which was once.
func (s *lateStage) windows() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.times {
		require.Equal(s.tb, 1, n, id)
	}
	return s.again
}

// minutesFrom are n windows of a minute, of generation 1.
func minutesFrom(start string, n int) []string {
	var list []string
	at := instant("2025-06-25T" + start + "Z")
	for range n {
		list = append(list, fmt.Sprintf("%s/%s#1", clockTime(at), clockTime(at.Add(time.Minute))))
		at = at.Add(time.Minute)
	}
	return list
}

// requirePlanned checks that all were reported, and nothing else was.
func (s *lateStage) requirePlanned() {
	s.tb.Helper()
	planned := map[string]bool{}
	for _, e := range s.events(schemas.EventPlanned, "a") {
		if e.Request != "" {
			require.Equal(s.tb, schemas.ReconcileRequest, e.Request)
			require.Equal(s.tb, "backfill", e.Lane)
			require.Equal(s.tb, "out", e.Exporter)
			planned[e.Window] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.times {
		require.True(s.tb, planned[id], id)
	}
	require.Len(s.tb, planned, len(s.times))
}

const reconciling = "reconcile: {after: 10m, lookback: 30m}"

func TestReconcile(t *testing.T) {
	t.Run("OK every window, after", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		r := s.run(nil, nil, spec("a", minutely, reconciling))
		r.settle()
		s.pass(9, r)
		require.Empty(t, s.windows())
		s.pass(1, r)
		require.Equal(t, minutesFrom("09:59:00", 1), s.windows())
		jobs := s.jobs()
		require.Equal(t, schemas.ReconcileRequest, jobs[len(jobs)-1].Request)
		s.pass(20, r)
		require.Equal(t, minutesFrom("09:59:00", 21), s.windows())
		s.requirePlanned()
		s.requireOnce("a")
	})

	t.Run("OK when it is due to the moment", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		r := s.run(nil, nil, spec("a", "interval: 1h", "reconcile: {after: 10m}"))
		r.settle()
		s.query()
		s.clock.advance(9 * time.Minute)
		r.settle()
		s.clock.advance(29 * time.Second)
		require.LessOrEqual(t, r.settle(), time.Second)
		require.Empty(t, s.windows())
		s.clock.advance(time.Second)
		r.settle()
		require.Equal(t, []string{"09:00:00/10:00:00#1"}, s.windows())
	})

	t.Run("OK a downtime, as far as lookback", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		r := s.run(nil, nil, spec("a", minutely, reconciling))
		r.settle()
		s.pass(15, r)
		require.Len(t, s.windows(), 6)
		r.stop()
		s.query()
		s.clock.advance(15 * time.Minute) // within
		r = s.run(nil, nil, spec("a", minutely, reconciling))
		r.settle()
		s.pass(1, r)
		require.Equal(t, minutesFrom("09:59:00", 22), s.windows())
		r.stop()
		s.query()
		s.clock.advance(60 * time.Minute) // 10:31:30 → 11:31:30
		r = s.run(nil, nil, spec("a", minutely, reconciling))
		r.settle()
		s.pass(1, r)
		// Of the minute in which the schedule's own queries were waited for too.
		require.Equal(t, append(minutesFrom("09:59:00", 22), minutesFrom("11:02:00", 20)...), s.windows())
		require.Len(t, s.logs("longer ago than reconcile.lookback"), 2)
		s.requirePlanned()
	})

	t.Run("OK added later: what was issued, within lookback", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		r := s.run(nil, nil, spec("a", minutely))
		r.settle()
		s.pass(60, r)
		s.query()
		r.declare(spec("a", minutely, reconciling))
		r.settle()
		require.Equal(t, minutesFrom("10:30:00", 20), s.windows())
		require.Empty(t, s.logs("longer ago than"))
		r.declare(spec("a", minutely)) // and taken away
		r.settle()
		s.pass(5, r)
		require.Len(t, s.windows(), 20)
		s.requireOnce("a")
	})

	t.Run("OK a first query that waits is waited for", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		r := s.run(nil, nil, spec("a", minutely, reconciling))
		r.settle()
		for range 12 {
			s.clock.advance(time.Minute)
			r.settle()
		}
		require.Empty(t, s.windows())
		require.Len(t, s.logs("has not been run yet"), 1)
		s.query()
		s.clock.advance(lateWait)
		r.settle()
		require.Equal(t, minutesFrom("09:59:00", 3), s.windows())
	})

	t.Run("OK windows that were skipped are left alone", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		short := func(c *Config) { c.CatchUp = 15 * time.Minute }
		r := s.run(short, nil, spec("a", minutely, "reconcile: {after: 10m, lookback: 3h}"))
		r.settle()
		r.stop()
		s.query()
		s.clock.advance(time.Hour) // 11:00:30; windows due before 10:45:30 are skipped
		r = s.run(short, nil, spec("a", minutely, "reconcile: {after: 10m, lookback: 3h}"))
		r.settle()
		s.pass(1, r)
		require.Equal(t, append(minutesFrom("09:59:00", 1), minutesFrom("10:45:00", 6)...), s.windows())
	})

	t.Run("OK another spec: its own windows", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		r := s.run(nil, nil, spec("a", minutely, reconciling))
		r.settle()
		s.pass(12, r)
		require.Len(t, s.windows(), 3)
		r.declare(spec("a", "interval: 5m", reconciling)) // from 10:12 on
		r.settle()
		s.pass(20, r)
		require.Equal(t, append(minutesFrom("09:59:00", 3), "10:12:00/10:15:00#2", "10:15:00/10:20:00#2"), s.windows())
	})

	t.Run("OK two schedulers", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		a := s.run(nil, nil, spec("a", minutely, reconciling))
		b := s.run(nil, nil, spec("a", minutely, reconciling))
		a.settle()
		b.settle()
		s.pass(40, a, b)
		s.query()
		// One may have left it to the other, which was refused once.
		s.clock.advance(maxBackoff)
		a.settle()
		b.settle()
		got := s.windows()
		require.GreaterOrEqual(t, len(got), 29)
		require.Equal(t, minutesFrom("09:59:00", len(got)), got)
		s.requirePlanned()
	})

	t.Run("OK killed for good before the report", func(t *testing.T) {
		s := newLateStage(t, "2025-06-25T10:00:30Z")
		r := s.run(nil, func(r *Scheduler) {
			r.probe = func(p point) error {
				if p == pointLateIssued {
					return errors.New("killed")
				}
				return nil
			}
		}, spec("a", minutely, reconciling))
		r.settle()
		s.pass(10, r)
		r.stop()
		require.Len(t, s.windows(), 1)
		r = s.run(nil, nil, spec("a", minutely, reconciling))
		r.settle()
		s.requirePlanned()
	})

	t.Run("OK killed anywhere", func(t *testing.T) {
		for _, at := range []point{pointLateRead, pointLateIssue, pointLateIssued, pointLateReported} {
			s := newLateStage(t, "2025-06-25T10:00:30Z")
			killed := errors.New("killed")
			var mu sync.Mutex
			n := 0
			kill := func(r *Scheduler) {
				r.probe = func(p point) error {
					mu.Lock()
					defer mu.Unlock()
					if p == at {
						if n++; n%2 == 1 {
							return killed
						}
					}
					return nil
				}
			}
			for range 12 {
				r := s.run(nil, kill, spec("a", minutely, reconciling))
				r.settle() // the first window is of the time before
				s.pass(2, r)
				r.stop()
			}
			s.clock.advance(maxBackoff)
			r := s.run(nil, nil, spec("a", minutely, reconciling))
			r.settle()
			s.pass(1, r)
			require.Equal(t, minutesFrom("09:59:00", 16), s.windows(), at)
			s.requirePlanned()
			require.Greater(t, n, 1, at)
		}
	})
}

// requireOnce checks that the schedule is what it was without reconciliation.
func (s *lateStage) requireOnce(name string) {
	s.tb.Helper()
	list := s.stage.windows(name)
	require.NotEmpty(s.tb, list)
	seen := map[string]bool{}
	for _, w := range list {
		require.False(s.tb, seen[w], w)
		require.True(s.tb, strings.HasPrefix(w, "live "), w)
		seen[w] = true
	}
}
