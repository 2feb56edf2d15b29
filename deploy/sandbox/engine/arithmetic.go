package engine

import (
	"math"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// operators are the scalar operators by the kind of their syntax node. Files of operators add theirs.
var operators = map[string]binder{
	"AddExpression":        bindAdd,
	"SubtractExpression":   bindSubtract,
	"MultiplyExpression":   bindMultiply,
	"DivideExpression":     bindDivide,
	"ModuloExpression":     bindModulo,
	"UnaryMinusExpression": bindMinus,
	"UnaryPlusExpression":  bindPlus,
}

// The rules of arithmetic: int and long give long, which wraps around as two's complement does;
// anything with real gives real, with real infinities; null gives null. Dividing an integer by zero
// gives null, since there is no integer for it. A datetime out of its range is null.

func integral(t table.Type) bool { return t == table.Int || t == table.Long }
func numeric(t table.Type) bool  { return integral(t) || t == table.Real }

// toReals makes both operands real.
func (c *call) toReals() error {
	for i := range c.args {
		if err := c.coerce(i, table.Real); err != nil {
			return err
		}
	}
	return nil
}

// settle makes a dynamic among two operands a number, of the type that the other one is.
func (c *call) settle() error {
	for i := range c.args {
		if other := c.args[1-i].typ; c.args[i].typ == table.Dynamic && numeric(other) {
			return c.become(i, other)
		}
	}
	return nil
}

func inRange(ticks int64) (int64, bool) {
	return ticks, ticks >= table.MinDateTime && ticks <= table.MaxDateTime
}

// addTicks is a+b, or false beyond int64.
func addTicks(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0)
}

func bindAdd(c *call) (kernel, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	if c.isDecimal() {
		return bindDecimals(c, func(_ row, a, b decimal) (decimal, bool) { return a.plus(b), true })
	}
	l, r := c.args[0].typ, c.args[1].typ
	switch {
	case integral(l) && integral(r):
		return lift2(c.typ, func(a, b int64) (int64, bool) { return a + b, true }), nil
	case numeric(l) && numeric(r):
		return lift2(c.typ, func(a, b float64) (float64, bool) { return a + b, true }), c.toReals()
	case l == table.TimeSpan && r == table.TimeSpan:
		return lift2(c.typ, addTicks), nil
	case l == table.DateTime && r == table.TimeSpan, l == table.TimeSpan && r == table.DateTime:
		return lift2(c.typ, addDateTime), nil
	}
	return nil, c.ofTypes()
}

func addDateTime(a, b int64) (int64, bool) {
	s, ok := addTicks(a, b)
	if !ok {
		return 0, false
	}
	return inRange(s)
}

func bindSubtract(c *call) (kernel, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	if c.isDecimal() {
		return bindDecimals(c, func(_ row, a, b decimal) (decimal, bool) { return a.plus(b.negated()), true })
	}
	l, r := c.args[0].typ, c.args[1].typ
	switch {
	case integral(l) && integral(r):
		return lift2(c.typ, func(a, b int64) (int64, bool) { return a - b, true }), nil
	case numeric(l) && numeric(r):
		return lift2(c.typ, func(a, b float64) (float64, bool) { return a - b, true }), c.toReals()
	case l == table.TimeSpan && r == table.TimeSpan, l == table.DateTime && r == table.DateTime:
		return lift2(c.typ, subtractTicks), nil
	case l == table.DateTime && r == table.TimeSpan:
		return lift2(c.typ, func(a, b int64) (int64, bool) {
			d, ok := subtractTicks(a, b)
			if !ok {
				return 0, false
			}
			return inRange(d)
		}), nil
	}
	return nil, c.ofTypes()
}

func subtractTicks(a, b int64) (int64, bool) {
	d := a - b
	return d, (d < a) == (b > 0)
}

