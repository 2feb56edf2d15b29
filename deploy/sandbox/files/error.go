package files

import (
	"errors"
	"fmt"
	"strings"
)

// maxErrors bounds how many mistakes are listed of one file.
const maxErrors = 20

// Error is one mistake in a file.
type Error struct {
	File    string
	Line    int // from 1; 0 when the file as a whole is meant
	Column  int // in bytes from 1; 0 when the line as a whole is meant
	Message string
}

// Error is `file:line:column: message`, without what is not known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	for _, n := range []int{e.Line, e.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	return b.String() + ": " + e.Message
}

// Errors is every mistake found, by file and then by line.
type Errors []*Error

// Error is one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// errTooMany ends the reading of a file of which enough is known to be wrong.
var errTooMany = errors.New("too many errors")

// mistakes gathers those of one file.
type mistakes struct {
	file string
	list Errors
}

// add notes a mistake; it is errTooMany when no more are wanted.
func (m *mistakes) add(line, column int, format string, args ...any) error {
	m.list = append(m.list, &Error{m.file, line, column, fmt.Sprintf(format, args...)})
	if len(m.list) == maxErrors {
		m.list = append(m.list, &Error{File: m.file, Message: fmt.Sprintf("has more than %d mistakes; the rest is not read", maxErrors-1)})
		return errTooMany
	}
	return nil
}

func (m *mistakes) err() error {
	if len(m.list) == 0 {
		return nil
	}
	return m.list
}

// short is a value for a message: on one line and not too long.
func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
