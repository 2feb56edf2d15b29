package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// wrongResult says in what the results of a query are not what must be true of every result: the names and types that the
// binder promised, and well formed values.
func wrongResult(q *kql.Query, out []*table.Table) error {
	if len(out) != len(q.Statements) {
		return fmt.Errorf("%d results for %d statements", len(out), len(q.Statements))
	}
	for i, t := range out {
		if err := wrongValues(t); err != nil {
			return err
		}
		want := q.Statements[i].Columns
		if len(t.Columns) != len(want) {
			return fmt.Errorf("%d columns, the binder has %d", len(t.Columns), len(want))
		}
		for j, c := range t.Columns {
			if c.Name != want[j].Name || c.Vec.Type.String() != want[j].Type {
				return fmt.Errorf("column %d is %s:%v, the binder has %s:%s", j, c.Name, c.Vec.Type, want[j].Name, want[j].Type)
			}
		}
	}
	return nil
}

// wrongValues says in what a table is not as package table describes it: the right slice filled, values within the
// type's range and in its form, zero where null.
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

// TestChecks shows that the checks notice what they are there for.
func TestChecks(t *testing.T) {
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

// TestSchemaChecks shows that a result of another name or type than the binder's is noticed: by Compile, before
// anything runs, and by the tests' own check.
func TestSchemaChecks(t *testing.T) {
	w := mustWorld(t, nil)
	const query = "print x = 1 | extend y = 'a'"
	good := w.analyze(query)
	out := []*table.Table{w.run(query, nil)}
	for name, columns := range map[string][]kql.Column{
		"ErrName": {{Name: "x", Type: "long"}, {Name: "z", Type: "string"}}, "ErrType": {{Name: "x", Type: "int"}, {Name: "y", Type: "string"}},
		"ErrMore": {{Name: "x", Type: "long"}, {Name: "y", Type: "string"}, {Name: "z", Type: "long"}}, "ErrNone": {},
		"ErrOrder": {{Name: "y", Type: "string"}, {Name: "x", Type: "long"}},
	} {
		t.Run(name, func(t *testing.T) {
			// The analysis is shared: this is a copy whose statement has other columns.
			pipe, statement, list, root, bad := *good.Statements[0], kql.Node{}, kql.Node{}, *good.Root, *good
			pipe.Columns = columns
			statement.Kind, statement.Children = "ExpressionStatement", []*kql.Node{&pipe}
			list.Field, list.Children = "Statements", []*kql.Node{&statement}
			root.Children, bad.Root, bad.Statements = []*kql.Node{&list}, &root, []*kql.Node{&pipe}
			if _, err := Compile(&bad, Options{Now: now}); err == nil || !strings.Contains(err.Error(), "this is a defect") {
				t.Errorf("Compile: %v", err)
			}
			if wrongResult(&bad, out) == nil {
				t.Error("the tests' check takes it for good")
			}
		})
	}
	if err := wrongResult(good, out); err != nil {
		t.Error(err)
	}
}

// TestTypedBatches shows that a batch of other types than the result's is noticed when it is made, in every query.
func TestTypedBatches(t *testing.T) {
	schema := table.Schema{{Name: "x", Type: table.Long}, {Name: "y", Type: table.String}}
	x, y := zeros(table.Long, 2), zeros(table.String, 2)
	for name, tt := range map[string]struct {
		cols []*table.Vector
		want string
	}{
		"OK":      {[]*table.Vector{x, y}, ""},
		"ErrType": {[]*table.Vector{x, x}, "the sandbox's column 1 is a long in a result of [{x long} {y string}]: this is a defect"},
		"ErrInt":  {[]*table.Vector{zeros(table.Int, 2), y}, "the sandbox's column 0 is a int in a result of [{x long} {y string}]: this is a defect"},
		"ErrFew":  {[]*table.Vector{x}, "the sandbox has 1 columns in a result of [{x long} {y string}]: this is a defect"},
		"ErrMany": {[]*table.Vector{x, y, y}, "the sandbox's column 2 is a string in a result of [{x long} {y string}]: this is a defect"},
	} {
		t.Run(name, func(t *testing.T) {
			rel := typed(&relation{schema: schema, produce: func(_ *run, emit func(*batch) error) error { return emit(&batch{n: 2, cols: tt.cols}) }})
			got, rows := "", 0
			if err := rel.produce(newRun(context.Background(), nil), func(b *batch) error { rows += b.n; return nil }); err != nil {
				got = err.Error()
			}
			if got != tt.want || (rows == 2) != (got == "") {
				t.Errorf("got %q and %d rows", got, rows)
			}
		})
	}
}
