package strict

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// PositionIn returns line and column of a place within a field's text, given as an offset in bytes
// into the decoded string, once the document is decoded. It sees through indentation, folding,
// quotes and escapes. Columns count characters. A place in white space that YAML changed is at the
// nearest that is there; behind an alias the place is in the text that it stands for. Where the
// field is no string, or its text cannot be followed, it is the field's own position.
func (d *Document) PositionIn(field string, offset int) (line, column int) {
	n, ok := d.fields[field]
	for ok && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !ok || n.Kind != yaml.ScalarNode {
		return d.Position(field)
	}
	at, ok := place(d.text, n, max(offset, 0))
	if !ok {
		return d.Position(field)
	}
	start, lines := 0, 0
	for i := 0; i < at; i++ {
		if c := d.text[i]; c == '\n' || c == '\r' && (i+1 == len(d.text) || d.text[i+1] != '\n') {
			start, lines = i+1, lines+1
		}
	}
	return lines + 1 + d.offset, utf8.RuneCount(d.text[start:at]) + 1
}

// Offset returns the byte at a line and a column of a text, in characters from 1. What is past the
// end of a line is its end.
func Offset(text string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	for ; column > 1 && at < len(text) && text[at] != '\n'; column-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// place returns the byte of text at which the byte offset of a scalar's value is written.
func place(text []byte, n *yaml.Node, offset int) (int, bool) {
	start, ok := find(text, n.Line, n.Column)
	if !ok {
		return 0, false
	}
	start = skipProperties(text, start)
	notation := plain
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		end := bytes.IndexAny(text[start:], "\r\n")
		if end < 0 {
			return 0, false
		}
		// The header's own line break is none of the text.
		start += end + breakWidth(text[start+end:])
	case n.Style&yaml.DoubleQuotedStyle != 0:
		start, notation = start+1, doubleQuoted
	case n.Style&yaml.SingleQuotedStyle != 0:
		start, notation = start+1, singleQuoted
	}
	return align(n.Value, characters(text, start, notation, utf8.RuneCountInString(n.Value)), start, offset)
}

