package querier

import (
	"errors"
	"sync"
	"time"
)

const (
	// roundTime is for how long a job is given back at least whose MetricsExporter's
	// batches are stuck at the exporter, and roundPace how far those of one consumer are
	// apart on average when they come again: the server delivers them before any new
	// job, which would wait for ever behind more of them than can be looked at.
	roundTime = 15 * time.Second
	roundPace = 50 * time.Millisecond
)

var errStuck = errors.New("the exporter does not take the batches that the MetricsExporter has waiting")

// rounds says for how long the jobs of one consumer are given back that wait for
// something else than their turn.
type rounds struct {
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time // when the last one comes again, by MetricsExporter
}

func newRounds(now func() time.Time) *rounds { return &rounds{now: now, last: map[string]time.Time{}} }

// next returns for how long another job of a MetricsExporter is given back: it comes after
// all those before. A long row of one does not make those of another late.
func (r *rounds) next(key string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for k, last := range r.last {
		if last.Before(now) {
			delete(r.last, k)
		}
	}
	at := now.Add(roundTime)
	if next := r.last[key].Add(roundPace * time.Duration(len(r.last))); next.After(at) {
		at = next
	}
	r.last[key] = at
	return at.Sub(now)
}
