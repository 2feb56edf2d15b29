package querier

import (
	"errors"
	"sync"
	"time"
)

const (
	// roundTime is for how long a job is given back at least whose MetricsExporter's
	// batches are stuck at the exporter, and roundPace how far those of one consumer are
	// apart when they come again: the server delivers them before any new job, which
	// would wait for ever behind more of them than can be looked at.
	roundTime = 15 * time.Second
	roundPace = 50 * time.Millisecond
)

var errStuck = errors.New("the exporter does not take the batches that the MetricsExporter has waiting")

// rounds says for how long the jobs of one consumer are given back that wait for
// something else than their turn.
type rounds struct {
	now func() time.Time

	mu   sync.Mutex
	last time.Time // when the last of them comes again
}

// next returns for how long another job is given back: it comes after all those before.
func (r *rounds) next() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	at := now.Add(roundTime)
	if next := r.last.Add(roundPace); next.After(at) {
		at = next
	}
	r.last = at
	return at.Sub(now)
}
