package engine

import (
	"math"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// grouper numbers the distinct combinations of key values from 0, in the order they first appear.
//
// Each key column has a dictionary from value to a small number, and a pair of (group by the columns
// so far, number in this column) leads to the group by one column more: two look-ups of an integer
// a row and column, whatever the types and however many columns.
type grouper struct {
	dicts []dictionary
	pairs []map[uint64]int32 // of column i with those before; nil for the first
	keys  []*table.Vector    // of each group
	n     int
	limit int

	ids, codes []int32 // of the batch, reused
}

func newGrouper(schema table.Schema, limit int) *grouper {
	g := &grouper{limit: limit}
	for i, f := range schema {
		g.dicts = append(g.dicts, newDictionary(f.Type))
		g.keys = append(g.keys, table.NewVector(f.Type, 0))
		g.pairs = append(g.pairs, nil)
		if i > 0 {
			g.pairs[i] = make(map[uint64]int32)
		}
	}
	if len(schema) == 0 {
		g.n = 1 // all rows, also when there are none, are one group
	}
	return g
}

// group is the group of each row. The slice is valid until the next call.
func (g *grouper) group(keys []operand, n int) ([]int32, error) {
	if cap(g.ids) < n {
		g.ids, g.codes = make([]int32, n), make([]int32, n)
	}
	ids, codes := g.ids[:n], g.codes[:n]
	if len(keys) == 0 {
		clear(ids)
		return ids, nil
	}
	last := len(keys) - 1
	g.dicts[0].encode(keys[0], ids)
	if last == 0 {
		g.note(keys, ids)
	}
	for c := 1; c <= last; c++ {
		g.dicts[c].encode(keys[c], codes)
		pairs := g.pairs[c]
		var seen uint64
		seenID := int32(-1)
		for i, id := range ids {
			pair := uint64(id)<<32 | uint64(uint32(codes[i]))
			if pair == seen && seenID >= 0 {
				ids[i] = seenID
				continue
			}
			next, ok := pairs[pair]
			if !ok {
				next = int32(len(pairs))
				pairs[pair] = next
			}
			seen, seenID, ids[i] = pair, next, next
		}
	}
	if last > 0 {
		g.note(keys, ids)
	}
	if g.n > g.limit {
		return nil, &LimitError{Operator: "summarize", Limit: g.limit}
	}
	return ids, nil
}

// note keeps the keys of groups that are new; their numbers rise with the rows.
func (g *grouper) note(keys []operand, ids []int32) {
	for i, id := range ids {
		if int(id) == g.n {
			for c, k := range keys {
				g.keys[c].AppendRow(k.Vector, i*k.step)
			}
			g.n++
		}
	}
}

// dictionary numbers the values of one column from 0 in the order they first appear.
type dictionary interface {
	encode(o operand, codes []int32)
}

func newDictionary(t table.Type) dictionary {
	switch t.Kind() {
	case table.Ints:
		return &dict[int64, int64]{codes: map[int64]int32{}, key: func(i int64) int64 { return i }}
	case table.Reals:
		return &dict[float64, uint64]{codes: map[uint64]int32{}, key: realKey}
	}
	key := func(s string) string { return s }
	if t == table.Decimal {
		key = decimalKey
	}
	return &dict[string, string]{codes: map[string]int32{}, key: key}
}

// realKey: a NaN groups with every other, and -0 with 0.
func realKey(f float64) uint64 {
	if f != f {
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(f + 0)
}

type dict[T elem, K comparable] struct {
	codes map[K]int32
	key   func(T) K
	null  int32 // its number plus one; 0 while there is none
	n     int32
}

func (d *dict[T, K]) encode(o operand, codes []int32) {
	xs, check := values[T](o.Vector), o.HasNulls()
	var seen K
	code := int32(-1)
	for i := range codes {
		j := i * o.step
		if check && o.IsNull(j) {
			if d.null == 0 {
				d.n++
				d.null = d.n
			}
			codes[i] = d.null - 1
			continue
		}
		k := d.key(xs[j])
		if k != seen || code < 0 {
			var ok bool
			if code, ok = d.codes[k]; !ok {
				code = d.n
				d.codes[k] = code
				d.n++
			}
			seen = k
		}
		codes[i] = code
	}
}
