package engine

import (
	"cmp"
	"math"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// aggregator computes one aggregate for every group at once.
type aggregator interface {
	// grow makes room for groups in all; those it had keep their state.
	grow(groups int)
	// add takes in a batch: row i belongs to group ids[i], or to none when that is negative.
	add(ids []int32, args []operand)
	// result has a row for each group.
	result() *table.Vector
}

// aggregates are the aggregate functions by name: each checks a call's arguments and returns what makes
// the aggregator, anew for each run.
var aggregates = map[string]func(c *call) (func() aggregator, error){
	"count": bindCount,
	"sum":   bindSum,
	"avg":   bindAvg,
	"min":   bindExtreme(func(c int) bool { return c < 0 }),
	"max":   bindExtreme(func(c int) bool { return c > 0 }),
}

func init() {
	for _, name := range []string{"count", "sum", "avg", "min", "max"} {
		aggregates[name+"if"] = bindIf(aggregates[name])
	}
}

// bindIf is an aggregate over the rows for which its last argument is true.
func bindIf(bind func(*call) (func() aggregator, error)) func(*call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		last := len(c.args) - 1
		if last < 0 || c.args[last].typ != table.Bool {
			return nil, c.ofTypes()
		}
		inner := *c
		inner.args = c.args[:last:last]
		fresh, err := bind(&inner)
		if err != nil {
			return nil, err
		}
		// What the inner binder has coerced.
		c.args = append(inner.args, c.args[last])
		return func() aggregator { return &conditional{aggregator: fresh()} }, nil
	}
}

type conditional struct {
	aggregator
	ids []int32
}

func (a *conditional) add(ids []int32, args []operand) {
	last := len(args) - 1
	p := args[last]
	a.ids = a.ids[:0]
	for i, id := range ids {
		if p.Ints[i*p.step] == 0 { // false, or null
			id = -1
		}
		a.ids = append(a.ids, id)
	}
	a.aggregator.add(a.ids, args[:last])
}

// bindCount is count(); its old form with a predicate is countif's business.
func bindCount(c *call) (func() aggregator, error) {
	if len(c.args) != 0 {
		return nil, c.unsupported("with an argument")
	}
	return func() aggregator { return &counter{} }, nil
}

type counter struct{ n []int64 }

func (a *counter) grow(groups int) { a.n = extend(a.n, groups) }
func (a *counter) add(ids []int32, _ []operand) {
	for _, id := range ids {
		if id >= 0 {
			a.n[id]++
		}
	}
}
func (a *counter) result() *table.Vector { return &table.Vector{Type: table.Long, Ints: a.n} }

// extend is s with zeros up to n elements.
func extend[T any](s []T, n int) []T {
	for len(s) < n {
		s = append(s, *new(T))
	}
	return s
}

// bindSum: longs stay long and wrap around; nulls are left out; the sum of nothing is zero (docs,
// "Default values of aggregations").
func bindSum(c *call) (func() aggregator, error) {
	switch t := c.args[0].typ; {
	case integral(t) && c.typ == table.Long, t == table.TimeSpan && c.typ == t:
		return func() aggregator { return &summer[int64]{typ: c.typ} }, nil
	case t == table.Real && c.typ == t:
		return func() aggregator { return &summer[float64]{typ: c.typ} }, nil
	}
	return nil, c.ofTypes()
}

type summer[T int64 | float64] struct {
	typ table.Type
	sum []T
}

func (a *summer[T]) grow(groups int) { a.sum = extend(a.sum, groups) }
func (a *summer[T]) add(ids []int32, args []operand) {
	v := args[0]
	xs, check := values[T](v.Vector), v.HasNulls()
	for i, id := range ids {
		j := i * v.step
		if id < 0 || check && v.IsNull(j) {
			continue
		}
		a.sum[id] += xs[j]
	}
}
func (a *summer[T]) result() *table.Vector {
	v := zeros(a.typ, len(a.sum))
	copy(values[T](v), a.sum)
	return v
}

