package engine

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Decimals are exact, with as many digits as 128 bits have in Kusto. What has more ends the query with an error:
// how the service rounds is not documented.

// decimalDigits are those of a decimal of 128 bits.
const decimalDigits = 34

// decimal is unscaled / 10^scale.
type decimal struct {
	unscaled *big.Int
	scale    int
}

func parseDecimal(s string) (decimal, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	i, ok := new(big.Int).SetString(whole+frac, 10)
	return decimal{i, len(frac)}, ok
}

func decimalOf(i int64) decimal { return decimal{big.NewInt(i), 0} }

func power10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// text is plain decimal digits; ok is false when there are too many of them.
func (d decimal) text() (s string, ok bool) {
	s = new(big.Int).Abs(d.unscaled).String()
	for d.scale > 0 && len(s) > decimalDigits && strings.HasSuffix(s, "0") {
		s, d.scale = s[:len(s)-1], d.scale-1
	}
	ok = len(s) <= decimalDigits && d.scale <= decimalDigits
	if d.scale > 0 {
		s = strings.Repeat("0", max(0, d.scale+1-len(s))) + s
		s = s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
	}
	if d.unscaled.Sign() < 0 {
		s = "-" + s
	}
	return s, ok
}

// decimalKey is the same for decimals that are equal, such as 1.5 and 01.50.
func decimalKey(s string) string {
	digits, negative := strings.CutPrefix(s, "-")
	digits = strings.TrimLeft(digits, "0")
	if strings.Contains(digits, ".") {
		digits = strings.TrimSuffix(strings.TrimRight(digits, "0"), ".")
	}
	if digits == "" || !negative {
		return digits
	}
	return "-" + digits
}

// align gives both the larger scale.
func (d decimal) align(e decimal) (a, b *big.Int, scale int) {
	a, b, scale = d.unscaled, e.unscaled, max(d.scale, e.scale)
	if d.scale < scale {
		a = new(big.Int).Mul(a, power10(scale-d.scale))
	}
	if e.scale < scale {
		b = new(big.Int).Mul(b, power10(scale-e.scale))
	}
	return a, b, scale
}

func (d decimal) cmp(e decimal) int {
	a, b, _ := d.align(e)
	return a.Cmp(b)
}

func (d decimal) plus(e decimal) decimal {
	a, b, scale := d.align(e)
	return decimal{new(big.Int).Add(a, b), scale}
}

// floor is the largest whole number that is not above d.
func (d decimal) floor() decimal {
	i, _ := new(big.Int).DivMod(d.unscaled, power10(d.scale), new(big.Int))
	return decimal{i, 0}
}

func (d decimal) negated() decimal { return decimal{new(big.Int).Neg(d.unscaled), d.scale} }

func (d decimal) times(e decimal) decimal {
	return decimal{new(big.Int).Mul(d.unscaled, e.unscaled), d.scale + e.scale}
}

// over is d/e when that has an end within the digits there are, without zeros behind it.
func (d decimal) over(e decimal) (decimal, bool) {
	a, b, _ := d.align(e)
	// A quotient that has an end has it after as many digits as the divisor's powers of 2 and 5.
	scale := decimalDigits
	q, r := new(big.Int).QuoRem(new(big.Int).Mul(a, power10(scale)), b, new(big.Int))
	if r.Sign() != 0 {
		return decimal{}, false
	}
	ten := big.NewInt(10)
	for scale > 0 {
		shorter, last := new(big.Int).QuoRem(q, ten, new(big.Int))
		if last.Sign() != 0 {
			break
		}
		q, scale = shorter, scale-1
	}
	return decimal{q, scale}, true
}

// compareDecimals orders two texts of decimals.
func compareDecimals(a, b string) int {
	if a == b {
		return 0
	}
	x, _ := parseDecimal(a)
	y, _ := parseDecimal(b)
	return x.cmp(y)
}

// decimals makes all arguments decimal; a real is one only if it says so in 15 digits.
func (c *call) decimals() error {
	for i, a := range c.args {
		if a.typ == table.Decimal {
			continue
		}
		if !numeric(a.typ) {
			return c.ofTypes()
		}
		e, err := apply(table.Decimal, conversion(a.typ, table.Decimal), []*expr{a})
		if err != nil {
			return err
		}
		c.args[i] = e
	}
	return nil
}

// isDecimal tells whether the operator or function works on decimals.
func (c *call) isDecimal() bool {
	for _, a := range c.args {
		if a.typ == table.Decimal {
			return true
		}
	}
	return false
}

// bindDecimals is an operator on decimals.
func bindDecimals(c *call, f func(r row, a, b decimal) (decimal, bool)) (kernel, error) {
	if c.typ != table.Decimal {
		return nil, c.ofTypes()
	}
	if err := c.decimals(); err != nil {
		return nil, err
	}
	return liftRows(table.Decimal, func(r row) (string, bool) {
		a, ok1 := parseDecimal(r.text(0))
		b := decimalOf(0)
		ok2 := true
		if r.has(1) {
			b, ok2 = parseDecimal(r.text(1))
		}
		if !ok1 || !ok2 {
			return "", false
		}
		d, ok := f(r, a, b)
		if !ok {
			return "", false
		}
		return r.decimal(d)
	}), nil
}

// decimal is d as a value, refused when it has too many digits.
func (r row) decimal(d decimal) (string, bool) {
	s, ok := d.text()
	if !ok {
		r.refuse("a decimal of more than %d digits", decimalDigits)
	}
	return s, ok
}

func divideDecimals(r row, a, b decimal) (decimal, bool) {
	if b.unscaled.Sign() == 0 {
		r.refuse("a decimal divided by zero")
		return decimal{}, false
	}
	d, ok := a.over(b)
	if !ok {
		r.refuse("a quotient of decimals that has no end within %d digits", decimalDigits)
	}
	return d, ok
}

// decimalReal is the decimal that a real is written as. Kusto may or may not round beyond 15 digits.
func decimalReal(r row) (string, bool) {
	x := r.real(0)
	if x-x != 0 {
		return "", false // NaN and infinities are no decimals
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if digits := strings.Trim(strings.Replace(strings.TrimPrefix(s, "-"), ".", "", 1), "0"); len(digits) > 15 {
		r.refuse("the real %s of more than 15 digits as a decimal", s)
	}
	return s, true
}
