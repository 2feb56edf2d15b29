package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// parseValue reads the text of a value of type t, as it stands between the brackets of a literal such
// as `datetime(…)`, into a vector of one row. `null` is null for every type but string.
func parseValue(t table.Type, text string) (*table.Vector, error) {
	s := strings.TrimSpace(text)
	if t != table.String && s == "null" {
		return nulls(t, 1), nil
	}
	v := table.NewVector(t, 1)
	bad := fmt.Errorf("%q is no %v", text, t)
	switch t {
	case table.String:
		v.AppendString(text)
	case table.Bool:
		switch strings.ToLower(s) {
		case "true", "1":
			v.AppendBool(true)
		case "false", "0":
			v.AppendBool(false)
		default:
			return nil, bad
		}
	case table.Int, table.Long:
		i, ok := parseInteger(s)
		if !ok || t == table.Int && (i < math.MinInt32 || i > math.MaxInt32) {
			return nil, bad
		}
		v.AppendInt(i)
	case table.Real:
		f, ok := parseReal(s)
		if !ok {
			return nil, bad
		}
		v.AppendReal(f)
	case table.DateTime:
		ticks, ok := parseDateTime(s)
		if !ok {
			return nil, bad
		}
		v.AppendInt(ticks)
	case table.TimeSpan:
		ticks, ok := parseTimeSpan(s)
		if !ok {
			return nil, bad
		}
		v.AppendInt(ticks)
	case table.Dynamic:
		j, ok := parseDynamic(s)
		if !ok {
			return nil, bad
		}
		v.AppendString(j)
	case table.Decimal:
		d, ok := plainDecimal(s)
		if !ok {
			return nil, bad
		}
		v.AppendString(d)
	default: // guid, whose syntax Append checks
		if err := v.Append(s); err != nil {
			return nil, bad
		}
	}
	return v, nil
}

// parseInteger reads decimal digits, or hexadecimal ones after 0x, with a sign.
func parseInteger(s string) (int64, bool) {
	if d := strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+"); strings.HasPrefix(d, "0x") || strings.HasPrefix(d, "0X") {
		u, err := strconv.ParseUint(d[2:], 16, 64)
		if err != nil {
			return 0, false
		}
		if s[0] == '-' {
			return -int64(u), true
		}
		return int64(u), true
	}
	i, err := strconv.ParseInt(s, 10, 64)
	return i, err == nil
}

// parseReal reads a decimal number, nan, or inf with or without a sign.
func parseReal(s string) (float64, bool) {
	switch strings.ToLower(s) {
	case "nan":
		return math.NaN(), true
	case "inf", "+inf", "infinity":
		return math.Inf(1), true
	case "-inf", "-infinity":
		return math.Inf(-1), true
	}
	for i := range len(s) {
		// ParseFloat also knows hexadecimal, underscores and infinity; Kusto's reals do not.
		if c := s[i]; (c < '0' || c > '9') && !strings.ContainsRune("+-.eE", rune(c)) {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// dateTimeLayouts are the forms that Kusto reads; without a zone they are UTC. Parse takes
// decimals of a second where the layout has none.
var dateTimeLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04",
	"2006-01-02", "2006-1-2", "2006-01", "2006",
	"01/02/2006 15:04:05", // docs, "parse operator"
	// RFC 822 and RFC 850, with GMT, and the forms with a zone's name (docs, "The datetime data type").
	"Mon, 2 Jan 06 15:04:05 MST", "Mon, 2 Jan 06 15:04:05", "Mon, 2 Jan 06 15:04", "Mon, 2 Jan 06 15:04 MST",
	"Mon, 2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04:05",
	"2 Jan 06 15:04:05 MST", "2 Jan 06 15:04:05", "2 Jan 06 15:04", "2 Jan 06 15:04 MST",
	"Monday, 02-Jan-06 15:04:05 MST", "Monday, 02-Jan-06 15:04:05", "Monday, 02-Jan-06 15:04 MST", "Monday, 02-Jan-06 15:04",
	"02-Jan-06 15:04:05 MST", "02-Jan-06 15:04:05", "02-Jan-06 15:04 MST", "02-Jan-06 15:04",
	"2006-01-02 15:04:05 MST", "2006-01-02 15:04 MST", "2006-01-02T15:04:05 MST", "2006-01-02T15:04 MST",
}

// parseDateTime is ticks since the Unix epoch.
func parseDateTime(s string) (int64, bool) {
	for _, layout := range dateTimeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			if strings.Contains(layout, "MST") && !strings.HasSuffix(s, " GMT") {
				return 0, false // the offsets of other zones' names are not known
			}
			ticks := table.Ticks(t)
			return ticks, ticks >= table.MinDateTime && ticks <= table.MaxDateTime
		}
	}
	return 0, false
}

