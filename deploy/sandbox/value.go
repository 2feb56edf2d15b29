package sandbox

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// appendRow writes row i of a batch as a JSON array of values.
func appendRow(b []byte, batch *table.Table, i int) []byte {
	b = append(b, '[')
	for c := range batch.Columns {
		if c > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, batch.Columns[c].Vec, i)
	}
	return append(b, ']')
}

// appendValue writes a value as Kusto's v2 protocol does: integers as numbers also beyond 2⁵³, real as a
// number but NaN and the infinities as strings, decimal, datetime, timespan and guid as strings,
// dynamic as the JSON it is.
func appendValue(b []byte, v *table.Vector, i int) []byte {
	if v.IsNull(i) {
		return append(b, "null"...)
	}
	switch v.Type {
	case table.Bool:
		return strconv.AppendBool(b, v.Ints[i] != 0)
	case table.Int, table.Long:
		return strconv.AppendInt(b, v.Ints[i], 10)
	case table.Real:
		return appendReal(b, v.Reals[i])
	case table.DateTime:
		b = append(b, '"')
		b = table.AppendDateTime(b, v.Ints[i])
		return append(b, '"')
	case table.TimeSpan:
		b = append(b, '"')
		b = table.AppendTimeSpan(b, v.Ints[i])
		return append(b, '"')
	case table.Dynamic:
		return appendDynamic(b, v.Strings[i])
	}
	return appendString(b, v.Strings[i])
}

// appendReal writes the shortest digits that give the same float64, with an exponent from 1E+15 on
// and a decimal point otherwise, as .NET's round-trip format and its JSON writer do.
func appendReal(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	if a := math.Abs(f); a != 0 && (a >= 1e15 || a < 1e-5) {
		return strconv.AppendFloat(b, f, 'E', -1, 64)
	}
	n := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if bytes.IndexByte(b[n:], '.') < 0 {
		b = append(b, ".0"...)
	}
	return b
}

// appendDynamic writes JSON text on one line, since newlines separate frames. What is not JSON
// becomes a string, rather than breaking the answer around it.
func appendDynamic(b []byte, text string) []byte {
	out := bytes.NewBuffer(b)
	if json.Compact(out, []byte(text)) != nil {
		return appendString(b, text)
	}
	return out.Bytes()
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			i++
			start = i
			continue
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
