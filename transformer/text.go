package transformer

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Ticks of 100 ns.
const (
	ticksPerSecond = 10_000_000
	ticksPerDay    = 24 * 60 * 60 * ticksPerSecond
)

// maxExponent bounds how long a decimal's plain digits may get. Kusto's decimals
// have 34 digits; a label of thousands of zeros helps nobody.
const maxExponent = 512

// appendReal writes f as encoding/json does, and what JSON has no form for as
// NaN, +Inf and -Inf.
func appendReal(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 0):
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if format == 'e' {
		// e-09 is e-9 in JSON.
		if n := len(dst); n >= 4 && dst[n-4] == 'e' && (dst[n-3] == '-' || dst[n-3] == '+') && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
	}
	return dst
}

// appendDatetime writes ticks since the Unix epoch as RFC 3339 in UTC, with only
// the decimals it needs.
func appendDatetime(dst []byte, ticks int64) []byte {
	return time.Unix(ticks/ticksPerSecond, ticks%ticksPerSecond*100).UTC().AppendFormat(dst, time.RFC3339Nano)
}

// appendTimespan writes ticks as [-][d.]hh:mm:ss, with seven decimals where there
// is a fraction.
func appendTimespan(dst []byte, ticks int64) []byte {
	t := uint64(ticks)
	if ticks < 0 {
		dst = append(dst, '-')
		t = -t
	}
	if days := t / ticksPerDay; days > 0 {
		dst = strconv.AppendUint(dst, days, 10)
		dst = append(dst, '.')
	}
	sec := t % ticksPerDay / ticksPerSecond
	dst = appendTwo(dst, sec/3600)
	dst = append(dst, ':')
	dst = appendTwo(dst, sec/60%60)
	dst = append(dst, ':')
	dst = appendTwo(dst, sec%60)
	if frac := t % ticksPerSecond; frac > 0 {
		dst = append(dst, '.')
		for unit := uint64(ticksPerSecond / 10); unit > 0; unit /= 10 {
			dst = append(dst, byte('0'+frac/unit%10))
		}
	}
	return dst
}

func appendTwo(dst []byte, n uint64) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// appendDecimal writes a decimal in plain digits: 1.5E+3 is 1500. Digits are kept
// as they are, trailing zeros too. What is no decimal stays as it is.
func appendDecimal(dst, text []byte) []byte {
	e := bytes.IndexAny(text, "eE")
	if e < 0 {
		return appendUTF8(dst, text)
	}
	exp, err := strconv.Atoi(string(text[e+1:]))
	mantissa := text[:e]
	negative := len(mantissa) > 0 && mantissa[0] == '-'
	if negative {
		mantissa = mantissa[1:]
	}
	whole, frac, _ := bytes.Cut(mantissa, []byte("."))
	if err != nil || exp > maxExponent || exp < -maxExponent || len(whole)+len(frac) == 0 || !digits(whole) || !digits(frac) {
		return appendUTF8(dst, text)
	}
	all := append(append([]byte(nil), whole...), frac...)
	point := len(whole) + exp
	if negative {
		dst = append(dst, '-')
	}
	// Zeros to the right bring the point inside or to the end of the digits, zeros
	// to the left bring it behind at least one.
	for len(all) < point {
		all = append(all, '0')
	}
	if point < 1 {
		all = append(bytes.Repeat([]byte("0"), 1-point), all...)
		point = 1
	}
	whole, frac = bytes.TrimLeft(all[:point], "0"), all[point:]
	if len(whole) == 0 {
		whole = []byte("0")
	}
	dst = append(dst, whole...)
	if len(frac) > 0 {
		dst = append(append(dst, '.'), frac...)
	}
	return dst
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendGUID writes a guid in lower case.
func appendGUID(dst, text []byte) []byte {
	n := len(dst)
	dst = appendUTF8(dst, text)
	for i, c := range dst[n:] {
		if 'A' <= c && c <= 'Z' {
			dst[n+i] = c + 'a' - 'A'
		}
	}
	return dst
}

// appendDynamic writes a dynamic, which is JSON: a string bare, null as nothing,
// anything else compact. Text that is no JSON is taken for a bare string.
func appendDynamic(dst, text []byte) []byte {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return appendUTF8(dst, text)
	}
	switch trimmed[0] {
	case 'n':
		if string(trimmed) == "null" {
			return dst
		}
	case '"':
		var s string
		if json.Unmarshal(trimmed, &s) == nil {
			return append(dst, s...) // Unmarshal has made it valid UTF-8
		}
	default:
		var b bytes.Buffer
		if json.Compact(&b, trimmed) == nil {
			return appendUTF8(dst, b.Bytes())
		}
	}
	return appendUTF8(dst, text)
}

// appendUTF8 writes text, each run of bytes that are no UTF-8 replaced by one
// U+FFFD: OTLP's strings must be UTF-8, and a receiver refuses the whole request
// for one that is not.
func appendUTF8(dst, text []byte) []byte {
	if utf8.Valid(text) {
		return append(dst, text...)
	}
	return append(dst, bytes.ToValidUTF8(text, []byte("\uFFFD"))...)
}
