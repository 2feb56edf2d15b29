package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestSummary(t *testing.T) {
	at := func(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }
	window := func(from, to int) schemas.Window { return schemas.Window{Start: at(from), End: at(to)} }
	exports := func(s *story, from, to int) *story {
		for n := from; n < to; n++ {
			s.export(n)
		}
		return s
	}
	sum := func(t *testing.T, s *story, now time.Time) Summary {
		_, sum := records(t, now, s.events)
		return sum
	}

	t.Run("OK", func(t *testing.T) {
		got := sum(t, exports(newStory("x"), 0, 100), at(101))
		require.Equal(t, at(100), got.Watermark)
		require.Equal(t, time.Minute, got.Lag)
		require.Empty(t, got.Gaps)
		require.True(t, got.Ready)
		require.Equal(t, map[State]uint64{StateExported: 100, StateSkipped: 0}, got.States)
		require.EqualValues(t, 1000, got.Rows)
		require.Equal(t, "prom", got.Exporter)
	})

	t.Run("OKHeld", func(t *testing.T) {
		s := exports(exports(newStory("x"), 0, 30), 31, 100)
		s.event(30, schemas.EventPlanned, 1)
		require.Equal(t, at(30), sum(t, s, at(101)).Watermark)
		s.event(30, schemas.EventFailed, 2, because(schemas.Querier, "permanent", "no such table"))
		got := sum(t, s, at(101))
		require.Equal(t, at(30), got.Watermark)
		require.Equal(t, 71*time.Minute, got.Lag)
		require.False(t, got.Ready, "whatever was exported since")
		require.Equal(t, "failed windows whose dead letters were neither put back nor dropped: 1", got.Unready)
		require.Equal(t, []Gap{{window(30, 31), StateFailed, "failed"}}, got.Gaps)
		s.event(30, schemas.EventDropped, 3, letter(30*60+3))
		got = sum(t, s, at(101))
		require.Equal(t, at(100), got.Watermark)
		require.Equal(t, []Gap{{window(30, 31), StateFailed, "given up"}}, got.Gaps)
		require.True(t, got.Ready, got.Unready)
		s.export(30)
		require.Empty(t, sum(t, s, at(101)).Gaps)
		require.Equal(t, at(100), sum(t, s, at(101)).Watermark)
	})

	t.Run("OKNothingYet", func(t *testing.T) {
		got := sum(t, newStory("x").event(0, schemas.EventPlanned, 1), at(5))
		require.Zero(t, got.Watermark)
		require.Equal(t, 5*time.Minute, got.Lag)
		require.False(t, got.Ready)
		require.EqualValues(t, 1, got.Waiting())
		require.Equal(t, Backlog{1, 1}, got.Backlog[schemas.Querier])
	})

	t.Run("OKReportsOnTheirWay", func(t *testing.T) {
		s := exports(exports(newStory("x"), 0, 30), 40, 100)
		require.Equal(t, at(30), sum(t, s, at(101)).Watermark)
		got := sum(t, s, at(102))
		require.Equal(t, at(100), got.Watermark, "an hour after the first window behind was reported")
		require.Equal(t, []Gap{{window(30, 40), "", "nothing was reported of any window"}}, got.Gaps)
		for n := 30; n < 40; n++ {
			s.event(n, schemas.EventQueried, 100, request("r"), run("r"))
		}
		require.Empty(t, sum(t, s, at(102)).Gaps, "a replay closes it")
	})

	t.Run("OKSkipped", func(t *testing.T) {
		s := exports(exports(newStory("x"), 0, 30), 60, 100).withSkipped(30, 30)
		got := sum(t, s, at(101))
		require.Equal(t, at(100), got.Watermark)
		require.Equal(t, []Gap{{window(30, 60), StateSkipped, "30 windows were due more than catchUp, 1m0s, ago"}}, got.Gaps)
		s.event(40, schemas.EventQueried, 100, request("r"), run("r"))
		s.event(45, schemas.EventPlanned, 1)
		got = sum(t, s, at(101))
		require.Equal(t, at(45), got.Watermark, "whatever else is reported overrules it")
		require.Len(t, got.Gaps, 3)
	})

	t.Run("OKSkippedTwice", func(t *testing.T) {
		s := exports(exports(newStory("x"), 0, 30), 60, 100).withSkipped(30, 29).withSkipped(30, 30).withSkipped(40, 20).withSkipped(30, 30)
		got := sum(t, s, at(101))
		require.Equal(t, []Gap{{window(30, 60), StateSkipped, "30 windows were due more than catchUp, 1m0s, ago"}}, got.Gaps)
		require.EqualValues(t, 1, got.States[StateSkipped])
		got = sum(t, s.withSkipped(25, 10), at(101))
		require.Equal(t, []Gap{
			{window(30, 35), StateSkipped, "10 windows were due more than catchUp, 1m0s, ago"},
			{window(35, 60), StateSkipped, "30 windows were due more than catchUp, 1m0s, ago"},
		}, got.Gaps)
	})

	// A failure of more than ten minutes, which is of several chunks and days.
	t.Run("OKOneGap", func(t *testing.T) {
		s := exports(newStory("x"), 0, 5)
		for n := 5; n < 25*60; n++ {
			s.event(n, schemas.EventFailed, 1)
		}
		exports(s, 25*60, 25*60+1).event(25*60+1, schemas.EventFailed, 1)
		got := sum(t, s, at(25*60+2))
		require.Equal(t, []Gap{{window(5, 25*60), StateFailed, "failed"}, {window(25*60+1, 25*60+2), StateFailed, "failed"}}, got.Gaps)
		for n := 30; n < 60; n++ {
			s.event(n, schemas.EventDropped, 3, letter(n*60+1))
		}
		require.Equal(t, []Gap{{window(5, 30), StateFailed, "failed"}, {window(30, 60), StateFailed, "given up"}, {window(60, 25*60), StateFailed, "failed"},
			{window(25*60+1, 25*60+2), StateFailed, "failed"}}, sum(t, s, at(25*60+2)).Gaps)
	})

	t.Run("OKPutBack", func(t *testing.T) {
		s := exports(newStory("x"), 0, 5).event(5, schemas.EventFailed, 1, because(schemas.Querier, "permanent", "no such table")).
			event(5, schemas.EventRetrying, 2, because(schemas.Querier, "permanent", "dead letter 2 was put back where it failed"), letter(5*60+1))
		got := sum(t, s, at(7))
		require.Equal(t, "querier: no such table", got.LastError.String())
		require.EqualValues(t, 1, got.States[StatePlanned])
	})

	t.Run("OKReplayOnly", func(t *testing.T) {
		s := newStory("x").event(-500, schemas.EventPlanned, 1, request("r")).event(-499, schemas.EventFailed, 1, request("r"))
		exports(s, 0, 10)
		got := sum(t, s, at(10))
		require.Equal(t, at(10), got.Watermark, "windows that only a backfill asked for do not count")
		require.EqualValues(t, 1, got.Waiting())
	})

	t.Run("ErrFailing", func(t *testing.T) {
		s := exports(newStory("x"), 0, 10)
		fails := func(n int) {
			s.event(n, schemas.EventFailed, 1, because(schemas.Querier, "permanent", "no such table"))
		}
		fails(10)
		fails(11)
		got := sum(t, s, at(12))
		require.False(t, got.Failing)
		require.False(t, got.Ready, "the latest there is is an error")
		fails(12)
		s.event(13, schemas.EventPlanned, 1)
		got = sum(t, s, at(14))
		require.True(t, got.Failing)
		require.EqualValues(t, 3, got.FailedInARow)
		require.Equal(t, "querier: no such table", got.LastError.String())
		s.export(13)
		got = sum(t, s, at(14))
		require.False(t, got.Failing)
		require.Equal(t, "failed windows whose dead letters were neither put back nor dropped: 3", got.Unready)
		require.Equal(t, at(10), got.Watermark)
	})

	t.Run("ErrFailingOverHours", func(t *testing.T) {
		s := newStory("x")
		s.length = time.Hour
		for n := range 4 {
			s.event(n, schemas.EventFailed, 1)
		}
		require.True(t, sum(t, s, at(300)).Failing)
	})
}
