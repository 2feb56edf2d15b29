package transformer

import (
	"cmp"
	"math/bits"
	"slices"
)

// point is a value on its way into an OTLP batch.
type point struct {
	ticks  int64 // since the Unix epoch
	bits   uint64
	row    uint32 // in the row batch
	metric uint32 // in the order of first appearance; the highest bit is set for asInt
}

const asInt = 1 << 31

// radixBits is the size of a digit: its 2048 counters fit the first-level cache.
const radixBits = 11

// radixMin is the number of points from which counting beats comparing.
const radixMin = 256

// order sorts points: by metric, and those of a metric by time, equal ones staying
// in the answer's order. Some endpoints keep only the newest point of a series
// that comes unsorted.
type order struct {
	points []point // in the answer's order
	index  []uint32
	spare  []uint32
	counts []uint32
}

// sort returns the points' numbers in order.
func (o *order) sort(metrics int) []uint32 {
	n := len(o.points)
	o.index = slices.Grow(o.index[:0], n)[:n]
	o.spare = slices.Grow(o.spare[:0], n)[:n]
	for i := range o.index {
		o.index[i] = uint32(i)
	}
	first, last, byTime, byMetric := o.scan()
	switch {
	case byTime && byMetric:
	case n < radixMin:
		slices.SortStableFunc(o.index, func(a, b uint32) int {
			p, q := &o.points[a], &o.points[b]
			return cmp.Or(cmp.Compare(p.metric&^asInt, q.metric&^asInt), cmp.Compare(p.ticks, q.ticks))
		})
	default:
		if !byTime {
			o.byTime(first, last)
		}
		if metrics > 1 {
			o.byMetric(metrics)
		}
	}
	return o.index
}

// scan finds the range of the times and whether anything is to be sorted.
func (o *order) scan() (first, last int64, byTime, byMetric bool) {
	byTime, byMetric = true, true
	for i := range o.points {
		p := &o.points[i]
		if i == 0 {
			first, last = p.ticks, p.ticks
			continue
		}
		q := &o.points[i-1]
		byTime = byTime && q.ticks <= p.ticks
		byMetric = byMetric && q.metric&^asInt <= p.metric&^asInt
		first, last = min(first, p.ticks), max(last, p.ticks)
	}
	return first, last, byTime, byMetric
}

// byTime sorts stably by the distance from the first time, a digit at a time from
// the least significant. Times mostly are whole seconds or minutes: the zero bits
// at the end are left out.
func (o *order) byTime(first, last int64) {
	var ones uint64
	for i := range o.points {
		ones |= uint64(o.points[i].ticks - first)
	}
	shift := bits.TrailingZeros64(ones)
	for ; uint64(last-first)>>shift > 0; shift += radixBits {
		o.pass(1<<radixBits, func(p *point) uint32 {
			return uint32(uint64(p.ticks-first)>>shift) & (1<<radixBits - 1)
		})
	}
}

func (o *order) byMetric(metrics int) {
	o.pass(metrics, func(p *point) uint32 { return p.metric &^ asInt })
}

// pass sorts stably by a digit below size.
func (o *order) pass(size int, digit func(*point) uint32) {
	o.counts = slices.Grow(o.counts[:0], size)[:size]
	clear(o.counts)
	for i := range o.points {
		o.counts[digit(&o.points[i])]++
	}
	var sum uint32
	for i, c := range o.counts {
		o.counts[i] = sum
		sum += c
	}
	for _, i := range o.index {
		at := &o.counts[digit(&o.points[i])]
		o.spare[*at] = i
		*at++
	}
	o.index, o.spare = o.spare, o.index
}
