package querier

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

const (
	// turnWait is how long a job waits whose MetricsExporter has its share already;
	// with every further wait it is longer, up to maxTurnWait, since a long row of
	// them need not all be looked at every second.
	turnWait    = time.Second
	maxTurnWait = 15 * time.Second

	// The rest that a MetricsExporter is given after a query that is to be tried
	// again: as long as the query took, which leaves the others half of the time, and
	// no less than keeps a long row of jobs that fail at once from being a storm. It
	// is shorter than the first backoff, so that a job alone never meets it.
	minRest = 200 * time.Millisecond
	maxRest = 5 * time.Minute
)

// shares divides a cluster's slots among MetricsExporters. Without them one whose
// queries hang until their timeout would, since the server delivers what failed
// before what is new, take every slot for ever.
type shares struct {
	mu   sync.Mutex
	most int // queries of one MetricsExporter at a time
	now  func() time.Time
	of   map[string]*share
}

type share struct {
	running int
	failing bool      // the last query failed, to be tried again
	rest    time.Time // until then none is run

	moved time.Time     // when a query last began or ended
	left  chan struct{} // closed and made anew when one ends
}

func newShares(slots int, now func() time.Time) *shares {
	return &shares{most: max(slots-1, 1), now: now, of: map[string]*share{}}
}

var errNoTurn = errors.New("other queries of the MetricsExporter are under way or failed just now")

// join is enter, but waits for a turn that is about to come: while the queries of a
// MetricsExporter begin and end as they should, the next of a long row of windows
// is not put back behind all others, which would leave them in no order at all.
func (s *shares) join(ctx context.Context, key string, attempt uint64) (leave func(error), err error) {
	for {
		leave, err := s.enter(key, attempt)
		if err == nil {
			return leave, nil
		}
		left, patience := s.moving(key)
		if left == nil {
			return nil, err
		}
		t := time.NewTimer(patience)
		select {
		case <-left:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, err
		}
		t.Stop()
	}
}

// moving returns a channel that is closed when the next query of a MetricsExporter
// ends, and for how long that is worth waiting for; nil when it is not: queries
// failed, or hang.
func (s *shares) moving(key string) (left <-chan struct{}, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.of[key]
	if e == nil {
		// All have ended since: now is the time.
		closed := make(chan struct{})
		close(closed)
		return closed, 0
	}
	patience = turnWait - s.now().Sub(e.moved)
	if e.failing || patience <= 0 {
		return nil, 0
	}
	return e.left, patience
}

// enter takes a turn for a query of a MetricsExporter, or says how long its job is
// to wait: it has one slot less than there are, one at a time after a failure, and
// none while it rests. The returned function ends the turn with how the query went.
func (s *shares) enter(key string, attempt uint64) (leave func(error), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.of[key]
	if e == nil {
		e = &share{left: make(chan struct{})}
		s.of[key] = e
	}
	now := s.now()
	wait := min(turnWait*time.Duration(min(attempt, 15)), maxTurnWait)
	switch {
	case now.Before(e.rest):
		return nil, pipe.Later(errNoTurn, min(max(e.rest.Sub(now), turnWait), maxTurnWait))
	case e.running >= s.most, e.failing && e.running > 0:
		return nil, pipe.Later(errNoTurn, wait)
	}
	e.running++
	e.moved = now
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e.running--
		close(e.left)
		e.left = make(chan struct{})
		kind, _ := pipe.KindOf(err)
		e.failing = err != nil && (kind == pipe.KindRetry || kind == pipe.KindRetryAfter)
		ended := s.now()
		e.moved = ended
		if e.failing {
			e.rest = ended.Add(min(max(ended.Sub(now), minRest), maxRest))
		} else if e.running == 0 {
			delete(s.of, key)
		}
	}, nil
}
