package engine

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// functionCase is a line of testdata/functions.txt.
type functionCase struct {
	line       int
	expression string
	want       string
}

func functionCases(tb testing.TB) (values, errs []functionCase) {
	tb.Helper()
	text, err := os.ReadFile("testdata/functions.txt")
	if err != nil {
		tb.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " =>")
		if at < 0 {
			tb.Fatalf("functions.txt:%d: no =>", i+1)
		}
		c := functionCase{i + 1, line[:at], strings.TrimPrefix(line[at+len(" =>"):], " ")}
		if message, ok := strings.CutPrefix(c.want, "!"); ok {
			errs = append(errs, functionCase{c.line, c.expression, message})
		} else {
			values = append(values, c)
		}
	}
	return values, errs
}

// TestFunctions runs each line twice: as a constant, and with its literals as vectors, the way that columns are.
func TestFunctions(t *testing.T) {
	w := mustWorld(t, nil)
	values, errs := functionCases(t)
	const together = 25 // in a query, since analysing it takes most of the time
	for len(values) > 0 {
		n := min(together, len(values))
		w.functions(t, values[:n])
		values = values[n:]
	}
	if testing.Short() {
		errs = nil // an analysis each; the race detector has nothing to find in them
	}
	for _, c := range errs {
		for _, unfolded := range []bool{false, true} {
			_, err := Run(context.Background(), w.analyze("print "+c.expression), w.tables, Options{Now: now, unfolded: unfolded})
			if err == nil || err.Error() != c.want {
				t.Errorf("functions.txt:%d: %s\n got %v\nwant %s", c.line, c.expression, err, c.want)
			}
		}
	}
}

func (w *world) functions(t *testing.T, cases []functionCase) {
	t.Helper()
	var expressions []string
	for _, c := range cases {
		expressions = append(expressions, c.expression)
	}
	query := "print " + strings.Join(expressions, ", ")
	p, err := parser()
	if err != nil {
		t.Fatal(err)
	}
	q, err := p.Analyze(context.Background(), w.schema, "TelemetryDB", query)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		w.each(t, cases, err)
		return
	}
	for _, unfolded := range []bool{false, true} {
		out, err := Run(context.Background(), q, w.tables, Options{Now: now, unfolded: unfolded})
		if err != nil {
			w.each(t, cases, err)
			return
		}
		if err := wrongResult(q, out); err != nil {
			t.Errorf("functions.txt:%d and after: %v", cases[0].line, err)
		}
		if got := len(out[0].Columns); got != len(cases) {
			t.Fatalf("functions.txt:%d: %d columns for %d expressions", cases[0].line, got, len(cases))
		}
		for i, c := range cases {
			got := text(&table.Table{Columns: out[0].Columns[i : i+1]})
			if got != c.want {
				t.Errorf("functions.txt:%d: %s (unfolded %v)\n got %q\nwant %q", c.line, c.expression, unfolded, got, c.want)
			}
		}
	}
}

// each finds out which of some cases fail.
func (w *world) each(t *testing.T, cases []functionCase, err error) {
	t.Helper()
	if len(cases) == 1 {
		t.Errorf("functions.txt:%d: %s: %v", cases[0].line, cases[0].expression, err)
		return
	}
	for i := range cases {
		w.functions(t, cases[i:i+1])
	}
}
