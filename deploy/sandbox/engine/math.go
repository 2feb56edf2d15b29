package engine

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	// Where a function has no value, such as the square root of -1, the result is NaN as in IEEE 754.
	for name, f := range map[string]func(float64) float64{
		"sqrt": math.Sqrt, "exp": math.Exp, "exp2": math.Exp2, "exp10": func(x float64) float64 { return math.Pow(10, x) },
		"log": math.Log, "log2": math.Log2, "log10": log10,
		"sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan,
		"cot":     func(x float64) float64 { return 1 / math.Tan(x) },
		"degrees": func(x float64) float64 { return x * 180 / math.Pi }, "radians": func(x float64) float64 { return x * math.Pi / 180 },
	} {
		functions[name] = bindReal(f)
	}
	functions["atan2"] = scalar("real: real real", func(r row) (float64, bool) { return math.Atan2(r.real(0), r.real(1)), true })
	functions["pow"] = scalar("real: real real", func(r row) (float64, bool) { return math.Pow(r.real(0), r.real(1)), true })
	functions["pi"] = scalar("real:", func(row) (float64, bool) { return math.Pi, true })
	functions["sign"] = bindReal(func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return x
	})
	functions["abs"] = bindAbs
	functions["ceiling"] = bindRounding(func(d decimal) decimal { return d.negated().floor().negated() }, math.Ceil)
	functions["round"] = bindRound
	functions["bin_at"] = bindBinAt

	functions["isnan"] = scalar("bool: real", func(r row) (int64, bool) { return truth(math.IsNaN(r.real(0))), true })
	functions["isinf"] = scalar("bool: real", func(r row) (int64, bool) { return truth(math.IsInf(r.real(0), 0)), true })
	functions["isfinite"] = scalar("bool: real", func(r row) (int64, bool) { x := r.real(0); return truth(x-x == 0), true })

	functions["binary_and"] = bindBits(func(a, b int64) int64 { return a & b })
	functions["binary_or"] = bindBits(func(a, b int64) int64 { return a | b })
	functions["binary_xor"] = bindBits(func(a, b int64) int64 { return a ^ b })
	// Kusto takes the shift modulo 64; a negative one gives null.
	functions["binary_shift_left"] = scalar("long: long long", func(r row) (int64, bool) { return r.int(0) << (uint64(r.int(1)) % 64), r.int(1) >= 0 })
	functions["binary_shift_right"] = scalar("long: long long", func(r row) (int64, bool) { return r.int(0) >> (uint64(r.int(1)) % 64), r.int(1) >= 0 })
	functions["binary_not"] = scalar("long: long", func(r row) (int64, bool) { return ^r.int(0), true })
	functions["bitset_count_ones"] = scalar("long: long", func(r row) (int64, bool) { return int64(bits.OnesCount64(uint64(r.int(0)))), true })
	functions["tohex"] = bindToHex
}

// bindReal is a function from real to real.
func bindReal(f func(float64) float64) binder {
	return func(c *call) (kernel, error) {
		if c.typ != table.Real {
			return nil, c.ofTypes()
		}
		if err := c.to(0, table.Real); err != nil {
			return nil, err
		}
		return lift1(c.typ, func(a float64) (float64, bool) { return f(a), true }), nil
	}
}

// log10 is exact for powers of ten, which Go's is not.
func log10(x float64) float64 {
	l := math.Log10(x)
	if n := math.Round(l); n != l && math.Pow(10, n) == x {
		return n
	}
	return l
}

func bindBits(f func(a, b int64) int64) binder {
	return func(c *call) (kernel, error) {
		for i := range c.args {
			if err := c.coerce(i, table.Long); err != nil {
				return nil, err
			}
		}
		return lift2(table.Long, func(a, b int64) (int64, bool) { return f(a, b), true }), nil
	}
}