// find returns the byte at a line and column as the YAML library counts them.
func find(text []byte, line, column int) (int, bool) {
	at := 0
	for ; line > 1; line-- {
		for at < len(text) && breakWidth(text[at:]) == 0 {
			at++
		}
		if at == len(text) {
			return 0, false
		}
		at += breakWidth(text[at:])
	}
	for ; column > 1; column-- {
		if at == len(text) {
			return 0, false
		}
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at, at < len(text)
}

// breakWidth is how many bytes the line break at the start of text has, 0 when there is none.
func breakWidth(text []byte) int {
	switch {
	case len(text) == 0:
	case text[0] == '\r' && len(text) > 1 && text[1] == '\n':
		return 2
	case text[0] == '\n' || text[0] == '\r':
		return 1
	case bytes.HasPrefix(text, []byte("\u0085")):
		return 2
	case bytes.HasPrefix(text, []byte("\u2028")) || bytes.HasPrefix(text, []byte("\u2029")):
		return 3
	}
	return 0
}

// skipProperties passes over the tag and the anchor that may precede a value, and what is between.
func skipProperties(text []byte, at int) int {
	for at < len(text) && (text[at] == '!' || text[at] == '&') {
		at += len(text[at:]) - len(bytes.TrimLeftFunc(text[at:], func(r rune) bool { return !isSpace(r) }))
		for {
			at += len(text[at:]) - len(bytes.TrimLeftFunc(text[at:], isSpace))
			if at == len(text) || text[at] != '#' {
				break
			}
			at += len(text[at:]) - len(bytes.TrimLeft(text[at:], "#"))
			for at < len(text) && breakWidth(text[at:]) == 0 {
				at++
			}
		}
	}
	return at
}

func isSpace(r rune) bool {
	return strings.ContainsRune(" \t\r\n\u0085\u2028\u2029", r)
}

// A character is one of a value as it is written.
type character struct {
	r       rune
	at, end int // bytes of the text
}

// The notations of a scalar.
const (
	plain        = byte(0) // and block scalars: every character is itself
	singleQuoted = '\''
	doubleQuoted = '"'
)

// characters reads a scalar from start up to its closing quote, or until it has more characters than a
// value of that many.
func characters(text []byte, start int, notation byte, most int) []character {
	var list []character
	for at := start; at < len(text) && most >= 0; {
		r, size := utf8.DecodeRune(text[at:])
		switch w := breakWidth(text[at:]); {
		case w > 0:
			size = w
			if r == '\r' || r == '\u0085' {
				r = '\n'
			}
		case notation == singleQuoted && r == '\'':
			if at+1 == len(text) || text[at+1] != '\'' {
				return list
			}
			size = 2
		case notation == doubleQuoted && r == '"':
			return list
		case notation == doubleQuoted && r == '\\':
			var ok bool
			if r, size, ok = escaped(text[at:]); !ok {
				at += size
				continue
			}
		}
		list = append(list, character{r, at, at + size})
		at += size
		if !isSpace(r) {
			most--
		}
	}
	return list
}

var escapes = map[byte]rune{
	'0': 0, 'a': '\a', 'b': '\b', 't': '\t', '\t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', 'e': '\x1b',
	' ': ' ', '"': '"', '\'': '\'', '\\': '\\', '/': '/', 'N': '\u0085', '_': '\u00a0', 'L': '\u2028', 'P': '\u2029',
}

// escaped reads an escape sequence; ok is false for one that stands for nothing, as at the end of a line.
func escaped(text []byte) (r rune, size int, ok bool) {
	if len(text) < 2 {
		return 0, len(text), false
	}
	if w := breakWidth(text[1:]); w > 0 {
		return 0, 1 + w, false
	}
	if r, known := escapes[text[1]]; known {
		return r, 2, true
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[1]]
	if digits == 0 || len(text) < 2+digits {
		return 0, 2, false
	}
	code, err := strconv.ParseUint(string(text[2:2+digits]), 16, 32)
	return rune(code), 2 + digits, err == nil
}

// align walks a value and the characters it is written with side by side. Runs of white space may
// differ, as YAML indents, folds and trims; everything else must be the same.
func align(value string, written []character, start, offset int) (int, bool) {
	last := start // where the character before ends
	for at, i := 0, 0; ; {
		spaces := len(value[at:]) - len(strings.TrimLeftFunc(value[at:], isSpace))
		to := i
		for to < len(written) && isSpace(written[to].r) {
			to++
		}
		switch {
		case offset < at+spaces:
			return placeInSpace(value[at:at+spaces], written[i:to], offset-at, last), true
		case at+spaces == len(value):
			return last, true // at the end, of which what follows is no part
		}
		at, i = at+spaces, to
		r, size := utf8.DecodeRuneInString(value[at:])
		if i == len(written) || written[i].r != r {
			return 0, false
		}
		if offset < at+size {
			return written[i].at, true
		}
		last = written[i].end
		at, i = at+size, i+1
	}
}

// placeInSpace finds a place in a run of white space: by columns on the first and on the last line,
// and else by lines.
func placeInSpace(value string, written []character, offset, last int) int {
	if len(written) == 0 {
		return last
	}
	lines := [][]character{nil}
	for _, c := range written {
		lines[len(lines)-1] = append(lines[len(lines)-1], c)
		if c.r == '\n' {
			lines = append(lines, nil)
		}
	}
	before := strings.Count(value[:offset], "\n")
	after := len(value) - offset
	switch {
	case before == 0:
		if offset < len(lines[0]) {
			return lines[0][offset].at
		}
		return last
	case !strings.Contains(value[offset:], "\n"):
		tail := lines[len(lines)-1]
		if after <= len(tail) {
			return tail[len(tail)-after].at
		}
		return written[len(written)-1].end
	}
	if line := lines[min(before, len(lines)-1)]; len(line) > 0 {
		return line[0].at
	}
	return written[len(written)-1].end
}
