package frames

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// primaryResult is the kind of the tables that a query is asked for.
const primaryResult = "PrimaryResult"

// frame is one frame while it is read. Its properties come in an order in which
// everything is known that is needed for its rows; one in another order is refused.
type frame struct {
	d      *Decoder
	number int

	kind      string // FrameType
	tableKind string
	tableID   int64
	hasID     bool
	replace   bool // TableFragmentType is DataReplace
	columns   []schemas.ColumnType
	hasRows   bool
	rowCount  int64 // -1 until it is known
	errors    error // OneApiErrors
	hasErrors *bool
	cancelled bool
}

func (f *frame) read() error {
	f.rowCount = -1
	if err := f.d.expect('{'); err != nil {
		return err
	}
	for f.d.json.PeekKind() != '}' {
		f.d.bound()
		name, err := f.d.json.ReadToken()
		if err != nil {
			return err
		}
		if err := f.property(name.String()); err != nil {
			return err
		}
	}
	if err := f.d.expect('}'); err != nil {
		return err
	}
	return f.end()
}

func (f *frame) property(name string) (err error) {
	switch name {
	case "FrameType":
		f.kind, err = f.text(name)
	case "TableKind":
		f.tableKind, err = f.text(name)
	case "TableId":
		f.tableID, err = f.integer(name)
		f.hasID = true
	case "TableFragmentType":
		var s string
		if s, err = f.text(name); err != nil {
			return err
		}
		switch s {
		case "DataAppend":
		case "DataReplace":
			f.replace = true
		default:
			return f.fail("TableFragmentType %q is not known", s)
		}
		if f.hasRows {
			return f.fail("TableFragmentType comes after Rows")
		}
	case "Columns":
		err = f.readColumns()
	case "Rows":
		f.hasRows = true
		err = f.rows()
	case "RowCount":
		f.rowCount, err = f.integer(name)
	case "OneApiErrors":
		var raw jsontext.Value
		if raw, err = f.d.value(); err == nil && raw.Kind() != 'n' {
			f.errors = inBand("kusto reported an error in "+f.name(), raw)
		}
	case "error":
		// An error in the place of a frame.
		var raw jsontext.Value
		if raw, err = f.d.value(); err == nil {
			f.errors = inBand("kusto reported an error in "+f.name(), []byte(`[{"error":`+string(raw)+`}]`))
		}
	case "HasErrors":
		f.hasErrors = new(bool)
		*f.hasErrors, err = f.boolean(name)
	case "Cancelled":
		f.cancelled, err = f.boolean(name)
	case "Version":
		var s string
		if s, err = f.text(name); err == nil && !strings.HasPrefix(s, "v2.") {
			return f.fail("the answer has version %q of the protocol, want v2", s)
		}
	default:
		err = f.d.skip()
	}
	return err
}

// rows reads the rows of a DataTable or TableFragment, and passes over those of
// any other frame.
func (f *frame) rows() error {
	t, err := f.table()
	if err != nil {
		return err
	}
	if t == nil && f.d.q.Usage && f.tableKind == completionInformation {
		return f.readUsage()
	}
	if t == nil {
		return f.d.skip()
	}
	if t.done {
		return f.fail("rows after the table's end")
	}
	if f.replace {
		if err := f.d.replace(t); err != nil {
			return fmt.Errorf("%s: %w", f.name(), err)
		}
	}
	f.d.reader.take()
	if err := f.d.reader.read(t); err != nil {
		return err
	}
	return f.d.reader.handBack()
}

// inRows reads what stands in the place of a row: an error, whatever is in it.
func inRows(raw []byte) error {
	const where = "kusto reported an error among the rows"
	var o struct {
		OneAPIErrors json.RawMessage `json:"OneApiErrors"`
	}
	if err := json.Unmarshal(raw, &o); err == nil && o.OneAPIErrors != nil {
		if err := inBand(where, o.OneAPIErrors); err != nil {
			return err
		}
	}
	if e := ParseError(raw); e != nil {
		return fmt.Errorf("%s: %w", where, e.Classify())
	}
	return fmt.Errorf("%s that cannot be read: %s", where, OneLine(string(raw)))
}

// table returns the primary table that the frame's rows belong to; nil when they
// are of no interest.
func (f *frame) table() (*table, error) {
	switch f.kind {
	case "":
		return nil, f.fail("Rows come before FrameType")
	case "DataTable":
		if f.tableKind == "" {
			return nil, f.fail("Rows come before TableKind")
		}
		return f.begin()
	case "TableFragment":
		if !f.hasID {
			return nil, f.fail("Rows come before TableId")
		}
		t, ok := f.d.tables[f.tableID]
		if !ok {
			return nil, f.fail("a fragment of table %d, which has no header", f.tableID)
		}
		return t, nil
	}
	return nil, nil
}

