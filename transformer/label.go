package transformer

import (
	"math"
	"strconv"
)

// labelColumn writes the attribute that one column gives a point.
type labelColumn struct {
	col *column
	key []byte // KeyValue.key, encoded

	// Dictionary entry i's attribute is encoded[offsets[i]:offsets[i+1]], empty where
	// it gives none. Encoding each entry once and not each row is most of the speed.
	encoded []byte
	offsets []uint32
	scratch []byte
	hashes  []hash // of each entry's attribute, in a pass that only hashes
}

// bind makes l read the column c and encodes its dictionary.
func (l *labelColumn) bind(c *column, what task, scratch []byte) []byte {
	l.col = c
	l.encoded, l.offsets, l.hashes = l.encoded[:0], append(l.offsets[:0], 0), l.hashes[:0]
	for _, text := range c.dict {
		switch c.kind {
		case kindDecimal:
			scratch = appendDecimal(scratch[:0], text)
		case kindGUID:
			scratch = appendGUID(scratch[:0], text)
		case kindDynamic:
			scratch = appendDynamic(scratch[:0], text)
		default:
			scratch = appendUTF8(scratch[:0], text)
		}
		from := len(l.encoded)
		l.encoded = appendAttribute(l.encoded, l.key, scratch)
		l.offsets = append(l.offsets, uint32(len(l.encoded)))
		if what == hashing {
			l.hashes = append(l.hashes, hashLabels(l.encoded[from:]))
		}
	}
	return scratch
}

// append writes the attribute of a row; nothing where it is null or empty.
func (l *labelColumn) append(dst []byte, r int) []byte {
	c := l.col
	switch c.kind {
	case kindString, kindDecimal, kindGUID, kindDynamic:
		i := c.index[r]
		return append(dst, l.encoded[l.offsets[i]:l.offsets[i+1]]...)
	}
	if c.null(r) {
		return dst
	}
	var text [64]byte
	return appendAttribute(dst, l.key, appendScalar(text[:0], c, r))
}

// hash returns the hash of the attribute that append writes.
func (l *labelColumn) hash(r int) hash {
	switch l.col.kind {
	case kindString, kindDecimal, kindGUID, kindDynamic:
		return l.hashes[l.col.index[r]]
	}
	l.scratch = l.append(l.scratch[:0], r)
	return hashLabels(l.scratch)
}

// same reports whether two rows give the same attribute. It may take equal ones
// of different origin for different: that costs an encoding and no correctness.
func (l *labelColumn) same(a, b int) bool {
	c := l.col
	switch c.kind {
	case kindString, kindDecimal, kindGUID, kindDynamic:
		return c.index[a] == c.index[b]
	case kindReal:
		if math.Float64bits(c.reals[a]) != math.Float64bits(c.reals[b]) {
			return false
		}
	default:
		if c.ints[a] != c.ints[b] {
			return false
		}
	}
	return len(c.nulls) == 0 || c.null(a) == c.null(b)
}

// appendScalar writes a value that is not in a dictionary and not null.
func appendScalar(dst []byte, c *column, r int) []byte {
	switch c.kind {
	case kindBool:
		return strconv.AppendBool(dst, c.ints[r] != 0)
	case kindReal:
		return appendReal(dst, c.reals[r])
	case kindDatetime:
		return appendDatetime(dst, c.ints[r])
	case kindTimespan:
		return appendTimespan(dst, c.ints[r])
	default:
		return strconv.AppendInt(dst, c.ints[r], 10)
	}
}

// appendAttribute writes a point's attributes field with one KeyValue, whose key
// is already encoded. An empty text writes nothing.
func appendAttribute(dst, key, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	return appendKeyValue(dst, pointAttributes, key, text)
}
