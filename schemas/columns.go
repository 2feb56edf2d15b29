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

// Check reports why an answer with these columns can never be transformed: a
// column that is not there, a value that is no number or a timestamp that is no
// datetime. It is an error of the configuration, to be found on the first answer
// and before anything is exported.
func (t *TransformConfig) Check(columns []ColumnType) error {
	find := func(name string) (ColumnType, bool) {
		i := slices.IndexFunc(columns, func(c ColumnType) bool { return c.Name == name })
		if i < 0 {
			return ColumnType{}, false
		}
		return columns[i], true
	}
	check := func(field, name, want string, types ...string) error {
		if name == "" {
			return nil
		}
		c, ok := find(name)
		if !ok {
			return fmt.Errorf("transform.%s: the answer has no column %q; it has %s", field, name, columnList(columns))
		}
		if len(types) > 0 && !slices.Contains(types, c.Type) {
			return fmt.Errorf("transform.%s: column %q is %s, want %s", field, name, c.Type, want)
		}
		return nil
	}
	if err := check("metricNameColumn", t.MetricNameColumn, "string", "string", "dynamic"); err != nil {
		return err
	}
	number := []string{"bool", "int", "long", "real", "decimal", "string", "timespan", "dynamic"}
	if err := check("valueColumn", t.ValueColumn, "a number", number...); err != nil {
		return err
	}
	for i, name := range t.ValueColumns {
		if err := check(fmt.Sprintf("valueColumns[%d]", i), name, "a number", number...); err != nil {
			return err
		}
	}
	if err := check("timestampColumn", t.TimestampColumn, "datetime", "datetime"); err != nil {
		return err
	}
	for i, name := range t.LabelColumns {
		if err := check(fmt.Sprintf("labelColumns[%d]", i), name, ""); err != nil {
			return err
		}
	}
	return nil
}

func columnList(columns []ColumnType) string {
	if len(columns) == 0 {
		return "none"
	}
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name + " (" + c.Type + ")"
	}
	return strings.Join(list, ", ")
}
