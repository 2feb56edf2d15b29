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
// the exporter's backlog, so the queriers have to know.
func (b *breaker) stuck() []schemas.Stuck {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase == phaseDown && !b.lone() {
		return nil // nobody's are accepted
	}
	of := map[string]*schemas.Stuck{}
	for k := range b.lines {
		l := b.expire(k)
		if l == nil || !b.fails(k, l) || !b.serves(k.key) {
			continue
		}
		s := of[k.key]
		if s == nil {
			s = &schemas.Stuck{MetricsExporter: k.key, Since: l.since}
			of[k.key] = s
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
	}
	list := make([]schemas.Stuck, 0, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		list = append(list, *of[key])
	}
	slices.SortStableFunc(list, func(x, y schemas.Stuck) int { return cmp.Compare(y.Bytes, x.Bytes) })
	return list[:min(len(list), maxTold)]
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
