package engine

import (
	"math"
	"math/big"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// functions are the scalar functions by name. Files add theirs, one file per kind of function.
var functions = map[string]binder{}

func init() {
	functions["bin"] = bindBin
	functions["floor"] = bindBin
	functions["now"] = bindNow
	functions["ago"] = bindAgo
}

// bindBin rounds down to a multiple of the second argument. Kusto counts a datetime from the start of
// year 1, a Monday, which is what makes bins of 7 d start on Mondays. A size that is not positive gives null.
func bindBin(c *call) (kernel, error) {
	l, r := c.args[0].typ, c.args[1].typ
	switch {
	case integral(l) && integral(r), l == table.TimeSpan && r == table.TimeSpan:
		return lift2(c.typ, func(a, b int64) (int64, bool) { return binTicks(a, b) }), nil
	case l == table.DateTime && r == table.TimeSpan:
		return lift2(c.typ, func(a, b int64) (int64, bool) {
			t, ok := binTicks(a-table.MinDateTime, b)
			return t + table.MinDateTime, ok
		}), nil
	case c.isDecimal():
		return bindDecimals(c, func(_ row, a, b decimal) (decimal, bool) {
			if b.unscaled.Sign() <= 0 {
				return decimal{}, false
			}
			x, y, scale := a.align(b)
			n, _ := new(big.Int).DivMod(x, y, new(big.Int))
			return decimal{n.Mul(n, y), scale}, true
		})
	case numeric(l) && numeric(r):
		return lift2(c.typ, func(a, b float64) (float64, bool) {
			return math.Floor(a/b) * b, b > 0
		}), c.toReals()
	}
	return nil, c.ofTypes()
}

func binTicks(a, b int64) (int64, bool) {
	if b <= 0 {
		return 0, false
	}
	m := a % b
	if m < 0 {
		m += b
	}
	return subtractTicks(a, m)
}

// bindNow is now(), or now(offset).
func bindNow(c *call) (kernel, error) {
	now := table.Ticks(c.c.now)
	if len(c.args) == 0 {
		return func(_ []operand, n int) (*table.Vector, error) {
			v := zeros(table.DateTime, n)
			for i := range n {
				v.Ints[i] = now
			}
			return v, nil
		}, nil
	}
	if c.args[0].typ != table.TimeSpan {
		return nil, c.ofTypes()
	}
	return lift1(table.DateTime, func(d int64) (int64, bool) { return addDateTime(now, d) }), nil
}

func bindAgo(c *call) (kernel, error) {
	if c.args[0].typ != table.TimeSpan {
		return nil, c.ofTypes()
	}
	now := table.Ticks(c.c.now)
	return lift1(table.DateTime, func(d int64) (int64, bool) {
		t, ok := subtractTicks(now, d)
		if !ok {
			return 0, false
		}
		return inRange(t)
	}), nil
}
