package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	for kind, holds := range map[string]func(int) bool{
		"LessThanExpression":           func(c int) bool { return c < 0 },
		"LessThanOrEqualExpression":    func(c int) bool { return c <= 0 },
		"GreaterThanExpression":        func(c int) bool { return c > 0 },
		"GreaterThanOrEqualExpression": func(c int) bool { return c >= 0 },
	} {
		operators[kind] = bindOrder(holds)
	}
	operators["EqualExpression"] = bindEqual(false)
	operators["NotEqualExpression"] = bindEqual(true)
	operators["EqualTildeExpression"] = bindText(false, strings.EqualFold)
	operators["BangTildeExpression"] = bindText(true, strings.EqualFold)
	operators["BetweenExpression"] = bindBetween(false)
	operators["NotBetweenExpression"] = bindBetween(true)
	operators["InExpression"] = bindIn(false, false)
	operators["NotInExpression"] = bindIn(true, false)
	operators["InCsExpression"] = bindIn(false, true)
	operators["NotInCsExpression"] = bindIn(true, true)
}

// common makes all arguments of one type that compares by its values: numbers are promoted, a dynamic becomes what
// it is compared with, anything else must be the same already.
func (c *call) common() (table.Type, error) {
	var t table.Type
	for _, a := range c.args {
		switch {
		case a.typ == table.Dynamic, a.typ == t:
		case t == 0:
			t = a.typ
		case (numeric(a.typ) || a.typ == table.Decimal) && (numeric(t) || t == table.Decimal):
			t = wider(a.typ, t)
		default:
			return 0, c.ofTypes()
		}
	}
	switch t {
	case 0:
		return 0, c.ofTypes() // only dynamics
	case table.Decimal:
		return t, c.decimals()
	}
	for i := range c.args {
		if err := c.become(i, t); err != nil {
			return 0, err
		}
	}
	return t, nil
}

// wider is the type of two numbers together.
func wider(a, b table.Type) table.Type {
	switch {
	case a == table.Decimal || b == table.Decimal:
		return table.Decimal
	case a == table.Real || b == table.Real:
		return table.Real
	case a == table.Long || b == table.Long:
		return table.Long
	}
	return a
}

// comparison orders elements of a type that has an order, nil for the others; it does not see nulls.
func comparison(t table.Type) func(a *table.Vector, i int, b *table.Vector, j int) int {
	switch {
	case t == table.Decimal:
		return func(a *table.Vector, i int, b *table.Vector, j int) int {
			return compareDecimals(a.Strings[i], b.Strings[j])
		}
	case t == table.Dynamic, t == table.GUID:
		return nil
	case t.Kind() == table.Ints:
		return func(a *table.Vector, i int, b *table.Vector, j int) int { return cmp.Compare(a.Ints[i], b.Ints[j]) }
	case t.Kind() == table.Reals:
		return func(a *table.Vector, i int, b *table.Vector, j int) int { return cmp.Compare(a.Reals[i], b.Reals[j]) }
	}
	return func(a *table.Vector, i int, b *table.Vector, j int) int {
		return strings.Compare(a.Strings[i], b.Strings[j])
	}
}

// bindOrder is < <= > >=. A comparison with NaN is false, with null is null.
func bindOrder(holds func(int) bool) binder {
	return func(c *call) (kernel, error) {
		t, err := c.common()
		if err != nil {
			return nil, err
		}
		switch t.Kind() {
		case table.Ints:
			return lift2(c.typ, ordered[int64](holds)), nil
		case table.Reals:
			return lift2(c.typ, func(a, b float64) (int64, bool) {
				return truth(a == a && b == b && holds(cmp.Compare(a, b))), true
			}), nil
		}
		if t == table.Decimal {
			return lift2(c.typ, func(a, b string) (int64, bool) { return truth(holds(compareDecimals(a, b))), true }), nil
		}
		return lift2(c.typ, ordered[string](holds)), nil
	}
}

func ordered[T int64 | string](holds func(int) bool) func(a, b T) (int64, bool) {
	return func(a, b T) (int64, bool) { return truth(holds(cmp.Compare(a, b))), true }
}

// bindEqual is == and !=. Kusto: two nulls compare to null, and a null is not equal to a value
// (docs, "Null values"). For bool the page on logical operators says that two nulls are neither
// equal nor unequal.
func bindEqual(negate bool) binder {
	return func(c *call) (kernel, error) {
		t, err := c.common()
		if err != nil {
			return nil, err
		}
		switch t.Kind() {
		case table.Ints:
			return equal(c.typ, negate, t == table.Bool, same[int64]), nil
		case table.Reals:
			return equal(c.typ, negate, false, same[float64]), nil
		}
		if t == table.Decimal {
			return equal(c.typ, negate, false, func(a, b string) bool { return compareDecimals(a, b) == 0 }), nil
		}
		return equal(c.typ, negate, false, same[string]), nil
	}
}

func same[T elem](a, b T) bool { return a == b }

