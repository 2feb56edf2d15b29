package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a document.
type Problem struct {
	// File is the path as it was given; empty for a value that came from no file.
	File string `json:"file,omitempty"`
	// Document counts the file's documents that are not empty, from 1.
	Document int `json:"document,omitempty"`
	// Several says that the file has more than one document, so that naming the
	// document helps.
	Several bool `json:"-"`
	// Line and Column count from 1; 0 when unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Field is the path to the field, such as exporters[1].timeout; empty when the
	// problem is the whole document's.
	Field string `json:"field,omitempty"`
	// Message is lowercase and names value and bound.
	Message string `json:"message"`
}

// Error prints file:line:column: field: message, leaving out what is unknown,
// and the document's number when its file has several.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
		if p.Several && p.Document > 0 {
			fmt.Fprintf(&b, "document %d: ", p.Document)
		}
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems are several problems as one error, one line each.
type Problems []Problem

// Error prints one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single Problem.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i := range p {
		errs[i] = p[i]
	}
	return errs
}

// Err returns p as an error, nil when there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Cover says whether one of the problems is with a field or with something
// around it, so that its value is not what the document says and another
// problem with it would only be a consequence.
func (p Problems) Cover(field string) bool {
	for i := range p {
		rest, ok := strings.CutPrefix(field, p[i].Field)
		if ok && (p[i].Field == "" || rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// Sort puts the problems of one file into the order of its text.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
