package frames

import (
	"fmt"
	"io"
)

const (
	// bufferSize is how much of an answer is read ahead, to begin with.
	bufferSize = 64 << 10
	// keptBuffer is the most that a decoder keeps of a buffer for its next answer.
	keptBuffer = 1 << 20
)

// rowReader reads the rows of one frame. It takes the answer over from the
// tokenizer after the property's name, and hands it back after the array.
type rowReader struct {
	d     *Decoder
	buf   []byte
	pos   int
	cells []cell
}

// take takes over what is read ahead.
func (r *rowReader) take() {
	unread := r.d.json.UnreadBuffer()
	if left := len(r.d.rest.buf); left > 0 {
		// The tokenizer has not had all that was left over from the rows before, so
		// what it has not read is still in buf too, just before the rest.
		r.pos = len(r.buf) - left - len(unread)
		return
	}
	if r.buf == nil {
		r.buf = make([]byte, 0, bufferSize)
	}
	r.buf, r.pos = append(r.buf[:0], unread...), 0
}

// resumed stands, before the rest of an answer, for what the tokenizer has seen
// of the frame.
const resumed = `[{"Rows":0`

// handBack lets the tokenizer go on behind the array.
func (r *rowReader) handBack() error {
	d := r.d
	d.rest = rest{prefix: resumed, buf: r.buf[r.pos:], in: &d.in}
	d.json.Reset(&d.rest, lenient...)
	for range 4 { // [ { "Rows" 0
		d.bound()
		if _, err := d.json.ReadToken(); err != nil {
			return err
		}
	}
	return nil
}

// rest is an answer from behind its rows: what was read ahead, then its reader.
type rest struct {
	prefix string
	buf    []byte
	in     io.Reader
}

func (r *rest) Read(p []byte) (int, error) {
	if r.prefix != "" {
		n := copy(p, r.prefix)
		r.prefix = r.prefix[n:]
		return n, nil
	}
	if len(r.buf) > 0 {
		n := copy(p, r.buf)
		r.buf = r.buf[n:]
		return n, nil
	}
	return r.in.Read(p)
}

// read adds the rows of the array to t.
func (r *rowReader) read(t *table) error {
	if err := r.delimiter(':'); err != nil {
		return err
	}
	if err := r.delimiter('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := r.peek()
		switch {
		case err != nil:
			return err
		case c == ']':
			r.pos++
			return nil
		case first:
		case c != ',':
			return fmt.Errorf("row %d is followed by %q", r.d.rows, c)
		default:
			r.pos++
			if c, err = r.peek(); err != nil {
				return err
			}
		}
		if c != '[' {
			return r.noRow(t, c)
		}
		raw, err := r.row()
		if err != nil {
			return err
		}
		if err := r.d.row(t, raw, r.cells); err != nil {
			return fmt.Errorf("table %d: %w", t.id, err)
		}
	}
}

// row returns the row at pos, valid until the next read, and finds its cells.
func (r *rowReader) row() ([]byte, error) {
	for {
		var end int
		var err error
		if r.cells, end, err = scanRow(r.buf[r.pos:], r.cells); err == nil {
			raw := r.buf[r.pos : r.pos+end]
			r.pos += end
			return raw, nil
		}
		if err != errShort {
			return nil, fmt.Errorf("row %d: %w", r.d.rows+1, err)
		}
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// noRow says what stands in the place of a row: an error, whatever is in it.
func (r *rowReader) noRow(t *table, c byte) error {
	for {
		end, _, err := scanValue(r.buf[r.pos:], 0)
		switch {
		case err == nil && c == '{':
			return inRows(r.buf[r.pos : r.pos+end])
		case err == nil:
			return fmt.Errorf("table %d: a row is %s, want an array", t.id, OneLine(string(r.buf[r.pos:r.pos+min(end, 64)])))
		case err != errShort:
			return fmt.Errorf("row %d: %w", r.d.rows+1, err)
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// delimiter reads a byte that must come next.
func (r *rowReader) delimiter(want byte) error {
	c, err := r.peek()
	if err == nil && c != want {
		err = fmt.Errorf("property Rows is followed by %q, want %q", c, want)
	}
	r.pos++
	return err
}

// peek returns the next byte that is no white space.
func (r *rowReader) peek() (byte, error) {
	for {
		if r.pos = skipSpace(r.buf, r.pos); r.pos < len(r.buf) {
			return r.buf[r.pos], nil
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
}

// more reads at least as much again as is left unread, so that a long row is
// not looked at again for every piece of it.
func (r *rowReader) more() error {
	left := copy(r.buf, r.buf[r.pos:])
	r.buf, r.pos = r.buf[:left], 0
	if left > maxValue {
		return errValueTooLarge
	}
	if 2*left > cap(r.buf) {
		r.buf = append(make([]byte, 0, 2*cap(r.buf)), r.buf...)
	}
	for want := max(1, left); len(r.buf) < left+want; {
		r.d.bound()
		n, err := r.d.in.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		switch {
		case err == io.EOF && len(r.buf) == left:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil // what there is; the next time there is nothing
		case err != nil:
			return err
		}
	}
	return nil
}

// release makes r ready for another answer.
func (r *rowReader) release() {
	r.d.rest = rest{}
	if cap(r.buf) > keptBuffer {
		r.buf = nil
	}
}