func bindMultiply(c *call) (kernel, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	if c.isDecimal() {
		return bindDecimals(c, func(_ row, a, b decimal) (decimal, bool) { return a.times(b), true })
	}
	l, r := c.args[0].typ, c.args[1].typ
	switch {
	case integral(l) && integral(r):
		return lift2(c.typ, func(a, b int64) (int64, bool) { return a * b, true }), nil
	case numeric(l) && numeric(r):
		return lift2(c.typ, func(a, b float64) (float64, bool) { return a * b, true }), c.toReals()
	case l == table.TimeSpan && integral(r), integral(l) && r == table.TimeSpan:
		return lift2(c.typ, product), nil
	case l == table.TimeSpan && r == table.Real:
		return lift2(c.typ, func(a int64, b float64) (int64, bool) { return toTicks(float64(a) * b) }), nil
	case l == table.Real && r == table.TimeSpan:
		return lift2(c.typ, func(a float64, b int64) (int64, bool) { return toTicks(a * float64(b)) }), nil
	}
	return nil, c.ofTypes()
}

// toTicks truncates towards zero; NaN, infinities and what int64 cannot hold are no value.
func toTicks(f float64) (int64, bool) {
	if !(f >= math.MinInt64 && f < math.MaxInt64) {
		return 0, false
	}
	return int64(f), true
}

func bindDivide(c *call) (kernel, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	if c.isDecimal() {
		return bindDecimals(c, divideDecimals)
	}
	l, r := c.args[0].typ, c.args[1].typ
	switch {
	case integral(l) && integral(r), l == table.TimeSpan && integral(r):
		return lift2(c.typ, func(a, b int64) (int64, bool) {
			if b == 0 || a == math.MinInt64 && b == -1 {
				return 0, false
			}
			return a / b, true
		}), nil
	case numeric(l) && numeric(r):
		return lift2(c.typ, func(a, b float64) (float64, bool) { return a / b, true }), c.toReals()
	case l == table.TimeSpan && r == table.TimeSpan:
		return lift2(c.typ, func(a, b int64) (float64, bool) { return float64(a) / float64(b), true }), nil
	case l == table.TimeSpan && r == table.Real:
		return lift2(c.typ, func(a int64, b float64) (int64, bool) { return toTicks(float64(a) / b) }), nil
	}
	return nil, c.ofTypes()
}

// bindModulo: the result is never negative, 0 <= a%b < |b|, as Kusto documents it.
func bindModulo(c *call) (kernel, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	l, r := c.args[0].typ, c.args[1].typ
	switch {
	case integral(l) && integral(r), l == table.TimeSpan && r == table.TimeSpan:
		return lift2(c.typ, func(a, b int64) (int64, bool) {
			if b == 0 {
				return 0, false
			}
			if b == -1 { // the one case where % itself overflows
				return 0, true
			}
			m := a % b
			if m < 0 {
				m += max(b, -b)
			}
			return m, true
		}), nil
	case numeric(l) && numeric(r):
		return lift2(c.typ, func(a, b float64) (float64, bool) {
			m := math.Mod(a, b)
			if m < 0 {
				m += math.Abs(b)
			}
			return m, true
		}), c.toReals()
	}
	return nil, c.ofTypes()
}

func bindMinus(c *call) (kernel, error) {
	switch c.args[0].typ {
	case table.Int:
		return lift1(c.typ, func(a int64) (int64, bool) { return int64(int32(-a)), true }), nil
	case table.Long, table.TimeSpan:
		return lift1(c.typ, func(a int64) (int64, bool) { return -a, true }), nil
	case table.Real:
		return lift1(c.typ, func(a float64) (float64, bool) { return -a, true }), nil
	case table.Decimal:
		return bindDecimals(c, func(_ row, a, _ decimal) (decimal, bool) { return a.negated(), true })
	}
	return nil, c.ofTypes()
}

func bindPlus(c *call) (kernel, error) {
	if t := c.args[0].typ; !numeric(t) && t != table.TimeSpan {
		return nil, c.ofTypes()
	}
	return func(args []operand, n int) (*table.Vector, error) { return args[0].full(n), nil }, nil
}
