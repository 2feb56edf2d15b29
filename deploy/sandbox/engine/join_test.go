package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestJoin(t *testing.T) {
	w := mustWorld(t, nil)
	// Kusto docs: join flavors.
	const xy = `let X = datatable(Key:string, Value1:long)['a',1,'b',2,'b',3,'c',4]; let Y = datatable(Key:string, Value2:long)['b',10,'c',20,'c',30,'d',40]; `
	const nulls = `let L = datatable(k:long, a:string)[1, "l1", long(null), "l2", 2, "l3", long(null), "l4"]; let R = datatable(k:long, b:string)[long(null), "r1", 1, "r2", 3, "r3"]; `
	w.expect([][2]string{
		{xy + `X | join Y on Key`, "b|2|b|10\nc|4|c|20\nc|4|c|30"},
		{xy + `X | join kind=innerunique Y on $left.Key == $right.Key`, "b|2|b|10\nc|4|c|20\nc|4|c|30"},
		{xy + `X | join kind=inner Y on Key`, "b|2|b|10\nb|3|b|10\nc|4|c|20\nc|4|c|30"},
		{xy + `X | join kind=leftouter Y on Key`, "a|1||null\nb|2|b|10\nb|3|b|10\nc|4|c|20\nc|4|c|30"},
		{xy + `X | join kind=rightouter Y on Key`, "b|2|b|10\nb|3|b|10\nc|4|c|20\nc|4|c|30\n|null|d|40"},
		{xy + `X | join kind=fullouter Y on Key`, "a|1||null\nb|2|b|10\nb|3|b|10\nc|4|c|20\nc|4|c|30\n|null|d|40"},
		{xy + `X | join kind=leftanti Y on Key`, "a|1"},
		{xy + `X | join kind=rightanti Y on Key`, "d|40"},
		{xy + `X | join kind=leftsemi Y on Key`, "b|2\nb|3\nc|4"},
		{xy + `X | join kind=rightsemi Y on Key`, "b|10\nc|20\nc|30"},
		{`let t1 = datatable(key: long, value: string)[1, "val1.1", 1, "val1.2"]; let t2 = datatable(key: long, value: string)[1, "val1.3", 1, "val1.4"]; t1 | join kind = innerunique t2 on key`, "1|val1.1|1|val1.3\n1|val1.1|1|val1.4"},
		// A null is equal to nothing, not even to a null; the empty string is a value.
		{nulls + `L | join kind=inner R on k`, "1|l1|1|r2"},
		{nulls + `L | join kind=leftouter R on k`, "1|l1|1|r2\nnull|l2|null|\n2|l3|null|\nnull|l4|null|"},
		{nulls + `L | join kind=rightouter R on k`, "1|l1|1|r2\nnull||null|r1\nnull||3|r3"},
		{nulls + `L | join kind=fullouter R on k | count`, "6"},
		{nulls + `L | join kind=leftanti R on k`, "null|l2\n2|l3\nnull|l4"},
		{nulls + `L | join kind=rightanti R on k | project b`, "r1\nr3"},
		{nulls + `L | join kind=leftsemi R on k | project a`, "l1"},
		{`datatable(s:string, a:long)["", 1] | join (datatable(s:string, b:long)["", 2, "x", 3]) on s`, "|1||2"},
		{`datatable(r:real)[real(nan), -0.0] | join kind=inner (datatable(r:real)[real(nan), 0.0]) on r | count`, "1"},
		// Several keys, of several types, numbers promoted.
		{`datatable(a:long, b:string)[1, "x", 1, "y", 2, "x"] | join kind=inner (datatable(a2:int, c:string, d:long)[1, "x", 10, 2, "y", 20, 3, "x", 30]) on $left.a == $right.a2, $left.b == $right.c`, "1|x|1|x|10"},
		{`datatable(a:int)[1, 2, int(null)] | join kind=inner (datatable(b:long)[1, 4294967298]) on $left.a == $right.b`, "1|1"},
		{`datatable(a:datetime, b:bool, g:guid)[datetime(2025-01-01), true, guid(74be27de-1e4e-49d9-b579-fe0b05d3642c)] | join (datatable(a:datetime, b:bool, g:guid)[datetime(2025-01-01), true, guid(74BE27DE-1e4e-49d9-b579-fe0b05d3642c), datetime(2025-01-01), false, guid(74BE27DE-1e4e-49d9-b579-fe0b05d3642c)]) on a, b, g | count`, "1"},
		{`datatable(m:decimal)[decimal(1.50), decimal(null), decimal(2)] | join kind=inner (datatable(m:decimal, x:long)[decimal(1.5), 1, decimal(null), 2]) on m`, "1.50|1.5|1"},
		// Column names that collide.
		{`print a = 1, a1 = 2 | join kind=inner (print a = 1, b = 3) on a`, "1|2|1|3"},
		{`print a = 1, b = 2 | join kind=inner (print a = 1, b = 3) on a | project b, b1`, "2|3"},
		{`range x from 1 to 3 step 1 | extend p=1 | join kind=inner (range y from 1 to 2 step 1 | extend p=1) on p | project x, y`, "1|1\n1|2\n2|1\n2|2\n3|1\n3|2"},
		{`print a = 1 | join kind=inner (print a = 1 | where a > 1) on a | count`, "0"},
		{`print a = 1 | where a > 1 | join kind=fullouter (print a = 1) on a`, "null|1"},
		// Kusto docs: lookup operator.
		{`let FactTable=datatable(Row:string,Personal:string,Family:string)["1","Bill","Gates","2","Bill","Clinton","3","Bill","Clinton","4","Steve","Ballmer","5","Tim","Cook"];
			let DimTable=datatable(Personal:string,Family:string,Alias:string)["Bill","Gates","billg","Bill","Clinton","billc","Steve","Ballmer","steveb","Tim","Cook","timc"];
			FactTable | lookup kind=leftouter DimTable on Personal, Family`,
			"1|Bill|Gates|billg\n2|Bill|Clinton|billc\n3|Bill|Clinton|billc\n4|Steve|Ballmer|steveb\n5|Tim|Cook|timc"},
		{xy + `X | lookup Y on Key`, "a|1|null\nb|2|10\nb|3|10\nc|4|20\nc|4|30"},
		{xy + `X | lookup kind=inner Y on $left.Key == $right.Key | project Value2`, "10\n10\n20\n30"},
		{nulls + `L | lookup R on k`, "1|l1|r2\nnull|l2|\n2|l3|\nnull|l4|"},
	})
}

