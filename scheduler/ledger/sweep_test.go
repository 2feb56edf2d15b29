package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What is done and old goes; what is not finished stays, and so does what follows
// it in the sums.
func TestSweep(t *testing.T) {
	p := pipetest.MustOpen(t)
	const day = 24 * 60 // windows
	s := newStory("x").withSkipped(-30, 30).export(0).export(day).event(2*day, schemas.EventFailed, 1).export(3 * day).export(4 * day)
	now := func() time.Time { return began.Add(200 * time.Hour) }
	start(t, Config{Pipe: p, Now: now}, nil)
	publish(t, p, s.events)
	settle(t, p)
	windows, before := read(t, p, "x", now())
	require.Len(t, windows, 6)

	b, err := openBucket(t.Context(), p.JS)
	require.NoError(t, err)
	keys := func() []string {
		list, err := b.keys(t.Context(), ">")
		require.NoError(t, err)
		return list
	}
	require.NoError(t, sweep(t.Context(), b, began))
	require.Len(t, keys(), 11, "nothing is that old")

	require.NoError(t, sweep(t.Context(), b, began.Add(3*24*time.Hour+time.Hour)))
	require.ElementsMatch(t, []string{epochKey, "day.ns.x.20250627", "window.ns.x.20250627.0950",
		"day.ns.x.20250628", "day.ns.x.20250629", "window.ns.x.20250629.0950"}, keys())
	_, sum := read(t, p, "x", now())
	require.Equal(t, before.LastExported, sum.LastExported)
	require.EqualValues(t, 1, sum.States[StateFailed])

	// It succeeds at last.
	publish(t, p, newStory("x").export(2*day).events)
	settle(t, p)
	require.NoError(t, sweep(t.Context(), b, now()))
	require.Equal(t, []string{epochKey}, keys())
}

// A replay into a day whose records are gone, but not what they add up to, takes nothing
// of that away.
func TestSweepThenReplay(t *testing.T) {
	p := pipetest.MustOpen(t)
	const day = 24 * 60 // windows
	s := newStory("x").event(0, schemas.EventFailed, 1)
	for n := day + 2; n < day+12; n++ { // a chunk
		if n == day+5 || n == day+8 {
			s.event(n, schemas.EventPlanned, 1).event(n, schemas.EventFailed, 2).event(n, schemas.EventDropped, 3, letter(n*60+2))
			continue
		}
		s.export(n)
	}
	now := func() time.Time { return began.Add(200 * time.Hour) }
	start(t, Config{Pipe: p, Now: now}, nil)
	publish(t, p, s.events)
	settle(t, p)
	b, err := openBucket(t.Context(), p.JS)
	require.NoError(t, err)
	require.NoError(t, sweep(t.Context(), b, now()))
	windows, before := read(t, p, "x", now())
	require.Len(t, windows, 1, "only the failed one is kept")
	require.Len(t, before.Gaps, 4)

	for _, n := range []int{day + 5, day + 10} { // one after the other: the second finds what the first left
		publish(t, p, newStory("x").event(n, schemas.EventQueried, 100, request("r"), run("r")).events)
		settle(t, p)
	}
	windows, after := read(t, p, "x", now())
	require.Len(t, windows, 3)
	require.Equal(t, slices.DeleteFunc(before.Gaps, func(g Gap) bool { return g.Start.Equal(began.Add((day + 5) * time.Minute)) }), after.Gaps)
}
