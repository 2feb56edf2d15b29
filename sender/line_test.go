package sender

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// send has live batches of a MetricsExporter wait, and each that is admitted end with
// err. It returns how many were admitted.
func (w *ward) send(key string, err error, sequences ...uint64) (n int) {
	for _, seq := range sequences {
		w.wait(&turn{lane: schemas.LaneLive, key: key, sequence: seq, size: 10})
		for _, t := range w.take() {
			n++
			if w.done(t, err) {
				w.wait(t)
			}
		}
	}
	return n
}

// with calls look with the breaker locked.
func (w *ward) with(look func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	look()
}

func (w *ward) mayFetch() (open bool) {
	w.with(func() { open = w.isOpen })
	return open
}

func upTo(from, to uint64) (n []uint64) {
	for ; from <= to; from++ {
		n = append(n, from)
	}
	return n
}

// One MetricsExporter's batches always fail.
func TestBreakerOneFails(t *testing.T) {
	t.Run("OKNeverOpens", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1, 2)
			require.Equal(t, 1, w.send("test/good", nil, 3))
			for n := uint64(10); n < 1000; n += 10 {
				w.send("test/bad", errDown, n, n+1, n+2, n+3, n+4, n+5, n+6)
				require.Equal(t, 1, w.send("test/good", nil, n+7), "at once")
				time.Sleep(time.Minute)
			}
			require.Empty(t, w.log, "others were accepted since it began to fail")
		})
	})
	t.Run("OKAlsoWithRetryAfter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1)
			w.send("test/good", nil, 2)
			w.send("test/bad", pipe.RetryAfter(errDown, time.Hour), 3)
			require.Empty(t, w.log, "what one tenant is asked is not for others")
		})
	})
	t.Run("OKOpensUntilAnotherIsAccepted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, upTo(1, 40)...)
			require.Equal(t, []phase{phaseDown}, w.phases(), "all that there was has failed")
			require.True(t, w.fetchable(t.Context()), "but what else there is is looked for")
			require.Len(t, w.waiting, 2, "and has a worker")
			require.Equal(t, upTo(7, 40), w.aside)
			require.Equal(t, 1, w.send("test/good", nil, 41), "at once, probe or not")
			require.Equal(t, []phase{phaseDown, phaseUp}, w.phases(), "it is not the endpoint")
			require.True(t, w.fetchable(t.Context()))
			time.Sleep(time.Minute)
			for _, turn := range w.take() {
				require.False(t, w.done(turn, errDown))
			}
			w.send("test/bad", errDown, upTo(50, 60)...)
			require.Len(t, w.log, 2, "nor is it now")
		})
	})
	t.Run("ErrAnotherFailsToo", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, upTo(1, 10)...)
			require.Equal(t, 1, w.send("test/other", errDown, 11))
			require.Zero(t, w.send("test/third", errDown, 12), "now it waits for its turn as a probe")
			require.Equal(t, phaseDown, w.phase)
			require.True(t, w.fetchable(t.Context()), "one more is looked at")
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			require.False(t, w.fetchable(ctx))
		})
	})
	t.Run("ErrNothingAcceptedForLong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1)
			w.send("test/good", nil, 2)
			time.Sleep(vouches)
			w.send("test/bad", errDown, upTo(3, 9)...)
			require.Equal(t, []phase{phaseDown}, w.phases(), "an old success vouches for nothing")
			require.True(t, w.fetchable(t.Context()))
		})
	})
	t.Run("OKTwoWhoFailHideNoThird", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.break5(t) // of test/a and test/b
			looked := 0
			// Each probe that fails lets more be fetched: all but the last are of the two.
			for seq := uint64(100); seq < 400; {
				time.Sleep(10 * time.Second)
				for _, turn := range w.take() {
					if w.done(turn, errDown) {
						w.wait(turn)
					}
				}
				for ; w.mayFetch() && seq < 400; seq++ {
					require.True(t, w.fetchable(t.Context()))
					looked++
					w.wait(&turn{lane: schemas.LaneLive, key: []string{"test/a", "test/b"}[seq%2], sequence: seq})
				}
				w.with(func() { require.LessOrEqual(t, len(w.waiting), inFlight-1, "a worker stays free to look") })
			}
			require.Equal(t, 300, looked)
			require.Less(t, time.Since(w.log[0].at), 3*time.Minute)
			w.wait(&turn{lane: schemas.LaneLive, key: "test/good", sequence: 400})
			for range 3 {
				time.Sleep(10 * time.Second)
				for _, turn := range w.take() {
					if turn.key == "test/good" {
						w.done(turn, nil)
						require.NotEqual(t, phaseDown, w.phase)
						return
					}
					if w.done(turn, errDown) {
						w.wait(turn)
					}
				}
			}
			t.Fatal("it had no turn")
		})
	})
}

