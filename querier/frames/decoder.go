package frames

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// maxValue bounds one row, or any other value that is read whole, in bytes of
// JSON. Nothing near it fits a message, whatever columns are left out.
const maxValue = 16 << 20

// Batch is one row batch.
type Batch struct {
	// Number counts batches from 0. One with a number that was there before takes
	// that one's place, and those after it are void: a progressive answer replaces
	// what it said before.
	Number int
	Rows   int
	// Data is an encoded wire.RowBatch, at most schemas.MaxMessageBytes; its taker
	// owns it.
	Data []byte
}

// Query says what to read from an answer.
type Query struct {
	// Columns to keep, of each primary table.
	Columns []string
	// Check is asked about each primary table's columns, before its first row and
	// also when it has none. Its error is permanent.
	Check func([]schemas.ColumnType) error
	// MaxRows is the most rows the answer may have; 0 is no limit.
	MaxRows int64
	// Take takes the batches while the answer is being read.
	Take func(Batch) error
	// Usage asks for what the query took.
	Usage bool
}

// Result is what an answer had, once it has proved whole.
type Result struct {
	Rows int64
	// Batches is how many there are; any with a number from there on is void.
	Batches int
	// Usage is what the query took; nil when it was not asked for or Kusto did not say.
	Usage *Usage
}

// Decoder reads answers, one after the other. It keeps its buffers.
type Decoder struct {
	q      Query
	json   *jsontext.Decoder
	in     boundedReader
	rest   rest
	reader rowReader
	tables map[int64]*table // nil for a table that is not primary
	spare  []column         // whose buffers are free
	open   *table           // the one with rows in its open batch, if any
	owners []int64          // of each batch, the table it came from
	rows   int64
	primes int // primary tables
	usage  *Usage
	done   bool
}

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder {
	d := &Decoder{json: jsontext.NewDecoder(&boundedReader{}), tables: map[int64]*table{}}
	d.reader.d = d
	return d
}

// Decode reads the answer in r to its end. An error is marked as package pipe
// sorts them; without a mark the same query may work another time.
func (d *Decoder) Decode(r io.Reader, q Query) (Result, error) {
	d.q = q
	d.in = boundedReader{r: r, left: maxValue}
	// Frames name each property once, and nobody is served by a check of it; strings
	// are checked once per distinct text.
	d.json.Reset(&d.in, lenient...)
	for _, t := range d.tables {
		if t != nil {
			d.spare = append(d.spare, t.columns...)
		}
	}
	clear(d.tables)
	d.open, d.owners, d.rows, d.primes, d.usage, d.done = nil, d.owners[:0], 0, 0, nil, false
	// A decoder that waits for its next answer must not hold on to the last taker.
	defer func() { d.q, d.in.r = Query{}, nil; d.reader.release() }()
	if err := d.answer(); err != nil {
		return Result{}, d.explain(err)
	}
	return Result{d.rows, len(d.owners), d.usage}, nil
}

func (d *Decoder) answer() error {
	if d.json.PeekKind() == '{' {
		// Not frames: an error with the status of a success.
		raw, err := d.value()
		if err != nil {
			return err
		}
		if e := ParseError(raw); e != nil {
			return e.Classify()
		}
		return fmt.Errorf("the answer is no array of frames but %s", OneLine(string(raw)))
	}
	if err := d.expect('['); err != nil {
		return err
	}
	for n := 0; d.json.PeekKind() != ']'; n++ {
		if d.done {
			return fmt.Errorf("frame %d comes after DataSetCompletion", n)
		}
		f := frame{d: d, number: n}
		if err := f.read(); err != nil {
			return err
		}
	}
	if err := d.expect(']'); err != nil {
		return err
	}
	if !d.done {
		return errors.New("the answer ended without DataSetCompletion")
	}
	// To the very end, where a compressed body has its checksum.
	d.bound()
	switch _, err := d.json.ReadToken(); {
	case err == nil:
		return errors.New("the answer goes on after its last frame")
	case err != io.EOF:
		return err
	}
	if d.primes == 0 {
		return pipe.Permanent(errors.New("the query answered with no table: its last statement must be a tabular expression"))
	}
	return d.flush()
}

