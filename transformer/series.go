package transformer

import (
	"math"
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
	hashes   []uint64 // of each row's label values
	slots    []uint32 // hash table: number of a label set + 1; 0 is empty
	keys     []uint64 // hash of each label set's values
	scratch  []byte
	maxArena int
}

// labelSet is a combination of label values.
type labelSet struct {
	row    uint32 // the first to have it
	offset int32  // of the encoded attributes in the arena; -1: not kept
	size   uint32 // of the encoded attributes
	hash   hash
}

// index finds the label sets of a batch's rows and encodes them.
func (s *labelSets) index(rows int, labels []labelColumn) {
	s.sets, s.arena, s.keys = s.sets[:0], s.arena[:0], s.keys[:0]
	s.of = slices.Grow(s.of[:0], rows)[:rows]
	s.hash(rows, labels)

	// At most half full, so that probes are short.
	size := 16
	for size < 2*rows {
		size *= 2
	}
	s.slots = slices.Grow(s.slots[:0], size)[:size]
	clear(s.slots)
	mask := uint64(size - 1)
	for r, h := range s.hashes {
		for i := h & mask; ; i = (i + 1) & mask {
			n := s.slots[i]
			if n == 0 {
				s.slots[i] = uint32(len(s.sets)) + 1
				s.of[r] = uint32(len(s.sets))
				s.keys = append(s.keys, h)
				s.add(r, labels)
				break
			}
			if n--; s.keys[n] == h && same(labels, r, int(s.sets[n].row)) {
				s.of[r] = n
				break
			}
		}
	}
}

// hash fills hashes, a column at a time: the loops are tight that way.
func (s *labelSets) hash(rows int, labels []labelColumn) {
	s.hashes = slices.Grow(s.hashes[:0], rows)[:rows]
	hashes := s.hashes
	clear(hashes)
	for i := range labels {
		c := labels[i].col
		switch {
		case len(c.dict) == 1:
			// A constant tells no rows apart.
		case len(c.dict) > 0:
			for r, v := range c.index[:rows] {
				hashes[r] = mix(hashes[r], uint64(v))
			}
		case c.kind == kindReal:
			for r, v := range c.reals[:rows] {
				hashes[r] = mix(hashes[r], math.Float64bits(v))
			}
		default:
			for r, v := range c.ints[:rows] {
				hashes[r] = mix(hashes[r], uint64(v))
			}
		}
	}
}

func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9E3779B97F4A7C15
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

// add encodes the label set of a row.
func (s *labelSets) add(r int, labels []labelColumn) {
	offset := len(s.arena)
	s.arena = appendLabels(s.arena, labels, r)
	encoded := s.arena[offset:]
	set := labelSet{row: uint32(r), offset: int32(offset), size: uint32(len(encoded)), hash: hashLabels(encoded)}
	if len(s.arena) > s.maxArena {
		s.arena, set.offset = s.arena[:offset], -1
	}
	s.sets = append(s.sets, set)
}

// append writes the attributes of a label set.
func (s *labelSets) append(dst []byte, set *labelSet, labels []labelColumn) []byte {
	if set.offset < 0 {
		return appendLabels(dst, labels, int(set.row))
	}
	return append(dst, s.arena[set.offset:set.offset+int32(set.size)]...)
}

func appendLabels(dst []byte, labels []labelColumn, r int) []byte {
	for i := range labels {
		dst = labels[i].append(dst, r)
	}
	return dst
}
