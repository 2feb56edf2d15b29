package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Bounds of what is read. They are far above what a person writes, and keep a
// hostile or mistaken file from taking the process down.
const (
	// MaxBytes is the most a file may hold.
	MaxBytes = 8 << 20
	// maxDepth is how deep values may nest, aliases resolved.
	maxDepth = 64
	// maxValues is how many values one document may have, aliases expanded.
	maxValues = 200_000
	// maxProblems is how many problems of one document are told.
	maxProblems = 100
)

// A Document is one YAML or JSON document of a file.
type Document struct {
	// File is the path as it was given to Parse.
	File string
	// Number counts the file's documents that are not empty, from 1.
	Number int
	// Several says that the file has more documents than this one.
	Several bool

	root   *yaml.Node
	text   []byte // that root was read from
	offset int    // lines of the file before it

	// Filled by Decode.
	fields  map[string]*yaml.Node // every field of the text by its path
	sealed  map[string]bool       // fields whose value must not be quoted
	decoded int
}

// Parse splits the text of a file into its documents. Empty documents are left
// out. The problems are syntax errors, at most one a document.
func Parse(file string, text []byte) ([]*Document, Problems) {
	if len(text) > MaxBytes {
		return nil, Problems{{File: file, Message: fmt.Sprintf("must not be larger than %s, is %s", Bytes(MaxBytes), Bytes(len(text)))}}
	}
	var (
		docs     []*Document
		problems Problems
		number   int
	)
	for _, part := range split(text) {
		decoder := yaml.NewDecoder(bytes.NewReader(part.text))
		for {
			root := new(yaml.Node)
			err := decodeNode(decoder, root)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				number++
				p := syntaxProblem(part, err)
				p.File, p.Document = file, number
				problems = append(problems, p)
				break
			}
			if isEmpty(root) {
				continue
			}
			number++
			docs = append(docs, &Document{File: file, Number: number, root: root.Content[0], text: part.text, offset: part.offset})
		}
	}
	for _, d := range docs {
		d.Several = number > 1
	}
	for i := range problems {
		problems[i].Several = number > 1
	}
	return docs, problems
}

// decodeNode turns a panic of the YAML library into an error: a file that
// somebody wrote must never stop the process.
func decodeNode(d *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: cannot be read: %v", r)
		}
	}()
	return d.Decode(into)
}

func isEmpty(n *yaml.Node) bool {
	if len(n.Content) == 0 {
		return true
	}
	c := n.Content[0]
	return c.Kind == yaml.ScalarNode && c.ShortTag() == "!!null"
}

// A part is the text of one document.
type part struct {
	text   []byte
	offset int // lines before it
}

// split cuts a file at its document markers. YAML allows "---" at the start of
// a line nowhere else, not even in a block scalar, so that a syntax error in
// one document need not end the reading of the file.
func split(text []byte) []part {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	var (
		parts  []part
		start  int
		first  int  // line on which the current part starts
		prolog bool // the current part has directives and nothing else
	)
	line := 0
	for at := 0; at < len(text); line++ {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		l := text[at:end]
		switch {
		case isMarker(l):
			if !prolog && at > start {
				parts = append(parts, part{text[start:at], first})
				start, first = at, line
			}
			prolog = false
		case l[0] == '%' && onlyComments(text[start:at]):
			prolog = true
		}
		at = end
	}
	return append(parts, part{text[start:], first})
}

func isMarker(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0)
}

func onlyComments(text []byte) bool {
	for l := range bytes.Lines(text) {
		if l = bytes.TrimSpace(l); len(l) > 0 && l[0] != '#' && l[0] != '%' {
			return false
		}
	}
	return true
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntaxProblem says where a part stops being YAML. The library often names
// the line at which the surrounding mapping began, so the last prefix of whole
// lines that still parses is looked for; the next line is where a person has
// to look.
func syntaxProblem(p part, err error) Problem {
	message := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		if m[1] != "" {
			line, _ = strconv.Atoi(m[1])
		}
	}
	lines := bytes.SplitAfter(p.text, []byte("\n"))
	const mostLines, mostBytes = 400, 64 << 10
	if len(lines) <= mostLines && len(p.text) <= mostBytes {
		size := len(p.text)
		for n := len(lines); n > 0; n-- {
			if n < len(lines) && parses(p.text[:size]) {
				break
			}
			line = n
			size -= len(lines[n-1])
		}
	}
	line = min(max(line, 1), len(lines))
	text := lines[line-1]
	column := len(text) - len(bytes.TrimLeft(text, " \t")) + 1
	return Problem{Line: line + p.offset, Column: column, Message: "is not valid YAML: " + message}
}

func parses(text []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		err := decodeNode(decoder, new(yaml.Node))
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// Has says whether the document sets a field, once it is decoded. A field that
// is null counts as not set.
func (d *Document) Has(field string) bool {
	n, ok := d.fields[field]
	return ok && !isNull(n)
}

// Position returns line and column of a field, or of the nearest field around
// it that the document has, once it is decoded.
func (d *Document) Position(field string) (line, column int) {
	for {
		if n, ok := d.fields[field]; ok {
			return n.Line + d.offset, n.Column
		}
		if field == "" {
			return d.root.Line + d.offset, d.root.Column
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
}

// Quotable says whether the value of a field may be shown: one that came from
// a reference, or is of a secret type, may not.
func (d *Document) Quotable(field string) bool { return d == nil || !d.sealed[field] }

// Problem says that something is wrong with a field. A nil Document gives a
// problem without a position, for values that came from no file.
func (d *Document) Problem(field, format string, args ...any) Problem {
	p := Problem{Field: field, Message: fmt.Sprintf(format, args...)}
	if d != nil {
		p.File, p.Document, p.Several = d.File, d.Number, d.Several
		p.Line, p.Column = d.Position(field)
	}
	return p
}
