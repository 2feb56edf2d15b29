package files

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Schema reads the one line of a schema file, `name:type,name:type`. Errors name file as the place.
func Schema(r io.Reader, file string) (table.Schema, error) {
	m := &mistakes{file: file}
	cr, err := newCSV(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s, err := header(cr, m)
	if err != nil {
		return nil, err
	}
	if _, err := cr.Read(); err != io.EOF {
		line, _ := cr.FieldPos(0)
		return nil, Errors{{File: file, Line: line, Message: "a schema is one line of name:type, separated by commas"}}
	}
	return s, nil
}

// newCSV reads CSV without the byte order mark that spreadsheets put before it.
func newCSV(r io.Reader) (*csv.Reader, error) {
	text, err := read(r)
	if err != nil {
		return nil, err
	}
	cr := csv.NewReader(bytes.NewReader(text))
	cr.FieldsPerRecord = -1 // counted here, for the message
	cr.ReuseRecord = true
	return cr, nil
}

// maxBytes bounds one file, as it is held in memory.
const maxBytes = 1 << 30

func read(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("must have at most %d bytes", maxBytes)
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// header reads the record that names the columns.
func header(cr *csv.Reader, m *mistakes) (table.Schema, error) {
	record, err := cr.Read()
	if err == io.EOF {
		return nil, Errors{{File: m.file, Message: "must begin with a line of name:type for each column"}}
	}
	if err != nil {
		return nil, syntax(m, err)
	}
	var s table.Schema
	for i, field := range record {
		line, column := cr.FieldPos(i)
		name, typ := strings.TrimSpace(field), ""
		if at := strings.LastIndexByte(name, ':'); at >= 0 {
			name, typ = strings.TrimSpace(name[:at]), strings.TrimSpace(name[at+1:])
		}
		t, err := table.ParseType(typ)
		switch {
		case name == "" || typ == "":
			err = fmt.Errorf("column %d must be name:type, got %q", i+1, short(field))
		case err != nil:
			err = fmt.Errorf("column %q: %w", short(name), err)
		case s.Index(name) >= 0:
			err = fmt.Errorf("column %q appears twice", short(name))
		}
		if err != nil {
			if err := m.add(line, column, "%s", err); err != nil {
				break
			}
		}
		s = append(s, table.Field{Name: name, Type: t})
	}
	return s, m.err()
}

// syntax is an error of the CSV reader, after which nothing can be read.
func syntax(m *mistakes, err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return fmt.Errorf("%s: %w", m.file, err)
	}
	m.list = append(m.list, &Error{m.file, p.Line, p.Column, fmt.Sprintf("%v, in the record that begins on line %d", p.Err, p.StartLine)})
	return m.list
}
