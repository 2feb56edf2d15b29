package files

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// inferred is what is known of one column.
type inferred struct {
	name string
	typ  table.Type // 0 as long as every value is null
	line int        // of the first value of this type
	text string     // that value
	bad  bool       // reported
}

// infer finds the columns of NDJSON.
func infer(text []byte, m *mistakes) (table.Schema, error) {
	var columns []*inferred
	index := map[string]*inferred{}
	err := objects(text, m, func(c cell) error {
		col := index[c.field]
		if col == nil {
			col = &inferred{name: c.field, line: c.line}
			index[c.field] = col
			columns = append(columns, col)
		}
		return col.see(c, m)
	}, func(int) {})
	if err != nil {
		return nil, err
	}
	var s table.Schema
	for _, col := range columns {
		if col.typ == 0 {
			if m.add(col.line, 0, "column %q: is null in every row, so its type must be given in a schema", short(col.name)) != nil {
				break
			}
		}
		if col.typ == notFinite {
			col.typ = table.String
		}
		s = append(s, table.Field{Name: col.name, Type: col.typ})
	}
	if len(columns) == 0 {
		return nil, Errors{{File: m.file, Message: "has no rows, so its columns must be given in a schema"}}
	}
	return s, m.err()
}

// see takes one more value into account.
func (col *inferred) see(c cell, m *mistakes) error {
	t := typeOf(c.value)
	if t == 0 || t == col.typ || col.bad {
		return nil
	}
	if both := join(col.typ, t); both == t {
		col.typ, col.line, col.text = t, c.line, short(string(c.value))
		return nil
	} else if both != 0 {
		col.typ = both
		return nil
	}
	col.bad = true
	return m.add(c.line, c.column, "column %q: %s is a %v, but line %d has %s, a %v; a column has one type, which a schema can name",
		short(col.name), short(string(c.value)), t, col.line, col.text, col.typ)
}

// join is the type of a column that has values of two types, of which a may be 0; 0 when there is none.
func join(a, b table.Type) table.Type {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == 0:
		return b
	case a == table.Long && b == table.Real, (a == table.Long || a == table.Real) && b == notFinite:
		return table.Real
	case a == table.String && b == notFinite:
		return table.String
	}
	return 0
}

// dateTime is the one form in which a string is taken for a datetime. Less would take version numbers
// and days for one.
var dateTime = regexp.MustCompile(`^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"$`)

// notFinite is the reals that JSON can only write as strings, until it is known which of the two a column has.
const notFinite = table.Dynamic + 1

// typeOf is what a value alone says; 0 for null.
func typeOf(v jsontext.Value) table.Type {
	switch v.Kind() {
	case 'n':
		return 0
	case 't', 'f':
		return table.Bool
	case '0':
		if strings.ContainsAny(string(v), ".eE") {
			return table.Real
		}
		return table.Long
	case '"':
		switch string(v) {
		case `"NaN"`, `"Infinity"`, `"-Infinity"`:
			return notFinite
		}
		if dateTime.Match(v) {
			return table.DateTime
		}
		return table.String
	}
	return table.Dynamic
}
