package transformer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// The range of Kusto's datetime, 0001-01-01 to 9999-12-31, in ticks of 100 ns
// since the Unix epoch.
const (
	minDatetime = -621355968000000000
	maxDatetime = 2534023007999999999
)

// kind is a Kusto scalar type.
type kind uint8

const (
	kindBool kind = iota + 1
	kindInt
	kindLong
	kindReal
	kindDecimal
	kindString
	kindDatetime
	kindTimespan
	kindGUID
	kindDynamic
)

var kinds = map[string]kind{
	"bool": kindBool, "int": kindInt, "long": kindLong, "real": kindReal, "decimal": kindDecimal,
	"string": kindString, "datetime": kindDatetime, "timespan": kindTimespan, "guid": kindGUID, "dynamic": kindDynamic,
}

// column is one column of a row batch. Its nulls and dictionary are slices of the
// message it was decoded from.
type column struct {
	name, typ string
	kind      kind
	nulls     []byte    // empty where no row is null
	ints      []int64   // bool, int, long, timespan; datetime in ticks, no longer as differences
	reals     []float64 // real
	// The text of row r of the other types is dict[index[r]]; of a null, "".
	dict  [][]byte
	index []uint32
}

func (c *column) null(r int) bool { return len(c.nulls) > 0 && c.nulls[r>>3]>>(r&7)&1 != 0 }

// rowBatch is a decoded [wire.RowBatch]. Decoding the wire format here, and not
// through the generated code, spares a copy of every text and lets the columns'
// memory be used again.
type rowBatch struct {
	rows    int
	columns []column
}

// decode replaces b by the batch in data, which b refers to from then on. Any
// input gives an error or a batch whose columns all have b.rows rows and whose
// indexes all are in their dictionary.
func (b *rowBatch) decode(data []byte) error {
	b.rows = 0
	columns := b.columns[:cap(b.columns)]
	n := 0
	err := fields(data, func(num protowire.Number, typ protowire.Type, v uint64, body []byte) error {
		switch {
		case num == 1 && typ == protowire.VarintType:
			if v > math.MaxInt32 {
				return fmt.Errorf("%d rows are more than a batch can have", v)
			}
			b.rows = int(v)
		case num == 2 && typ == protowire.BytesType:
			if n == len(columns) {
				columns = append(columns, column{})
				columns = columns[:cap(columns)]
			}
			if err := columns[n].decode(body); err != nil {
				return fmt.Errorf("column %d: %w", n, err)
			}
			n++
		}
		return nil
	})
	b.columns = columns[:n]
	if err != nil {
		return err
	}
	if b.rows > 0 && n == 0 {
		return fmt.Errorf("%d rows without a column", b.rows)
	}
	for i := range b.columns {
		if err := b.columns[i].finish(b.rows); err != nil {
			return fmt.Errorf("column %q: %w", b.columns[i].name, err)
		}
	}
	return nil
}

// types returns the columns as the spec's check wants them.
func (b *rowBatch) types() []schemas.ColumnType {
	types := make([]schemas.ColumnType, len(b.columns))
	for i := range b.columns {
		types[i] = schemas.ColumnType{Name: b.columns[i].name, Type: b.columns[i].typ}
	}
	return types
}

// find returns the column of a name; nil if there is none.
func (b *rowBatch) find(name string) *column {
	for i := range b.columns {
		if b.columns[i].name == name {
			return &b.columns[i]
		}
	}
	return nil
}

// decode reads a column's fields, in whatever order and number of pieces they come.
func (c *column) decode(data []byte) error {
	*c = column{name: c.name, typ: c.typ, ints: c.ints[:0], reals: c.reals[:0], dict: c.dict[:0], index: c.index[:0]}
	var name, typ []byte
	err := fields(data, func(num protowire.Number, wire protowire.Type, v uint64, body []byte) (err error) {
		switch {
		case num == 1 && wire == protowire.BytesType:
			name = body
		case num == 2 && wire == protowire.BytesType:
			typ = body
		case num == 3 && wire == protowire.BytesType:
			c.nulls = body
		case num == 4 && wire == protowire.BytesType:
			c.ints, err = appendInts(c.ints, body)
		case num == 4 && wire == protowire.VarintType:
			c.ints = append(c.ints, protowire.DecodeZigZag(v))
		case num == 5 && wire == protowire.BytesType:
			c.reals, err = appendReals(c.reals, body)
		case num == 5 && wire == protowire.Fixed64Type:
			c.reals = append(c.reals, math.Float64frombits(v))
		case num == 6 && wire == protowire.BytesType:
			c.dict = append(c.dict, body)
		case num == 7 && wire == protowire.BytesType:
			c.index, err = appendIndexes(c.index, body)
		case num == 7 && wire == protowire.VarintType:
			c.index = append(c.index, uint32(min(v, math.MaxUint32)))
		}
		return err
	})
	// The same columns come batch after batch: their names need no new string.
	if c.name != string(name) {
		c.name = string(name)
	}
	if c.typ != string(typ) {
		c.typ = string(typ)
	}
	return err
}

