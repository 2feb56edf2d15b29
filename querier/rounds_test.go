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
	last := time.Time{}
	for range 100 {
		now = now.Add(time.Millisecond)
		back := now.Add(r.next("test/a"))
		require.GreaterOrEqual(t, back.Sub(last), roundPace)
		last = back
	}
	require.Equal(t, roundTime, r.next("test/b"), "each has its own")
	now = now.Add(roundTime)
	require.Equal(t, roundTime, r.next("test/a"), "another round")
	require.Len(t, r.of, 1, "others are forgotten")
}
