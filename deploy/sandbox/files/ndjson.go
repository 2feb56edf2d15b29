package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// NDJSON reads the table called name. With a nil schema the columns are those that the rows have, of
// inferred types; else a field that is not in the schema is an error. Errors name file as the place.
func NDJSON(r io.Reader, file, name string, schema table.Schema) (*table.Table, error) {
	text, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	m := &mistakes{file: file}
	if schema == nil {
		if schema, err = infer(text, m); err != nil {
			return nil, err
		}
	}
	t, known := table.New(name, schema, 0), texts{}
	index := make(map[string]int, len(schema))
	for i, f := range schema {
		index[f.Name] = i
	}
	seen := make([]int, len(schema)) // the line that had the field last
	err = objects(text, m, func(c cell) error {
		i, ok := index[c.field]
		if !ok {
			return m.add(c.line, c.column, "there is no column %q in the schema", short(c.field))
		}
		seen[i] = c.line
		v := t.Columns[i].Vec
		err := appendJSON(v, c.value, known)
		if err == nil {
			return nil
		}
		v.AppendNull()
		return m.add(c.line, c.column, "column %q: %v", c.field, err)
	}, func(line int) {
		for i, last := range seen {
			if last != line {
				t.Columns[i].Vec.AppendNull()
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// cell is one field of one object.
type cell struct {
	line, column int // of the value
	field        string
	value        jsontext.Value // until the next cell
}

// objects reads the lines: each calls visit for its fields and then end. Lines that are no objects
// are mistakes; the error is those of m.
func objects(text []byte, m *mistakes, visit func(cell) error, end func(line int)) error {
	dec := jsontext.NewDecoder(bytes.NewReader(nil))
	line := 0
	for rest := text; len(rest) > 0; {
		line++
		var l []byte
		l, rest, _ = bytes.Cut(rest, []byte("\n"))
		if len(bytes.TrimSpace(l)) == 0 {
			continue
		}
		dec.Reset(bytes.NewReader(l))
		err := object(dec, line, visit)
		if errors.Is(err, errTooMany) {
			break
		}
		if err != nil {
			column, what := jsonMistake(dec, err)
			if m.add(line, column, "%s", what) != nil {
				break
			}
		}
		end(line)
	}
	return m.err()
}

func object(dec *jsontext.Decoder, line int, visit func(cell) error) error {
	if dec.PeekKind() != '{' {
		return noObject(dec)
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		field := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		column := int(dec.InputOffset()) - len(value) + 1
		if field == "" {
			return &placed{column, "a field must have a name"}
		}
		if err := visit(cell{line, column, field, value}); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	if dec.PeekKind() != 0 {
		return noObject(dec)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return err
	}
	return nil
}

// noObject is the mistake of the value that comes next.
func noObject(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	return &placed{int(dec.InputOffset()) - len(value) + 1, "each line must be one JSON object"}
}

// placed is a mistake at a column of a line.
type placed struct {
	column int
	what   string
}

// Error implements error.
func (p *placed) Error() string { return p.what }

// jsonMistake is where a line stops being JSON, and why.
func jsonMistake(dec *jsontext.Decoder, err error) (column int, what string) {
	var p *placed
	var s *jsontext.SyntacticError
	switch {
	case errors.As(err, &p):
		return p.column, p.what
	case errors.Is(err, io.ErrUnexpectedEOF):
		return int(dec.InputOffset()) + 1, "the JSON object does not end on its line"
	case errors.As(err, &s):
		return int(s.ByteOffset) + 1, s.Err.Error()
	}
	return int(dec.InputOffset()) + 1, err.Error()
}

// appendJSON adds a JSON value.
func appendJSON(v *table.Vector, value jsontext.Value, known texts) error {
	wrong := func() error { return fmt.Errorf("%s is no %v", short(string(value)), v.Type) }
	kind := value.Kind()
	switch {
	case kind == 'n':
		v.AppendNull()
	case v.Type == table.Dynamic:
		one := value.Clone() // the decoder's own memory must not change
		if err := one.Compact(); err != nil {
			return err
		}
		v.AppendString(string(one))
	case kind == '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return err
		}
		if len(text) == 0 && v.Type != table.String || appendText(v, string(text), known) != nil {
			return wrong()
		}
	case kind == '0' && (v.Type == table.Int || v.Type == table.Long || v.Type == table.Real || v.Type == table.Decimal),
		(kind == 't' || kind == 'f') && v.Type == table.Bool:
		if appendText(v, string(value), known) != nil {
			return wrong()
		}
	default:
		return wrong()
	}
	return nil
}