// What one MetricsExporter may use of an exporter and lane.
func TestLine(t *testing.T) {
	t.Run("OKOnlySoManyAreTried", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1)
			w.send("test/good", nil, 2)
			require.Equal(t, retriesOfOne-1, w.send("test/bad", errDown, upTo(3, 1000)...))
			require.Len(t, w.aside, 1000-2-(retriesOfOne-1))
			require.Equal(t, 1, w.send("test/good", nil, 1001))
			require.Equal(t, 1, w.send("test/bad", errDown, 7), "those come again")
			l := w.lines[lineKey{schemas.LaneLive, "test/bad"}]
			require.WithinDuration(t, time.Now().Add(asideLeast+time.Duration(len(w.aside)-1)*asidePace), l.aside[len(l.aside)-1].due, time.Second,
				"the more there are, the less often each comes by")

			// It is accepted again: those set aside follow, some at a time, in their order.
			require.Equal(t, 1, w.send("test/bad", nil, 1))
			var order []uint64
			for turns := w.take(); len(turns) > 0; turns = w.take() {
				require.LessOrEqual(t, len(turns), called)
				order = append(order, sequences(turns)...)
				for _, turn := range turns {
					w.done(turn, nil)
				}
				time.Sleep(time.Millisecond)
			}
			require.IsIncreasing(t, order)
			require.Len(t, order, len(w.aside))
			require.Equal(t, w.aside[0], order[0])
		})
	})
	t.Run("OKNewOnesWait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1)
			w.send("test/good", nil, 2)
			w.send("test/bad", errDown, upTo(3, 60)...)
			for _, seq := range append(upTo(3, retriesOfOne+1), 1) {
				w.wait(&turn{lane: schemas.LaneLive, key: "test/bad", sequence: seq})
				for _, turn := range w.take() {
					if turn.sequence == seq {
						w.done(turn, nil)
					}
				}
			}
			require.Greater(t, len(w.lines[lineKey{schemas.LaneLive, "test/bad"}].aside), called)
			require.Zero(t, w.send("test/bad", nil, 100), "older ones are on their way")
			require.Contains(t, w.aside, uint64(100))
		})
	})
	t.Run("OKLookedAtInAnOutage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, upTo(1, 40)...)
			require.Equal(t, phaseDown, w.phase)
			var oldest uint64
			w.with(func() { oldest = oldestOf(w.waiting).sequence })
			probe := func() *turn {
				time.Sleep(10 * time.Second)
				turns := w.take()
				require.Len(t, turns, 1)
				return turns[0]
			}
			again := func(turn *turn) {
				require.True(t, w.done(turn, errDown))
				w.wait(turn)
			}
			// Whatever is looked at, the oldest has three of four turns.
			for seq := uint64(100); seq < 110; seq++ {
				for range turnsOfOldest {
					turn := probe()
					require.Equal(t, oldest, turn.sequence)
					again(turn)
				}
				again(probe())
				w.wait(&turn{lane: schemas.LaneLive, key: "test/bad", sequence: seq})
				require.NotContains(t, w.aside, seq, "it is held in the place of the one that was tried")
			}
			last := probe()
			for _, seq := range upTo(51, 60) { // that came by and went again
				w.with(func() {
					w.putAside(&turn{lane: schemas.LaneLive, key: "test/bad", sequence: seq, recall: func(time.Duration) {}})
				})
			}
			w.done(last, nil)
			synctest.Wait()
			require.Contains(t, w.aside, uint64(109), "older ones go first")
		})
	})
	t.Run("OKOnlySomeWorkers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			w.send("test/bad", errDown, 2, 3)
			w.send("test/good", nil, 4)
			w.send("test/bad", errDown, 5)
			w.queue(6) // test/a
			w.done(w.take()[0], nil)
			// Its requests take long now.
			for seq := uint64(10); seq < 14; seq++ {
				w.wait(&turn{lane: schemas.LaneLive, key: "test/bad", sequence: seq})
			}
			w.wait(&turn{lane: schemas.LaneLive, key: "test/bad", sequence: 2})
			slow := w.take()
			require.Equal(t, []uint64{10, 11}, sequences(slow))
			require.Equal(t, []uint64{12, 13, 2}, w.aside, "the other workers are for others")
			require.Equal(t, 1, w.send("test/good", nil, 20))
			w.done(slow[0], errDown)
			w.wait(&turn{lane: schemas.LaneLive, key: "test/bad", sequence: 2})
			require.Equal(t, []uint64{2}, sequences(w.take()))
		})
	})
	t.Run("OKWhatWentElsewhereIsForgotten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1)
			w.send("test/good", nil, 2)
			w.send("test/bad", errDown, upTo(3, 100)...)
			time.Sleep(time.Minute) // another process has sent them all
			require.Equal(t, 1, w.send("test/bad", nil, 101))
			require.Empty(t, w.lines)
			require.Empty(t, w.recalled)
		})
	})
	t.Run("OKStop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1)
			w.send("test/good", nil, 2)
			w.send("test/bad", errDown, upTo(3, 100)...)
			w.with(func() { w.phase = phaseDown }) // so that what is recalled does not go on here
			aside := slices.Clone(w.aside)
			w.close()
			synctest.Wait()
			require.ElementsMatch(t, aside, w.recalled, "another process need not wait for them")
		})
	})
}

