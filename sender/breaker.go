package sender

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// failuresToOpen is how many requests in a row, each with a retryable error,
	// open a breaker. Fewer may be about their batches.
	failuresToOpen = 5

	// failuresToDoubt is how many of one MetricsExporter's requests fail in a row before
	// it gets only workersOfDoubted of the workers of its lane, with all others of which
	// that is so: requests that fail may take long.
	failuresToDoubt  = 3
	workersOfDoubted = inFlight / 2

	// What is kept of a lane while the endpoint is down: the oldest, which is the probe
	// for turnsOfOldest times before another has a turn, and heldOthers more. One worker
	// stays free, to look further: what is held may be all there is that fails. For the
	// same reason live batches are the probe turnsOfLive times before a backfill's is.
	turnsOfOldest = 3
	turnsOfLive   = 3
	heldOthers    = inFlight - 2

	// mostLooks is how many batches are looked at after a failed probe, at most: one after
	// the first, and twice as many after each other.
	mostLooks = 1024

	// strikesOut is how often a batch fails again after others were accepted, before its
	// failures count no more. The first time may be another outage.
	strikesOut = 2

	// vouches is for how long a batch of one MetricsExporter that was accepted tells that
	// those of another fail for their own reasons.
	vouches = 5 * time.Minute

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
	phaseUp         phase = schemas.ExporterUp         // everything
	phaseDown       phase = schemas.ExporterDown       // one request now and then, to see
	phaseRecovering phase = schemas.ExporterRecovering // some requests, and more with each that succeeds
)

// breaker decides when a batch may be sent to one exporter's endpoint. Both lanes
// share it; each process has its own, and finds out for itself.
//
// While the endpoint is down, batches that were on their way stay with their
// workers, under their leases, and few are fetched. That keeps the order: a batch
// given back with a delay would be overtaken by all that is sent in the meantime,
// and by the end of the outage it has waited longer than the delay that it is
// given then. One of them, mostly the oldest live one, is tried again with
// exponential delay. When it arrives, the others follow, one more at a time with each
// success.
//
// What fails may also be some MetricsExporters' batches and not the endpoint (a proxy
// that refuses a tenant, data that an endpoint fails on). Their failures do not count
// once a batch of another was accepted after they began. Before that nobody knows, and
// the breaker opens; but what else there is is looked for. As long as batches of only one
// have failed, everything is fetched and the first of any other is sent at once; later
// more and more with each probe that fails. What is looked at in vain is set aside (line).
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
	failures uint64          // in a row: requests while up, probes while down
	blamed   map[string]bool // whose they were
	probes   bool            // whether a probe is due
	timer    *time.Timer
	limit    int // requests admitted at a time
	running  int
	live     int // of them live
	others   int // of them first ones of MetricsExporters that are not blamed, while down
	waiting  []*turn
	tried    map[schemas.Lane]uint64 // probes of this outage
	turns    map[lineKey]*turns      // the same, of each line
	looks    int                     // how many batches were looked at after the last probe
	budget   int                     // how many still may be
	caller   *time.Timer             // of call
	down     transition              // how the outage began
	open     chan struct{}           // closed while batches may be fetched
	isOpen   bool

	// What is known of MetricsExporters whose batches fail.
	successes uint64
	succeeds  time.Time // the last success
	suspects  map[string]*suspect
	doubted   map[schemas.Lane]int // turns that use a worker of workersOfDoubted
	lines     map[lineKey]*line
	served    map[string]struct{} // MetricsExporters of which a batch was accepted
	proven    map[string]proof    // those that failed while others were accepted, until one of theirs is

	// What is known of the endpoint by batches that it had not seen before.
	debuts   map[string]*debuts
	accepted uint64
	now      func() time.Time

	// After an outage, what live batches had to wait for it goes before backfills.
	draining  bool
	recovered time.Time
	idle      *time.Timer
}