// bindAvg: nulls are left out. Over nothing the average of numbers is NaN, as the service answers.
func bindAvg(c *call) (func() aggregator, error) {
	switch t := c.args[0].typ; {
	case numeric(t) && c.typ == table.Real:
		if err := c.coerce(0, table.Real); err != nil {
			return nil, err
		}
		return func() aggregator { return &averager{} }, nil
	case t == table.TimeSpan && c.typ == t:
		return func() aggregator { return &spanAverager{} }, nil
	}
	return nil, c.ofTypes()
}

type averager struct {
	sum []float64
	n   []int64
}

func (a *averager) grow(groups int) { a.sum, a.n = extend(a.sum, groups), extend(a.n, groups) }
func (a *averager) add(ids []int32, args []operand) {
	v := args[0]
	check := v.HasNulls()
	for i, id := range ids {
		j := i * v.step
		if id < 0 || check && v.IsNull(j) {
			continue
		}
		a.sum[id] += v.Reals[j]
		a.n[id]++
	}
}
func (a *averager) result() *table.Vector {
	v := zeros(table.Real, len(a.sum))
	for i := range v.Reals {
		v.Reals[i] = math.NaN()
		if a.n[i] > 0 {
			v.Reals[i] = a.sum[i] / float64(a.n[i])
		}
	}
	return v
}

type spanAverager struct {
	sum []float64 // an int64 would overflow
	n   []int64
}

func (a *spanAverager) grow(groups int) { a.sum, a.n = extend(a.sum, groups), extend(a.n, groups) }
func (a *spanAverager) add(ids []int32, args []operand) {
	v := args[0]
	for i, id := range ids {
		j := i * v.step
		if id < 0 || v.IsNull(j) {
			continue
		}
		a.sum[id] += float64(v.Ints[j])
		a.n[id]++
	}
}
func (a *spanAverager) result() *table.Vector {
	v := zeros(table.TimeSpan, len(a.sum))
	for i := range v.Ints {
		if a.n[i] == 0 {
			v.SetNull(i)
			continue
		}
		v.Ints[i] = int64(a.sum[i] / float64(a.n[i]))
	}
	return v
}

// bindExtreme is min and max: nulls and NaN are left out; over nothing the result is null. better says
// whether a comparison's outcome makes a value take the place of the one before.
func bindExtreme(better func(int) bool) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		t := c.args[0].typ
		if t != c.typ || t == table.Decimal || t == table.GUID || t == table.Dynamic {
			return nil, c.ofTypes()
		}
		switch t.Kind() {
		case table.Ints:
			return func() aggregator { return &extreme[int64]{typ: t, better: better, compare: cmp.Compare[int64]} }, nil
		case table.Reals:
			return func() aggregator {
				return &extreme[float64]{typ: t, better: better, compare: cmp.Compare[float64]}
			}, nil
		}
		return func() aggregator { return &extreme[string]{typ: t, better: better, compare: strings.Compare} }, nil
	}
}

type extreme[T elem] struct {
	typ     table.Type
	better  func(int) bool
	compare func(a, b T) int
	best    []T
	has     []bool
}

func (a *extreme[T]) grow(groups int) { a.best, a.has = extend(a.best, groups), extend(a.has, groups) }
func (a *extreme[T]) add(ids []int32, args []operand) {
	v := args[0]
	xs, check := values[T](v.Vector), v.HasNulls()
	for i, id := range ids {
		j := i * v.step
		if id < 0 || check && v.IsNull(j) || xs[j] != xs[j] {
			continue
		}
		if !a.has[id] || a.better(a.compare(xs[j], a.best[id])) {
			a.best[id], a.has[id] = xs[j], true
		}
	}
}
func (a *extreme[T]) result() *table.Vector {
	v := zeros(a.typ, len(a.best))
	copy(values[T](v), a.best)
	for i, has := range a.has {
		if !has {
			v.SetNull(i)
		}
	}
	return v
}
