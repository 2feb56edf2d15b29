package engine

import (
	"cmp"
	"math"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	aggregates["percentiles_array"] = bindPercentilesArray
}

// bindPercentiles has a column for each percentile. Kusto estimates the nearest rank; here it is exact.
func bindPercentiles(c *call, columns table.Schema) (func() tuple, error) {
	ranks, err := c.ranks(c.args[1:])
	if err != nil {
		return nil, err
	}
	if len(columns) != len(ranks) {
		return nil, c.ofTypes()
	}
	t := columns[0].Type
	if err := c.coerce(0, t); err != nil {
		return nil, err
	}
	c.args = c.args[:1]
	limit := c.c.opts.MaxRows
	switch t {
	case table.Int, table.Long, table.DateTime, table.TimeSpan:
		return func() tuple { return &percentiles[int64]{typ: t, ranks: ranks, limit: limit} }, nil
	case table.Real:
		return func() tuple { return &percentiles[float64]{typ: t, ranks: ranks, limit: limit} }, nil
	}
	return nil, c.ofTypes()
}

// ranks are the percentiles asked for, which must be constant.
func (c *call) ranks(args []*expr) ([]float64, error) {
	var ranks []float64
	for _, a := range args {
		e, ok, err := convert(a, table.Real)
		if err != nil {
			return nil, err
		}
		if !ok || e.konst == nil || e.konst.IsNull(0) || !(e.konst.Reals[0] >= 0 && e.konst.Reals[0] <= 100) {
			return nil, c.unsupported("of anything but constants from 0 to 100")
		}
		ranks = append(ranks, e.konst.Reals[0])
	}
	return ranks, nil
}

// percentiles remembers all values, with their groups.
type percentiles[T int64 | float64] struct {
	typ     table.Type
	ranks   []float64
	limit   int
	groups  int
	ids     []int32
	xs      []T
	failure error
}

func (a *percentiles[T]) err() error      { return a.failure }
func (a *percentiles[T]) grow(groups int) { a.groups = groups }
func (a *percentiles[T]) add(ids []int32, args []operand) {
	v := args[0]
	xs, check := values[T](v.Vector), v.HasNulls()
	for i, id := range ids {
		j := i * v.step
		if id < 0 || check && v.IsNull(j) {
			continue
		}
		if xs[j] != xs[j] {
			a.failure = &ValueError{"a percentile of NaN", unknown}
			continue
		}
		a.ids, a.xs = append(a.ids, id), append(a.xs, xs[j])
	}
	if len(a.xs) > a.limit {
		a.failure = &LimitError{Operator: "percentile", Limit: a.limit}
	}
}

// sorted is the values of each group, in order.
func (a *percentiles[T]) sorted() [][]T {
	ends := make([]int, a.groups+1)
	for _, id := range a.ids {
		ends[id+1]++
	}
	for i := range a.groups {
		ends[i+1] += ends[i]
	}
	all := make([]T, len(a.xs))
	next := slices.Clone(ends)
	for i, id := range a.ids {
		all[next[id]] = a.xs[i]
		next[id]++
	}
	out := make([][]T, a.groups)
	for i := range out {
		out[i] = all[ends[i]:ends[i+1]]
		slices.SortFunc(out[i], cmp.Compare[T])
	}
	return out
}

func (a *percentiles[T]) results() []*table.Vector {
	var out []*table.Vector
	sorted := a.sorted()
	for _, p := range a.ranks {
		v := zeros(a.typ, a.groups)
		xs := values[T](v)
		for i, s := range sorted {
			if len(s) == 0 {
				v.SetNull(i)
				continue
			}
			xs[i] = s[nearestRank(p, len(s))]
		}
		out = append(out, v)
	}
	return out
}

// nearestRank is the place, from 0, of the smallest value that p percent of n are not above.
func nearestRank(p float64, n int) int {
	r := p * float64(n) / 100
	if whole := math.Round(r); math.Abs(r-whole) < 1e-9 {
		r = whole // 7% of 100 are 7, whatever the division says
	}
	return min(max(int(math.Ceil(r))-1, 0), n-1)
}

// bindPercentilesArray is percentiles as an array: of further arguments, or of an array of them.
func bindPercentilesArray(c *call) (func() aggregator, error) {
	if len(c.args) == 2 && c.args[1].typ == table.Dynamic {
		if c.args[1].konst == nil {
			return nil, c.unsupported("of anything but constants from 0 to 100")
		}
		es, _ := elements(c.args[1].konst.Strings[0])
		c.args = c.args[:1]
		for _, e := range es {
			f, ok := numberElement(e)
			if !ok {
				return nil, c.unsupported("of anything but constants from 0 to 100")
			}
			c.args = append(c.args, konst(&table.Vector{Type: table.Real, Reals: []float64{f}}))
		}
	}
	t := c.args[0].typ
	columns := make(table.Schema, len(c.args)-1)
	for i := range columns {
		columns[i].Type = t
	}
	if len(columns) == 0 || c.typ != table.Dynamic {
		return nil, c.ofTypes()
	}
	fresh, err := bindPercentiles(c, columns)
	if err != nil {
		return nil, err
	}
	json := toDynamic(t)
	return func() aggregator { return &packedTuple{tuple: fresh(), json: json} }, nil
}

// packedTuple makes an array of a tuple's columns.
type packedTuple struct {
	tuple
	json    kernel
	failure error
}

func (a *packedTuple) err() error {
	if a.failure != nil {
		return a.failure
	}
	return failed(a.tuple)
}

func (a *packedTuple) result() *table.Vector {
	var columns []operand
	for _, v := range a.results() {
		j, err := a.json([]operand{rows(v)}, v.Len())
		if err != nil {
			a.failure = err
			return nulls(table.Dynamic, v.Len())
		}
		columns = append(columns, rows(j))
	}
	n := columns[0].Len()
	v := zeros(table.Dynamic, n)
	for i := range n {
		one := make([]string, len(columns))
		for j, c := range columns {
			one[j] = "null"
			if !c.IsNull(i) {
				one[j] = c.Strings[i]
			}
		}
		v.Strings[i] = array(one)
	}
	return v
}
