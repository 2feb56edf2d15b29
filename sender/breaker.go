package sender

import (
	"context"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// failuresToOpen is how many requests in a row, each with a retryable error,
	// open a breaker. Fewer may be about their batches.
	failuresToOpen = 5

	// maxRequests is what a closed breaker admits at a time: every worker of both
	// lanes.
	maxRequests = 2 * inFlight

	// liveIdle is how long no live batch must have been there before backfills go
	// on after an outage.
	liveIdle = 250 * time.Millisecond
)

// phase is what a breaker lets through.
type phase string

const (
	phaseUp         phase = "up"         // everything
	phaseDown       phase = "down"       // one request now and then, to see
	phaseRecovering phase = "recovering" // some requests, and more with each that succeeds
)

// breaker decides when a batch may be sent to one exporter's endpoint. Both lanes
// share it; each process has its own, and finds out for itself.
//
// While the endpoint is down, the batches that were on their way stay with their
// workers, under their leases, and none is fetched. That keeps the order: a batch
// given back with a delay would be overtaken by all that is sent in the meantime,
// and by the end of the outage it has waited longer than the delay that it is
// given then. One of them, the oldest live one, is tried again with exponential
// delay. When it arrives, the others follow, one more at a time with each success.
//
// It is not sony/gobreaker, or another of its kind, because those refuse a call
// and leave the caller to come back. Here who may go next is the point: waiting in
// order, one lane before the other, a delay that the endpoint names, the slow
// start. What would be left for a library is counting to failuresToOpen.
type breaker struct {
	maxBackoff time.Duration
	changed    func(transition) // called under the lock: must not block

	mu       sync.Mutex
	phase    phase
	failures uint64 // in a row: requests while up, probes while down
	probes   bool   // whether a probe is due
	timer    *time.Timer
	limit    int // requests admitted at a time
	running  int
	live     int // of them live
	waiting  []*turn
	down     transition    // how the outage began
	closed   chan struct{} // closed unless the phase is down

	// After an outage, what live batches had to wait for it goes before backfills.
	draining  bool
	recovered time.Time
	idle      *time.Timer
}

// transition is a change of a breaker's phase.
type transition struct {
	phase  phase
	at     time.Time
	since  time.Time // when the endpoint was found to be down
	first  bool      // of down: it was not before
	reason string    // the last error
	next   time.Time // of down: when the endpoint is tried again
}

// turn is one batch's wait for its request.
type turn struct {
	lane     schemas.Lane
	key      string    // its MetricsExporter
	sequence uint64    // in the stream
	stored   time.Time // when
	admitted chan struct{}
	probed   uint64 // how often it was the probe of this outage
}

func newBreaker(maxBackoff time.Duration, changed func(transition)) *breaker {
	b := &breaker{maxBackoff: maxBackoff, changed: changed, phase: phaseUp, limit: maxRequests, closed: make(chan struct{})}
	close(b.closed)
	return b
}

// fetchable waits until batches may be fetched, and is false when ctx ends before.
func (b *breaker) fetchable(ctx context.Context) bool {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	select {
	case <-closed:
		return true
	case <-ctx.Done():
		return false
	}
}

// acquire waits until t may send its request, which done must follow. It is false
// when ctx ends before.
func (b *breaker) acquire(ctx context.Context, t *turn) bool {
	b.mu.Lock()
	t.admitted = make(chan struct{})
	b.waiting = append(b.waiting, t)
	if t.lane == schemas.LaneLive && b.draining && t.stored.After(b.recovered) {
		b.stopDraining() // the oldest go first: those before it have gone
	}
	b.dispatch()
	b.mu.Unlock()
	select {
	case <-t.admitted:
		return true
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == t {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.watchIdle()
			return false
		}
	}
	return true // admitted meanwhile
}

// dispatch admits who may go.
func (b *breaker) dispatch() {
	for b.free() {
		i := b.next()
		if i < 0 {
			break
		}
		t := b.waiting[i]
		b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
		b.running++
		if t.lane == schemas.LaneLive {
			b.live++
		}
		if b.phase == phaseDown {
			b.probes = false
			t.probed++
		}
		close(t.admitted)
	}
	b.watchIdle()
}

// free says whether one more request may begin.
func (b *breaker) free() bool {
	if b.phase == phaseDown {
		return b.probes && b.running == 0
	}
	return b.running < b.limit
}