func equal[T elem](t table.Type, negate, isBool bool, same func(a, b T) bool) kernel {
	plain := lift2(t, func(a, b T) (int64, bool) { return truth(same(a, b) != negate), true })
	return func(args []operand, n int) (*table.Vector, error) {
		out, err := plain(args, n)
		if err != nil || !out.HasNulls() {
			return out, err
		}
		// Every null of a plain comparison has a null operand: settle those rows again.
		a, b := args[0], args[1]
		null := out.Nulls
		out.Nulls = nil
		for _, i := range null.Selection(n) {
			both := a.IsNull(int(i)*a.step) && b.IsNull(int(i)*b.step)
			switch {
			case !both:
				out.Ints[i] = truth(negate)
			case isBool:
				out.Ints[i] = 0
			default:
				out.SetNull(int(i))
			}
		}
		return out, nil
	}
}

// bindBetween is between and !between, which include both ends. The upper end of a datetime range may be
// a timespan, counted from the lower end.
func bindBetween(negate bool) binder {
	return func(c *call) (kernel, error) {
		if c.args[0].typ == table.DateTime && c.args[1].typ == table.DateTime && c.args[2].typ == table.TimeSpan {
			end, err := apply(table.DateTime, lift2(table.DateTime, addDateTime), []*expr{c.args[1], c.args[2]})
			if err != nil {
				return nil, err
			}
			c.args[2] = end
		}
		t, err := c.common()
		if err != nil {
			return nil, err
		}
		switch t.Kind() {
		case table.Ints:
			return between[int64](c.typ, negate), nil
		case table.Reals:
			return between[float64](c.typ, negate), nil
		}
		if t == table.Decimal {
			return liftRows(c.typ, func(r row) (int64, bool) {
				within := compareDecimals(r.text(0), r.text(1)) >= 0 && compareDecimals(r.text(0), r.text(2)) <= 0
				return truth(within != negate), true
			}), nil
		}
		return nil, c.ofTypes()
	}
}

func between[T int64 | float64](t table.Type, negate bool) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		x, lo, hi := args[0], args[1], args[2]
		xv, lv, hv := values[T](x.Vector), values[T](lo.Vector), values[T](hi.Vector)
		out := zeros(t, n)
		check := x.HasNulls() || lo.HasNulls() || hi.HasNulls()
		for i := range n {
			a, b, c := i*x.step, i*lo.step, i*hi.step
			if check && (x.IsNull(a) || lo.IsNull(b) || hi.IsNull(c)) {
				out.SetNull(i)
				continue
			}
			out.Ints[i] = truth((xv[a] >= lv[b] && xv[a] <= hv[c]) != negate)
		}
		return out, nil
	}
}

// bindIn is in and !in: equality with any of the rest. A null is equal to none of them.
func bindIn(negate, fold bool) binder {
	return func(c *call) (kernel, error) {
		for _, n := range c.node.Child("Right").List("Expressions") {
			if n.Type == "table" || n.Type == "tuple" {
				return nil, c.unsupported("with a " + n.Type)
			}
		}
		if err := c.spread(1); err != nil {
			return nil, err
		}
		if len(c.args) == 1 {
			return func(_ []operand, n int) (*table.Vector, error) {
				out := zeros(c.typ, n)
				for i := range out.Ints {
					out.Ints[i] = truth(negate)
				}
				return out, nil
			}, nil
		}
		t, err := c.common()
		if err != nil {
			return nil, err
		}
		same := equalityOf(t, fold)
		return func(args []operand, n int) (*table.Vector, error) {
			x, out := args[0], zeros(c.typ, n)
			for i := range n {
				found := false
				for _, y := range args[1:] {
					if found = same(x, i*x.step, y, i*y.step); found {
						break
					}
				}
				out.Ints[i] = truth(found != negate)
			}
			return out, nil
		}, nil
	}
}

// spread puts the elements of constant arrays, from argument i on, in the place of the arrays.
func (c *call) spread(i int) error {
	args := slices.Clone(c.args[:i])
	for _, a := range c.args[i:] {
		if a.typ != table.Dynamic {
			args = append(args, a)
			continue
		}
		if a.konst == nil {
			return c.unsupported("with an array that is not constant")
		}
		es, ok := elements(a.konst.Strings[0])
		if !ok && missing(constant(a.konst), 0) {
			continue
		}
		if !ok {
			es = []string{a.konst.Strings[0]}
		}
		for _, e := range es {
			if e != "null" {
				args = append(args, konst(&table.Vector{Type: table.Dynamic, Strings: []string{e}}))
			}
		}
	}
	c.args = args
	return nil
}

// equalityOf says whether two elements are equal; a null equals nothing.
func equalityOf(t table.Type, fold bool) func(a operand, i int, b operand, j int) bool {
	var same func(a operand, i int, b operand, j int) bool
	switch {
	case t.Kind() == table.Ints:
		same = func(a operand, i int, b operand, j int) bool { return a.Ints[i] == b.Ints[j] }
	case t.Kind() == table.Reals:
		same = func(a operand, i int, b operand, j int) bool { return a.Reals[i] == b.Reals[j] }
	case t == table.Decimal:
		same = func(a operand, i int, b operand, j int) bool { return compareDecimals(a.Strings[i], b.Strings[j]) == 0 }
	case fold:
		same = func(a operand, i int, b operand, j int) bool { return strings.EqualFold(a.Strings[i], b.Strings[j]) }
	default:
		same = func(a operand, i int, b operand, j int) bool { return a.Strings[i] == b.Strings[j] }
	}
	return func(a operand, i int, b operand, j int) bool {
		return !a.IsNull(i) && !b.IsNull(j) && same(a, i, b, j)
	}
}
