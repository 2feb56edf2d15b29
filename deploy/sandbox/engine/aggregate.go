package engine

import (
	"cmp"
	"math"
	"math/big"
	"math/bits"
	"slices"
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

// failing is an aggregator that may find that it cannot go on: Kusto's answer is not known, or a limit is reached.
type failing interface {
	err() error
}

// failed is the aggregator's error, nil for one that does not fail.
func failed(a any) error {
	if f, ok := a.(failing); ok {
		return f.err()
	}
	return nil
}

// aggregates are the aggregate functions by name: each checks a call's arguments and returns what makes
// the aggregator, anew for each run. Those of several columns are in tuples.
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

// bindIf is an aggregate over the rows for which a condition is true: its second argument, or the only one.
func bindIf(bind func(*call) (func() aggregator, error)) func(*call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		at := min(1, len(c.args)-1)
		if at < 0 {
			return nil, c.ofTypes()
		}
		if err := c.become(at, table.Bool); err != nil {
			return nil, err
		}
		inner := *c
		inner.args = slices.Delete(slices.Clone(c.args), at, at+1)
		fresh, err := bind(&inner)
		if err != nil {
			return nil, err
		}
		// What the inner binder has coerced, and the condition last.
		c.args = append(inner.args, c.args[at])
		return func() aggregator { return &conditional{aggregator: fresh()} }, nil
	}
}

type conditional struct {
	aggregator
	ids []int32
}

func (a *conditional) err() error { return failed(a.aggregator) }
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
	case t == table.Decimal && c.typ == t:
		return func() aggregator { return &decimalSummer{} }, nil
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
	case (t == table.TimeSpan || t == table.DateTime) && c.typ == t:
		return func() aggregator { return &tickAverager{typ: t} }, nil
	case t == table.Decimal && c.typ == t:
		return func() aggregator { return &decimalSummer{average: true} }, nil
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

// tickAverager is exact: the sum of datetimes is more than a double's 53 bits, and more than 64.
type tickAverager struct {
	typ  table.Type
	high []int64
	low  []uint64
	n    []int64
}

func (a *tickAverager) grow(groups int) {
	a.high, a.low, a.n = extend(a.high, groups), extend(a.low, groups), extend(a.n, groups)
}

func (a *tickAverager) add(ids []int32, args []operand) {
	v := args[0]
	for i, id := range ids {
		j := i * v.step
		if id < 0 || v.IsNull(j) {
			continue
		}
		x := v.Ints[j]
		var carry uint64
		a.low[id], carry = bits.Add64(a.low[id], uint64(x), 0)
		a.high[id] += x>>63 + int64(carry)
		a.n[id]++
	}
}

func (a *tickAverager) result() *table.Vector {
	v := zeros(a.typ, len(a.n))
	for i := range v.Ints {
		if a.n[i] == 0 {
			v.SetNull(i)
			continue
		}
		sum := new(big.Int).Lsh(big.NewInt(a.high[i]), 64)
		sum.Add(sum, new(big.Int).SetUint64(a.low[i]))
		v.Ints[i] = sum.Quo(sum, big.NewInt(a.n[i])).Int64()
	}
	return v
}

// decimalSummer is the sum of decimals, or their average when that is a decimal itself.
type decimalSummer struct {
	average bool
	sum     []decimal
	n       []int64
	failure error
}

func (a *decimalSummer) err() error { return a.failure }
func (a *decimalSummer) grow(groups int) {
	for len(a.sum) < groups {
		a.sum = append(a.sum, decimalOf(0))
	}
	a.n = extend(a.n, groups)
}

func (a *decimalSummer) add(ids []int32, args []operand) {
	v := args[0]
	for i, id := range ids {
		j := i * v.step
		if id < 0 || v.IsNull(j) {
			continue
		}
		if d, ok := parseDecimal(v.Strings[j]); ok {
			a.sum[id] = a.sum[id].plus(d)
			a.n[id]++
		}
	}
}

func (a *decimalSummer) result() *table.Vector {
	v, err := liftNullable(table.Decimal, func(r row) (string, bool) {
		d := a.sum[r.i]
		if a.average {
			if a.n[r.i] == 0 {
				return "", false
			}
			var ok bool
			if d, ok = divideDecimals(r, d, decimalOf(a.n[r.i])); !ok {
				return "", false
			}
		}
		return r.decimal(d)
	})(nil, len(a.sum))
	if err != nil {
		a.failure = err
	}
	return v
}

// bindExtreme is min and max: nulls and NaN are left out; over nothing the result is null. better says
// whether a comparison's outcome makes a value take the place of the one before.
func bindExtreme(better func(int) bool) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		t := c.args[0].typ
		if t != c.typ || comparison(t) == nil {
			return nil, c.ofTypes()
		}
		if t == table.Decimal {
			return func() aggregator { return &extreme[string]{typ: t, better: better, compare: compareDecimals} }, nil
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