func bindAbs(c *call) (kernel, error) {
	switch t := c.args[0].typ; {
	case integral(t) && c.typ == table.Long, t == table.TimeSpan && c.typ == t:
		return lift1(c.typ, func(a int64) (int64, bool) { return max(a, -a), true }), nil
	case t == table.Real && c.typ == t:
		return lift1(c.typ, func(a float64) (float64, bool) { return math.Abs(a), true }), nil
	case t == table.Decimal:
		return bindDecimals(c, func(_ row, a, _ decimal) (decimal, bool) {
			if a.unscaled.Sign() < 0 {
				return a.negated(), true
			}
			return a, true
		})
	}
	return nil, c.ofTypes()
}

// bindRounding is a function to a whole number; integers are whole already.
func bindRounding(ofDecimal func(decimal) decimal, ofReal func(float64) float64) binder {
	return func(c *call) (kernel, error) {
		switch t := c.args[0].typ; {
		case t != c.typ:
		case integral(t):
			return func(args []operand, n int) (*table.Vector, error) { return args[0].full(n), nil }, nil
		case t == table.Real:
			return bindReal(ofReal)(c)
		case t == table.Decimal:
			return bindDecimals(c, func(_ row, a, _ decimal) (decimal, bool) { return ofDecimal(a), true })
		}
		return nil, c.ofTypes()
	}
}

// bindRound rounds to a number of decimals, which may be negative, and halves away from zero.
func bindRound(c *call) (kernel, error) {
	digits := int64(0)
	if len(c.args) == 2 {
		k := c.args[1].konst
		if !integral(c.args[1].typ) || k == nil || k.IsNull(0) || k.Ints[0] < -18 || k.Ints[0] > 18 {
			return nil, c.unsupported("to this number of digits")
		}
		digits = k.Ints[0]
	}
	switch t := c.args[0].typ; {
	case t != c.typ:
		return nil, c.ofTypes()
	case integral(t):
		if digits >= 0 {
			return func(args []operand, n int) (*table.Vector, error) { return args[0].full(n), nil }, nil
		}
		return nil, c.unsupported("of an integer to tens")
	case t == table.Real:
		factor := math.Pow10(int(max(digits, -digits)))
		return liftRows(table.Real, func(r row) (float64, bool) {
			x := r.real(0)
			if digits < 0 {
				return math.Round(x/factor) * factor, true
			}
			if big := x * factor; !math.IsInf(big, 0) {
				return math.Round(big) / factor, true
			}
			return x, true // so large that it has no decimals
		}), nil
	}
	return nil, c.ofTypes()
}

func bindToHex(c *call) (kernel, error) {
	digits := 16
	if c.args[0].typ == table.Int {
		digits = 8
	}
	return scalar("string: long long?", func(r row) (string, bool) {
		least := r.intOr(1, 1)
		if least < 1 {
			r.refuse("tohex with at least %d digits", least)
			return "", false
		}
		i := r.int(0)
		s := strconv.FormatUint(uint64(i), 16)
		if i < 0 {
			s = s[16-digits:]
		}
		for int64(len(s)) < min(least, 16) {
			s = "0" + s
		}
		return s, true
	})(c)
}

// bindBinAt is bin() with the bins moved so that one begins at the last argument.
func bindBinAt(c *call) (kernel, error) {
	v, size, at := c.args[0].typ, c.args[1].typ, c.args[2].typ
	switch {
	case v == c.typ && at == v && (v == table.DateTime || v == table.TimeSpan) && size == table.TimeSpan,
		integral(v) && integral(size) && integral(at) && c.typ == table.Long:
		return liftRows(c.typ, func(r row) (int64, bool) {
			d, ok1 := subtractTicks(r.int(0), r.int(2))
			b, ok2 := binTicks(d, r.int(1))
			if !ok1 || !ok2 {
				return 0, false
			}
			if v == table.DateTime {
				return addDateTime(b, r.int(2))
			}
			return addTicks(b, r.int(2))
		}), nil
	case numeric(v) && numeric(size) && numeric(at) && c.typ == table.Real:
		return scalar("real: real real real", func(r row) (float64, bool) {
			x, size, at := r.real(0), r.real(1), r.real(2)
			return math.Floor((x-at)/size)*size + at, size > 0
		})(c)
	}
	return nil, c.ofTypes()
}
