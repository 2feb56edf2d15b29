package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["format_datetime"] = bindFormat(table.DateTime, formatDateTime)
	functions["format_timespan"] = bindFormat(table.TimeSpan, formatTimeSpan)
	functions["format_bytes"] = bindFormatBytes
}

// bindFormat is a function of a value and a constant format: runs of letters, and delimiters between them.
func bindFormat(t table.Type, write func(specifier string, ticks int64) (string, bool)) binder {
	return func(c *call) (kernel, error) {
		format, err := c.constText(1)
		if err != nil {
			return nil, err
		}
		if c.args[0].typ != t {
			return nil, c.ofTypes()
		}
		var parts []string // delimiters and specifiers
		for i := 0; i < len(format); {
			j := i + 1
			for j < len(format) && format[j] == format[i] && !delimiter(format[i]) {
				j++
			}
			if _, ok := write(format[i:j], 0); !ok && !delimiter(format[i]) {
				return nil, c.unsupported(fmt.Sprintf("with %q in the format", format[i:j]))
			}
			parts = append(parts, format[i:j])
			i = j
		}
		return onRest0(lift1(table.String, func(ticks int64) (string, bool) {
			var b strings.Builder
			for _, p := range parts {
				if s, ok := write(p, ticks); ok {
					b.WriteString(s)
				} else {
					b.WriteString(p)
				}
			}
			return b.String(), true
		})), nil
	}
}

// onRest0 is a kernel for the first argument, the others being constant.
func onRest0(k kernel) kernel {
	return func(args []operand, n int) (*table.Vector, error) { return k(args[:1], n) }
}

func delimiter(c byte) bool { return strings.IndexByte(" /-:,._[]", c) >= 0 }

func padded(i int64, width int) string { return fmt.Sprintf("%0*d", width, i) }

// fraction is the first digits of a second's part; F leaves out zeros at its end.
func fraction(specifier string, ticks int64) (string, bool) {
	n := len(specifier)
	if n > 7 {
		return "", false
	}
	s := padded(ticks%table.TicksPerSecond, 7)[:n]
	if specifier[0] == 'F' {
		s = strings.TrimRight(s, "0")
	}
	return s, true
}

func formatDateTime(specifier string, ticks int64) (string, bool) {
	t := table.Time(ticks)
	var value, most int
	switch specifier[0] {
	case 'y':
		if len(specifier) == 4 {
			return padded(int64(t.Year()), 4), true
		}
		value, most = t.Year()%100, 2
	case 'M':
		value, most = int(t.Month()), 2
	case 'd':
		value, most = t.Day(), 2
	case 'h':
		value, most = (t.Hour()+11)%12+1, 2
	case 'H':
		value, most = t.Hour(), 2
	case 'm':
		value, most = t.Minute(), 2
	case 's':
		value, most = t.Second(), 2
	case 'f', 'F':
		return fraction(specifier, ticks-table.MinDateTime)
	case 't':
		return t.Format("PM"), specifier == "tt"
	}
	return padded(int64(value), len(specifier)), len(specifier) <= most
}

func formatTimeSpan(specifier string, ticks int64) (string, bool) {
	ticks = max(ticks, -ticks)
	var value int64
	most := 2
	switch specifier[0] {
	case 'd':
		value, most = ticks/day, 8
	case 'h', 'H':
		value = ticks / 36e9 % 24
	case 'm':
		value = ticks / 6e8 % 60
	case 's':
		value = ticks / 1e7 % 60
	case 'f', 'F':
		return fraction(specifier, ticks)
	default:
		return "", false
	}
	return padded(value, len(specifier)), len(specifier) <= most
}

// bindFormatBytes writes a number of bytes with a unit, each 1,024 of the one before.
func bindFormatBytes(c *call) (kernel, error) {
	precision, unit := 0, ""
	if len(c.args) > 1 {
		p := c.args[1].konst
		if !integral(c.args[1].typ) || p == nil || p.IsNull(0) || p.Ints[0] < 0 || p.Ints[0] > 15 {
			return nil, c.unsupported("with this precision")
		}
		precision = int(p.Ints[0])
	}
	if len(c.args) > 2 {
		var err error
		if unit, err = c.constText(2); err != nil {
			return nil, err
		}
	}
	units := []string{"Bytes", "KB", "MB", "GB", "TB", "PB", "EB"}
	fixed := -1
	for i, u := range units {
		if u == unit {
			fixed = i
		}
	}
	if unit != "" && fixed < 0 {
		return nil, c.unsupported("in the unit " + strconv.Quote(unit))
	}
	c.args = c.args[:1]
	return scalar("string: real", func(r row) (string, bool) {
		x := r.real(0)
		if !(x >= 0) || math.IsInf(x, 0) {
			r.refuse("format_bytes of %v", x)
			return "", false
		}
		i := max(fixed, 0)
		if fixed < 0 {
			for i+1 < len(units) && x >= math.Pow(1024, float64(i+1)) {
				i++
			}
		}
		factor := math.Pow10(precision)
		v := math.Round(x/math.Pow(1024, float64(i))*factor) / factor
		return strconv.FormatFloat(v, 'f', -1, 64) + " " + units[i], true
	})(c)
}
