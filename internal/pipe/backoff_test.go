package pipe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The wait doubles from half a second up to the limit, less a random part of at
// most a half.
func TestBackoff(t *testing.T) {
	const limit = 15 * time.Second
	for attempt, full := range map[uint64]time.Duration{
		1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 5: 8 * time.Second, 6: limit, 31: limit, 1 << 40: limit,
	} {
		seen := map[time.Duration]bool{}
		for range 200 {
			d := backoff(attempt, limit)
			require.GreaterOrEqual(t, d, full/2)
			require.LessOrEqual(t, d, full)
			seen[d] = true
		}
		require.Greater(t, len(seen), 100, "what failed together must not come back together")
	}
}
