package engine

import (
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	aggregates["dcount"] = bindDistinct(true)
	aggregates["dcountif"] = bindIf(aggregates["dcount"])
	aggregates["count_distinct"] = bindDistinct(false)
	aggregates["count_distinctif"] = bindIf(aggregates["count_distinct"])
}

// bindDistinct counts the different values. Kusto estimates dcount; here it is exact, which is within every
// accuracy that may be asked for. Nulls are left out of dcount; whether count_distinct counts them is not documented.
func bindDistinct(skipNulls bool) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		if c.typ != table.Long || c.args[0].typ == table.Dynamic {
			return nil, c.ofTypes()
		}
		c.args = c.args[:1]
		t, limit := c.args[0].typ, c.c.opts.MaxRows
		return func() aggregator {
			return &distinct{dict: newDictionary(t), seen: make(map[uint64]struct{}), limit: limit, skipNulls: skipNulls}
		}, nil
	}
}

type distinct struct {
	dict      dictionary
	seen      map[uint64]struct{} // group, and number of the value
	n         []int64
	codes     []int32
	limit     int
	skipNulls bool
	failure   error
}

func (a *distinct) err() error      { return a.failure }
func (a *distinct) grow(groups int) { a.n = extend(a.n, groups) }
func (a *distinct) add(ids []int32, args []operand) {
	v := args[0]
	a.codes = extend(a.codes[:0], len(ids))
	a.dict.encode(v, a.codes)
	check := v.HasNulls()
	for i, id := range ids {
		if id < 0 {
			continue
		}
		if check && v.IsNull(i*v.step) {
			if !a.skipNulls {
				a.failure = &ValueError{"count_distinct of a null", unknown}
			}
			continue
		}
		k := uint64(id)<<32 | uint64(uint32(a.codes[i]))
		if _, ok := a.seen[k]; !ok {
			a.seen[k] = struct{}{}
			a.n[id]++
		}
	}
	if len(a.seen) > a.limit {
		a.failure = &LimitError{Operator: "dcount", Limit: a.limit}
	}
}

func (a *distinct) result() *table.Vector { return &table.Vector{Type: table.Long, Ints: a.n} }
