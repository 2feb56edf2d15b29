package files

import (
	"fmt"
	"io"
	"strconv"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// CSV reads the table called name. Errors name file as the place.
func CSV(r io.Reader, file, name string) (*table.Table, error) {
	m := &mistakes{file: file}
	cr, err := newCSV(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	schema, err := header(cr, m)
	if err != nil {
		return nil, err
	}
	t, known := table.New(name, schema, 0), texts{}
	for {
		record, err := cr.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, syntax(m, err)
		}
		if len(record) != len(schema) {
			line, _ := cr.FieldPos(0)
			if m.add(line, 0, "must have %d fields as the header does, got %d", len(schema), len(record)) != nil {
				break
			}
			continue
		}
		if appendRecord(t, record, known, cr.FieldPos, m) != nil {
			break
		}
	}
	if err := m.err(); err != nil {
		return nil, err
	}
	return t, nil
}

// appendRecord adds one record. What is wrong is noted and read as null.
func appendRecord(t *table.Table, record []string, known texts, position func(int) (line, column int), m *mistakes) error {
	for i, field := range record {
		v := t.Columns[i].Vec
		err := appendText(v, field, known)
		if err == nil {
			continue
		}
		v.AppendNull()
		line, column := position(i)
		if err := m.add(line, column, "column %q: %v", t.Columns[i].Name, err); err != nil {
			return err
		}
	}
	return nil
}

// appendText adds a value that is written as text.
func appendText(v *table.Vector, text string, known texts) error {
	switch {
	case v.Type == table.String:
		v.AppendString(known.one(text))
		return nil
	case text == "":
		v.AppendNull()
		return nil
	case v.Type == table.Long: // the common case, without a vector of its own
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			v.AppendInt(n)
			return nil
		}
	}
	one, err := engine.ParseValue(v.Type, text)
	if err != nil {
		return fmt.Errorf("%q is no %v", short(text), v.Type)
	}
	v.AppendRow(one, 0)
	return nil
}