// finish checks the column against the batch's number of rows and brings it into
// the form that its doc comment describes.
func (c *column) finish(rows int) error {
	c.kind = kinds[c.typ]
	ints, reals, index := len(c.ints), len(c.reals), len(c.index)
	// Fields of other types than the column's are ignored, and emptied: below, what
	// is there is what the column has.
	n := 0
	switch c.kind {
	case 0:
		return fmt.Errorf("unknown type %q", c.typ)
	case kindBool, kindInt, kindLong, kindDatetime, kindTimespan:
		n, c.reals, c.dict, c.index = ints, c.reals[:0], c.dict[:0], c.index[:0]
	case kindReal:
		n, c.ints, c.dict, c.index = reals, c.ints[:0], c.dict[:0], c.index[:0]
	default:
		n, c.ints, c.reals = index, c.ints[:0], c.reals[:0]
	}
	if n != rows {
		return fmt.Errorf("%d values of type %s for %d rows", n, c.typ, rows)
	}
	if len(c.nulls) > 0 && len(c.nulls) != (rows+7)/8 {
		return fmt.Errorf("%d bytes of nulls for %d rows", len(c.nulls), rows)
	}
	switch c.kind {
	case kindDatetime:
		return c.sumDatetimes()
	case kindString, kindDecimal, kindGUID, kindDynamic:
		return c.checkIndexes()
	}
	return nil
}

func (c *column) sumDatetimes() error {
	var t int64
	for r, d := range c.ints {
		if c.null(r) {
			c.ints[r] = 0
			continue
		}
		// A sum that wraps lands outside the range as well: both operands are checked.
		if d < minDatetime-maxDatetime || d > maxDatetime-minDatetime {
			return fmt.Errorf("row %d: a difference of %d ticks is out of range", r, d)
		}
		if t += d; t < minDatetime || t > maxDatetime {
			return fmt.Errorf("row %d: datetime of %d ticks is out of range", r, t)
		}
		c.ints[r] = t
	}
	return nil
}

func (c *column) checkIndexes() error {
	// Every entry is encoded, so entries that no row can use would be work that a
	// small message makes for nothing.
	if len(c.dict) > len(c.index) {
		return fmt.Errorf("a dictionary of %d for %d rows", len(c.dict), len(c.index))
	}
	entries := uint32(len(c.dict))
	var highest uint32
	if len(c.nulls) == 0 {
		for _, i := range c.index {
			highest = max(highest, i)
		}
	} else {
		// Null and empty are the same everywhere below, which is what Kusto thinks of
		// its strings too.
		c.dict = append(c.dict, nil)
		for r, i := range c.index {
			if c.null(r) {
				c.index[r] = entries
			} else {
				highest = max(highest, i)
			}
		}
	}
	if len(c.index) > 0 && highest >= entries && !c.allNull() {
		return fmt.Errorf("index %d in a dictionary of %d", highest, entries)
	}
	return nil
}

// allNull reports whether every row is null; only then may the dictionary be empty.
func (c *column) allNull() bool {
	for r := range c.index {
		if !c.null(r) {
			return false
		}
	}
	return true
}

var errCut = errors.New("the message is cut or garbled")

// fields calls f for each field of a protobuf message. Of v and body the one that
// the wire type has is set. Groups, which no message here has, are skipped.
func fields(data []byte, f func(num protowire.Number, typ protowire.Type, v uint64, body []byte) error) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errCut
		}
		data = data[n:]
		var v uint64
		var body []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(data)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			body, n = protowire.ConsumeBytes(data)
		default:
			if n = protowire.ConsumeFieldValue(num, typ, data); n >= 0 {
				data = data[n:]
				continue
			}
		}
		if n < 0 {
			return errCut
		}
		data = data[n:]
		if err := f(num, typ, v, body); err != nil {
			return err
		}
	}
	return nil
}

func appendInts(dst []int64, data []byte) ([]int64, error) {
	dst = slices.Grow(dst, count(data))
	for len(data) > 0 {
		v := uint64(data[0])
		if v < 0x80 {
			data = data[1:]
		} else {
			var n int
			if v, n = binary.Uvarint(data); n <= 0 {
				return dst, errCut
			}
			data = data[n:]
		}
		dst = append(dst, protowire.DecodeZigZag(v))
	}
	return dst, nil
}

func appendIndexes(dst []uint32, data []byte) ([]uint32, error) {
	dst = slices.Grow(dst, count(data))
	for len(data) > 0 {
		v := uint64(data[0])
		switch {
		case v < 0x80:
			data = data[1:]
		case len(data) > 1 && data[1] < 0x80:
			v = v&0x7f | uint64(data[1])<<7
			data = data[2:]
		default:
			var n int
			if v, n = binary.Uvarint(data); n <= 0 {
				return dst, errCut
			}
			data = data[n:]
		}
		dst = append(dst, uint32(min(v, math.MaxUint32)))
	}
	return dst, nil
}

func appendReals(dst []float64, data []byte) ([]float64, error) {
	if len(data)%8 != 0 {
		return dst, errCut
	}
	dst = slices.Grow(dst, len(data)/8)
	for ; len(data) >= 8; data = data[8:] {
		dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return dst, nil
}

// count returns how many varints data holds.
func count(data []byte) (n int) {
	for _, b := range data {
		if b < 0x80 {
			n++
		}
	}
	return n
}
