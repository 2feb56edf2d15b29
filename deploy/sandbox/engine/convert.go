package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["tostring"] = bindTo(table.String)
	functions["tolong"] = bindTo(table.Long)
	functions["toint"] = bindTo(table.Int)
	functions["toreal"] = bindTo(table.Real)
	functions["todouble"] = bindTo(table.Real)
	functions["tobool"] = bindTo(table.Bool)
	functions["toboolean"] = bindTo(table.Bool)
	functions["todatetime"] = bindTo(table.DateTime)
	functions["totimespan"] = bindTo(table.TimeSpan)
	functions["totime"] = bindTo(table.TimeSpan)
	functions["todecimal"] = bindTo(table.Decimal)
	functions["toguid"] = bindTo(table.GUID)
}

// convert is the implicit promotion that Kusto does for operands: between the number types, upwards. ok is
// false when there is none.
func convert(e *expr, t table.Type) (_ *expr, ok bool, err error) {
	switch {
	case e.typ == t:
		return e, true, nil
	case integral(e.typ) && t == table.Real:
		e, err = apply(t, lift1(t, func(a int64) (float64, bool) { return float64(a), true }), []*expr{e})
	case e.typ == table.Int && t == table.Long:
		e, err = apply(t, lift1(t, func(a int64) (int64, bool) { return a, true }), []*expr{e})
	default:
		return nil, false, nil
	}
	return e, true, err
}

// bindTo is to<type>(): what cannot be converted becomes null.
func bindTo(t table.Type) binder {
	return func(c *call) (kernel, error) {
		if c.typ != t || len(c.args) != 1 {
			return nil, c.unsupported("")
		}
		k := conversion(c.args[0].typ, t)
		if k == nil {
			return nil, c.ofTypes()
		}
		return k, nil
	}
}

// conversion is the kernel from one type to another, nil when the sandbox has none.
func conversion(from, to table.Type) kernel {
	if from == to {
		return func(args []operand, n int) (*table.Vector, error) { return args[0].full(n), nil }
	}
	if to == table.String && from == table.Dynamic {
		return liftText(to, func(s string) (string, bool) { return jsonText(s), true })
	}
	if to == table.String {
		return toString(from)
	}
	switch from {
	case table.String:
		return liftParse(to, func(s string) string { return s })
	case table.Dynamic:
		return liftParse(to, jsonText)
	}
	switch to {
	case table.Int:
		if integral(from) || from == table.Bool {
			return lift1(to, func(a int64) (int64, bool) { return a, a >= math.MinInt32 && a <= math.MaxInt32 })
		}
		if from == table.Real {
			return lift1(to, func(a float64) (int64, bool) {
				return int64(a), a > math.MinInt32-1 && a < math.MaxInt32+1
			})
		}
		if from == table.Decimal {
			return fromDecimal(to)
		}
	case table.Long:
		switch from {
		case table.Int, table.Bool, table.TimeSpan:
			return lift1(to, func(a int64) (int64, bool) { return a, true })
		case table.DateTime: // ticks since year 1
			return lift1(to, func(a int64) (int64, bool) { return a - table.MinDateTime, true })
		case table.Real:
			return lift1(to, toTicks)
		case table.Decimal:
			return fromDecimal(to)
		}
	case table.Decimal:
		switch {
		case integral(from) || from == table.Bool:
			return lift1(to, func(a int64) (string, bool) { return formatInteger(a), true })
		case from == table.Real:
			return liftRows(to, decimalReal)
		}
	case table.Real:
		if integral(from) || from == table.Bool {
			return lift1(to, func(a int64) (float64, bool) { return float64(a), true })
		}
		if from == table.Decimal {
			return liftText(to, parseReal)
		}
	case table.Bool:
		if integral(from) {
			return lift1(to, func(a int64) (int64, bool) { return truth(a != 0), true })
		}
		if from == table.Real {
			return lift1(to, func(a float64) (int64, bool) { return truth(a != 0), true })
		}
	}
	return nil
}

// fromDecimal cuts off the decimals.
func fromDecimal(to table.Type) kernel {
	return liftText(to, func(s string) (int64, bool) {
		whole, _, _ := strings.Cut(s, ".")
		i, ok := parseInteger(whole)
		return i, ok && (to == table.Long || i == int64(int32(i)))
	})
}

