package transformer

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
)

// number is a value as a point has it: an int64 or a float64, by the column's
// type, as bits.
type number struct {
	bits uint64
	why  Reason // not accepted: there is no value
}

// valueColumn reads the values of one column.
type valueColumn struct {
	col     *column
	isInt   bool     // asInt, or asDouble
	entries []number // one for each dictionary entry; unused for other columns
}

// bind makes v read the column c.
func (v *valueColumn) bind(c *column) {
	v.col = c
	v.entries = v.entries[:0]
	v.isInt = c.kind == kindBool || c.kind == kindInt || c.kind == kindLong
	for _, text := range c.dict {
		if c.kind == kindDynamic {
			v.entries = append(v.entries, dynamicNumber(text))
		} else {
			v.entries = append(v.entries, textNumber(text))
		}
	}
}

// at returns the value of a row.
func (v *valueColumn) at(r int) number {
	c := v.col
	switch c.kind {
	case kindReal:
		f := c.reals[r]
		if bits := math.Float64bits(f); bits>>52&0x7ff != 0x7ff && !c.null(r) {
			return number{bits: bits}
		}
		if c.null(r) {
			return number{why: NullValue}
		}
		return number{why: NotFinite}
	case kindBool, kindInt, kindLong, kindTimespan:
		if c.null(r) {
			return number{why: NullValue}
		}
		n := c.ints[r]
		switch {
		case c.kind == kindBool && n != 0:
			n = 1
		case c.kind == kindTimespan:
			return number{bits: math.Float64bits(float64(n) / ticksPerSecond)}
		}
		return number{bits: uint64(n)}
	default:
		return v.entries[c.index[r]]
	}
}

// textNumber reads a number in decimal notation, with space around it at most.
// ParseFloat alone would take hexadecimal too.
func textNumber(text []byte) number {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return number{why: NullValue}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	switch {
	case bytes.ContainsAny(text, "xX_"), err != nil && !errors.Is(err, strconv.ErrRange):
		return number{why: NotANumber}
	case math.IsNaN(f), math.IsInf(f, 0):
		return number{why: NotFinite}
	}
	return number{bits: math.Float64bits(f)}
}

// dynamicNumber reads a JSON number, boolean or string with a number in it; all
// as a double, since one dynamic column may mix them and a series should not.
func dynamicNumber(text []byte) number {
	text = bytes.TrimSpace(text)
	switch string(text) {
	case "", "null":
		return number{why: NullValue}
	case "true":
		return number{bits: math.Float64bits(1)}
	case "false":
		return number{bits: math.Float64bits(0)}
	}
	if text[0] == '"' {
		var s string
		if json.Unmarshal(text, &s) != nil {
			return number{why: NotANumber}
		}
		return textNumber([]byte(s))
	}
	return textNumber(text)
}

// text shows the value of a row, for a sample.
func (c *column) text(r int) string {
	if c.null(r) {
		return "null"
	}
	switch c.kind {
	case kindString, kindDynamic, kindDecimal, kindGUID:
		return strconv.Quote(shorten(string(c.dict[c.index[r]]), sampleBytes/2))
	default:
		return string(appendScalar(nil, c, r))
	}
}
