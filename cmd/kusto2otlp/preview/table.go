package preview

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
)

// Table keeps the first points of a window and writes them as a table.
type Table struct {
	limit  int
	points []Point
	more   uint64
}

// NewTable returns a Table of at most limit points.
func NewTable(limit int) *Table { return &Table{limit: limit} }

// Add adds the points of a request.
func (t *Table) Add(req *colmetrics.ExportMetricsServiceRequest) error {
	for p := range Points(req) {
		if len(t.points) < t.limit {
			t.points = append(t.points, p)
		} else {
			t.more++
		}
	}
	return nil
}

// Write writes the table, its lines cut to width characters; 0 cuts nothing.
func (t *Table) Write(out io.Writer, width int) error {
	var b bytes.Buffer
	if len(t.points) > 0 {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		// The labels come last: they are what may be cut.
		fmt.Fprintln(w, "NAME\tTIME (UTC)\tVALUE\tLABELS")
		for _, p := range t.points {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", Printable(p.Name), p.Time.Format("2006-01-02 15:04:05.9999999"), p.Value(), Printable(strings.Trim(p.LabelText(), "{}")))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if t.more > 0 {
		fmt.Fprintf(&b, "… and %d more\n", t.more)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(out, cut(strings.TrimRight(line, " \n"), width)); err != nil {
			return err
		}
	}
	return nil
}

// Printable keeps data from moving the terminal's cursor, or a table's columns.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
}

// cut cuts a line to width characters; 0 cuts nothing.
func cut(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	runes := []rune(line)
	return string(runes[:width-1]) + "…"
}