// suspect is a MetricsExporter whose last request failed.
type suspect struct {
	failures int    // in a row
	since    uint64 // how many successes of others there had been when they began
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

func newBreaker(maxBackoff time.Duration, now func() time.Time, changed func(transition)) *breaker {
	b := &breaker{maxBackoff: maxBackoff, changed: changed, phase: phaseUp, limit: maxRequests, open: make(chan struct{}), isOpen: true,
		blamed: map[string]bool{}, suspects: map[string]*suspect{}, doubted: map[schemas.Lane]int{}, lines: map[lineKey]*line{}, served: map[string]struct{}{},
		proven: map[string]proof{},
		debuts: map[string]*debuts{}, now: now, tried: map[schemas.Lane]uint64{}, turns: map[lineKey]*turns{}}
	close(b.open)
	return b
}

// fetchable waits until batches may be fetched, and is false when ctx ends before.
func (b *breaker) fetchable(ctx context.Context) bool {
	for {
		b.mu.Lock()
		open, free := b.open, b.isOpen
		if free && b.phase == phaseDown && !b.lone() {
			b.budget--
			b.gate()
		}
		b.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-open:
		case <-ctx.Done():
			return false
		}
	}
}

// gate lets batches be fetched, or not, as the phase wants it.
func (b *breaker) gate() {
	switch want := b.phase != phaseDown || b.lone() || b.budget > 0; {
	case want && !b.isOpen:
		close(b.open)
		b.isOpen = true
	case !want && b.isOpen:
		b.open = make(chan struct{})
		b.isOpen = false
	}
}

// lone says that the endpoint is taken to be down, but only batches of one
// MetricsExporter have failed.
func (b *breaker) lone() bool { return b.phase == phaseDown && len(b.blamed) == 1 }

