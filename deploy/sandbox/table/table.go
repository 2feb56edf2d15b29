package table

import (
	"fmt"
	"math"
)

// Field is the name and type of a column.
type Field struct {
	Name string
	Type Type
}

// Schema is the fields of a table, in order. Names are unique and, as in Kusto, case-sensitive.
type Schema []Field

// Index is the position of the field called name, or -1.
func (s Schema) Index(name string) int {
	for i := range s {
		if s[i].Name == name {
			return i
		}
	}
	return -1
}

// Column is one named vector of a table.
type Column struct {
	Name string
	Vec  *Vector
}

// Table is rows by column.
type Table struct {
	Name    string
	Columns []Column
}

// New returns an empty table with room for capacity rows.
func New(name string, schema Schema, capacity int) *Table {
	t := &Table{Name: name, Columns: make([]Column, len(schema))}
	for i, f := range schema {
		t.Columns[i] = Column{Name: f.Name, Vec: NewVector(f.Type, capacity)}
	}
	return t
}

// Schema is the names and types of the columns.
func (t *Table) Schema() Schema {
	s := make(Schema, len(t.Columns))
	for i, c := range t.Columns {
		s[i] = Field{Name: c.Name, Type: c.Vec.Type}
	}
	return s
}

// Rows is the number of rows: that of the first column, as Validate makes sure that all agree. A
// table without columns has none.
func (t *Table) Rows() int {
	if len(t.Columns) == 0 {
		return 0
	}
	return t.Columns[0].Vec.Len()
}

// Column is the vector called name, or nil.
func (t *Table) Column(name string) *Vector {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return t.Columns[i].Vec
		}
	}
	return nil
}

// AppendRow adds one row of Go values, as [Vector.Append] takes them. On an error, which names the
// column, the table is unchanged.
func (t *Table) AppendRow(values ...any) error {
	if len(values) != len(t.Columns) {
		return fmt.Errorf("table %q: a row must have %d values, got %d", t.Name, len(t.Columns), len(values))
	}
	n := t.Rows()
	for i, x := range values {
		if err := t.Columns[i].Vec.Append(x); err != nil {
			for j := range i {
				v := t.Columns[j].Vec
				t.Columns[j].Vec = v.Slice(0, n)
			}
			return fmt.Errorf("table %q: column %q: %w", t.Name, t.Columns[i].Name, err)
		}
	}
	return nil
}

// AppendTable adds every row of src, whose columns must have the same types in the same order.
func (t *Table) AppendTable(src *Table) {
	if len(t.Columns) != len(src.Columns) {
		panic(fmt.Sprintf("table: %d columns appended to %d", len(src.Columns), len(t.Columns)))
	}
	for i := range t.Columns {
		t.Columns[i].Vec.AppendVector(src.Columns[i].Vec)
	}
}

// Slice is rows [from, to), sharing memory with t.
func (t *Table) Slice(from, to int) *Table {
	return t.each(func(v *Vector) *Vector { return v.Slice(from, to) })
}

// Take is the rows that sel names, in its order, copied. A negative number gives a row of nulls.
func (t *Table) Take(sel []int32) *Table {
	return t.each(func(v *Vector) *Vector { return v.Take(sel) })
}

func (t *Table) each(f func(*Vector) *Vector) *Table {
	out := &Table{Name: t.Name, Columns: make([]Column, len(t.Columns))}
	for i, c := range t.Columns {
		out.Columns[i] = Column{Name: c.Name, Vec: f(c.Vec)}
	}
	return out
}

// Validate checks what the rest of the sandbox takes for granted: valid types, unique names, columns
// of equal length, only the slice of the type in use, no null beyond the end and none in a string
// column, at most 2³¹−1 rows.
func (t *Table) Validate() error {
	seen := make(map[string]bool, len(t.Columns))
	for i, c := range t.Columns {
		switch {
		case c.Vec == nil:
			return fmt.Errorf("table %q: column %q has no values", t.Name, c.Name)
		case c.Vec.Type < Bool || c.Vec.Type > Dynamic:
			return fmt.Errorf("table %q: column %q has no valid type: %v", t.Name, c.Name, c.Vec.Type)
		case seen[c.Name]:
			return fmt.Errorf("table %q: column %q appears twice", t.Name, c.Name)
		}
		seen[c.Name] = true
		v, n := c.Vec, c.Vec.Len()
		if len(v.Ints)+len(v.Reals)+len(v.Strings) != n {
			return fmt.Errorf("table %q: column %q of %v has values of another type", t.Name, c.Name, v.Type)
		}
		if n > math.MaxInt32 {
			return fmt.Errorf("table %q: column %q must have at most %d rows, got %d", t.Name, c.Name, math.MaxInt32, n)
		}
		if want := t.Columns[0].Vec.Len(); i > 0 && n != want {
			return fmt.Errorf("table %q: column %q must have %d rows, got %d", t.Name, c.Name, want, n)
		}
		if nulls := v.Nulls.Count(); nulls > 0 {
			if !v.Type.Nullable() {
				return fmt.Errorf("table %q: column %q: a string is never null, got %d nulls", t.Name, c.Name, nulls)
			}
			if within := len(v.Nulls.Selection(n)); within != nulls {
				return fmt.Errorf("table %q: column %q has %d rows but nulls beyond them", t.Name, c.Name, n)
			}
		}
	}
	return nil
}