// Every kind of join against the definition: a loop over all pairs.
func TestJoinAgainstLoop(t *testing.T) {
	w := mustWorld(t, []*table.Table{joinSide("L", nil), joinSide("R", nil)})
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []string{"innerunique", "inner", "leftouter", "rightouter", "fullouter", "leftsemi", "rightsemi", "leftanti", "rightanti"} {
		q := w.analyze(fmt.Sprintf(`L | join kind=%s R on k, $left.s == $right.s`, kind))
		p, err := Compile(q, Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			l, r := joinSide("L", rng), joinSide("R", rng)
			for _, size := range []int{1, 3, 1000} {
				src := batches{Tables{"local/TelemetryDB/L": l, "local/TelemetryDB/R": r}, size}
				out, err := p.Run(context.Background(), src)
				if err != nil {
					t.Fatal(err)
				}
				if err := wrongResult(q, out); err != nil {
					t.Fatal(err)
				}
				got, want := strings.Split(text(out[0]), "\n"), naiveJoin(kind, l, r)
				slices.Sort(got)
				slices.Sort(want)
				if strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Fatalf("%s\nleft\n%s\nright\n%s\ngot\n%s\nwant\n%s", kind, text(l), text(r), strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		}
	}
}

// joinSide has up to 12 rows of few different keys, nulls among them.
func joinSide(name string, rng *rand.Rand) *table.Table {
	t := table.New(name, table.Schema{{Name: "k", Type: table.Long}, {Name: "s", Type: table.String}, {Name: "id", Type: table.Long}}, 0)
	if rng == nil {
		return t
	}
	for i := range rng.IntN(12) {
		if k := rng.Int64N(4); k == 0 {
			t.Columns[0].Vec.AppendNull()
		} else {
			t.Columns[0].Vec.AppendInt(k)
		}
		t.Columns[1].Vec.AppendString([]string{"", "x"}[rng.IntN(2)])
		t.Columns[2].Vec.AppendInt(int64(i))
	}
	return t
}

func naiveJoin(kind string, l, r *table.Table) []string {
	equal := func(i, j int) bool {
		lk, rk := l.Columns[0].Vec, r.Columns[0].Vec
		return !lk.IsNull(i) && !rk.IsNull(j) && lk.Ints[i] == rk.Ints[j] && l.Columns[1].Vec.Strings[i] == r.Columns[1].Vec.Strings[j]
	}
	line := func(t *table.Table, i int) string {
		if i < 0 {
			return "null||null"
		}
		return text(t.Slice(i, i+1))
	}
	var out []string
	lm, rm := map[int]bool{}, map[int]bool{}
	for i := range l.Rows() {
		first := true
		for before := range i {
			if kind == "innerunique" && l.Columns[0].Vec.Ints[before] == l.Columns[0].Vec.Ints[i] && l.Columns[1].Vec.Strings[before] == l.Columns[1].Vec.Strings[i] {
				first = false
			}
		}
		for j := range r.Rows() {
			if equal(i, j) {
				lm[i], rm[j] = true, true
				if first && (strings.HasPrefix(kind, "inner") || strings.HasSuffix(kind, "outer")) {
					out = append(out, line(l, i)+"|"+line(r, j))
				}
			}
		}
	}
	for i := range l.Rows() {
		switch {
		case kind == "leftsemi" && lm[i], kind == "leftanti" && !lm[i]:
			out = append(out, line(l, i))
		case (kind == "leftouter" || kind == "fullouter") && !lm[i]:
			out = append(out, line(l, i)+"|"+line(r, -1))
		}
	}
	for j := range r.Rows() {
		switch {
		case kind == "rightsemi" && rm[j], kind == "rightanti" && !rm[j]:
			out = append(out, line(r, j))
		case (kind == "rightouter" || kind == "fullouter") && !rm[j]:
			out = append(out, line(l, -1)+"|"+line(r, j))
		}
	}
	if out == nil {
		return []string{""}
	}
	return out
}

// batches is Tables in batches of another size, whose memory is used again.
type batches struct {
	Tables
	size int
}

func (s batches) Scan(ctx context.Context, req ScanRequest, yield func(*table.Table) error) error {
	t := s.Tables[strings.ToLower(req.Cluster)+"/"+req.Database+"/"+req.Table]
	for from := 0; from < t.Rows(); from += s.size {
		part := Tables{"local/TelemetryDB/" + req.Table: t.Slice(from, min(from+s.size, t.Rows()))}
		if err := (reusing{part}).Scan(ctx, req, yield); err != nil {
			return err
		}
	}
	return nil
}

func TestJoinEnds(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(100, now)})
	t.Run("ErrLimit", func(t *testing.T) {
		_, err := Run(context.Background(), w.analyze(`ServiceTelemetry | join kind=inner ServiceTelemetry on ServiceName`), w.tables, Options{Now: now, MaxRows: 99})
		var le *LimitError
		if !errors.As(err, &le) || err.Error() != "join holds more than 99 rows, the sandbox's limit" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrCanceled", func(t *testing.T) {
		// A product of many rows ends when nobody waits for it any more.
		q := w.analyze(`range x from 1 to 100000 step 1 | extend p = 1 | join kind=inner (range y from 1 to 100000 step 1 | extend p = 1) on p | count`)
		p, err := Compile(q, Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		reason := errors.New("gone")
		cancel(reason)
		if _, err := p.Run(ctx, w.tables); !errors.Is(err, reason) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Take", func(t *testing.T) {
		w.expect([][2]string{{`range x from 1 to 100000 step 1 | extend p = 1 | join kind=inner (range y from 1 to 100000 step 1 | extend p = 1) on p | take 3 | count`, "3"}})
	})
	t.Run("Columns", func(t *testing.T) {
		// A join asks each side for what is used, and for the keys.
		src := &asked{Tables: w.tables}
		_, err := Run(context.Background(), w.analyze(`ServiceTelemetry | join kind=inner (ServiceTelemetry | where Status == 200) on ServiceName | summarize count() by Message1`), src, Options{Now: now})
		if got := fmt.Sprint(src.reqs[0].Columns, src.reqs[1].Columns); err != nil || got != "[ServiceName Status Message] [ServiceName]" {
			t.Errorf("asked for %s: %v", got, err)
		}
	})
}
