package querier

import (
	"errors"
	"sync"
	"time"
)

const (
	// roundTime is how long the first job of a MetricsExporter is given back for whose
	// batches are stuck at the exporter, and roundPace how much longer each other one
	// that comes within that time: about in their order, and few at a time.
	roundTime = 15 * time.Second
	roundPace = 50 * time.Millisecond
)

var errStuck = errors.New("the exporter does not take the batches that the MetricsExporter has waiting")

// rounds says for how long jobs are given back that wait for something else than
// their turn.
type rounds struct {
	mu  sync.Mutex
	now func() time.Time
	of  map[string]*round
}

// round is the jobs of one MetricsExporter and lane that were given back since it began.
type round struct {
	began time.Time
	jobs  int
}

func newRounds(now func() time.Time) *rounds { return &rounds{now: now, of: map[string]*round{}} }

// next returns for how long another job is given back.
func (r *rounds) next(key string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	e := r.of[key]
	if e == nil || now.Sub(e.began) >= roundTime {
		for key, e := range r.of {
			if now.Sub(e.began) >= roundTime {
				delete(r.of, key)
			}
		}
		e = &round{began: now}
		r.of[key] = e
	}
	e.jobs++
	return roundTime + time.Duration(e.jobs-1)*roundPace
}
