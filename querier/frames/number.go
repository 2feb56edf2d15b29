package frames

import (
	"bytes"
	"math"
	"strconv"
)

// parseInt reads -?[0-9]+ within int64.
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	digits := b
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var n uint64 // 19 digits cannot overflow it
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n <= math.MaxInt64
}

// pow10 are the powers of ten that float64 holds exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// parseReal reads a JSON number. With up to 15 digits and no exponent, one exact
// division rounds right; everything else is for strconv.
func parseReal(b []byte) (float64, bool) {
	digits := b
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		digits = b[1:]
	}
	var n uint64
	var seen, decimals int
	point := false
	for _, c := range digits {
		if c == '.' && !point {
			point = true
			continue
		}
		if c -= '0'; c > 9 || seen == 15 {
			return parseAnyReal(b)
		}
		n = n*10 + uint64(c)
		seen++
		if point {
			decimals++
		}
	}
	if seen == 0 {
		return 0, false
	}
	f := float64(n) / pow10[decimals]
	if negative {
		f = -f
	}
	return f, true
}

func parseAnyReal(b []byte) (float64, bool) {
	// What strconv takes beyond JSON's numbers is not for it to decide here.
	for _, c := range b {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(b), 64)
	return f, err == nil
}

// parseNonFinite reads what Kusto writes, as a string, where JSON has no number.
func parseNonFinite(b []byte) (float64, bool) {
	switch string(b) {
	case "NaN":
		return math.NaN(), true
	case "Infinity", "+Infinity", "Inf", "+Inf":
		return math.Inf(1), true
	case "-Infinity", "-Inf":
		return math.Inf(-1), true
	}
	return 0, false
}

// maxExponent bounds a decimal's exponent: that of a 128-bit decimal.
const maxExponent = 6200

// maxDecimal is the most that the plain digits of a decimal are longer than its
// text with an exponent.
const maxDecimal = maxExponent + 8

// appendDecimal appends a number in plain digits, without exponent or plus sign.
func appendDecimal(dst, b []byte) ([]byte, bool) {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		if b[0] == '-' {
			dst = append(dst, '-')
		}
		b = b[1:]
	}
	exponent := 0
	if i := bytes.IndexAny(b, "eE"); i >= 0 {
		text := b[i+1:]
		if len(text) > 1 && text[0] == '+' {
			text = text[1:]
		}
		n, ok := parseInt(text)
		if !ok || n > maxExponent || n < -maxExponent {
			return dst, false
		}
		b, exponent = b[:i], int(n)
	}
	whole, fraction, point := bytes.Cut(b, []byte{'.'})
	if len(whole) == 0 || point && len(fraction) == 0 || !allDigits(whole) || !allDigits(fraction) {
		return dst, false
	}
	if exponent == 0 {
		return append(dst, b...), true
	}
	// Digit i stands for 10 to the power of position-i-1.
	position := len(whole) + exponent
	digit := func(i int) byte {
		switch {
		case i < 0 || i >= len(whole)+len(fraction):
			return '0'
		case i < len(whole):
			return whole[i]
		}
		return fraction[i-len(whole)]
	}
	start := 0
	for start < position-1 && digit(start) == '0' {
		start++
	}
	if position <= 0 {
		dst = append(dst, '0')
	}
	for i := start; i < position; i++ {
		dst = append(dst, digit(i))
	}
	if end := len(whole) + len(fraction); end > position {
		dst = append(dst, '.')
		for i := position; i < end; i++ {
			dst = append(dst, digit(i))
		}
	}
	return dst, true
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