// explain says where and why reading stopped.
func (d *Decoder) explain(err error) error {
	kind, _ := pipe.KindOf(err)
	switch {
	case errors.Is(err, errValueTooLarge):
		return pipe.Permanent(fmt.Errorf("row %d: %w", d.rows+1, errValueTooLarge))
	case kind != pipe.KindRetry:
		return err
	case d.in.err != nil:
		// In place of what the tokenizer makes of it.
		return fmt.Errorf("the answer broke off after byte %d: %w", d.in.n, d.in.err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the answer was cut off after byte %d: %w", d.in.n, io.ErrUnexpectedEOF)
	}
	return err
}

// row adds one row to t, the JSON text raw with the values in cells.
func (d *Decoder) row(t *table, raw []byte, cells []cell) error {
	if d.open != t || t.open > 0 && !t.fits(raw) {
		if err := d.flush(); err != nil {
			return err
		}
		d.open = t
	}
	if d.q.MaxRows > 0 && d.rows >= d.q.MaxRows {
		return pipe.Permanent(fmt.Errorf("the answer has more rows than limits.maxRows of %d", d.q.MaxRows))
	}
	if err := t.append(raw, cells); err != nil {
		return fmt.Errorf("row %d: %w", d.rows+1, err)
	}
	d.rows++
	if t.full() {
		return d.flush()
	}
	return nil
}

// flush hands the open batch out.
func (d *Decoder) flush() error {
	t := d.open
	if t == nil || t.open == 0 {
		return nil
	}
	b, err := t.encode()
	if err != nil {
		return fmt.Errorf("row %d: %w", d.rows, err)
	}
	b.Number = len(d.owners)
	d.owners = append(d.owners, t.id)
	return d.q.Take(b)
}

// replace forgets the rows of t so far.
func (d *Decoder) replace(t *table) error {
	d.rows -= t.rows
	t.rows = 0
	if t.open > 0 {
		t.reset()
	}
	first := len(d.owners)
	for first > 0 && d.owners[first-1] == t.id {
		first--
	}
	for _, id := range d.owners[:first] {
		if id == t.id {
			return pipe.Permanent(fmt.Errorf("table %d replaces rows that came before those of another table", t.id))
		}
	}
	d.owners = d.owners[:first]
	return nil
}

// expect reads a delimiter.
func (d *Decoder) expect(kind jsontext.Kind) error {
	d.bound()
	tok, err := d.json.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != kind {
		return fmt.Errorf("the answer has %s where a %s belongs", tok.Kind(), kind)
	}
	return nil
}

// value reads a value whole. It is valid until the next read.
func (d *Decoder) value() (jsontext.Value, error) {
	d.bound()
	return d.json.ReadValue()
}

// skip passes over a value, whatever its size.
func (d *Decoder) skip() error {
	if k := d.json.PeekKind(); k != '{' && k != '[' {
		_, err := d.value()
		return err
	}
	for depth := d.json.StackDepth(); ; {
		d.bound()
		if _, err := d.json.ReadToken(); err != nil {
			return err
		}
		if d.json.StackDepth() <= depth {
			return nil
		}
	}
}

// bound lets the next token or value be maxValue bytes long.
func (d *Decoder) bound() { d.in.left = maxValue }

var errValueTooLarge = fmt.Errorf("one value of the answer is longer than %d MiB", maxValue>>20)

// boundedReader keeps the tokenizer from gathering a value without end.
type boundedReader struct {
	r    io.Reader
	n    int64 // bytes read so far
	left int64 // until bound is called again
	err  error // of r, other than its end
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.err = errValueTooLarge
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
