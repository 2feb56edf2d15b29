package frames

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of wire.Column, which is written here without the generated code:
// its values are encoded as they are read, once.
const (
	columnName       = 1
	columnType       = 2
	columnNulls      = 3
	columnIntegers   = 4
	columnReals      = 5
	columnDictionary = 6
	columnIndexes    = 7
)

// column gathers one column of the open batch, in its encoded form.
type column struct {
	name string
	kind kind

	rows    int
	nulls   []byte // a bitmap, as long as the last null needs; empty without one
	packed  []byte // integers, reals or indexes
	dict    dictionary
	instant int64 // datetime: the row before

	scratch, scratch2 []byte
}

func (c *column) reset() {
	c.rows, c.nulls, c.packed, c.instant = 0, c.nulls[:0], c.packed[:0], 0
	c.dict.reset()
}

// append adds the value of one row, the JSON text raw; escaped says whether it is a
// string with escapes. Its error is about the value alone.
func (c *column) append(raw []byte, escaped bool) error {
	if raw[0] == 'n' {
		c.null()
		return nil
	}
	switch c.kind {
	case kindInt, kindLong:
		n, ok := parseInt(unquote(raw))
		if !ok {
			return c.invalid(raw)
		}
		c.packed = protowire.AppendVarint(c.packed, protowire.EncodeZigZag(n))
	case kindReal:
		f, ok := parseReal(raw)
		if !ok && raw[0] == '"' {
			if f, ok = parseNonFinite(unquote(raw)); !ok {
				f, ok = parseReal(unquote(raw))
			}
		}
		if !ok {
			return c.invalid(raw)
		}
		c.packed = binary.LittleEndian.AppendUint64(c.packed, math.Float64bits(f))
	case kindString:
		if raw[0] != '"' {
			return c.invalid(raw)
		}
		c.text(c.unescape(raw, escaped))
	case kindDateTime:
		t, ok := parseDateTime(unquote(raw))
		if !ok || raw[0] != '"' {
			return c.invalid(raw)
		}
		c.packed = protowire.AppendVarint(c.packed, protowire.EncodeZigZag(t-c.instant))
		c.instant = t
	case kindTimeSpan:
		t, ok := parseTimeSpan(unquote(raw))
		if !ok || raw[0] != '"' {
			return c.invalid(raw)
		}
		c.packed = protowire.AppendVarint(c.packed, protowire.EncodeZigZag(t))
	case kindBool:
		switch string(raw) {
		case "true", "1":
			c.packed = append(c.packed, 2) // zigzag of 1
		case "false", "0":
			c.packed = append(c.packed, 0)
		default:
			return c.invalid(raw)
		}
	case kindDecimal:
		text, ok := appendDecimal(c.scratch[:0], unquote(raw))
		c.scratch = text
		if !ok {
			return c.invalid(raw)
		}
		c.text(text)
	case kindGUID:
		if raw[0] != '"' {
			return c.invalid(raw)
		}
		c.text(c.lower(unquote(raw)))
	case kindDynamic:
		text, null := c.appendDynamic(raw, escaped)
		switch {
		case null:
			c.null()
			return nil
		case text == nil:
			return c.invalid(raw)
		}
		c.text(text)
	}
	c.rows++
	return nil
}

func (c *column) text(b []byte) {
	c.packed = protowire.AppendVarint(c.packed, uint64(c.dict.add(b)))
}

// null adds a null: a zero in its place, and its bit.
func (c *column) null() {
	if c.kind == kindReal {
		c.packed = append(c.packed, 0, 0, 0, 0, 0, 0, 0, 0)
	} else {
		c.packed = append(c.packed, 0)
	}
	for len(c.nulls) <= c.rows/8 {
		c.nulls = append(c.nulls, 0)
	}
	c.nulls[c.rows/8] |= 1 << (c.rows % 8)
	c.rows++
}

func (c *column) invalid(raw []byte) error {
	const most = 64
	if len(raw) > most {
		raw = append(bytes.Clone(raw[:most]), "…"...)
	}
	return fmt.Errorf("column %q: not a %s: %s", c.name, kindNames[c.kind], OneLine(string(raw)))
}

// unescape returns the text of a JSON string, raw itself where that is possible.
func (c *column) unescape(raw []byte, escaped bool) []byte {
	if !escaped {
		return raw[1 : len(raw)-1]
	}
	// It was found to be a string; what is left to fail is a lone surrogate, which
	// becomes U+FFFD.
	c.scratch, _ = jsontext.AppendUnquote(c.scratch[:0], raw)
	return c.scratch
}

func (c *column) lower(b []byte) []byte {
	for _, ch := range b {
		if 'A' <= ch && ch <= 'F' {
			c.scratch = append(c.scratch[:0], b...)
			for i, ch := range c.scratch {
				if 'A' <= ch && ch <= 'Z' {
					c.scratch[i] = ch + 'a' - 'A'
				}
			}
			return c.scratch
		}
	}
	return b
}

// unquote returns what is between the quotes of a string of digits and
// punctuation, which has no reason to be escaped; other values stay as they are.
func unquote(raw []byte) []byte {
	if raw[0] == '"' {
		return raw[1 : len(raw)-1]
	}
	return raw
}

// isText reports whether values are entries of a dictionary.
func (k kind) isText() bool {
	return k == kindString || k == kindDecimal || k == kindGUID || k == kindDynamic
}

// size is what encode appends, less a few bytes of lengths and tags.
func (c *column) size() int {
	return len(c.name) + len(c.nulls) + len(c.packed) + len(c.dict.encoded) + columnOverhead
}

// columnOverhead is the most that tags, lengths and the type's name take.
const columnOverhead = 40

// encode appends c as a field of a wire.RowBatch.
func (c *column) encode(dst []byte, field protowire.Number) []byte {
	typ := kindNames[c.kind]
	// A null bitmap ends with the last null so far; the rest of the rows have none.
	for len(c.nulls) > 0 && len(c.nulls) < (c.rows+7)/8 {
		c.nulls = append(c.nulls, 0)
	}
	values := protowire.Number(columnIntegers)
	switch {
	case c.kind == kindReal:
		values = columnReals
	case c.kind.isText():
		values = columnIndexes
	}
	n := bytesSize(len(c.name)) + bytesSize(len(typ)) + bytesSize(len(c.packed)) + len(c.dict.encoded)
	if len(c.nulls) > 0 {
		n += bytesSize(len(c.nulls))
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(n))
	dst = protowire.AppendTag(dst, columnName, protowire.BytesType)
	dst = protowire.AppendString(dst, c.name)
	dst = protowire.AppendTag(dst, columnType, protowire.BytesType)
	dst = protowire.AppendString(dst, typ)
	if len(c.nulls) > 0 {
		dst = protowire.AppendTag(dst, columnNulls, protowire.BytesType)
		dst = protowire.AppendBytes(dst, c.nulls)
	}
	if values != columnIndexes {
		dst = protowire.AppendTag(dst, values, protowire.BytesType)
		return protowire.AppendBytes(dst, c.packed)
	}
	dst = append(dst, c.dict.encoded...)
	dst = protowire.AppendTag(dst, columnIndexes, protowire.BytesType)
	return protowire.AppendBytes(dst, c.packed)
}

// bytesSize is the size of a field of n bytes whose tag takes one.
func bytesSize(n int) int { return 1 + protowire.SizeBytes(n) }
