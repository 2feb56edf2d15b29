package sender

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

var errDown = errors.New("connection refused")

// ward is a breaker under test, with the turns it admitted, in order.
type ward struct {
	*breaker
	ctx      context.Context
	admitted chan *turn
	log      []transition

	seen     sync.Mutex
	aside    []uint64 // sequences, in the order in which they were given back
	recalled []uint64
}

func newWard(t *testing.T) *ward {
	w := &ward{ctx: t.Context(), admitted: make(chan *turn, 1000)}
	w.breaker = newBreaker(8*time.Second, time.Now, func(tr transition) { w.log = append(w.log, tr) })
	t.Cleanup(w.close)
	return w
}

// wait has t wait for its turn, in the background.
func (w *ward) wait(t *turn) {
	w.deliver(t)
	synctest.Wait()
}

// deliver is wait that does not wait until t does. What is recalled is delivered
// again, as the server would.
func (w *ward) deliver(t *turn) {
	t.recall = func(time.Duration) {
		w.seen.Lock()
		defer w.seen.Unlock()
		w.recalled = append(w.recalled, t.sequence)
		w.deliver(&turn{lane: t.lane, key: t.key, sequence: t.sequence, size: t.size, stored: t.stored})
	}
	go func() {
		switch w.acquire(w.ctx, t) {
		case verdictGo:
			w.admitted <- t
		case verdictAside:
			w.seen.Lock()
			defer w.seen.Unlock()
			w.aside = append(w.aside, t.sequence)
		}
	}()
}

// queue has live batches of one MetricsExporter wait.
func (w *ward) queue(sequences ...uint64) {
	for _, n := range sequences {
		w.wait(&turn{lane: schemas.LaneLive, key: "test/a", sequence: n})
	}
}

// take returns the turns that are admitted now, by sequence: those admitted at the
// same moment have no order.
func (w *ward) take() (turns []*turn) {
	synctest.Wait()
	for len(w.admitted) > 0 {
		turns = append(turns, <-w.admitted)
	}
	slices.SortFunc(turns, func(a, b *turn) int { return int(a.sequence) - int(b.sequence) })
	return turns
}

func sequences(turns []*turn) (n []uint64) {
	for _, t := range turns {
		n = append(n, t.sequence)
	}
	return n
}

// break5 opens the breaker with five failures of batches of two MetricsExporters; the
// last batch is kept and waits.
func (w *ward) break5(t *testing.T) {
	t.Helper()
	for n := range uint64(failuresToOpen) {
		w.wait(&turn{lane: schemas.LaneLive, key: []string{"test/a", "test/b"}[n%2], sequence: n + 1})
		turn := w.take()[0]
		again := w.done(turn, errDown)
		require.Equal(t, n == failuresToOpen-1, again, "until it opens, a batch goes back to the stream")
		if again {
			w.wait(turn)
		}
	}
	require.Equal(t, phaseDown, w.phase)
}

func (w *ward) phases() (p []phase) {
	for _, t := range w.log {
		p = append(p, t.phase)
	}
	return p
}

func TestBreakerOpens(t *testing.T) {
	t.Run("OKSuccessBetween", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			for n := range uint64(30) {
				w.wait(&turn{lane: schemas.LaneLive, key: strconv.FormatUint(n, 10), sequence: n})
				var err error
				switch n % 5 {
				case 3:
					err = pipe.Permanent(errors.New("400")) // an answer, so it is there
				case 4:
				default:
					err = errDown
				}
				require.False(t, w.done(w.take()[0], err))
			}
			require.Equal(t, phaseUp, w.phase)
			require.Empty(t, w.log)
		})
	})
	t.Run("ErrInARow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			require.Equal(t, []phase{phaseDown}, w.phases())
			require.True(t, w.log[0].first)
			require.Equal(t, "connection refused", w.log[0].reason)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			require.False(t, w.fetchable(ctx), "nothing is fetched while it is down")
		})
	})
	t.Run("ErrRetryAfter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.queue(1, 2)
			turns := w.take()
			require.True(t, w.done(turns[0], pipe.RetryAfter(errDown, time.Minute)), "one such answer is enough")
			w.wait(turns[0])
			require.True(t, w.done(turns[1], errDown), "what was under way is kept too")
			w.wait(turns[1])
			time.Sleep(time.Minute - time.Millisecond)
			require.Empty(t, w.take(), "the whole exporter is left alone for as long as it asked")
			time.Sleep(time.Second)
			require.Equal(t, []uint64{1}, sequences(w.take()))
		})
	})
}