// liftParse reads values of type to from text; before takes the text out of its wrapping.
func liftParse(to table.Type, before func(string) string) kernel {
	switch to {
	case table.Int:
		return liftText(to, func(s string) (int64, bool) {
			i, ok := readInteger(before(s))
			return i, ok && i >= math.MinInt32 && i <= math.MaxInt32
		})
	case table.Long:
		return liftText(to, func(s string) (int64, bool) { return readInteger(before(s)) })
	case table.Real:
		return liftText(to, func(s string) (float64, bool) { return readReal(before(s)) })
	case table.Bool:
		return liftText(to, func(s string) (int64, bool) {
			switch strings.ToLower(strings.TrimSpace(before(s))) {
			case "true", "1":
				return 1, true
			case "false", "0":
				return 0, true
			}
			return 0, false
		})
	case table.DateTime:
		return liftDateTime(before)
	case table.TimeSpan:
		return liftText(to, func(s string) (int64, bool) { return parseTimeSpan(strings.TrimSpace(before(s))) })
	case table.Decimal, table.GUID:
		return liftText(to, func(s string) (string, bool) {
			v, err := parseValue(to, strings.TrimSpace(before(s)))
			if err != nil {
				return "", false
			}
			return v.Strings[0], !v.IsNull(0)
		})
	}
	return nil
}

// liftDateTime reads datetimes. A text that is a date in a form that is not documented ends the query: it may be
// a datetime, or null.
func liftDateTime(before func(string) string) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		var failed error
		v, err := liftText(table.DateTime, func(s string) (int64, bool) {
			s = strings.TrimSpace(before(s))
			ticks, ok := parseDateTime(s)
			if !ok && failed == nil && otherDates.MatchString(s) {
				failed = &ValueError{fmt.Sprintf("the text %q as a datetime", s), unknown}
			}
			return ticks, ok
		})(args, n)
		if err == nil {
			err = failed
		}
		return v, err
	}
}

func readInteger(s string) (int64, bool) { return parseInteger(strings.TrimSpace(s)) }

func readReal(s string) (float64, bool) {
	if f, ok := parseReal(strings.TrimSpace(s)); ok {
		return f, true
	}
	i, ok := readInteger(s)
	return float64(i), ok
}

// toString is the text of a value; null has the empty one.
func toString(from table.Type) kernel {
	text := textOf(from)
	return func(args []operand, n int) (*table.Vector, error) {
		a, out := args[0], make([]string, n)
		if a.step == 0 && n > 0 {
			s := text(a.Vector, 0)
			for i := range out {
				out[i] = s
			}
		} else {
			for i := range out {
				out[i] = text(a.Vector, i)
			}
		}
		return &table.Vector{Type: table.String, Strings: out}, nil
	}
}

// textOf says how tostring writes an element of a type.
func textOf(t table.Type) func(v *table.Vector, i int) string {
	var text func(v *table.Vector, i int) string
	switch t {
	case table.Bool:
		text = func(v *table.Vector, i int) string { return strconv.FormatBool(v.Ints[i] != 0) }
	case table.Int, table.Long:
		text = func(v *table.Vector, i int) string { return strconv.FormatInt(v.Ints[i], 10) }
	case table.Real:
		text = func(v *table.Vector, i int) string { return formatReal(v.Reals[i]) }
	case table.DateTime:
		text = func(v *table.Vector, i int) string { return string(table.AppendDateTime(nil, v.Ints[i])) }
	case table.TimeSpan:
		text = func(v *table.Vector, i int) string { return string(table.AppendTimeSpan(nil, v.Ints[i])) }
	case table.Dynamic:
		return func(v *table.Vector, i int) string {
			if v.IsNull(i) {
				return ""
			}
			return jsonText(v.Strings[i])
		}
	default:
		return func(v *table.Vector, i int) string { return v.Strings[i] } // "" where null
	}
	return func(v *table.Vector, i int) string {
		if v.IsNull(i) {
			return ""
		}
		return text(v, i)
	}
}

// formatReal writes the shortest digits that read back as f, as the service does: always recognisably
// a real (`2.0`), with an exponent from 1E+15 up and below 1E-05.
func formatReal(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if a := math.Abs(f); a != 0 && (a >= 1e15 || a < 1e-5) {
		return strconv.FormatFloat(f, 'E', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
