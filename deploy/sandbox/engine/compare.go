package engine

import (
	"cmp"
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

// common makes all arguments of one type that compares by its values: numbers are promoted, anything
// else must be the same already. dynamic and decimal are refused.
func (c *call) common() (table.Type, error) {
	t := c.args[0].typ
	for _, a := range c.args[1:] {
		switch {
		case a.typ == t:
		case numeric(a.typ) && numeric(t):
			if t = table.Long; a.typ == table.Real || c.args[0].typ == table.Real {
				t = table.Real
			}
		default:
			return 0, c.ofTypes()
		}
	}
	for _, a := range c.args {
		if a.typ == table.Real {
			t = table.Real
		}
	}
	if t == table.Dynamic || t == table.Decimal {
		return 0, c.ofTypes()
	}
	for i := range c.args {
		if err := c.coerce(i, t); err != nil {
			return 0, err
		}
	}
	return t, nil
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
			return equal[int64](c.typ, negate, t == table.Bool), nil
		case table.Reals:
			return equal[float64](c.typ, negate, false), nil
		}
		return equal[string](c.typ, negate, false), nil
	}
}

func equal[T elem](t table.Type, negate, isBool bool) kernel {
	plain := lift2(t, func(a, b T) (int64, bool) { return truth((a == b) != negate), true })
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
			if n.Type == "dynamic" || n.Type == "table" || n.Type == "tuple" {
				return nil, c.unsupported("with a " + n.Type)
			}
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

// equalityOf says whether two elements are equal; a null equals nothing.
func equalityOf(t table.Type, fold bool) func(a operand, i int, b operand, j int) bool {
	var same func(a operand, i int, b operand, j int) bool
	switch {
	case t.Kind() == table.Ints:
		same = func(a operand, i int, b operand, j int) bool { return a.Ints[i] == b.Ints[j] }
	case t.Kind() == table.Reals:
		same = func(a operand, i int, b operand, j int) bool { return a.Reals[i] == b.Reals[j] }
	case fold:
		same = func(a operand, i int, b operand, j int) bool { return strings.EqualFold(a.Strings[i], b.Strings[j]) }
	default:
		same = func(a operand, i int, b operand, j int) bool { return a.Strings[i] == b.Strings[j] }
	}
	return func(a operand, i int, b operand, j int) bool {
		return !a.IsNull(i) && !b.IsNull(j) && same(a, i, b, j)
	}
}
