package sender

import (
	"cmp"
	"slices"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// turn is one batch's wait for its request.
type turn struct {
	lane     schemas.Lane
	key      string                    // its MetricsExporter
	sequence uint64                    // in the stream
	size     uint64                    // in bytes
	stored   time.Time                 // when
	recall   func(after time.Duration) // has it delivered again after it was set aside

	told   chan verdict
	probed uint64 // how often it was the probe of this outage
	record
	other   bool          // counts among others
	doubted bool          // uses one of workersOfDoubted
	delay   time.Duration // of verdictAside
	poison  bool          // it failed once too often
}

// record is what became of one batch's requests.
type record struct {
	failures int
	strikes  int    // failures after another success than the one before
	seen     uint64 // successes there had been at the last one
}

// verdict is what becomes of a turn's wait.
type verdict int

const (
	verdictGo    verdict = iota // it sends its request, which done must follow
	verdictAside                // it is given back for its delay
	verdictStop                 // the process ends
)

// thin gives back, while the endpoint is down, all but a few of each lane: the oldest,
// those of MetricsExporters of which none has failed, then of other ones than the
// oldest's, and at most one more of that.
func (b *breaker) thin() {
	if b.phase != phaseDown {
		return
	}
	for _, lane := range schemas.Lanes {
		var held []*turn
		for _, t := range b.waiting {
			if t.lane == lane {
				held = append(held, t)
			}
		}
		oldest := oldestOf(held)
		slices.SortFunc(held, func(x, y *turn) int {
			return cmp.Or(first(x == oldest, y == oldest), first(!b.blamed[x.key], !b.blamed[y.key]),
				first(x.key != oldest.key, y.key != oldest.key), cmp.Compare(x.probed, y.probed), cmp.Compare(x.sequence, y.sequence))
		})
		same := 0
		for i, t := range held {
			if b.blamed[t.key] && t.key == oldest.key {
				same++
			}
			if i > heldOthers || same > 2 {
				b.sendAside(t)
			}
		}
	}
}

// sendAside ends t's wait: it is given back.
func (b *breaker) sendAside(t *turn) {
	b.leave(t)
	b.putAside(t)
	t.told <- verdictAside
}

// first orders what is before what is not.
func first(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

func oldestOf(turns []*turn) *turn {
	if len(turns) == 0 {
		return nil
	}
	return slices.MinFunc(turns, func(x, y *turn) int { return cmp.Compare(x.sequence, y.sequence) })
}

// dispatch admits who may go.
func (b *breaker) dispatch() {
	b.thin()
	for i := b.next(); i >= 0; i = b.next() {
		t := b.waiting[i]
		if b.phase == phaseDown {
			b.tookTurn(t)
		}
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.running++
		if t.lane == schemas.LaneLive {
			b.live++
		}
		if b.phase == phaseDown {
			t.probed++
			if b.isOther(t) {
				t.other = true
				b.others++
			} else {
				b.probes = false
				b.tried[t.lane]++
			}
		}
		t.told <- verdictGo
	}
	b.watchIdle()
}

// isOther says whether t's success would tell that there is no outage.
func (b *breaker) isOther(t *turn) bool { return b.lone() && !b.blamed[t.key] }

// free says whether t's request may begin.
func (b *breaker) free(t *turn) bool {
	switch {
	case b.phase != phaseDown:
		return b.running < b.limit
	case b.isOther(t):
		return b.others == 0
	}
	return b.probes && b.running == 0
}

// next returns who of the waiting goes first: a live batch before a backfill's,
// then the oldest. Probes take turns among MetricsExporters, and among the batches of
// one, lest what alone fails keep all others from being tried.
func (b *breaker) next() int {
	best := -1
	for i, t := range b.waiting {
		if b.draining && t.lane != schemas.LaneLive || !b.free(t) {
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
		backfill := b.phase == phaseDown && b.tried[schemas.LaneLive] >= turnsOfLive*(b.tried[schemas.LaneBackfill]+1)
		return (x.lane == schemas.LaneLive) != backfill
	}
	if b.phase == phaseDown && x.key != y.key {
		if p, q := b.probesOf(x), b.probesOf(y); p != q {
			return p < q
		}
	}
	if b.phase == phaseDown && x.key == y.key {
		turns := b.turns[lineKey{x.lane, x.key}]
		other := turns != nil && turns.oldest >= turnsOfOldest*(turns.others+1)
		switch {
		case b.isOldest(x):
			return !other
		case b.isOldest(y):
			return other
		case x.probed != y.probed:
			return x.probed < y.probed
		}
	}
	return x.sequence < y.sequence
}

// turns counts the probes with a line's oldest batch, and with its others.
type turns struct{ oldest, others uint64 }

// tookTurn counts a probe with t.
func (b *breaker) tookTurn(t *turn) {
	k := lineKey{t.lane, t.key}
	n := b.turns[k]
	if n == nil {
		n = &turns{}
		b.turns[k] = n
	}
	if b.isOldest(t) {
		n.oldest++
	} else {
		n.others++
	}
}

// isOldest says whether t is the oldest that waits of its line.
func (b *breaker) isOldest(t *turn) bool {
	for _, w := range b.waiting {
		if w.key == t.key && w.lane == t.lane && w.sequence < t.sequence {
			return false
		}
	}
	return true
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
