package table

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// Value is row i as a Go value: nil for null, else bool, int32, int64, float64, time.Time (UTC),
// [Span] for timespan, json.RawMessage for dynamic and string for the rest. It allocates; kernels
// read the slices.
func (v *Vector) Value(i int) any {
	if v.Nulls.Get(i) {
		return nil
	}
	switch v.Type {
	case Bool:
		return v.Ints[i] != 0
	case Int:
		return int32(v.Ints[i])
	case Long:
		return v.Ints[i]
	case Real:
		return v.Reals[i]
	case DateTime:
		return Time(v.Ints[i])
	case TimeSpan:
		return Span(v.Ints[i])
	case Dynamic:
		return json.RawMessage(v.Strings[i])
	}
	return v.Strings[i]
}

// Append adds a Go value: nil, or what Value returns for the type; int for the integer types,
// time.Duration for timespan (rounded down to ticks) and string for dynamic (JSON text) as well.
// Anything else, and a value outside the type's range, is an error and adds nothing.
func (v *Vector) Append(x any) error {
	switch x := x.(type) {
	case nil:
		v.AppendNull()
		return nil
	case bool:
		if v.Type == Bool {
			v.AppendBool(x)
			return nil
		}
	case int:
		return v.appendInteger(int64(x))
	case int32:
		return v.appendInteger(int64(x))
	case int64:
		return v.appendInteger(x)
	case float64:
		if v.Type == Real {
			v.AppendReal(x)
			return nil
		}
	case time.Time:
		if v.Type == DateTime {
			t := Ticks(x)
			if t < MinDateTime || t > MaxDateTime {
				return fmt.Errorf("datetime must be within years 1 and 9999, got %s", x.UTC().Format(time.RFC3339Nano))
			}
			v.AppendInt(t)
			return nil
		}
	case time.Duration:
		if v.Type == TimeSpan {
			v.AppendInt(SpanTicks(x))
			return nil
		}
	case Span:
		if v.Type == TimeSpan {
			v.AppendInt(int64(x))
			return nil
		}
	case json.RawMessage:
		if v.Type == Dynamic {
			return v.appendText(string(x))
		}
	case string:
		if v.Type.Kind() == Strings {
			return v.appendText(x)
		}
	}
	return fmt.Errorf("a column of %v cannot hold a %T", v.Type, x)
}

func (v *Vector) appendInteger(x int64) error {
	switch v.Type {
	case Int:
		if x < math.MinInt32 || x > math.MaxInt32 {
			return fmt.Errorf("int must be between %d and %d, got %d", math.MinInt32, math.MaxInt32, x)
		}
	case Long:
	default:
		return fmt.Errorf("a column of %v cannot hold an integer", v.Type)
	}
	v.AppendInt(x)
	return nil
}

func (v *Vector) appendText(x string) error {
	switch v.Type {
	case Dynamic:
		if !json.Valid([]byte(x)) {
			return fmt.Errorf("dynamic must be json, got %.40q", x)
		}
	case Decimal:
		if !isDecimal(x) {
			return fmt.Errorf("decimal must be plain decimal digits, got %.40q", x)
		}
	case GUID:
		if !isGUID(x) {
			return fmt.Errorf("guid must be 8-4-4-4-12 hexadecimal digits, got %.40q", x)
		}
		x = strings.ToLower(x)
	}
	v.AppendString(x)
	return nil
}

func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, frac, point := strings.Cut(s, ".")
	return digits(whole) && (!point || digits(frac))
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
