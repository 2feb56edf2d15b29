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
	digits []uint32 // what a pass sorts by, of each point
	counts []uint32
}

// sort returns the points' numbers in order.
func (o *order) sort(metrics int) []uint32 {
	n := len(o.points)
	o.index = slices.Grow(o.index[:0], n)[:n]
	o.spare = slices.Grow(o.spare[:0], n)[:n]
	o.digits = slices.Grow(o.digits[:0], n)[:n]
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
		const mask = 1<<radixBits - 1
		for i := range o.points {
			o.digits[i] = uint32(uint64(o.points[i].ticks-first)>>shift) & mask
		}
		o.pass(mask + 1)
	}
}

func (o *order) byMetric(metrics int) {
	for i := range o.points {
		o.digits[i] = o.points[i].metric &^ asInt
	}
	o.pass(metrics)
}

// pass sorts stably by digits, which are below size.
func (o *order) pass(size int) {
	o.counts = slices.Grow(o.counts[:0], size)[:size]
	counts, digits, index, spare := o.counts, o.digits, o.index, o.spare[:len(o.index)]
	clear(counts)
	for _, d := range digits {
		counts[d]++
	}
	var sum uint32
	for i, c := range counts {
		counts[i] = sum
		sum += c
	}
	for _, i := range index {
		at := &counts[digits[i]]
		spare[*at] = i
		*at++
	}
	o.index, o.spare = spare, index
}
