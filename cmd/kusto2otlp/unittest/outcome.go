package unittest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Outcome is what became of a test.
type Outcome struct {
	Test *Test
	Took time.Duration
	// Err is the error that the window failed with, wanted or not.
	Err error

	// Missing points were expected, Unexpected ones were not, Changed have another value.
	Missing, Unexpected []Point
	Changed             []Change
	// Rejected has the reasons whose counts differ.
	Rejected map[string]Counts
	// Problem is any other reason why the test fails, in one line.
	Problem string

	points   []Point
	rejected map[string]uint64
}

// Counts are how many points there should not be, and were not.
type Counts struct {
	Want uint64 `json:"want"`
	Got  uint64 `json:"got"`
}

// Passed says whether everything was as expected.
func (o *Outcome) Passed() bool {
	return o.Problem == "" && len(o.Missing)+len(o.Unexpected)+len(o.Changed)+len(o.Rejected) == 0
}

// Lines returns what was not as expected, a line each.
func (o *Outcome) Lines() []string {
	var lines []string
	for _, p := range o.Missing {
		lines = append(lines, "- "+p.String())
	}
	for _, p := range o.Unexpected {
		lines = append(lines, "+ "+p.String())
	}
	for _, c := range o.Changed {
		lines = append(lines, "~ "+c.String())
	}
	for _, reason := range slices.Sorted(maps.Keys(o.Rejected)) {
		lines = append(lines, fmt.Sprintf("rejected %s: want %d, got %d", reason, o.Rejected[reason].Want, o.Rejected[reason].Got))
	}
	if o.Problem != "" {
		lines = append(lines, o.Problem)
	}
	return lines
}

// compare finds the differences to what is expected.
func (o *Outcome) compare(want schemas.MetricsTestExpect) {
	switch {
	case o.Err != nil && want.Error == "":
		o.Problem = o.Err.Error()
		return
	case o.Err != nil && !strings.Contains(o.Err.Error(), want.Error):
		o.Problem = fmt.Sprintf("want an error with %q, got: %v", want.Error, o.Err)
		return
	case o.Err != nil:
		return
	case want.Error != "":
		o.Problem = fmt.Sprintf("want an error with %q, got %d points", want.Error, len(o.points))
		return
	case !o.Test.Expected:
		o.Problem = "expect is needed; --update writes it"
	}
	got := map[string]Point{}
	for _, p := range o.points {
		got[p.key()] = p
	}
	wanted := map[string]bool{}
	for _, e := range want.Points {
		p := expected(e)
		key := p.key()
		wanted[key] = true
		switch g, ok := got[key]; {
		case !ok:
			o.Missing = append(o.Missing, p)
		case !g.Value.Equal(p.Value):
			o.Changed = append(o.Changed, Change{p, g})
		}
	}
	for _, p := range o.points {
		if !wanted[p.key()] {
			o.Unexpected = append(o.Unexpected, p)
		}
	}
	for _, reason := range reasons {
		if c := (Counts{want.Rejected[reason], o.rejected[reason]}); c.Want != c.Got {
			if o.Rejected == nil {
				o.Rejected = map[string]Counts{}
			}
			o.Rejected[reason] = c
		}
	}
}