// otherDates are texts that look like dates, but are in none of the documented forms. Kusto reads some of them
// (its documentation has todatetime('12-02-2022')), and does not say as which day.
var otherDates = regexp.MustCompile(`(?i)^(` +
	`\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b.*|\d{4}[/.]\d{1,2}[/.]\d{1,2}\b.*|\d{8}|\d{14}|\d{8}T\d{4,6}Z?|\d{1,2}:\d{2}(:\d{2}.*)?|` +
	`([a-z]{3,9},? )?(\d{1,2}[ -]` + monthNames + `[ -]\d{2,4}|` + monthNames + ` \d{1,2},? \d{2,4})\b.*|` +
	`\d{4}-\d{1,2}-\d{1,2}[t ]\d{1,2}:\d{2}.*( ?[+-]\d{1,4}| [a-z]{1,5}))$`)

const monthNames = `(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*`

// otherLiterals are Kusto's own within a dynamic literal: datetime(…), timespan(…), guid(…).
var otherLiterals = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\b[a-z]+\([^()]*\)`)

// parseDynamic reads the inside of a dynamic literal as JSON: also with strings in single quotes, and with literals
// of other types.
func parseDynamic(s string) (string, bool) {
	if json.Valid([]byte(s)) {
		return compact([]byte(s)), true
	}
	ok := true
	s = otherLiterals.ReplaceAllStringFunc(s, func(m string) string {
		if text, isText := unquote(m); isText {
			return quote(text)
		}
		name, inner, _ := strings.Cut(strings.TrimSuffix(m, ")"), "(")
		t, err := table.ParseType(name)
		if err != nil || t == table.String || t == table.Dynamic {
			ok = false
			return m
		}
		v, err := parseValue(t, inner)
		k := toDynamic(t)
		if err != nil || k == nil {
			ok = false
			return m
		}
		out, err := k([]operand{rows(v)}, 1)
		if ok = ok && err == nil; !ok || out.IsNull(0) {
			return "null"
		}
		return out.Strings[0]
	})
	return compact([]byte(s)), ok && json.Valid([]byte(s))
}

// spanUnits are the suffixes of timespan literals, in ticks.
var spanUnits = map[string]float64{
	"d": 864e9, "day": 864e9, "days": 864e9,
	"h": 36e9, "hr": 36e9, "hrs": 36e9, "hour": 36e9, "hours": 36e9,
	"m": 6e8, "min": 6e8, "minute": 6e8, "minutes": 6e8,
	"s": 1e7, "sec": 1e7, "second": 1e7, "seconds": 1e7,
	"ms": 1e4, "milli": 1e4, "millis": 1e4, "millisec": 1e4, "millisecond": 1e4, "milliseconds": 1e4,
	"micro": 10, "micros": 10, "microsec": 10, "microsecond": 10, "microseconds": 10,
	"tick": 1, "ticks": 1,
}

// parseTimeSpan reads `1.5h`, `[-][d.]hh:mm[:ss[.fffffff]]` and a bare number of days, into ticks.
func parseTimeSpan(s string) (int64, bool) {
	digits := strings.TrimLeft(s, "-+0123456789.")
	if number := s[:len(s)-len(digits)]; digits != "" && digits[0] != ':' {
		unit, ok := spanUnits[strings.ToLower(strings.TrimSpace(digits))]
		if !ok {
			return 0, false
		}
		// Integers exactly: a double has 53 bits.
		if i, err := strconv.ParseInt(number, 10, 64); err == nil {
			return product(i, int64(unit))
		}
		f, err := strconv.ParseFloat(number, 64)
		return roundTicks(f * unit), err == nil && math.Abs(f*unit) < math.MaxInt64
	}
	if digits == "" {
		f, err := strconv.ParseFloat(s, 64)
		return roundTicks(f * 864e9), err == nil && math.Abs(f*864e9) < math.MaxInt64
	}
	rest, negative := strings.CutPrefix(s, "-")
	var days int64
	clock := rest
	if d, c, ok := strings.Cut(rest, "."); ok && strings.Contains(c, ":") {
		n, err := strconv.ParseUint(d, 10, 31)
		if err != nil {
			return 0, false
		}
		days, clock = int64(n), c
	}
	parts := strings.Split(clock, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	h, err1 := strconv.ParseUint(parts[0], 10, 8)
	m, err2 := strconv.ParseUint(parts[1], 10, 8)
	var sec float64
	var err3 error
	if len(parts) == 3 {
		if !allDigits(strings.Replace(parts[2], ".", "", 1)) {
			return 0, false
		}
		sec, err3 = strconv.ParseFloat(parts[2], 64)
	}
	if err1 != nil || err2 != nil || err3 != nil || h > 23 || m > 59 || sec >= 60 {
		return 0, false
	}
	whole, ok := product(days, 864e9)
	ticks := whole + int64(h)*36e9 + int64(m)*6e8 + roundTicks(sec*1e7)
	if negative {
		ticks = -ticks
	}
	return ticks, ok && days < 10675199
}

// plainDecimal writes out a decimal, which may have an exponent.
func plainDecimal(s string) (string, bool) {
	digits, exponent, has := s, 0, false
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e < -decimalDigits || e > decimalDigits {
			return "", false
		}
		digits, exponent, has = s[:i], e, true
	}
	v := table.NewVector(table.Decimal, 1)
	if v.Append(strings.TrimPrefix(digits, "+")) != nil {
		return "", false
	}
	if !has {
		return v.Strings[0], true
	}
	d, ok := parseDecimal(v.Strings[0])
	if d.scale -= exponent; d.scale < 0 {
		d = decimal{d.unscaled.Mul(d.unscaled, power10(-d.scale)), 0}
	}
	text, fits := d.text()
	return text, ok && fits
}

func roundTicks(f float64) int64 { return int64(math.Round(f)) }

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// product is a*b, or false when that is no int64.
func product(a, b int64) (int64, bool) {
	p := a * b
	if a != 0 && (p/a != b || a == -1 && b == math.MinInt64) {
		return 0, false
	}
	return p, true
}

// parseLiteral reads a value of type t written as KQL, which is how parameters arrive: bare (`5`, `1h`), quoted
// (`"a"`) or called (`datetime(2025-06-25)`).
func parseLiteral(t table.Type, text string) (*table.Vector, error) {
	s := strings.TrimSpace(text)
	if t == table.String {
		if q, ok := unquote(s); ok {
			return parseValue(t, q)
		}
		// Clients send a string parameter's value without quotes as well.
		return parseValue(t, text)
	}
	if name, inner, ok := strings.Cut(s, "("); ok && strings.HasSuffix(inner, ")") {
		called, err := table.ParseType(strings.TrimSpace(name))
		fits := called == t || t == table.Long && called == table.Int || t == table.Real && integral(called)
		if err != nil || !fits {
			return nil, fmt.Errorf("%q is no %v", text, t)
		}
		s = inner[:len(inner)-1]
	}
	if q, ok := unquote(strings.TrimSpace(s)); ok && t != table.Dynamic {
		s = q
	}
	return parseValue(t, s)
}

// unquote takes the content of a KQL string literal: 'a', "a\n" or verbatim @"a\n".
func unquote(s string) (string, bool) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "h"), "H")
	verbatim := strings.HasPrefix(s, "@")
	s = strings.TrimPrefix(s, "@")
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '"' && s[0] != '\'' {
		return "", false
	}
	quote, body := s[:1], s[1:len(s)-1]
	if verbatim {
		return strings.ReplaceAll(body, quote+quote, quote), true
	}
	var b strings.Builder
	for body != "" {
		r, _, tail, err := strconv.UnquoteChar(body, 0)
		switch {
		case err == nil:
			b.WriteRune(r)
			body = tail
		case len(body) > 1 && body[0] == '\\' && (body[1] == '\'' || body[1] == '"'):
			b.WriteByte(body[1])
			body = body[2:]
		default:
			return "", false
		}
	}
	return b.String(), true
}
