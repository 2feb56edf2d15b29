package unittest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/transformer"
)

// reasons are those for which a row may be rejected.
var reasons = []string{
	transformer.NullValue.String(), transformer.NotFinite.String(), transformer.NotANumber.String(),
	transformer.NoTimestamp.String(), transformer.TimeOutOfRange.String(), transformer.EmptyName.String(),
	transformer.Duplicate.String(), transformer.TooLarge.String(),
}

// checker finds what is wrong with a file of tests beyond its form.
type checker struct {
	doc      *strict.Document
	spec     *schemas.MetricsTest
	problems strict.Problems
}

func (c *checker) problem(field, format string, args ...any) {
	c.problems = append(c.problems, c.doc.Problem(field, format, args...))
}

func (c *checker) check() {
	for _, f := range []struct{ field, got, want string }{
		{"apiVersion", c.spec.APIVersion, schemas.APIVersion},
		{"kind", c.spec.Kind, schemas.TestKind},
	} {
		switch f.got {
		case f.want:
		case "":
			c.problem(f.field, "is needed, and must be %q", f.want)
		default:
			c.problem(f.field, "must be %q, got %q", f.want, f.got)
		}
	}
	c.tables("tables", c.spec.Tables)
	if len(c.spec.Tests) == 0 {
		c.problem("tests", "must have at least one test")
	}
	names := map[string]int{}
	for i := range c.spec.Tests {
		t, field := &c.spec.Tests[i], fmt.Sprintf("tests[%d]", i)
		switch first, twice := names[t.Name]; {
		case strings.TrimSpace(t.Name) == "":
			c.problem(field+".name", "is needed")
		case twice:
			c.problem(field+".name", "%q is already the name of tests[%d]", t.Name, first)
		default:
			names[t.Name] = i
		}
		c.window(field+".window", t.Window)
		c.tables(field+".tables", t.Tables)
		c.expect(field+".expect", t.Expect)
	}
}

func (c *checker) window(field string, w schemas.MetricsTestWindow) {
	if w.Start.IsZero() {
		c.problem(field+".start", "is needed")
		return
	}
	if !w.End.IsZero() && !w.Start.Before(w.End) {
		c.problem(field+".end", "must be after start, got %s and %s", w.Start.Format(time.RFC3339Nano), w.End.Format(time.RFC3339Nano))
	}
	for _, t := range []struct {
		name string
		time time.Time
	}{{".start", w.Start}, {".end", w.End}} {
		if !t.time.Truncate(schemas.Tick).Equal(t.time) {
			c.problem(field+t.name, "must be a multiple of 100ns, Kusto's unit of time, got %s", t.time.Format(time.RFC3339Nano))
		}
	}
}

func (c *checker) tables(field string, tables map[string]schemas.MetricsTestTable) {
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		at, t := strict.Join(field, name), tables[name]
		if _, err := parseTableName(name, ""); err != nil {
			c.problem(at, "%s", err)
		}
		var given []string
		for _, form := range []struct {
			name string
			set  bool
		}{{"rows", c.doc.Has(at + ".rows")}, {"csv", t.CSV != ""}, {"ndjson", t.NDJSON != ""}, {"file", t.File != ""}} {
			if form.set {
				given = append(given, form.name)
			}
		}
		switch {
		case len(given) == 0 && len(t.Columns) == 0:
			c.problem(at, "must have rows, csv, ndjson or file")
		case len(given) > 1:
			c.problem(at, "must have only one of rows, csv, ndjson and file, has %s", strings.Join(given, " and "))
		case len(given) == 1 && given[0] == "rows" && len(t.Columns) == 0:
			c.problem(at+".columns", "is needed with rows")
		case len(given) == 1 && given[0] == "csv" && len(t.Columns) > 0:
			c.problem(at+".columns", "has no meaning with csv, whose first line has the columns")
		}
	}
}

func (c *checker) expect(field string, e schemas.MetricsTestExpect) {
	if e.Error != "" && (len(e.Points) > 0 || len(e.Rejected) > 0) {
		c.problem(field+".error", "and points or rejected must not both be set: a window that fails exports nothing")
	}
	for _, reason := range slices.Sorted(maps.Keys(e.Rejected)) {
		if !slices.Contains(reasons, reason) {
			c.problem(strict.Join(field+".rejected", reason), "must be one of %s, got %q", strings.Join(reasons, ", "), reason)
		}
	}
	first := map[string]int{}
	for i, p := range e.Points {
		at := fmt.Sprintf("%s.points[%d]", field, i)
		if p.Name == "" {
			c.problem(at+".name", "is needed")
		}
		if p.Time.IsZero() {
			c.problem(at+".time", "is needed")
		}
		if p.Value == nil {
			c.problem(at+".value", "is needed")
		}
		key := expected(p).key()
		if j, twice := first[key]; twice {
			c.problem(at, "is the same as points[%d]: a window has one point of a name, labels and time", j)
			continue
		}
		first[key] = i
	}
}
