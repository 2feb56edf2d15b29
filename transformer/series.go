package transformer

import (
	"math"
	"math/bits"
	"slices"
)

// maxArena bounds the memory for encoded label sets. It is far above what a row
// batch of usual labels needs; rows that share a very long label would make each
// its own copy of it.
const maxArena = 8 << 20

// labelSets finds out which rows of a batch have the same labels, so that each
// label set is encoded and hashed once.
type labelSets struct {
	of   []uint32 // label set of each row
	sets []labelSet

	arena    []byte   // encoded attributes
	rowKeys  []uint64 // stands for each row's label values
	keys     []uint64 // stands for each label set's values
	slots    []uint32 // hash table: number of a label set + 1; 0 is empty
	maxArena int
}

// labelSet is a combination of label values.
type labelSet struct {
	row    uint32 // the first to have it
	offset int32  // of the encoded attributes in the arena; -1: not kept
	size   uint32 // of the encoded attributes
	hash   hash
}

// task is what a pass over a batch needs of it. Hashes of passes with and without
// encoding do not compare; no window mixes them.
type task uint8

const (
	hashing  task = 1 << iota // to find duplicates
	encoding                  // to write points
)

// index finds the label sets of a batch's rows and hashes or encodes them, or both.
func (s *labelSets) index(rows int, labels []labelColumn, what task) {
	s.sets, s.arena, s.keys = s.sets[:0], s.arena[:0], s.keys[:0]
	s.of = slices.Grow(s.of[:0], rows)[:rows]
	s.rowKeys = slices.Grow(s.rowKeys[:0], rows)[:rows]
	clear(s.rowKeys)
	exact := s.pack(labels)
	if !exact {
		s.hash(labels)
	}
	// At most half full, so that probes are short.
	size := 16
	for size < 2*rows {
		size *= 2
	}
	s.slots = slices.Grow(s.slots[:0], size)[:size]
	clear(s.slots)
	shift := 64 - bits.TrailingZeros(uint(size))
	for r, key := range s.rowKeys {
		for i := key * spread >> shift; ; i = (i + 1) & uint64(size-1) {
			n := s.slots[i]
			if n == 0 {
				s.slots[i] = uint32(len(s.sets)) + 1
				s.of[r] = uint32(len(s.sets))
				s.keys = append(s.keys, key)
				s.add(r, labels, what)
				break
			}
			if n--; s.keys[n] == key && (exact || same(labels, r, int(s.sets[n].row))) {
				s.of[r] = n
				break
			}
		}
	}
}

// spread brings a change of any bit of a key into its upper ones: 2^64 divided by
// the golden ratio.
const spread = 0x9E3779B97F4A7C15

// pack makes a row's key of its label values side by side, if 64 bits are enough
// for that, as they mostly are: keys then are equal where the values are. A column
// of texts takes the bits of its highest index and one of integers those of its range.
func (s *labelSets) pack(labels []labelColumn) bool {
	used := 0
	for i := range labels {
		c := labels[i].col
		first, width := c.span()
		if len(c.nulls) > 0 && len(c.dict) == 0 {
			width++
		}
		if used += width; used > 64 {
			clear(s.rowKeys)
			return false
		}
		keys := s.rowKeys
		switch {
		case width == 0:
			// A constant tells no rows apart.
		case len(c.dict) > 0:
			for r, v := range c.index[:len(keys)] {
				keys[r] = keys[r]<<width | uint64(v)
			}
		case len(c.nulls) > 0:
			for r, v := range c.ints[:len(keys)] {
				if keys[r] <<= width; c.null(r) {
					keys[r]++
				} else {
					keys[r] |= uint64(v-first) << 1
				}
			}
		default:
			for r, v := range c.ints[:len(keys)] {
				keys[r] = keys[r]<<width | uint64(v-first)
			}
		}
	}
	return true
}

// span returns the lowest of a column's integers and in how many bits the others'
// distances from it fit. Reals are spread too widely for it.
func (c *column) span() (first int64, width int) {
	switch {
	case len(c.dict) > 0:
		return 0, bits.Len(uint(len(c.dict) - 1))
	case len(c.ints) == 0:
		return 0, 64 + 1
	}
	first, last := c.ints[0], c.ints[0]
	for _, v := range c.ints {
		first, last = min(first, v), max(last, v)
	}
	return first, bits.Len64(uint64(last) - uint64(first))
}

// hash makes a row's key a hash of its label values.
func (s *labelSets) hash(labels []labelColumn) {
	keys := s.rowKeys
	for i := range labels {
		c := labels[i].col
		switch {
		case len(c.dict) > 0:
			for r, v := range c.index[:len(keys)] {
				keys[r] = mix(keys[r], uint64(v))
			}
		case c.kind == kindReal:
			for r, v := range c.reals[:len(keys)] {
				keys[r] = mix(keys[r], math.Float64bits(v))
			}
		default:
			for r, v := range c.ints[:len(keys)] {
				keys[r] = mix(keys[r], uint64(v))
			}
		}
	}
}

func mix(h, v uint64) uint64 {
	h = (h ^ v) * spread
	return h ^ h>>29
}

func same(labels []labelColumn, a, b int) bool {
	for i := range labels {
		if !labels[i].same(a, b) {
			return false
		}
	}
	return true
}

// add adds the label set of a row.
func (s *labelSets) add(r int, labels []labelColumn, what task) {
	set := labelSet{row: uint32(r)}
	if what&encoding != 0 {
		offset := len(s.arena)
		s.arena = appendLabels(s.arena, labels, r)
		encoded := s.arena[offset:]
		set.offset, set.size = int32(offset), uint32(len(encoded))
		if what&hashing != 0 {
			set.hash = hashLabels(encoded)
		}
		if len(s.arena) > s.maxArena {
			s.arena, set.offset = s.arena[:offset], -1
		}
	} else {
		// The sum of its attributes' hashes, each of which has its key in it: the hash of
		// a text that many sets share is made once, and none is encoded.
		for i := range labels {
			h := labels[i].hash(r)
			set.hash.a += h.a
			set.hash.b += h.b
		}
	}
	s.sets = append(s.sets, set)
}

func appendLabels(dst []byte, labels []labelColumn, r int) []byte {
	for i := range labels {
		dst = labels[i].append(dst, r)
	}
	return dst
}
