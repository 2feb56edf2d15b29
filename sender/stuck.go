package sender

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// maxTold is how many MetricsExporters a process tells of at a time.
const maxTold = 100

// proof is what is known of a MetricsExporter whose batches failed while those of others
// were accepted.
type proof struct {
	schemas.Stuck           // what waits of it
	seen          time.Time // when some of that last was
}

// stuck returns whose batches fail while those of others are accepted, as far as
// this process has them waiting, those with the most bytes first. They may not fill
// the exporter's backlog, so the queriers have to know.
//
// In an outage, which may also be that others have sent nothing for long, and until it is
// over it is those of whom it was proven before, and no less of them than there was:
// few batches are fetched then, so hardly anything can be found out.
func (b *breaker) stuck() []schemas.Stuck {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.failing()
	outage := b.phase == phaseDown && !b.lone()
	maps.DeleteFunc(of, func(key string, _ schemas.Stuck) bool {
		_, proven := b.proven[key]
		return !proven && (outage || !b.serves(key))
	})
	now := time.Now()
	for key, p := range b.proven {
		if b.phase != phaseUp && of[key].Bytes < p.Bytes {
			of[key] = p.Stuck
		}
		s, fails := of[key]
		if fails || b.phase != phaseUp {
			p.seen = now
		}
		b.proven[key] = proof{s, p.seen}
		if now.Sub(p.seen) > asideMost+comeback { // nothing is left of it, or elsewhere
			delete(b.proven, key)
		}
	}
	for key, s := range of {
		if f := b.suspects[key]; f != nil && f.since < b.successes { // others were accepted since
			b.proven[key] = proof{s, now}
		}
	}
	return mostFirst(of)
}

// mostFirst sorts what is stuck, and leaves out what is beyond maxTold.
func mostFirst(of map[string]schemas.Stuck) []schemas.Stuck {
	list := make([]schemas.Stuck, 0, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		list = append(list, of[key])
	}
	slices.SortStableFunc(list, func(x, y schemas.Stuck) int { return cmp.Compare(y.Bytes, x.Bytes) })
	return list[:min(len(list), maxTold)]
}

// inherit takes over from another process, or from the one before, that it was proven of
// a MetricsExporter: this one may have to wait long until a batch of others is accepted.
func (b *breaker) inherit(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, proven := b.proven[key]
	_, mended := b.served[key]
	if !proven && !mended {
		b.proven[key] = proof{seen: time.Now()}
	}
}

// bequeath returns of whom it is proven, for inherit, without what waits of them.
func (b *breaker) bequeath() []schemas.Stuck {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := map[string]schemas.Stuck{}
	for key := range b.proven {
		of[key] = schemas.Stuck{MetricsExporter: key}
	}
	return mostFirst(of)
}

// failing returns whose batches fail one after the other, and what they have waiting.
func (b *breaker) failing() map[string]schemas.Stuck {
	of := map[string]schemas.Stuck{}
	for k := range b.lines {
		l := b.expire(k)
		if l == nil || !b.fails(k, l) {
			continue
		}
		s, ok := of[k.key]
		if !ok {
			s = schemas.Stuck{MetricsExporter: k.key, Since: l.since}
		}
		if l.since.Before(s.Since) {
			s.Since = l.since
		}
		if l.reason != "" {
			s.Reason = l.reason
		}
		batches, bytes := l.waiting()
		s.Batches += batches
		s.Bytes += bytes
		of[k.key] = s
	}
	return of
}

// fails says whether a line's batches fail one after the other, or so many that all
// newer ones wait.
func (b *breaker) fails(k lineKey, l *line) bool {
	if b.doubts(k.key) {
		return true
	}
	failed := 0
	for _, tr := range l.trials {
		if tr.failures > 0 {
			failed++
		}
	}
	return failed >= retriesOfOne
}

// serves says whether the endpoint has accepted batches of another MetricsExporter.
func (b *breaker) serves(otherThan string) bool {
	for key := range b.served {
		if key != otherThan {
			return true
		}
	}
	return false
}

// waiting counts what a line has waiting, and its bytes.
func (l *line) waiting() (batches int, bytes uint64) {
	for _, tr := range l.trials {
		bytes += tr.size
	}
	for _, a := range l.aside {
		bytes += a.size
	}
	return len(l.trials) + len(l.aside), bytes
}
