package querier

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Jobs that are given back come again in their order, and a long row of them slowly.
func TestRounds(t *testing.T) {
	now := time.Unix(0, 0)
	r := &rounds{now: func() time.Time { return now }}
	require.Equal(t, roundTime, r.next(), "one alone")
	last := now.Add(roundTime)
	for range 1000 { // longer than a round
		now = now.Add(30 * time.Millisecond)
		back := now.Add(r.next())
		require.Equal(t, roundPace, back.Sub(last))
		last = back
	}
	now = last
	require.Equal(t, roundTime, r.next(), "another row")
}