// acquire waits until t may send its request, or is to be given back.
func (b *breaker) acquire(ctx context.Context, t *turn) verdict {
	b.mu.Lock()
	if b.crowded(t) {
		b.mu.Unlock()
		return verdictAside
	}
	b.joined(t)
	if tr := b.trialOf(t); tr != nil && t.failures == 0 {
		t.record = tr.record
	}
	t.told = make(chan verdict, 1)
	b.waiting = append(b.waiting, t)
	if t.lane == schemas.LaneLive && b.draining && t.stored.After(b.recovered) {
		b.stopDraining() // the oldest go first: those before it have gone
	}
	b.dispatch()
	b.mu.Unlock()
	select {
	case v := <-t.told:
		return v
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leave(t) {
		b.watchIdle()
		return verdictStop
	}
	return <-t.told // meanwhile
}

// leave takes t from the waiting, if it is there.
func (b *breaker) leave(t *turn) bool {
	i := slices.Index(b.waiting, t)
	if i < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	b.release(t)
	return true
}

// crowded says whether t is to be given back for t.delay: enough of its
// MetricsExporter's, or of all that fail, are being tried.
func (b *breaker) crowded(t *turn) bool {
	if b.phase == phaseDown {
		return false
	}
	if b.mustWait(t) {
		b.putAside(t)
		return true
	}
	if !b.doubts(t.key) {
		return false
	}
	if b.doubted[t.lane] < workersOfDoubted {
		t.doubted = true
		b.doubted[t.lane]++
		return false
	}
	if tr := b.trialOf(t); tr != nil {
		t.delay = pipe.RetryDelay(pipe.KindRetry, 0, math.MaxUint64, b.maxBackoff)
		tr.until = time.Now().Add(t.delay + comeback)
	} else {
		b.putAside(t)
	}
	return true
}

// doubts says whether a MetricsExporter's batches fail, one after the other.
func (b *breaker) doubts(key string) bool {
	s := b.suspects[key]
	return s != nil && s.failures >= failuresToDoubt
}

// release gives back what t used of workersOfDoubted.
func (b *breaker) release(t *turn) {
	if t.doubted {
		t.doubted = false
		b.doubted[t.lane]--
	}
}

// done says how t's request ended: err is nil or what pipe.KindOf sorts. It
// returns whether the batch is to be kept and sent again when its next turn comes;
// otherwise its fate is as always, unless t.poison says that it is to be given up.
func (b *breaker) done(t *turn, err error) (again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended(t)
	kind, delay := pipe.KindOf(err)
	if err == nil {
		b.served[t.key] = struct{}{}
		delete(b.proven, t.key)
	}
	if t.failures == 0 && (err == nil || kind != pipe.KindPermanent) {
		b.debuted(t.key, err == nil)
	}
	if err == nil || kind == pipe.KindPermanent {
		// What is refused for good was read: the endpoint is there.
		b.settled(t)
		b.succeeded(t)
		b.call()
	} else if again = b.failed(t, err, kind, delay); !again {
		b.giveBack(t, err, delay)
	}
	b.dispatch()
	return again
}

// ended frees what t's request used.
func (b *breaker) ended(t *turn) {
	b.running--
	if t.lane == schemas.LaneLive {
		b.live--
	}
	if t.other {
		t.other = false
		b.others--
	}
	b.release(t)
}

// failed returns whether t is to be kept after a failure.
func (b *breaker) failed(t *turn, err error, kind pipe.Kind, delay time.Duration) (again bool) {
	s := b.suspects[t.key]
	if s == nil {
		s = &suspect{since: b.successes}
		b.suspects[t.key] = s
	}
	s.failures++
	if t.failures > 0 && t.seen < b.successes {
		t.strikes++
	}
	t.failures, t.seen = t.failures+1, b.successes
	switch {
	case b.phase != phaseDown && (s.since < b.successes || t.strikes >= strikesOut) && time.Since(b.succeeds) < vouches:
		return false // the endpoint took others meanwhile
	case b.phase == phaseUp && kind != pipe.KindRetryAfter && b.failures+1 < failuresToOpen:
		b.failures++
		b.blamed[t.key] = true
		return false
	case b.phase == phaseDown && t.probed == 0:
		b.blamed[t.key] = true // began before the outage was noticed
		b.gate()
	default:
		b.fail(t, err, kind, delay)
	}
	return true
}

// giveBack notes that t comes again, or is poison.
func (b *breaker) giveBack(t *turn, err error, delay time.Duration) {
	tr := b.gaveBack(t, err, max(min(delay, asideMost), b.maxBackoff))
	if !errors.As(err, new(*serverError)) {
		tr.doubt = doubt{}
	} else if b.poison(t.key, &tr.doubt) {
		t.poison = true
		b.settled(t)
	}
}

// abandon says that t's request was cut short by this process.
func (b *breaker) abandon(t *turn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended(t)
	b.dispatch()
}

func (b *breaker) succeeded(t *turn) {
	alone := b.lone() && !b.blamed[t.key]
	if b.phase == phaseDown && !alone {
		// That others failed in the same outage tells nothing about them.
		maps.DeleteFunc(b.suspects, func(_ string, s *suspect) bool { return s.since == b.successes })
	}
	b.successes++
	b.succeeds = time.Now()
	delete(b.suspects, t.key)
	clear(b.blamed)
	b.down.first = b.phase == phaseUp
	switch b.phase {
	case phaseUp:
		b.failures = 0
	case phaseDown:
		b.timer.Stop()
		if alone {
			b.up() // it was not the endpoint
			break
		}
		b.recovered = time.Now()
		b.phase, b.limit, b.draining = phaseRecovering, 1, true
		for _, t := range slices.Clone(b.waiting) {
			if b.mustWait(t) { // it was looked at; older ones go first
				b.sendAside(t)
			}
		}
		b.changed(transition{phase: phaseRecovering, at: b.recovered, since: b.down.since, reason: b.down.reason})
	case phaseRecovering:
		if b.limit++; b.limit >= maxRequests {
			b.up()
		}
	}
	b.gate()
}

func (b *breaker) up() {
	b.phase, b.failures, b.limit, b.looks = phaseUp, 0, maxRequests, 0
	b.changed(transition{phase: phaseUp, at: time.Now(), since: b.down.since, reason: b.down.reason})
}

// fail opens the breaker, or keeps it open.
func (b *breaker) fail(t *turn, err error, kind pipe.Kind, delay time.Duration) {
	now := time.Now()
	b.down.first = b.phase == phaseUp
	switch b.phase {
	case phaseUp:
		b.failures = 0
		b.down.since = now
		b.budget = 0
		clear(b.tried)
		clear(b.turns)
		for _, w := range b.waiting {
			w.probed = 0
		}
	}
	if b.phase == phaseDown {
		b.looks = min(max(2*b.looks, 1), mostLooks)
		b.budget = b.looks
	}
	b.blamed[t.key] = true
	b.phase, b.limit, b.probes = phaseDown, 1, false
	b.failures++
	b.gate()
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

// close stops the timers, and calls back what was set aside: nobody waits any more.
func (b *breaker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
	b.stopDraining()
	b.recallAll()
}
