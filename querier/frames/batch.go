package frames

import (
	"errors"
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of wire.RowBatch.
const (
	batchRows    = 1
	batchColumns = 2
)

const (
	// cellOverhead is the most that one value takes in a batch beyond its JSON text:
	// index, tag and length of a dictionary entry, or the larger of its encodings.
	cellOverhead = 16

	// textGrowth is how many bytes one of JSON may become: U+FFFD for a byte that is
	// not UTF-8.
	textGrowth = 3
)

// table is a primary table of the answer and its open batch.
type table struct {
	id      int64
	columns []column
	plan    []int // for each column of the answer, its place in columns or -1
	rows    int64 // so far, since the last DataReplace
	done    bool

	open     int // rows of the open batch
	estimate int // at least its encoded size
	perRow   int // what a row takes at most beyond its JSON text
}

// newTable returns a table that keeps the columns in want, on the buffers of
// columns in spare.
func newTable(id int64, types []schemas.ColumnType, want []string, spare *[]column) (*table, error) {
	t := &table{id: id, plan: make([]int, len(types))}
	for i := range t.plan {
		t.plan[i] = -1
	}
	for _, name := range want {
		for i, c := range types {
			if c.Name != name {
				continue
			}
			k := kinds[c.Type]
			if k == kindUnknown {
				return nil, fmt.Errorf("column %q has type %q, which is none of Kusto's that this version knows", c.Name, c.Type)
			}
			t.plan[i] = len(t.columns)
			var col column
			if n := len(*spare); n > 0 {
				col, *spare = (*spare)[n-1], (*spare)[:n-1]
			}
			col.name, col.kind = c.Name, k
			t.columns = append(t.columns, col)
			t.perRow += cellOverhead
			if k == kindDecimal {
				t.perRow += maxDecimal
			}
			break
		}
	}
	t.reset()
	return t, nil
}

func (t *table) reset() {
	t.open = 0
	for i := range t.columns {
		t.columns[i].reset()
	}
	t.estimate = t.size()
}

// bound is the most that a row adds to a batch.
func (t *table) bound(raw []byte) int { return textGrowth*len(raw) + t.perRow }

// fits reports whether the open batch has room for a row under the size limit of a
// message.
func (t *table) fits(raw []byte) bool {
	if t.estimate+t.bound(raw) <= schemas.MaxMessageBytes {
		return true
	}
	t.estimate = t.size()
	return t.estimate+t.bound(raw) <= schemas.MaxMessageBytes
}

// full reports whether the open batch is to be closed.
func (t *table) full() bool {
	if t.open >= schemas.RowBatchRows {
		return true
	}
	if t.estimate < schemas.RowBatchBytes {
		return false
	}
	t.estimate = t.size()
	return t.estimate >= schemas.RowBatchBytes
}

// append adds a row, the JSON text raw with the values in cells.
func (t *table) append(raw []byte, cells []cell) error {
	if len(cells) != len(t.plan) {
		return fmt.Errorf("it has %d values and the table %d columns", len(cells), len(t.plan))
	}
	t.estimate += t.bound(raw)
	for i, c := range t.plan {
		if c < 0 {
			continue
		}
		v := &cells[i]
		if err := t.columns[c].append(raw[v.from:v.to], v.escaped); err != nil {
			return pipe.Permanent(err)
		}
	}
	t.open++
	t.rows++
	return nil
}

// size is the encoded size of the open batch, or a little more.
func (t *table) size() int {
	n := 16
	for i := range t.columns {
		n += t.columns[i].size()
	}
	return n
}

var errTooLarge = errors.New("it does not fit a message")

// encode returns the open batch as a wire.RowBatch and opens the next.
func (t *table) encode() (Batch, error) {
	b := Batch{Rows: t.open, Data: make([]byte, 0, t.size())}
	b.Data = protowire.AppendTag(b.Data, batchRows, protowire.VarintType)
	b.Data = protowire.AppendVarint(b.Data, uint64(t.open))
	for i := range t.columns {
		b.Data = t.columns[i].encode(b.Data, batchColumns)
	}
	t.reset()
	if len(b.Data) > schemas.MaxMessageBytes {
		return b, pipe.Permanent(fmt.Errorf("%w: %d bytes encoded, at most %d", errTooLarge, len(b.Data), schemas.MaxMessageBytes))
	}
	return b, nil
}
