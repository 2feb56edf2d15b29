package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// checkValues fails the test when a table is not as package table describes it: the right slice filled, values
// within the type's range and in its form, zero where null.
func checkValues(tb testing.TB, t *table.Table) {
	tb.Helper()
	if err := wrongValues(t); err != nil {
		tb.Error(err)
	}
}

func wrongValues(t *table.Table) error {
	if err := t.Validate(); err != nil {
		return err
	}
	for _, c := range t.Columns {
		v := c.Vec
		if (v.Ints != nil && v.Type.Kind() != table.Ints) || (v.Reals != nil && v.Type.Kind() != table.Reals) ||
			(v.Strings != nil && v.Type.Kind() != table.Strings) {
			return fmt.Errorf("column %q: another slice than that of a %v is filled", c.Name, v.Type)
		}
		for i := range v.Len() {
			if !wellFormed(v, i) {
				return fmt.Errorf("column %q: row %d is no %v: %#v", c.Name, i, v.Type, v.Slice(i, i+1))
			}
		}
	}
	return nil
}

func wellFormed(v *table.Vector, i int) bool {
	if v.IsNull(i) {
		switch v.Type.Kind() {
		case table.Ints:
			return v.Ints[i] == 0
		case table.Reals:
			return v.Reals[i] == 0
		}
		return v.Strings[i] == ""
	}
	switch v.Type {
	case table.Bool:
		return v.Ints[i] == 0 || v.Ints[i] == 1
	case table.Int:
		return v.Ints[i] >= math.MinInt32 && v.Ints[i] <= math.MaxInt32
	case table.DateTime:
		return v.Ints[i] >= table.MinDateTime && v.Ints[i] <= table.MaxDateTime
	case table.Decimal, table.GUID:
		return table.NewVector(v.Type, 1).Append(v.Strings[i]) == nil && strings.ToLower(v.Strings[i]) == v.Strings[i]
	case table.Dynamic:
		return json.Valid([]byte(v.Strings[i]))
	}
	return true
}

// TestCheckValues shows that the check notices what it is there for.
func TestCheckValues(t *testing.T) {
	null := nulls(table.Long, 1)
	null.Ints[0] = 7
	for name, v := range map[string]*table.Vector{
		"ErrSlice": {Type: table.Long, Ints: []int64{1}, Reals: []float64{1}}, "ErrNullIsZero": null,
		"ErrBool": {Type: table.Bool, Ints: []int64{2}}, "ErrInt": {Type: table.Int, Ints: []int64{1 << 31}},
		"ErrDateTime": {Type: table.DateTime, Ints: []int64{table.MaxDateTime + 1}},
		"ErrDecimal":  {Type: table.Decimal, Strings: []string{"1e5"}}, "ErrGUID": {Type: table.GUID, Strings: []string{"x"}},
		"ErrDynamic": {Type: table.Dynamic, Strings: []string{"{"}},
	} {
		t.Run(name, func(t *testing.T) {
			if wrongValues(&table.Table{Columns: []table.Column{{Name: "x", Vec: v}}}) == nil {
				t.Error("taken for good")
			}
		})
	}
}
