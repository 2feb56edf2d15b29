package transformer

import (
	"errors"
	"hash/maphash"
	"math/bits"
)

// hash is 128 bits of a key that is too long to keep.
type hash struct{ a, b uint64 }

// Hashes are seeded anew in every process: nobody can prepare rows whose series
// collide. Names have seeds of their own, so that a name and a label cannot be
// mixed up.
var (
	labelSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	nameSeeds  = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
)

// hashLabels hashes encoded attributes; where there are none, to nothing.
func hashLabels(encoded []byte) hash {
	if len(encoded) == 0 {
		return hash{}
	}
	return hash{maphash.Bytes(labelSeeds[0], encoded), maphash.Bytes(labelSeeds[1], encoded)}
}

func hashName(name string) hash {
	return hash{maphash.String(nameSeeds[0], name), maphash.String(nameSeeds[1], name)}
}

// and combines the hashes of a name and a label set into that of the series.
func (h hash) and(o hash) hash { return hash{h.a ^ o.a, h.b ^ o.b} }

// at combines the hash of a series and a time into that of the point.
func (h hash) at(ticks int64) hash {
	fold := func(x, y uint64) uint64 {
		hi, lo := bits.Mul64(x, y)
		return hi ^ lo
	}
	const odd1, odd2 = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93 // any odd, dense constants
	return hash{fold(h.a^odd1, uint64(ticks)^odd2), fold(h.b^odd2, uint64(ticks)^odd1)}
}

// table maps keys to the last ordinal that was put under them. It keeps 96 bits of
// each key: among ten million keys two differing ones are the same to it with a
// probability of 10^-15.
//
// An entry has 16 bytes and a table for n keys 24·n: 24 MB for a window of a
// million rows.
type table struct {
	slots []slot
	used  int
}

type slot struct {
	a uint64
	b uint32
	n uint32 // ordinal + 1; 0 is an empty slot
}

var errTooManyPoints = errors.New("the window has more than 4 billion values")

// reset empties the table and makes room for n keys.
func (t *table) reset(n int) {
	size := n + n/2 + 8
	if size <= cap(t.slots) {
		t.slots = t.slots[:size]
		clear(t.slots)
	} else {
		t.slots = make([]slot, size)
	}
	t.used = 0
}

// touch reads what put will read of a key. A table of many megabytes is in no
// cache; reading ahead for several keys waits once for all of them.
func (t *table) touch(key hash) uint32 {
	hi, _ := bits.Mul64(key.a, uint64(len(t.slots)))
	return t.slots[hi].n
}

// put stores n under key and returns what was there before. The caller sees to it
// that n stays below the largest uint32.
func (t *table) put(key hash, n uint32) (before uint32, ok bool) {
	if t.used >= len(t.slots)/3*2 {
		t.grow()
	}
	s := t.slot(key.a, uint32(key.b))
	if s.n != 0 {
		before, s.n = s.n-1, n+1
		return before, true
	}
	*s = slot{key.a, uint32(key.b), n + 1}
	t.used++
	return 0, false
}

// slot returns the slot that has a key, or the one for it.
func (t *table) slot(a uint64, b uint32) *slot {
	// Where a key belongs follows from the part that is kept, for grow.
	hi, _ := bits.Mul64(a, uint64(len(t.slots)))
	for i := int(hi); ; i++ {
		if i == len(t.slots) {
			i = 0
		}
		if s := &t.slots[i]; s.n == 0 || s.a == a && s.b == b {
			return s
		}
	}
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old)+12)
	for _, s := range old {
		if s.n != 0 {
			*t.slot(s.a, s.b) = s
		}
	}
}

// bitset is a set of ordinals.
type bitset []uint64

func (b *bitset) set(n uint64) {
	for n>>6 >= uint64(len(*b)) {
		*b = append(*b, 0)
	}
	(*b)[n>>6] |= 1 << (n & 63)
}

func (b bitset) has(n uint64) bool { return n>>6 < uint64(len(b)) && b[n>>6]>>(n&63)&1 != 0 }
