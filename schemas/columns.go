package schemas

import (
	"fmt"
	"slices"
	"strings"
)

// ColumnType is one column of a query's answer: its name and Kusto scalar type.
type ColumnType struct {
	Name string
	Type string
}

// Columns returns the columns the transform reads, each once.
func (t *TransformConfig) Columns() []string {
	var names []string
	add := func(more ...string) {
		for _, name := range more {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	add(t.MetricNameColumn, t.ValueColumn)
	add(t.ValueColumns...)
	add(t.TimestampColumn)
	add(t.LabelColumns...)
	return names
}

// A ColumnProblem is a column of the transform that an answer cannot serve.
type ColumnProblem struct {
	// Field is the field of the transform that names it, such as labelColumns[2].
	Field string
	// Column is its name.
	Column string
	// Missing says that the answer has no such column; else it has another type.
	Missing bool
	// Message says what is wrong, and what columns there are.
	Message string
}

// Check reports why an answer with these columns can never be transformed: the
// first of CheckAll. It is an error of the configuration, to be found on the first
// answer and before anything is exported.
func (t *TransformConfig) Check(columns []ColumnType) error {
	if problems := t.CheckAll(columns); len(problems) > 0 {
		return fmt.Errorf("transform.%s: %s", problems[0].Field, problems[0].Message)
	}
	return nil
}

// TypeUnknown is the type of a column of which only the name is known; any use of
// it may be right.
const TypeUnknown = "unknown"

// CheckAll returns every column of the transform that is not there, is no number
// where a value is wanted, or no datetime where a timestamp is.
func (t *TransformConfig) CheckAll(columns []ColumnType) []ColumnProblem {
	var problems []ColumnProblem
	check := func(field, name, want string, types ...string) {
		if name == "" {
			return
		}
		i := slices.IndexFunc(columns, func(c ColumnType) bool { return c.Name == name })
		if i < 0 {
			problems = append(problems, ColumnProblem{field, name, true,
				fmt.Sprintf("the answer has no column %q; it has %s", name, columnList(columns))})
			return
		}
		if got := columns[i].Type; len(types) > 0 && got != TypeUnknown && !slices.Contains(types, got) {
			problems = append(problems, ColumnProblem{field, name, false,
				fmt.Sprintf("column %q is %s, want %s", name, got, want)})
		}
	}
	check("metricNameColumn", t.MetricNameColumn, "string", "string", "dynamic")
	number := []string{"bool", "int", "long", "real", "decimal", "string", "timespan", "dynamic"}
	check("valueColumn", t.ValueColumn, "a number", number...)
	for i, name := range t.ValueColumns {
		check(fmt.Sprintf("valueColumns[%d]", i), name, "a number", number...)
	}
	check("timestampColumn", t.TimestampColumn, "datetime", "datetime")
	for i, name := range t.LabelColumns {
		check(fmt.Sprintf("labelColumns[%d]", i), name, "")
	}
	return problems
}

func columnList(columns []ColumnType) string {
	if len(columns) == 0 {
		return "none"
	}
	list := make([]string, len(columns))
	for i, c := range columns {
		if list[i] = c.Name; c.Type != TypeUnknown {
			list[i] += " (" + c.Type + ")"
		}
	}
	return strings.Join(list, ", ")
}
