package kql

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// Position is a place in a query's text.
type Position struct {
	Offset int // in bytes, from 0
	Line   int // from 1
	Column int // in characters, from 1
}

// Diagnostic is one remark of the parser or the binder, in Kusto's own words.
type Diagnostic struct {
	Severity string // Error, Warning, Suggestion or Information
	Code     string // such as KS142
	Message  string
	Syntax   bool // the text cannot be parsed, whatever the schema
	Position
	Length int // in bytes
}

// String is `line:column: message (code)`.
func (d Diagnostic) String() string {
	return fmt.Sprintf("%d:%d: %s (%s)", d.Line, d.Column, d.Message, d.Code)
}

// SemanticError says that Kusto would refuse the query. It has at least one diagnostic, each of
// severity Error.
type SemanticError struct{ Diagnostics []Diagnostic }

// Error is the first diagnostic, and how many more there are.
func (e *SemanticError) Error() string {
	if n := len(e.Diagnostics); n > 1 {
		return fmt.Sprintf("%v (and %d more)", e.Diagnostics[0], n-1)
	}
	return e.Diagnostics[0].String()
}

// DatabaseError says that the home cluster has no database of this name.
type DatabaseError struct{ Database, Cluster string }

func (e *DatabaseError) Error() string {
	return fmt.Sprintf("cluster %q has no database %q", e.Cluster, e.Database)
}

// positions translates the parser's offsets, which count UTF-16 code units, to bytes, lines and
// columns of the Go text.
type positions struct {
	text  string
	lines []int // byte offsets at which lines start
	wide  []shift
}

// shift: from UTF-16 offset u on, byte offset is b + (offset - u).
type shift struct{ u, b int }

func newPositions(text string) *positions {
	p := &positions{text: text, lines: []int{0}}
	u := 0
	for b, r := range text {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			// A byte that is no UTF-8 reaches the parser as U+FFFD, one code unit.
			_, size = utf8.DecodeRuneInString(text[b:])
		}
		units := 1
		if r > 0xFFFF {
			units = 2
		}
		u += units
		if size != units {
			p.wide = append(p.wide, shift{u: u, b: b + size})
		}
		if r == '\n' {
			p.lines = append(p.lines, b+1)
		}
	}
	return p
}

// offset is the byte offset of a UTF-16 offset, clipped to the text.
func (p *positions) offset(u int) int {
	b := u
	if i := sort.Search(len(p.wide), func(i int) bool { return p.wide[i].u > u }); i > 0 {
		b = p.wide[i-1].b + u - p.wide[i-1].u
	}
	return max(0, min(b, len(p.text)))
}

// at is the position of a byte offset.
func (p *positions) at(b int) Position {
	line := sort.SearchInts(p.lines, b+1) // how many lines start at or before b
	return Position{Offset: b, Line: line, Column: utf8.RuneCountInString(p.text[p.lines[line-1]:b]) + 1}
}

// Position is where a byte offset of the query's text is, such as a Node's Start.
func (q *Query) Position(offset int) Position {
	return newPositions(q.Text).at(max(0, min(offset, len(q.Text))))
}

// message makes one line of Kusto's text, which errors go out as.
func message(s string) string { return strings.Join(strings.Fields(s), " ") }
