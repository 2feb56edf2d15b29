package frames

import (
	"fmt"
	"regexp"
	"strings"
)

// The places that Kusto's messages name, and those that Microsoft's parser does: the sandbox answers
// with its words. Lines count from 1; Kusto's positions count from 0, the parser's columns from 1.
var (
	kustoPlace  = regexp.MustCompile(`\[line:position=(\d{1,9}):(\d{1,9})\]`)
	parserPlace = regexp.MustCompile(`(error: |\(KS\d+\); )(\d{1,9}):(\d{1,9}): `)
)

// ShiftLines takes lines off every place that the message names, for a query that was sent with as
// many lines before its own text.
func (e *Error) ShiftLines(lines int) {
	shifted := func(line string) int {
		n := number(line)
		if n <= lines {
			return n // in none of the query's lines, or unknown
		}
		return n - lines
	}
	e.Message = kustoPlace.ReplaceAllStringFunc(e.Message, func(s string) string {
		m := kustoPlace.FindStringSubmatch(s)
		return fmt.Sprintf("[line:position=%d:%s]", shifted(m[1]), m[2])
	})
	e.Message = parserPlace.ReplaceAllStringFunc(e.Message, func(s string) string {
		m := parserPlace.FindStringSubmatch(s)
		return fmt.Sprintf("%s%d:%s: ", m[1], shifted(m[2]), m[3])
	})
}

// Place is the first place that the message names, line and column from 1; ok is false when there
// is none.
func (e *Error) Place() (line, column int, ok bool) {
	if m := kustoPlace.FindStringSubmatch(e.Message); m != nil {
		line, column = number(m[1]), number(m[2])+1
	} else if m := parserPlace.FindStringSubmatch(e.Message); m != nil {
		line, column = number(m[2]), number(m[3])
	}
	return line, column, line > 0 && column > 0
}

// quotedQuery is the query that Kusto repeats at the end of a message.
var quotedQuery = regexp.MustCompile(` ?\.? Query: '.*$`)

// Unplaced is the message without its first place and without the query, for those who show where it
// is in their own way.
func (e *Error) Unplaced() string {
	text := quotedQuery.ReplaceAllString(e.Message, "")
	if at := kustoPlace.FindStringIndex(text); at != nil {
		return strings.TrimSpace(strings.TrimSpace(text[:at[0]]) + text[at[1]:])
	}
	if m := parserPlace.FindStringSubmatchIndex(text); m != nil {
		return text[:m[3]] + text[m[1]:]
	}
	return text
}

// number reads digits that a pattern has found.
func number(digits string) (n int) {
	for _, d := range digits {
		n = 10*n + int(d-'0')
	}
	return n
}
