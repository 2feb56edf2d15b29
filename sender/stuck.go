package sender

import (
	"cmp"
	"maps"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// maxTold is how many MetricsExporters a process tells of at a time.
const maxTold = 100

// stuck returns whose batches fail while those of others are accepted, as far as
// this process has them waiting, those with the most bytes first. They may not fill
// the exporter's backlog, so the queriers have to know. In an outage, which may also be
// that others have sent nothing for long, it is as before: few batches are fetched, so
// hardly anything can be found out.
func (b *breaker) stuck() []schemas.Stuck {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.failing()
	if b.phase == phaseDown && !b.lone() {
		for key := range of {
			if _, ok := b.proven[key]; !ok {
				delete(of, key)
			}
		}
		for key, was := range b.proven {
			if s, ok := of[key]; was.Batches > 0 && (!ok || s.Bytes < was.Bytes) {
				of[key] = was
			}
		}
	} else {
		maps.DeleteFunc(of, func(key string, _ schemas.Stuck) bool {
			_, ok := b.proven[key]
			return !ok && !b.serves(key)
		})
		for key := range b.proven {
			b.proven[key] = of[key]
		}
		maps.Copy(b.proven, of)
	}
	list := make([]schemas.Stuck, 0, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		list = append(list, of[key])
	}
	slices.SortStableFunc(list, func(x, y schemas.Stuck) int { return cmp.Compare(y.Bytes, x.Bytes) })
	return list[:min(len(list), maxTold)]
}

// inherit takes over that a MetricsExporter's batches were stuck for another process, or for the one
// before: this one may have to wait long until a batch of others is accepted.
func (b *breaker) inherit(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.proven[key]; !ok {
		b.proven[key] = schemas.Stuck{}
	}
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
