package frames

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here walk over the JSON of rows. The tokenizer would do the same,
// one value at a time, and take as long for it as all the rest of a row does. They
// refuse what it refuses (a fuzz test compares), and ask it about whatever is not
// simple: escapes and nested values.

var (
	errShort  = errors.New("more bytes are needed")
	errNoJSON = errors.New("it is not valid JSON")
)

// cell is where one value of a row is.
type cell struct {
	from, to int
	escaped  bool // a string with escapes in it
}

// lenient is what rows are allowed beyond JSON: what is not UTF-8 is mended once
// per distinct text.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// scanRow finds the values of the array that begins at b[0], and its end. It
// returns errShort if b does not have it whole.
func scanRow(b []byte, cells []cell) (_ []cell, end int, err error) {
	cells = cells[:0]
	p := skipSpace(b, 1)
	if p < len(b) && b[p] == ']' {
		return cells, p + 1, nil
	}
	for {
		c := cell{from: p}
		if c.to, c.escaped, err = scanValue(b, p); err != nil {
			return cells, 0, err
		}
		cells = append(cells, c)
		p = skipSpace(b, c.to)
		switch {
		case p == len(b):
			return cells, 0, errShort
		case b[p] == ']':
			return cells, p + 1, nil
		case b[p] != ',':
			return cells, 0, errNoJSON
		}
		p = skipSpace(b, p+1)
	}
}

// skipSpace returns the position of the next byte that is no white space.
func skipSpace(b []byte, p int) int {
	for p < len(b) && (b[p] == ' ' || b[p] == '\n' || b[p] == '\r' || b[p] == '\t') {
		p++
	}
	return p
}

// scanValue returns the position after the value that begins at b[p].
func scanValue(b []byte, p int) (end int, escaped bool, err error) {
	if p >= len(b) {
		return 0, false, errShort
	}
	switch c := b[p]; {
	case c == '"':
		end, escaped, err = scanString(b, p)
		if err == nil && escaped && !jsontext.Value(b[p:end]).IsValid(lenient...) {
			err = errNoJSON
		}
		return end, escaped, err
	case c == '-' || '0' <= c && c <= '9':
		end, err = scanNumber(b, p)
	case c == 'n':
		end, err = scanLiteral(b, p, "null")
	case c == 't':
		end, err = scanLiteral(b, p, "true")
	case c == 'f':
		end, err = scanLiteral(b, p, "false")
	case c == '{' || c == '[':
		if end, err = scanNested(b, p); err == nil && !jsontext.Value(b[p:end]).IsValid(lenient...) {
			err = errNoJSON
		}
	default:
		err = errNoJSON
	}
	return end, false, err
}

// scanString returns the position after the string that begins at b[p], looking
// at eight bytes at a time for one that ends or escapes it or does not belong.
func scanString(b []byte, p int) (end int, escaped bool, err error) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	p++
	for {
		for ; p+8 <= len(b); p += 8 {
			w := binary.LittleEndian.Uint64(b[p:])
			quote, slash := w^ones*'"', w^ones*'\\'
			// In each term the lowest bit set marks the first byte that is meant; above it
			// a borrow may have set others.
			if m := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops; m != 0 {
				p += bits.TrailingZeros64(m) / 8
				break
			}
		}
		for ; p < len(b); p++ {
			if c := b[p]; c == '"' || c == '\\' || c < ' ' {
				break
			}
		}
		switch {
		case p >= len(b):
			return 0, escaped, errShort
		case b[p] == '"':
			return p + 1, escaped, nil
		case b[p] != '\\':
			return 0, escaped, errNoJSON
		}
		escaped = true
		p += 2
	}
}

// scanNumber returns the position after the number that begins at b[p].
func scanNumber(b []byte, p int) (end int, err error) {
	digits := func() bool {
		from := p
		for p < len(b) && '0' <= b[p] && b[p] <= '9' {
			p++
		}
		return p > from
	}
	at := func(c byte) bool { return p < len(b) && b[p] == c }
	if at('-') {
		p++
	}
	ok := true
	if at('0') {
		p++
	} else {
		ok = digits()
	}
	if ok && at('.') {
		p++
		ok = digits()
	}
	if ok && (at('e') || at('E')) {
		if p++; at('+') || at('-') {
			p++
		}
		ok = digits()
	}
	switch {
	case p == len(b):
		return 0, errShort // the next byte may be part of it
	case !ok:
		return 0, errNoJSON
	}
	return p, nil
}

func scanLiteral(b []byte, p int, want string) (end int, err error) {
	n := min(len(b)-p, len(want))
	switch {
	case string(b[p:p+n]) != want[:n]:
		return 0, errNoJSON
	case n < len(want):
		return 0, errShort
	}
	return p + n, nil
}

// scanNested returns the position after the object or array that begins at b[p],
// by its brackets alone.
func scanNested(b []byte, p int) (end int, err error) {
	for depth := 0; p < len(b); p++ {
		switch b[p] {
		case '"':
			if p, _, err = scanString(b, p); err != nil {
				return 0, err
			}
			p--
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return p + 1, nil
			}
		}
	}
	return 0, errShort
}
