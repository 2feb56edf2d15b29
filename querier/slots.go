package querier

import (
	"context"
	"slices"
	"sync"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// slots bounds the queries that run on one cluster at a time. A live window that
// waits goes first, and a backfill leaves the last slot to live ones where there
// is more than one: a backfill never delays a live window by more than a query.
type slots struct {
	mu       sync.Mutex
	max      int
	running  int
	live     []chan struct{} // who waits, in order
	backfill []chan struct{}
}

func newSlots(n int) *slots { return &slots{max: max(n, 1)} }

// acquire waits for a slot, which the returned function gives back.
func (s *slots) acquire(ctx context.Context, lane schemas.Lane) (release func(), err error) {
	granted := make(chan struct{})
	s.mu.Lock()
	q := s.queue(lane)
	*q = append(*q, granted)
	s.grant()
	s.mu.Unlock()
	select {
	case <-granted:
		return s.release, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(*q, granted); i >= 0 {
		*q = slices.Delete(*q, i, i+1)
	} else {
		s.running-- // granted meanwhile
	}
	s.grant()
	return nil, context.Cause(ctx)
}

func (s *slots) queue(lane schemas.Lane) *[]chan struct{} {
	if lane == schemas.LaneLive {
		return &s.live
	}
	return &s.backfill
}

func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.grant()
}

// grant gives the free slots to those who wait.
func (s *slots) grant() {
	for len(s.live) > 0 && s.running < s.max {
		s.give(&s.live)
	}
	reserved := 0
	if s.max > 1 {
		reserved = 1
	}
	for len(s.backfill) > 0 && s.running < s.max-reserved {
		s.give(&s.backfill)
	}
}

func (s *slots) give(q *[]chan struct{}) {
	s.running++
	close((*q)[0])
	*q = (*q)[1:]
}