// A batch that always gets 500.
func TestPoison(t *testing.T) {
	err500 := &serverError{errors.New("500")}
	// until sends the batch every ten seconds, and others as they are to be in between,
	// and returns after how many attempts it was given up; 0 when it was not.
	until := func(t *testing.T, w *ward, attempts int, err error, between func(n int)) int {
		for n := range attempts {
			time.Sleep(10 * time.Second)
			between(n)
			w.wait(&turn{lane: schemas.LaneLive, key: "test/bad", sequence: 1})
			for _, turn := range w.take() {
				if turn.sequence == 1 && !w.done(turn, err) && turn.poison {
					return n + 1
				}
			}
		}
		return 0
	}
	seq := uint64(10)
	next := func() uint64 { seq++; return seq }
	t.Run("OK", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			start := time.Now()
			require.NotZero(t, until(t, w, 100, err500, func(int) { w.send("test/good", nil, next()) }))
			require.GreaterOrEqual(t, time.Since(start), poisonTime)
			require.Less(t, time.Since(start), poisonTime+2*time.Minute)
			require.Empty(t, w.lines)
		})
	})
	t.Run("OKOthersOfItsMetricsExporterAreAccepted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			require.NotZero(t, until(t, w, 100, err500, func(int) { w.send("test/bad", nil, next()) }))
		})
	})
	t.Run("OKOthersOfItFailToo", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			require.NotZero(t, until(t, w, 100, err500, func(int) {
				w.send("test/bad", err500, next())
				w.send("test/good", nil, next())
			}))
		})
	})
	t.Run("OKOtherAnswersInBetween", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			require.Zero(t, until(t, w, 500, errDown, func(int) { w.send("test/good", nil, next()) }), "only 500 may be about the batch")
		})
	})
	t.Run("OKNobodyIsAccepted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			require.Zero(t, until(t, w, 500, err500, func(n int) {
				if n < 3 {
					w.send("test/other", err500, next())
				}
			}), "that is the endpoint")
		})
	})
	t.Run("OKNobodyIsSent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 2, 3, 4, 5, 6, 7, 8, 9)
			require.Zero(t, until(t, w, 500, err500, func(int) {}), "what was accepted before it proves nothing")
		})
	})
	t.Run("OKOverloaded", func(t *testing.T) {
		// One in five is accepted, of whomever.
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			require.Zero(t, until(t, w, 2000, err500, func(n int) {
				if n%5 == 4 {
					w.send("test/good", nil, next())
				} else {
					w.send("test/good", err500, next())
				}
			}))
		})
	})
	t.Run("OKFewAreSent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 2, 3, 4, 5, 6, 7, 8, 9)
			require.Zero(t, until(t, w, 90, err500, func(n int) {
				if n%20 == 19 {
					w.send("test/good", nil, next())
				}
			}), "four in a quarter of an hour")
		})
	})
	t.Run("OKEveryOtherFails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			require.Zero(t, until(t, w, 500, err500, func(int) {
				w.send("test/good", err500, next())
				w.send("test/good", nil, next())
			}))
		})
	})
	t.Run("OKMostMetricsExportersFail", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 2)
			w.send("test/second", err500, 3)
			w.send("test/third", err500, 4)
			require.Zero(t, until(t, w, 300, err500, func(int) { w.send("test/good", nil, next()) }))
		})
	})
	t.Run("OKHourOf500", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 2, 3, 4, 5, 6, 7, 8, 9)
			require.Zero(t, until(t, w, 360, err500, func(int) { w.send("test/good", err500, next()) }))
			require.Equal(t, phaseDown, w.phase)
		})
	})
}
