package sender

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// outage has batches of two MetricsExporters fail in turn, from a sequence on.
func (w *ward) outage(t *testing.T, first uint64, one, other string) {
	t.Helper()
	for n := first; n < first+40; n += 2 {
		w.send(one, errDown, n)
		w.send(other, errDown, n+1)
	}
	require.Equal(t, phaseDown, w.phase)
}

func TestStuck(t *testing.T) {
	t.Run("OKOneFails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			began := time.Now()
			w.send("test/bad", errDown, 1, 2)
			w.send("test/good", nil, 3)
			require.Empty(t, w.stuck(), "twice is nothing")
			time.Sleep(time.Second)
			w.send("test/bad", errDown, upTo(4, 100)...)
			require.Equal(t, []schemas.Stuck{{MetricsExporter: "test/bad", Batches: 99, Bytes: 990, Since: began, Reason: errDown.Error()}}, w.stuck())
			w.send("test/good", nil, 101)
			require.Len(t, w.stuck(), 1)
		})
	})
	t.Run("OKBothLanes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			w.send("test/bad", errDown, 2, 3, 4)
			w.wait(&turn{lane: schemas.LaneBackfill, key: "test/bad", sequence: 5, size: 100})
			w.done(w.take()[0], errDown)
			w.send("test/good", nil, 6)
			w.send("test/worse", errDown, 7)
			w.send("test/worse", errDown, 8, 9)
			w.with(func() {
				w.putAside(&turn{lane: schemas.LaneLive, key: "test/worse", sequence: 10, size: 1000, recall: func(time.Duration) {}})
			})
			list := w.stuck()
			require.Len(t, list, 2)
			require.Equal(t, "test/worse", list[0].MetricsExporter, "the most bytes first")
			require.EqualValues(t, 1030, list[0].Bytes)
			require.EqualValues(t, 130, list[1].Bytes)
			require.Equal(t, 4, list[1].Batches)
		})
	})
	t.Run("OKSomeOfOneFail", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			for n := uint64(1); n <= retriesOfOne; n++ {
				require.Empty(t, w.stuck())
				w.send("test/bad", errDown, 10*n)
				w.send("test/bad", nil, 10*n+1)
			}
			list := w.stuck()
			require.Len(t, list, 1, "its newer ones wait for those that fail")
			require.Equal(t, retriesOfOne+1, list[0].Batches, "one waits already")
		})
	})
	t.Run("OKMended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			w.send("test/bad", errDown, 2, 3, 4, 5)
			w.send("test/good", nil, 6)
			require.Len(t, w.stuck(), 1)
			w.send("test/bad", nil, 2, 3, 4, 5)
			require.Empty(t, w.stuck())
		})
	})
	t.Run("OKOutage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			w.outage(t, 2, "test/bad", "test/good")
			require.Empty(t, w.stuck(), "nobody's are accepted")
		})
	})
	t.Run("OKOnlyOneIsThere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", nil, 1)
			w.send("test/bad", errDown, upTo(2, 60)...)
			require.Equal(t, phaseDown, w.phase)
			require.Empty(t, w.stuck(), "it takes no one's room")
		})
	})
	t.Run("OKOthersAreSilent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			w.send("test/bad", errDown, upTo(2, 60)...)
			require.Equal(t, phaseDown, w.phase, "nobody knows")
			require.Len(t, w.stuck(), 1, "but others' room is left to them")
		})
	})
	t.Run("OKTwoAndOthersAreSilent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1, 2, 3)
			w.send("test/good", nil, 4)
			w.send("test/worse", errDown, 5, 6, 7)
			w.send("test/good", nil, 8)
			w.send("test/bad", errDown, upTo(9, 60)...)
			w.send("test/worse", errDown, upTo(61, 200)...)
			before := w.stuck()
			require.Len(t, before, 2)

			time.Sleep(vouches + time.Minute)
			w.send("test/bad", errDown, upTo(9, 15)...)
			w.send("test/worse", errDown, upTo(61, 69)...)
			w.send("test/new", errDown, upTo(202, 220)...)
			require.Equal(t, phaseDown, w.phase, "nobody knows")
			require.False(t, w.lone())
			told := w.stuck()
			require.Len(t, told, 2, "those it was known of, as far as it was known")
			for i := range told {
				require.Equal(t, before[i].Bytes, told[i].Bytes)
			}
		})
	})
	t.Run("OKInherited", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.inherit("test/bad")
			w.inherit("test/mended")
			require.Empty(t, w.stuck(), "nothing waits of it as far as this process knows")
			w.send("test/mended", nil, 1)
			w.send("test/bad", errDown, upTo(2, 9)...)
			require.Len(t, w.stuck(), 1)
			w.send("test/mended", errDown, upTo(10, 20)...)
			list := w.stuck()
			require.Equal(t, phaseDown, w.phase)
			require.Len(t, list, 1)
			require.Equal(t, "test/bad", list[0].MetricsExporter)
			w.with(func() { w.suspects["test/mended"].failures = failuresToDoubt })
			require.Equal(t, list, w.stuck(), "of what was mended it may be the outage")
			w.inherit("test/mended")
			require.Equal(t, list, w.stuck(), "this process knows better")
			require.Len(t, w.bequeath(), 1)
		})
	})
	t.Run("OKGone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			w.send("test/bad", errDown, 2, 3, 4)
			w.send("test/good", nil, 61)
			require.Len(t, w.stuck(), 1)
			time.Sleep(2 * asideMost) // another process has it
			w.send("test/good", nil, 62)
			require.Empty(t, w.stuck())
			require.Empty(t, w.bequeath(), "nor is it handed on for ever")
			w.outage(t, 100, "test/x", "test/y")
			require.Empty(t, w.stuck(), "what it was long ago says nothing")
		})
	})
	t.Run("OKOutageBeginsWithOne", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/good", nil, 1)
			w.send("test/first", errDown, 2, 3, 4)
			require.Len(t, w.stuck(), 1, "others were accepted once")
			w.send("test/first", errDown, upTo(5, 30)...)
			require.True(t, w.lone())
			require.Len(t, w.stuck(), 1, "as far as anybody knows")
			w.send("test/good", errDown, upTo(31, 60)...)
			require.Empty(t, w.stuck(), "now it is known better")
			require.Empty(t, w.bequeath())
		})
	})
	t.Run("OKRecovering", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			w.send("test/bad", errDown, 1, 2, 3)
			w.send("test/good", nil, 4)
			w.send("test/bad", errDown, upTo(5, 60)...)
			before := w.stuck()
			require.Len(t, before, 1)
			time.Sleep(vouches + time.Minute)
			w.send("test/new", errDown, upTo(61, 70)...)
			w.send("test/good", errDown, upTo(71, 80)...)
			require.False(t, w.lone())
			time.Sleep(2 * asideMost) // what was given back is not fetched, and forgotten
			require.Equal(t, before, w.stuck())
			time.Sleep(time.Minute)
			for _, turn := range w.take() {
				w.done(turn, nil)
			}
			require.Equal(t, phaseRecovering, w.phase)
			require.Equal(t, before, w.stuck(), "it has not been fetched again")
		})
	})
}
