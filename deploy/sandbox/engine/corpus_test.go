package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// testdata/corpus.txt has one query a line, over the tables T and U, as users write them: most use
// something that the sandbox does not support. Each must either give a result of the binder's schema or be
// refused by name, and never panic; which of them do what is in the first word of the line.
func TestCorpus(t *testing.T) {
	schema := table.Schema{
		{Name: "t", Type: table.DateTime}, {Name: "s", Type: table.String}, {Name: "x", Type: table.Long}, {Name: "i", Type: table.Int},
		{Name: "r", Type: table.Real}, {Name: "b", Type: table.Bool}, {Name: "d", Type: table.Dynamic}, {Name: "span", Type: table.TimeSpan},
		{Name: "g", Type: table.GUID}, {Name: "m", Type: table.Decimal},
	}
	a, u := table.New("T", schema, 0), table.New("U", schema[1:4], 0)
	mustRow(t, a, now, "a-b", int64(1), 2, 1.5, true, `{"k": [1, 2]}`, table.Span(5), "74be27de-1e4e-49d9-b579-fe0b05d3642c", "1.50")
	mustRow(t, a, nil, "", nil, nil, nil, nil, nil, nil, nil, nil)
	mustRow(t, u, "a-b", int64(1), 7)
	w := mustWorld(t, []*table.Table{a, u}, "other")
	corpus, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(corpus)), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verdict, query, _ := strings.Cut(line, " ")
		if testing.Short() && verdict == "no" {
			continue // most of the time is their analysis, and nothing runs
		}
		p, err := parser()
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.Analyze(context.Background(), w.schema, "TelemetryDB", query)
		if err == nil {
			err = q.Err()
		}
		if err != nil {
			t.Errorf("line %d: %s: Kusto would refuse it: %v", i+1, query, err)
			continue
		}
		out, err := Run(context.Background(), q, w.tables, Options{Now: now})
		var refused *UnsupportedError
		switch {
		case err == nil && verdict == "ok":
			if err := wrongResult(q, out); err != nil {
				t.Errorf("line %d: %s: %v", i+1, query, err)
			}
		case errors.As(err, &refused) && verdict == "no":
		default:
			t.Errorf("line %d: want %s: %s: got %v", i+1, verdict, query, err)
		}
	}
}
