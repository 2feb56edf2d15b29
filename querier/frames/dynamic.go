package frames

import (
	"github.com/go-json-experiment/json/jsontext"
)

// appendDynamic appends a dynamic value as compact JSON, and whether it is null.
// Kusto writes an object or an array either as it is or as a string that holds its
// text; a string that holds no JSON is a string.
func (c *column) appendDynamic(raw []byte, escaped bool) (text []byte, null bool) {
	if raw[0] != '"' {
		return c.compact(raw)
	}
	content := c.unescape(raw, escaped)
	if couldBeJSON(content) {
		if text, null := c.compact(content); text != nil || null {
			return text, null
		}
	}
	c.scratch2, _ = jsontext.AppendQuote(c.scratch2[:0], content)
	return c.scratch2, false
}

// compact returns JSON without white space between its tokens; nil if it is none.
func (c *column) compact(raw []byte) (text []byte, null bool) {
	switch raw[0] {
	case '{', '[', '"', ' ', '\t', '\r', '\n':
		var err error
		c.scratch2, err = jsontext.AppendFormat(c.scratch2[:0], raw, lenient...)
		if err != nil {
			return nil, false
		}
	default:
		if !jsontext.Value(raw).IsValid() {
			return nil, false
		}
		c.scratch2 = append(c.scratch2[:0], raw...)
	}
	return c.scratch2, string(c.scratch2) == "null"
}

// couldBeJSON tells most strings from JSON text by their first byte.
func couldBeJSON(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch c := b[0]; c {
	case '{', '[', '"', '-', ' ', '\t', '\r', '\n':
		return true
	case 't':
		return string(b) == "true"
	case 'f':
		return string(b) == "false"
	case 'n':
		return string(b) == "null"
	default:
		return '0' <= c && c <= '9'
	}
}
