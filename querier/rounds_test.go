package querier

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Jobs that are given back come again in their order, and a long row of them slowly.
func TestRounds(t *testing.T) {
	now := time.Unix(0, 0)
	r := newRounds(func() time.Time { return now })
	require.Equal(t, roundTime, r.next("test/a"), "one alone")
	last := now.Add(roundTime)
	for range 1000 { // longer than a round
		now = now.Add(30 * time.Millisecond)
		back := now.Add(r.next("test/a"))
		require.Equal(t, roundPace, back.Sub(last))
		last = back
	}
	require.Equal(t, roundTime, r.next("test/b"), "it does not wait behind those of another")
	require.Equal(t, 2*roundPace, now.Add(r.next("test/a")).Sub(last), "of which there are half as many then")
	now = last.Add(time.Minute)
	require.Equal(t, roundTime, r.next("test/b"), "another row")
	require.Len(t, r.last, 1, "others are forgotten")
}
