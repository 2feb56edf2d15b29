package main

import (
	"fmt"
	"io"

	"github.com/kusto2otlp/kusto2otlp/cmd/kusto2otlp/unittest"
)

// maxTestLines is the most differences of one test that are printed.
const maxTestLines = 40

// testReport prints what became of tests, file by file.
type testReport struct {
	output   string
	out      io.Writer
	elements []testJSON
}

func newTestReport(output string, out io.Writer) *testReport {
	return &testReport{output: output, out: out, elements: []testJSON{}}
}

// testJSON is an element of what -o json prints; its keys are a contract.
type testJSON struct {
	File       string                     `json:"file"`
	Line       int                        `json:"line"`
	Name       string                     `json:"name"`
	Passed     bool                       `json:"passed"`
	Seconds    float64                    `json:"seconds"`
	Missing    []unittest.Point           `json:"missing,omitempty"`
	Unexpected []unittest.Point           `json:"unexpected,omitempty"`
	Changed    []unittest.Change          `json:"changed,omitempty"`
	Rejected   map[string]unittest.Counts `json:"rejected,omitempty"`
	Problem    string                     `json:"problem,omitempty"`
}

func (r *testReport) file(f *testedFile) error {
	if r.output == outputJSON {
		for _, o := range f.outcomes {
			r.elements = append(r.elements, testJSON{
				File: f.path, Line: o.Test.Line, Name: o.Test.Name, Passed: o.Passed(), Seconds: o.Took.Seconds(),
				Missing: o.Missing, Unexpected: o.Unexpected, Changed: o.Changed, Rejected: o.Rejected, Problem: o.Problem,
			})
		}
		return nil
	}
	if len(f.outcomes) == 0 && f.err == nil {
		return nil // --run has left nothing of it
	}
	for _, o := range f.outcomes {
		if o.Passed() {
			continue
		}
		fmt.Fprintf(r.out, "--- FAIL: %s:%d: %s (%s)\n", f.path, o.Test.Line, o.Test.Name, duration(o.Took))
		lines := o.Lines()
		for _, line := range lines[:min(len(lines), maxTestLines)] {
			fmt.Fprintf(r.out, "    %s\n", line)
		}
		if more := len(lines) - maxTestLines; more > 0 {
			fmt.Fprintf(r.out, "    … and %d more\n", more)
		}
	}
	verdict, updated := "ok  ", ""
	if f.failed() > 0 || f.err != nil {
		verdict = "FAIL"
	}
	if f.updated > 0 {
		updated = fmt.Sprintf("  %s updated", plural(uint64(f.updated), "expectation"))
	}
	_, err := fmt.Fprintf(r.out, "%s  %s  %s  %s%s\n", verdict, f.path, plural(uint64(len(f.outcomes)), "test"), duration(f.took), updated)
	return err
}

// close prints the end.
func (r *testReport) close() error {
	if r.output == outputJSON {
		return printJSON(r.out, r.elements)
	}
	return nil
}
