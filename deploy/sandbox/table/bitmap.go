package table

import "math/bits"

// Bitmap is a set of row numbers, 64 a word, lowest bit first. Rows beyond its end are not in it, so
// nil is the empty set and a vector without nulls carries none.
type Bitmap []uint64

// Get reports whether row i is in the set.
func (b Bitmap) Get(i int) bool {
	w := i >> 6
	return w < len(b) && b[w]&(1<<(uint(i)&63)) != 0
}

// Set puts row i into the set, growing it as needed.
func (b *Bitmap) Set(i int) {
	w := i >> 6
	for len(*b) <= w {
		*b = append(*b, 0)
	}
	(*b)[w] |= 1 << (uint(i) & 63)
}

// Clear takes row i out of the set.
func (b Bitmap) Clear(i int) {
	if w := i >> 6; w < len(b) {
		b[w] &^= 1 << (uint(i) & 63)
	}
}

// Any reports whether the set has a member.
func (b Bitmap) Any() bool {
	for _, w := range b {
		if w != 0 {
			return true
		}
	}
	return false
}

// Count is the number of members.
func (b Bitmap) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// Selection lists the members below n in rising order.
func (b Bitmap) Selection(n int) []int32 {
	sel := make([]int32, 0, b.Count())
	for w, word := range b {
		for word != 0 {
			i := w<<6 + bits.TrailingZeros64(word)
			if i >= n {
				return sel
			}
			sel = append(sel, int32(i))
			word &= word - 1
		}
	}
	return sel
}

// Clone copies the set.
func (b Bitmap) Clone() Bitmap {
	if b == nil {
		return nil
	}
	return append(Bitmap(nil), b...)
}

// slice is the set of i-from for the members i of [from, to); nil when there are none.
func (b Bitmap) slice(from, to int) Bitmap {
	var out Bitmap
	for i := from; i < to; {
		if i>>6 >= len(b) {
			break
		}
		word := b[i>>6] >> (uint(i) & 63)
		if word == 0 {
			i = (i>>6 + 1) << 6
			continue
		}
		i += bits.TrailingZeros64(word)
		if i < to {
			out.Set(i - from)
		}
		i++
	}
	return out
}