// next returns who of the waiting goes first: a live batch before a backfill's,
// then the oldest. Probes take turns among MetricsExporters, lest one whose
// batches alone fail keep all others from being tried.
func (b *breaker) next() int {
	best := -1
	for i, t := range b.waiting {
		if b.draining && t.lane != schemas.LaneLive {
			continue
		}
		if best < 0 || b.before(t, b.waiting[best]) {
			best = i
		}
	}
	return best
}

func (b *breaker) before(x, y *turn) bool {
	if x.lane != y.lane {
		return x.lane == schemas.LaneLive
	}
	if b.phase == phaseDown && x.key != y.key {
		if p, q := b.probesOf(x), b.probesOf(y); p != q {
			return p < q
		}
	}
	return x.sequence < y.sequence
}

// probesOf counts the probes with batches of t's MetricsExporter and lane.
func (b *breaker) probesOf(t *turn) uint64 {
	var n uint64
	for _, w := range b.waiting {
		if w.key == t.key && w.lane == t.lane {
			n += w.probed
		}
	}
	return n
}

// done says how t's request ended: err is nil or what pipe.KindOf sorts. It
// returns whether the batch is to be kept and sent again when its next turn comes;
// otherwise its fate is as always.
func (b *breaker) done(t *turn, err error) (again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if t.lane == schemas.LaneLive {
		b.live--
	}
	kind, delay := pipe.KindOf(err)
	switch {
	case err == nil || kind == pipe.KindPermanent:
		// What is refused for good was read: the endpoint is there.
		b.succeeded()
	case b.phase == phaseUp && kind != pipe.KindRetryAfter && b.failures+1 < failuresToOpen:
		b.failures++
	case b.phase == phaseDown && t.probed == 0:
		again = true // began before the outage was noticed
	default:
		b.fail(err, kind, delay)
		again = true
	}
	b.dispatch()
	return again
}

// abandon says that t's request was cut short by this process.
func (b *breaker) abandon(t *turn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if t.lane == schemas.LaneLive {
		b.live--
	}
	b.dispatch()
}

func (b *breaker) succeeded() {
	b.down.first = b.phase == phaseUp
	switch b.phase {
	case phaseUp:
		b.failures = 0
	case phaseDown:
		b.timer.Stop()
		b.recovered = time.Now()
		b.phase, b.limit, b.draining = phaseRecovering, 1, true
		close(b.closed)
		b.changed(transition{phase: phaseRecovering, at: b.recovered, since: b.down.since, reason: b.down.reason})
	case phaseRecovering:
		if b.limit++; b.limit >= maxRequests {
			b.phase, b.failures = phaseUp, 0
			b.changed(transition{phase: phaseUp, at: time.Now(), since: b.down.since, reason: b.down.reason})
		}
	}
}

// fail opens the breaker, or keeps it open.
func (b *breaker) fail(err error, kind pipe.Kind, delay time.Duration) {
	now := time.Now()
	b.down.first = b.phase == phaseUp
	switch b.phase {
	case phaseUp:
		b.failures = 0
		b.down.since = now
		b.closed = make(chan struct{})
		for _, t := range b.waiting {
			t.probed = 0
		}
	case phaseRecovering:
		b.closed = make(chan struct{})
	}
	b.phase, b.limit, b.probes = phaseDown, 1, false
	b.failures++
	b.stopDraining()
	wait := pipe.RetryDelay(kind, delay, b.failures, b.maxBackoff)
	b.down.phase, b.down.at, b.down.reason, b.down.next = phaseDown, now, err.Error(), now.Add(wait)
	if b.timer != nil {
		b.timer.Stop()
	}
	b.timer = time.AfterFunc(wait, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.phase == phaseDown {
			b.probes = true
			b.dispatch()
		}
	})
	b.changed(b.down)
}

// watchIdle ends the priority of live batches once there are none for a while.
func (b *breaker) watchIdle() {
	idle := b.draining && b.live == 0
	for _, t := range b.waiting {
		idle = idle && t.lane != schemas.LaneLive
	}
	if !idle {
		if b.idle != nil {
			b.idle.Stop()
			b.idle = nil
		}
		return
	}
	if b.idle != nil {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(liveIdle, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.idle == t {
			b.stopDraining()
			b.dispatch()
		}
	})
	b.idle = t
}

func (b *breaker) stopDraining() {
	b.draining = false
	if b.idle != nil {
		b.idle.Stop()
		b.idle = nil
	}
}

// close stops the timers; nobody waits any more.
func (b *breaker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
	b.stopDraining()
}
