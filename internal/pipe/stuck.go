package pipe

import (
	"context"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// stuckAge is how long an answer about what is stuck is good for.
	stuckAge = 500 * time.Millisecond

	// stuckTime bounds the question: it is the same bucket for all exporters.
	stuckTime = 2 * time.Second

	// stuckShare is how much of an exporter's high-water mark, in percent, may be of
	// MetricsExporters whose batches the endpoint does not take though it takes others'.
	stuckShare = 50

	// maxStuckBatches is how many of their batches may wait: half of what a sender's lane may
	// have unacked before it gets nothing more.
	maxStuckBatches = 25_000
)

// stuck is which MetricsExporters' batches are not taken, by exporter.
type stuck struct {
	states func(ctx context.Context) ([]schemas.ExporterState, error)
	now    func() time.Time

	mu     sync.Mutex
	asking bool
	asked  time.Time
	of     map[string]*stuckOf
}

// stuckOf is what is stuck of one exporter.
type stuckOf struct {
	batches uint64
	bytes   uint64
	whose   map[string]bool // MetricsExporters, as namespace/name
}

// get returns what is stuck of an exporter. When it cannot be known the last answer
// stands.
func (s *stuck) get(ctx context.Context, exporter string) stuckOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); !s.asking && now.Sub(s.asked) >= stuckAge {
		s.asking, s.asked = true, now
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, stuckTime)
		states, err := s.states(ctx)
		cancel()
		s.mu.Lock()
		s.asking = false
		if err == nil {
			s.of = sumStuck(states)
		}
	}
	if of := s.of[exporter]; of != nil {
		return *of
	}
	return stuckOf{}
}

// sumStuck adds up what the senders tell.
func sumStuck(states []schemas.ExporterState) map[string]*stuckOf {
	sum := map[string]*stuckOf{}
	for _, state := range states {
		for _, s := range state.Stuck {
			of := sum[state.Exporter]
			if of == nil {
				of = &stuckOf{whose: map[string]bool{}}
				sum[state.Exporter] = of
			}
			of.batches += uint64(max(s.Batches, 0))
			of.bytes += s.Bytes
			of.whose[s.MetricsExporter] = true
		}
	}
	return sum
}

// full says whether there is no more room for what is stuck.
func (s stuckOf) full(mark uint64) bool {
	return s.bytes*100 >= mark*stuckShare || s.batches >= maxStuckBatches
}

// without returns how many of a backlog's bytes are not stuck, by the mean size.
func (s stuckOf) without(b Backlog) uint64 {
	if s.batches == 0 || b.Messages == 0 {
		return b.Bytes
	}
	rest := b.Messages - min(s.batches, b.Messages)
	return uint64(float64(b.Bytes) * float64(rest) / float64(b.Messages))
}
