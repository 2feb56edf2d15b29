package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// steps are operators that take the columns t, k, x, d and leave at least them, or columns of these names and types.
var steps = []string{
	`where x > 1 or isnull(x)`, `where t >= ago(1h)`, `where k in ("a", "")`, `where x in ((R | where x > 1 | project x))`,
	`extend x = x + 1`, `extend y = strcat(k, x), d = iff(x > 2, d, dynamic([1]))`, `project k, x, t, d`, `project-reorder d, *`,
	`project-rename z = x | extend x = z * 2 | project-away z`, `take 7`, `top 5 by x asc nulls last`, `sort by k asc, x desc, t asc`,
	`sort by x asc, k asc, t asc | extend x = coalesce(prev(x), row_number())`, `summarize x = sum(x), d = make_list(x), t = max(t) by k`,
	`distinct k, x, t | extend d = dynamic({"a": 1})`, `union R`, `union (R | extend d = dynamic([7]), t = now())`, `as Here | union (Here | take 2)`,
	`join kind=inner R on k`, `join kind=leftouter R on k, x`, `join kind=fullouter (R | project k, v = x) on k`, `join kind=leftanti R on x`, `join R on x`,
	`lookup (R | summarize v = max(x) by k) on k`, `mv-expand d`, `mv-expand with_itemindex=i d to typeof(long) limit 2 | extend d = pack_array(d)`,
	`mv-apply e = d on (summarize e = count()) | extend x = x + e | project-away e`, `parse k with * "b" rest | extend k = strcat(k, rest)`,
	`make-series n = count(), s = sum(x) on x from 0 to 9 step 3 by k | mv-expand x to typeof(long), n to typeof(long) | extend t = now(), d = s`,
	`invoke twice()`, `extend x = x + toscalar(R | summarize max(x))`, `render table`, `serialize`,
}

// Random pipes of operators must give what the binder promises, end without a panic, and not depend on how the source cuts its
// rows into batches, or on whether it drops those that cannot matter.
func TestPipelines(t *testing.T) {
	left := table.New("L", table.Schema{{Name: "t", Type: table.DateTime}, {Name: "k", Type: table.String}, {Name: "x", Type: table.Long}, {Name: "d", Type: table.Dynamic}}, 0)
	right := table.New("R", table.Schema{{Name: "k", Type: table.String}, {Name: "x", Type: table.Long}}, 0)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		row := []any{now.Add(time.Duration(-2*i) * time.Minute), []string{"a", "ab", "", "c"}[rng.IntN(4)], rng.Int64N(6), []any{`[1,2]`, `{"a":3}`, `[]`, `5`, nil}[rng.IntN(5)]}
		if rng.IntN(6) == 0 {
			row[0] = nil
		}
		if rng.IntN(6) == 0 {
			row[2] = nil
		}
		mustRow(t, left, row...)
		if i < 9 {
			mustRow(t, right, row[1], row[2])
		}
	}
	w := mustWorld(t, []*table.Table{left, right})
	n, ran := 120, 0
	if testing.Short() {
		n = 30
	}
	for range n {
		var b strings.Builder
		b.WriteString("let twice = (A:(k:string, x:long)) { A | where x >= 0 | extend x = x * 2 };\nL")
		for range 1 + rng.IntN(5) {
			b.WriteString("\n| " + steps[rng.IntN(len(steps))])
		}
		query := b.String()
		p, err := parser()
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.Analyze(context.Background(), w.schema, "TelemetryDB", query)
		if err != nil {
			t.Fatal(err)
		}
		if q.Err() != nil {
			continue // columns that an operator left behind
		}
		plan, err := Compile(q, Options{Now: now})
		var refused *UnsupportedError
		if errors.As(err, &refused) {
			continue
		}
		if err != nil {
			t.Fatalf("%s\n%v", query, err)
		}
		var want string
		for i, src := range []Source{w.tables, batches{w.tables, 1}, batches{w.tables, 7}, pruned{w.tables}} {
			out, err := plan.Run(context.Background(), src)
			var value *ValueError
			if errors.As(err, &value) {
				out, err = nil, nil
			}
			if err != nil {
				t.Fatalf("%s\n%v", query, err)
			}
			got := fmt.Sprint(value)
			if out != nil {
				if err := wrongResult(q, out); err != nil {
					t.Fatalf("%s\n%v", query, err)
				}
				lines := strings.Split(text(out[0]), "\n")
				slices.Sort(lines)
				got = strings.Join(lines, "\n")
			}
			if i == 0 {
				want = got
				ran++
			}
			if got != want {
				t.Fatalf("%s\nsource %d gives\n%s\nwant\n%s", query, i, got, want)
			}
		}
	}
	if ran < n/3 {
		t.Errorf("only %d of %d queries ran", ran, n)
	}
}
