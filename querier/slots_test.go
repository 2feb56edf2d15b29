package querier

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// queue waits in line for a slot and returns what closes once it is granted.
func queue(t *testing.T, s *slots, lane schemas.Lane) <-chan struct{} {
	t.Helper()
	granted := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(lane)
	*q = append(*q, granted)
	s.grant()
	return granted
}

func isGranted(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestSlots(t *testing.T) {
	t.Run("OKBackfillLeavesTheLast", func(t *testing.T) {
		s := newSlots(3)
		b1, b2, b3 := queue(t, s, schemas.LaneBackfill), queue(t, s, schemas.LaneBackfill), queue(t, s, schemas.LaneBackfill)
		require.True(t, isGranted(b1))
		require.True(t, isGranted(b2))
		require.False(t, isGranted(b3))
		l1, l2 := queue(t, s, schemas.LaneLive), queue(t, s, schemas.LaneLive)
		require.True(t, isGranted(l1))
		require.False(t, isGranted(l2))
		s.release()
		require.True(t, isGranted(l2), "live goes first")
		require.False(t, isGranted(b3))
		s.release()
		require.False(t, isGranted(b3), "one slot is free, and the last")
		s.release()
		require.True(t, isGranted(b3))
	})
	t.Run("OKOnlyOne", func(t *testing.T) {
		s := newSlots(1)
		require.True(t, isGranted(queue(t, s, schemas.LaneBackfill)))
		b, l := queue(t, s, schemas.LaneBackfill), queue(t, s, schemas.LaneLive)
		s.release()
		require.True(t, isGranted(l))
		require.False(t, isGranted(b))
		s.release()
		require.True(t, isGranted(b))
	})
	t.Run("ErrCancelled", func(t *testing.T) {
		s := newSlots(1)
		release, err := s.acquire(t.Context(), schemas.LaneLive)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.acquire(ctx, schemas.LaneLive)
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, s.live)
		release()
		require.Zero(t, s.running)
	})
	t.Run("ErrCancelledWhenGranted", func(t *testing.T) {
		s := newSlots(1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // either may be seen first
			if release, err := s.acquire(ctx, schemas.LaneLive); err == nil {
				release()
			}
			require.Zero(t, s.running)
		}
	})
	t.Run("OKNeverMoreThanMax", func(t *testing.T) {
		s := newSlots(2)
		var mu sync.Mutex
		running, most := 0, 0
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				if i%7 == 0 {
					go cancel()
				}
				defer cancel()
				release, err := s.acquire(ctx, schemas.Lanes[i%2])
				if err != nil {
					return
				}
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				mu.Lock()
				running--
				mu.Unlock()
				release()
			})
		}
		wg.Wait()
		require.LessOrEqual(t, most, 2)
		require.Zero(t, s.running)
	})
}