func TestBreakerProbes(t *testing.T) {
	t.Run("OKOneAtATimeWithBackoff", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			w.queue(9, 7, 8)
			start, tried, last := time.Now(), map[uint64]int{}, time.Duration(0)
			for time.Since(start) < time.Hour {
				turns := w.take()
				if len(turns) == 0 {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				require.Len(t, turns, 1, "one, alone")
				tried[turns[0].sequence]++
				last = time.Since(w.log[len(w.log)-1].at)
				require.LessOrEqual(t, last, 8*time.Second+200*time.Millisecond)
				time.Sleep(time.Minute) // a probe that hangs: no other meanwhile
				require.Empty(t, w.take())
				require.True(t, w.done(turns[0], errDown))
				w.wait(turns[0])
			}
			require.GreaterOrEqual(t, last, 4*time.Second, "backed off up to maxBackoff")
			require.Greater(t, tried[5], 30, "mostly the oldest")
			require.Greater(t, tried[7], 5, "and others, should it be the oldest that fails")
			require.False(t, w.log[len(w.log)-1].first, "it is one outage")
		})
	})
	t.Run("OKNotBesideWhatIsUnderWay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.queue(100)
			late := w.take()[0]
			w.break5(t)
			time.Sleep(time.Minute)
			require.Empty(t, w.take(), "a request that began before is as good as a probe")
			require.True(t, w.done(late, errDown))
			require.Equal(t, []uint64{5}, sequences(w.take()))
		})
	})
	t.Run("OKTurnsAmongMetricsExporters", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			w.queue(6, 7)
			w.wait(&turn{lane: schemas.LaneLive, key: "test/b", sequence: 8})
			var probed []uint64
			for range 4 {
				time.Sleep(9 * time.Second)
				turns := w.take()
				probed = append(probed, sequences(turns)...)
				require.True(t, w.done(turns[0], errDown))
				w.wait(turns[0])
			}
			require.Equal(t, []uint64{5, 8, 5, 8}, probed)
		})
	})
	t.Run("OKTurnsAmongLanes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			w.wait(&turn{lane: schemas.LaneBackfill, key: "test/c", sequence: 1})
			var probed []uint64
			for range 9 {
				time.Sleep(9 * time.Second)
				turns := w.take()
				probed = append(probed, sequences(turns)...)
				require.True(t, w.done(turns[0], errDown))
				w.wait(turns[0])
			}
			require.Equal(t, []uint64{5, 5, 5, 1, 5, 5, 5, 1, 5}, probed)
		})
	})
	t.Run("OKStop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan bool, 1)
			go func() { ended <- w.acquire(ctx, &turn{lane: schemas.LaneLive, sequence: 1}) == verdictStop }()
			synctest.Wait()
			cancel()
			require.True(t, <-ended)
			time.Sleep(9 * time.Second)
			require.Equal(t, []uint64{5}, sequences(w.take()), "who left is not waited for")
		})
	})
	t.Run("OKAbandoned", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.queue(1)
			w.abandon(w.take()[0])
			require.Zero(t, w.running)
			require.Zero(t, w.failures, "a request this process cut short says nothing of the endpoint")
		})
	})
}

func TestBreakerRecovers(t *testing.T) {
	t.Run("OKRampsUpOldestFirstLiveFirst", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			before := time.Now()
			for n := uint64(40); n > 10; n-- { // more than there are workers, and backwards
				w.wait(&turn{lane: schemas.LaneLive, key: "test/a", sequence: n, stored: before})
			}
			w.wait(&turn{lane: schemas.LaneBackfill, key: "test/a", sequence: 1, stored: before})
			time.Sleep(time.Second)
			probe := w.take()
			require.Equal(t, []uint64{5}, sequences(probe))
			require.False(t, w.done(probe[0], nil))
			require.True(t, w.fetchable(t.Context()))
			var order []uint64
			most := 0
			running := w.take()
			require.Len(t, running, 1, "not all at once")
			for len(running) > 0 {
				most = max(most, len(running))
				order = append(order, running[0].sequence)
				require.False(t, w.done(running[0], nil))
				running = append(running[1:], w.take()...)
			}
			require.Len(t, order, 30)
			for i, n := range order {
				require.InDelta(t, 11+i, n, called, "%v", order)
			}
			require.LessOrEqual(t, most, maxRequests)
			require.Equal(t, []phase{phaseDown, phaseRecovering, phaseUp}, w.phases())
			require.Equal(t, w.log[0].at, w.log[2].since)
			time.Sleep(liveIdle)
			require.Equal(t, []uint64{1}, sequences(w.take()), "the backfill goes when live batches do not wait any more")
		})
	})
	t.Run("OKBackfillGoesBesideNewLive", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			time.Sleep(time.Second)
			probe := w.take()[0]
			w.wait(&turn{lane: schemas.LaneBackfill, sequence: 1, stored: time.Now()})
			w.done(probe, nil)
			require.Empty(t, w.take())
			time.Sleep(time.Millisecond)
			// A live batch stored since: what had waited is gone, whatever comes now.
			w.wait(&turn{lane: schemas.LaneLive, sequence: 50, stored: time.Now()})
			live := w.take()
			require.Equal(t, []uint64{50}, sequences(live), "recovering admits one at first")
			w.done(live[0], nil)
			require.Equal(t, []uint64{1}, sequences(w.take()))
		})
	})
	t.Run("ErrAgain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t)
			time.Sleep(time.Second)
			w.queue(6, 7)
			w.done(w.take()[0], nil)
			turn := w.take()[0]
			require.True(t, w.done(turn, errDown), "one failure is enough while it recovers")
			w.wait(turn)
			require.Equal(t, []phase{phaseDown, phaseRecovering, phaseDown}, w.phases())
			require.False(t, w.log[2].first, "and it is the same outage")
			require.Equal(t, w.log[0].since, w.log[2].since)
			require.Greater(t, w.log[2].next.Sub(w.log[2].at), 500*time.Millisecond, "the backoff goes on where it was")
		})
	})
	t.Run("OKLateSuccess", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.queue(100)
			late := w.take()[0]
			w.break5(t)
			require.False(t, w.done(late, nil))
			require.Equal(t, []uint64{5}, sequences(w.take()), "an answer is an answer")
		})
	})
}
