package kql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func mustCheck(tb testing.TB, schema *Schema, text string) *Report {
	tb.Helper()
	r, err := mustOpen(tb).Check(context.Background(), schema, "TelemetryDB", text)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func (r *Report) summary() string {
	var lines []string
	for _, d := range r.Diagnostics {
		line := d.String()
		if d.Syntax {
			line = "syntax " + line
		}
		lines = append(lines, line)
	}
	for _, result := range r.Results {
		var columns []string
		for _, c := range result.Columns {
			columns = append(columns, c.Name+":"+c.Type)
		}
		lines = append(lines, fmt.Sprintf("%s open=%v", strings.Join(columns, " "), result.Open))
	}
	return strings.Join(lines, "\n")
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"OK", "ErrorEvents | summarize n = count() by ServiceName", "ServiceName:string n:long open=false"},
		{"OKTwoStatements", "print a = 1; ErrorEvents | count", "a:long open=false\nCount:long open=false"},
		{"OKExternal", "external_table('Archive') | project Id", "Id:guid open=false"},
		{"OKView", "Latest | project Id | union (materialized_view('Latest') | project Id)", "Id:long open=false"},
		{"OKUnknownDatabase", "database('Elsewhere').T | summarize m = max(x) by b", "b:unknown m:unknown open=true"},
		{"OKNothing", "let x = 1;", ""},
		{"ErrColumn", "ErrorEvents | where Typo > 1 | project ServiceName, Typo",
			"1:21: The name 'Typo' does not refer to any known column, table, variable or function. (KS142)\n" +
				"1:53: The name 'Typo' does not refer to any known column, table, variable or function. (KS142)\n" +
				"ServiceName:string Typo:unknown open=false"},
		{"ErrTable", "Nowhere | summarize n = count() by a",
			"1:1: The name 'Nowhere' does not refer to any known table, tabular variable or function. (KS204)\na:unknown n:long open=true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustCheck(t, mustOpenSchema(t), tt.text).summary(); got != tt.want {
				t.Fatalf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	t.Run("Command", func(t *testing.T) {
		if r := mustCheck(t, nil, ".show tables"); r.Kind != "Command" || r.Diagnostics != nil {
			t.Fatalf("got %+v", r)
		}
	})
	t.Run("ErrDatabase", func(t *testing.T) {
		_, err := mustOpen(t).Check(context.Background(), mustSchema(t), "Other", "print 1")
		var de *DatabaseError
		if !errors.As(err, &de) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("ErrLong", func(t *testing.T) {
		_, err := mustOpen(t).Check(context.Background(), nil, "", strings.Repeat(" ", 1<<20+1))
		if want := "check query: the text must have at most 1048576 bytes, got 1048577"; err == nil || err.Error() != want {
			t.Fatalf("got %v", err)
		}
	})
}

// mustOpenSchema has an external table and a materialized view, in a cluster with databases that are not known.
func mustOpenSchema(tb testing.TB) *Schema {
	tb.Helper()
	c := mustSchema(tb).Clusters()[0]
	c.Open = true
	c.Databases = slices.Clone(c.Databases)
	c.Databases[0].ExternalTables = []Table{{Name: "Archive", Columns: []Column{{Name: "Id", Type: "guid"}}}}
	c.Databases[0].MaterializedViews = []Table{{Name: "Latest", Columns: []Column{{Name: "Id", Type: "long"}}}}
	s, err := NewSchema(c.Name, c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Without a schema there is nothing to be said of names.
func TestCheckSyntax(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"OK", "Nowhere | where a > _startTime | summarize t = bin(Timestamp, 1m)", " open=true"},
		{"ErrOperator", "ErrorEvents\n| sumarize x = 1", "syntax 2:3: Query operator expected. (KS176)"},
		{"ErrBracket", "T | where (a > 1\n| take 1", "syntax 2:9: Expected: ) (KS005)"},
		{"ErrQuote", "T | where a == 'x", "syntax 1:18: Missing: ' (KS001)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mustCheck(t, nil, tt.text).summary()
			if !strings.HasPrefix(got, tt.want) {
				t.Fatalf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestCheckNames(t *testing.T) {
	const text = `// _endTime
T | where a > _startTime and b == "_endTime" | extend _region, f(_team), ['_quoted'] = 1, x = ['_bracket'] | where (`
	for _, schema := range []*Schema{nil, mustSchema(t)} {
		names := mustCheck(t, schema, text).Names
		for _, want := range []string{"T", "a", "_startTime", "_region", "_team", "f", "_bracket"} {
			if !slices.Contains(names, want) {
				t.Errorf("%q is not among %q", want, names)
			}
		}
		if slices.Contains(names, "_endTime") || slices.Contains(names, "_quoted") {
			t.Errorf("got %q", names)
		}
	}
}

func TestEngines(t *testing.T) {
	if _, err := Open(Config{Engines: -1}); err == nil || err.Error() != "kql: engines must be at least 1, got -1" {
		t.Fatalf("got %v", err)
	}
	if slowParser {
		t.Skip("the parser is far too slow with the race detector in it: see race_on_test.go")
	}
	p, err := Open(Config{Engines: 2})
	if err != nil {
		t.Fatal(err)
	}
	schema := mustSchema(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name := fmt.Sprintf("c%d", i)
			r, err := p.Check(context.Background(), schema, "TelemetryDB", "print "+name+" = 1")
			if err != nil || r.summary() != name+":long open=false" {
				t.Errorf("%s: got %v, %v", name, r, err)
			}
		})
	}
	wg.Wait()
	for range 2 {
		wg.Go(p.Close)
	}
	wg.Wait()
	if _, err := p.Check(context.Background(), nil, "", "T"); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

// Many files often have one query: it is checked once, and for each schema.
func TestCheckCached(t *testing.T) {
	const text = "ServiceTelemetry | summarize nothing = count() by Nowhere"
	first := mustCheck(t, mustSchema(t), text)
	if again := mustCheck(t, mustSchema(t), text); again != first {
		t.Error("the same text was checked again")
	}
	if without := mustCheck(t, nil, text); without == first || len(without.Diagnostics) != 0 || len(first.Diagnostics) == 0 {
		t.Errorf("without a schema it is another check: %q, with one %q", without.summary(), first.summary())
	}
	if other := mustCheck(t, mustSchema(t), text+" "); other == first {
		t.Error("another text got the same report")
	}
}