// begin opens the table that the frame describes: nil for one that is not primary.
func (f *frame) begin() (*table, error) {
	if _, ok := f.d.tables[f.tableID]; ok {
		return nil, f.fail("table %d begins twice", f.tableID)
	}
	if f.tableKind != primaryResult {
		f.d.tables[f.tableID] = nil
		return nil, nil
	}
	if !f.hasID || f.columns == nil {
		return nil, f.fail("a table without TableId and Columns before its rows")
	}
	f.d.primes++
	if f.d.q.Check != nil {
		if err := f.d.q.Check(f.columns); err != nil {
			return nil, pipe.Permanent(err)
		}
	}
	t, err := newTable(f.tableID, f.columns, f.d.q.Columns, &f.d.spare)
	if err != nil {
		return nil, pipe.Permanent(err)
	}
	f.d.tables[f.tableID] = t
	return t, nil
}

// end draws the consequences of a whole frame.
func (f *frame) end() error {
	switch f.kind {
	case "DataTable":
		if !f.hasRows {
			if _, err := f.begin(); err != nil {
				return err
			}
		}
		if t := f.d.tables[f.tableID]; t != nil {
			t.done = true
		}
	case "TableHeader":
		if _, err := f.begin(); err != nil {
			return err
		}
	case "TableFragment":
		if !f.hasRows && f.errors == nil {
			return f.fail("it has no Rows")
		}
	case "TableCompletion":
		if f.errors != nil {
			return f.errors
		}
		return f.completeTable()
	case "DataSetCompletion":
		if f.errors != nil {
			return f.errors
		}
		return f.completeDataSet()
	case "":
		if f.errors == nil {
			return f.fail("it has no FrameType")
		}
	}
	return f.errors
}

func (f *frame) completeTable() error {
	t, ok := f.d.tables[f.tableID]
	switch {
	case !f.hasID || !ok:
		return f.fail("the end of a table that has no header")
	case t == nil:
		return nil
	case t.done:
		return f.fail("table %d ends twice", t.id)
	case f.rowCount != t.rows:
		return f.fail("table %d has RowCount %d, and %d rows were read", t.id, f.rowCount, t.rows)
	}
	t.done = true
	return nil
}

func (f *frame) completeDataSet() error {
	switch {
	case f.hasErrors == nil:
		return f.fail("HasErrors is missing")
	case *f.hasErrors:
		return errors.New("kusto reported that the query failed (HasErrors) and not why")
	case f.cancelled:
		return errors.New("kusto reported that the query was cancelled")
	}
	for id, t := range f.d.tables {
		if t != nil && !t.done {
			return f.fail("table %d has no TableCompletion", id)
		}
	}
	f.d.done = true
	return nil
}

func (f *frame) readColumns() error {
	raw, err := f.d.value()
	if err != nil {
		return err
	}
	var columns []struct{ ColumnName, ColumnType, DataType string }
	if err := json.Unmarshal(raw, &columns); err != nil {
		return f.fail("Columns cannot be read: %v", err)
	}
	f.columns = make([]schemas.ColumnType, len(columns))
	for i, c := range columns {
		f.columns[i] = schemas.ColumnType{Name: c.ColumnName, Type: typeName(c.ColumnType)}
	}
	return nil
}

func (f *frame) text(property string) (string, error) {
	raw, err := f.d.value()
	if err != nil {
		return "", err
	}
	if raw.Kind() == 'n' {
		return "", nil
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	if raw.Kind() != '"' || err != nil {
		return "", f.fail("%s is %s, want a string", property, OneLine(string(raw)))
	}
	return string(s), nil
}

func (f *frame) integer(property string) (int64, error) {
	raw, err := f.d.value()
	if err != nil {
		return 0, err
	}
	n, ok := parseInt(raw)
	if !ok {
		return 0, f.fail("%s is %s, want a number", property, OneLine(string(raw)))
	}
	return n, nil
}

func (f *frame) boolean(property string) (bool, error) {
	raw, err := f.d.value()
	if err != nil {
		return false, err
	}
	if k := raw.Kind(); k != 't' && k != 'f' {
		return false, f.fail("%s is %s, want true or false", property, OneLine(string(raw)))
	}
	return raw.Kind() == 't', nil
}

func (f *frame) name() string {
	if f.kind == "" {
		return fmt.Sprintf("frame %d", f.number)
	}
	return fmt.Sprintf("frame %d (%s)", f.number, f.kind)
}

func (f *frame) fail(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{f.name()}, args...)...)
}
