package sender

import (
	"cmp"
	"slices"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// retriesOfOne is how many batches of one MetricsExporter and lane are tried again
	// and again at a time. Its others wait without being tried: a thousand that fail
	// tell no more than a few, and it is also how far a batch may overtake an older one
	// of its MetricsExporter that failed, which some endpoints refuse.
	retriesOfOne = 4 * inFlight

	// asideLeast is how long a batch that is not tried stays away, if nothing calls
	// it. It is a lease's length: whether its process lives or not, it comes again
	// after as long.
	asideLeast = 15 * time.Second

	// asidePace is how often one of all those comes by in vain: each is transferred, so
	// the more there are the longer they stay away, up to asideMost.
	asidePace = 50 * time.Millisecond
	asideMost = 15 * time.Minute

	// comeback is how much later than expected a batch may come before it is taken to
	// have gone to another process.
	comeback = 15 * time.Second

	// called is how many of a lane that were set aside are called at a time, and
	// callWait how long each is waited for before another is.
	called   = inFlight
	callWait = time.Second
)

// lineKey is whose batches a line has.
type lineKey struct {
	lane schemas.Lane
	key  string // MetricsExporter
}

// line is what one MetricsExporter has waiting in one lane, as far as this process
// gave it back: those that were tried and failed, and those that are to wait until
// fewer fail. It is about order and load only: who forgets it loses nothing.
type line struct {
	trials map[uint64]*trial // by sequence, at most retriesOfOne
	aside  []aside           // the oldest first
	since  time.Time         // when the first of them was given back
	reason string            // the last error
}

// trial is a batch that comes again to be sent.
type trial struct {
	until  time.Time // when it is taken to have gone elsewhere
	called time.Time // when, if it was set aside
	size   uint64
	record // without failures: it has not come since
	doubt
}

// aside is a batch that was given back without being sent.
type aside struct {
	sequence uint64
	size     uint64
	due      time.Time
	recall   func(after time.Duration)
}

// lineOf returns t's line, made where there is none.
func (b *breaker) lineOf(t *turn) *line {
	k := lineKey{t.lane, t.key}
	l := b.lines[k]
	if l == nil {
		for other := range b.lines { // those of MetricsExporters that are gone
			b.expire(other)
		}
		l = &line{trials: map[uint64]*trial{}, since: time.Now()}
		b.lines[k] = l
	}
	return l
}

// expire forgets what went to other processes.
func (b *breaker) expire(k lineKey) *line {
	l := b.lines[k]
	if l == nil {
		return nil
	}
	now := time.Now()
	for seq, tr := range l.trials {
		if tr.until.Before(now) {
			delete(l.trials, seq)
		}
	}
	l.aside = slices.DeleteFunc(l.aside, func(a aside) bool { return a.due.Add(comeback).Before(now) })
	if len(l.trials) == 0 && len(l.aside) == 0 {
		delete(b.lines, k)
		return nil
	}
	return l
}

// trialOf returns t's trial; nil when it was not tried before.
func (b *breaker) trialOf(t *turn) *trial {
	if l := b.lines[lineKey{t.lane, t.key}]; l != nil {
		return l.trials[t.sequence]
	}
	return nil
}

// mustWait says whether t is to be set aside, because enough of its line are tried,
// or older ones were set aside before. A few may be: those that are called come to
// any process.
func (b *breaker) mustWait(t *turn) bool {
	l := b.expire(lineKey{t.lane, t.key})
	if l == nil || l.trials[t.sequence] != nil {
		return false
	}
	older, _ := l.find(t.sequence)
	return len(l.trials) >= retriesOfOne || older > called
}

// putAside has t given back, to come again when it is called, or after t.delay.
func (b *breaker) putAside(t *turn) {
	l, n := b.lineOf(t), 0
	delete(l.trials, t.sequence)
	for _, other := range b.lines {
		n += len(other.aside)
	}
	t.delay = min(asideLeast+time.Duration(n)*asidePace, asideMost)
	a := aside{t.sequence, t.size, time.Now().Add(t.delay), t.recall}
	i, found := l.find(t.sequence)
	if found {
		l.aside[i] = a
	} else {
		l.aside = slices.Insert(l.aside, i, a)
	}
}

func (l *line) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(l.aside, sequence, func(a aside, seq uint64) int { return cmp.Compare(a.sequence, seq) })
}

// joined says that t goes on: it is not aside any more.
func (b *breaker) joined(t *turn) {
	if l := b.lines[lineKey{t.lane, t.key}]; l != nil {
		if i, found := l.find(t.sequence); found {
			l.aside = slices.Delete(l.aside, i, i+1)
		}
	}
}

// gaveBack notes that t failed and comes again within a time.
func (b *breaker) gaveBack(t *turn, err error, within time.Duration) *trial {
	l := b.lineOf(t)
	l.reason = err.Error()
	tr := l.trials[t.sequence]
	if tr == nil {
		tr = &trial{size: t.size}
		l.trials[t.sequence] = tr
	}
	tr.record = t.record
	tr.until = time.Now().Add(within + comeback)
	return tr
}

// settled notes that t is done with.
func (b *breaker) settled(t *turn) {
	k := lineKey{t.lane, t.key}
	if l := b.lines[k]; l != nil {
		delete(l.trials, t.sequence)
		b.expire(k)
	}
}

// call calls those that were set aside, the oldest first and some at a time, but for
// those of MetricsExporters whose others fail. It is called again for as long as there
// are any.
func (b *breaker) call() {
	if b.phase == phaseDown || len(b.lines) == 0 {
		return
	}
	more := false
	for _, lane := range schemas.Lanes {
		more = b.callLane(lane) || more
	}
	if more && b.caller == nil {
		var t *time.Timer
		t = time.AfterFunc(callWait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.caller == t {
				b.caller = nil
				b.call()
			}
		})
		b.caller = t
	}
}

// callLane returns whether there are more to call.
func (b *breaker) callLane(lane schemas.Lane) (more bool) {
	now, out := time.Now(), 0
	var ready []*line
	for k := range b.lines {
		if k.lane != lane {
			continue
		}
		l := b.expire(k)
		if l == nil {
			continue
		}
		for seq, tr := range l.trials {
			if tr.failures == 0 && tr.called.Add(callWait).After(now) {
				out++
			} else if tr.failures == 0 {
				delete(l.trials, seq) // elsewhere
			}
		}
		for len(l.aside) > 0 && l.aside[0].due.Before(now) {
			l.aside = l.aside[1:] // comes by itself, here or elsewhere
		}
		if len(l.aside) > 0 && len(l.trials) < retriesOfOne && !b.doubts(k.key) {
			ready = append(ready, l)
		}
	}
	for ; out < called; out++ {
		var oldest *line
		for _, l := range ready {
			if len(l.aside) > 0 && len(l.trials) < retriesOfOne && (oldest == nil || l.aside[0].sequence < oldest.aside[0].sequence) {
				oldest = l
			}
		}
		if oldest == nil {
			return false
		}
		a := oldest.aside[0]
		oldest.aside = oldest.aside[1:]
		oldest.trials[a.sequence] = &trial{called: now, until: now.Add(comeback), size: a.size}
		a.recall(0)
	}
	return len(ready) > 0
}

// recallAll calls everything that was set aside: this process ends.
func (b *breaker) recallAll() {
	now := time.Now()
	for k, l := range b.lines {
		for _, a := range l.aside {
			if a.due.After(now) {
				a.recall(stopDelay)
			}
		}
		delete(b.lines, k)
	}
	if b.caller != nil {
		b.caller.Stop()
		b.caller = nil
	}
}
