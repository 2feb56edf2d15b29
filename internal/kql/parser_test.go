package kql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

// shared is loaded once: loading is most of what these tests cost.
var shared = sync.OnceValues(func() (*Parser, error) { return Open(Config{}) })

func mustOpen(tb testing.TB) *Parser {
	tb.Helper()
	if slowParser {
		tb.Skip("the parser is far too slow with the race detector in it: see race_on_test.go")
	}
	p, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func mustSchema(tb testing.TB) *Schema {
	tb.Helper()
	errorEvents := Table{Name: "ErrorEvents", Columns: []Column{
		{Name: "Timestamp", Type: "datetime"}, {Name: "ClusterName", Type: "string"},
		{Name: "ServiceName", Type: "string"}, {Name: "SuccessEvent", Type: "string"},
	}}
	s, err := NewSchema("local",
		Cluster{Name: "local", Databases: []Database{
			{Name: "TelemetryDB", Tables: []Table{
				errorEvents,
				{Name: "ServiceTelemetry", Columns: []Column{
					{Name: "Timestamp", Type: "datetime"}, {Name: "ServiceName", Type: "string"},
					{Name: "Environment", Type: "string"}, {Name: "ResponseTimeMs", Type: "real"},
				}},
			}},
			{Name: "Empty"},
		}},
		Cluster{Name: "x", Databases: []Database{{Name: "TelemetryDB", Tables: []Table{errorEvents}}}},
	)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustAnalyze(tb testing.TB, text string) *Query {
	tb.Helper()
	q, err := mustOpen(tb).Analyze(context.Background(), mustSchema(tb), "TelemetryDB", text)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func TestBundle(t *testing.T) {
	t.Run("ErrNotBuiltIn", func(t *testing.T) {
		_, err := bundle(fstest.MapFS{"assets/.gitignore": {}})
		if !errors.Is(err, ErrNotBuiltIn) || err.Error() != `the KQL parser is not built in: run "make kql" and build again` {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("ErrCorrupt", func(t *testing.T) {
		_, err := bundle(fstest.MapFS{"assets/kusto.js.gz": {Data: []byte("not gzip")}})
		if err == nil || !strings.HasPrefix(err.Error(), "unpack the KQL parser: ") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("Notices", func(t *testing.T) {
		for _, want := range []string{"@kusto/language-service-next 12.4.1", "Bridge.NET 17.10.1", "Apache License"} {
			if !strings.Contains(Notices(), want) {
				t.Errorf("notices do not have %q", want)
			}
		}
	})
}

func TestAnalyzeColumns(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"AvgByBin", `declare query_parameters(_startTime:datetime, _endTime:datetime);
			ServiceTelemetry | where Timestamp between (_startTime .. _endTime)
			| summarize metric_value = avg(ResponseTimeMs) by ServiceName, Environment, timestamp = bin(Timestamp, 1m)
			| extend metric_name = "service_response_time_avg"`,
			"ServiceName:string Environment:string timestamp:datetime metric_value:real metric_name:string"},
		{"DefaultNames", `ServiceTelemetry | summarize count(), avg(ResponseTimeMs), min(Timestamp) by bin(Timestamp, 1m)`,
			"Timestamp:datetime count_:long avg_ResponseTimeMs:real min_Timestamp:datetime"},
		{"OtherCluster", `union cluster('x').database('TelemetryDB').ErrorEvents, ErrorEvents
			| summarize metric_value = count() * 1.0 by Region = tostring(split(ClusterName, '-')[0])`,
			"Region:string metric_value:real"},
		{"OtherClusterCase", `cluster('X').database('telemetrydb').ErrorEvents | project ServiceName`, "ServiceName:string"},
		{"Print", `print 1, b = dynamic([1]), now() - ago(1h)`, "print_0:long b:dynamic print_2:timespan"},
		{"TwoStatements", `print a = 1; print b = ""`, "b:string"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := mustAnalyze(t, tt.text)
			if err := q.Err(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range q.Columns() {
				got = append(got, c.Name+":"+c.Type)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Fatalf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

func TestAnalyzeErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"ErrBinAsAggregate", "ServiceTelemetry\n| summarize timestamp = bin(Timestamp, 5m) by ServiceName",
			"2:29: The name 'Timestamp' is not an aggregate or scalar function. (KS236)"},
		{"ErrClusterDotDatabase", `cluster('x').TelemetryDB.ErrorEvents`,
			"1:14: The name 'TelemetryDB' does not refer to any known column, table, variable or function. (KS142)"},
		{"ErrUnknownTable", `Nowhere | take 1`,
			"1:1: The name 'Nowhere' does not refer to any known table, tabular variable or function. (KS204)"},
		{"ErrUnknownColumn", `ServiceTelemetry | where Nothing > 1`,
			"1:26: The name 'Nothing' does not refer to any known column, table, variable or function. (KS142)"},
		{"ErrCaseOfColumn", `ServiceTelemetry | where timestamp > now()`,
			"1:26: The name 'timestamp' does not refer to any known column, table, variable or function. (KS142)"},
		{"ErrUndeclaredParameter", `ServiceTelemetry | where Timestamp > _startTime`,
			"1:38: The name '_startTime' does not refer to any known column, table, variable or function. (KS142)"},
		// 𝄞 is two UTF-16 units and four bytes, é one and two: columns count both as one.
		{"ErrAfterWideText", "print a = '𝄞é'; // 𝄞\nprint '𝄞', nope",
			"2:12: The name 'nope' does not refer to any known column, table, variable or function. (KS142)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := mustAnalyze(t, tt.text)
			if q.Root != nil || q.Statements != nil {
				t.Error("a refused query has a tree")
			}
			err := q.Err()
			if err == nil || err.Error() != tt.want {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
			var se *SemanticError
			if !errors.As(err, &se) {
				t.Fatalf("got a %T", err)
			}
		})
	}
	t.Run("ErrSyntax", func(t *testing.T) {
		if err := mustAnalyze(t, "ServiceTelemetry | where (").Err(); err == nil {
			t.Fatal("accepted")
		}
	})
	t.Run("Command", func(t *testing.T) {
		q := mustAnalyze(t, "// tables\n.show tables")
		if q.Kind != "Command" || q.Err() != nil || q.Root != nil || q.Columns() != nil {
			t.Fatalf("got %+v", q)
		}
		if err := mustAnalyze(t, "print 1; .show tables").Err(); err == nil {
			t.Fatal("a command after a query was accepted")
		}
	})
	t.Run("OffsetsAreBytes", func(t *testing.T) {
		q := mustAnalyze(t, "print '𝄞é', nope")
		d := q.Diagnostics[0]
		if got := q.Text[d.Offset : d.Offset+d.Length]; got != "nope" {
			t.Fatalf("the diagnostic is about %q", got)
		}
	})
	t.Run("ErrDatabase", func(t *testing.T) {
		_, err := mustOpen(t).Analyze(context.Background(), mustSchema(t), "Other", "print 1")
		var de *DatabaseError
		if !errors.As(err, &de) || err.Error() != `cluster "local" has no database "Other"` {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("TableOfOtherDatabase", func(t *testing.T) {
		q, err := mustOpen(t).Analyze(context.Background(), mustSchema(t), "Empty", "ErrorEvents")
		if err != nil || q.Err() == nil {
			t.Fatalf("got %v, %v", err, q.Err())
		}
	})
}

func TestAnalyzeTree(t *testing.T) {
	q := mustAnalyze(t, `declare query_parameters(_endTime:date, n:double = 1.5);
		ServiceTelemetry | where ServiceName == '' and Timestamp <= _endTime`)
	if err := q.Err(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s:%s:%v %s:%s:%s", q.Parameters[0].Name, q.Parameters[0].Type, q.Parameters[0].Default,
		q.Parameters[1].Name, q.Parameters[1].Type, q.Parameters[1].Default.Value); got != "_endTime:datetime:<nil> n:real:1.5" {
		t.Errorf("parameters are %s", got)
	}
	if len(q.Statements) != 1 {
		t.Fatalf("got %d statements", len(q.Statements))
	}
	pipe := q.Statements[0]
	from := pipe.Child("Expression")
	if from.Symbol == nil || *from.Symbol != (Symbol{Kind: "Table", Name: "ServiceTelemetry", Database: "TelemetryDB", Cluster: "local"}) {
		t.Errorf("the table is %+v", from.Symbol)
	}
	and := pipe.Child("Operator").Child("Condition")
	if and.Kind != "AndExpression" || and.Type != "bool" || and.Symbol.Name != "And" {
		t.Errorf("the condition is %+v", and)
	}
	empty := and.Child("Left").Child("Right")
	if !empty.HasValue || empty.Value != "" || empty.Type != "string" {
		t.Errorf("the literal is %+v", empty)
	}
	right := and.Child("Right").Child("Right")
	if right.Symbol.Kind != "Variable" || right.Name != "_endTime" || q.Text[right.Start:right.End] != "_endTime" {
		t.Errorf("the parameter is %+v", right)
	}
}

func TestAnalyzeCache(t *testing.T) {
	p := mustOpen(t)
	ctx, text := context.Background(), "print cached = 1"
	first, err := p.Analyze(ctx, mustSchema(t), "TelemetryDB", text)
	if err != nil {
		t.Fatal(err)
	}
	// Another Schema of the same content, and a name in another case, are the same analysis.
	if again, err := p.Analyze(ctx, mustSchema(t), "telemetrydb", text); err != nil || again != first {
		t.Errorf("analyzed again: %v", err)
	}
	other, err := NewSchema("local", Cluster{Name: "local", Databases: []Database{{Name: "TelemetryDB"}}})
	if err != nil {
		t.Fatal(err)
	}
	if q, err := p.Analyze(ctx, other, "TelemetryDB", text); err != nil || q == first {
		t.Errorf("another schema's analysis was used: %v", err)
	}
	// The engine now has the other schema; the first one's must come back with it.
	if err := mustAnalyze(t, "ErrorEvents | take 3").Err(); err != nil {
		t.Error(err)
	}

	c := newCache[Query](2)
	a, b, d := key{text: "a"}, key{text: "b"}, key{text: "d"}
	c.put(a, first)
	c.put(b, first)
	c.get(a)
	c.put(d, first)
	if c.get(a) == nil || c.get(b) != nil || c.get(d) == nil {
		t.Error("the least recently used entry must go")
	}
}

func TestAnalyzeInterrupted(t *testing.T) {
	if slowParser {
		t.Skip("the parser is far too slow with the race detector in it: see race_on_test.go")
	}
	p, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx := context.Background()
	if _, err := p.Analyze(ctx, mustSchema(t), "TelemetryDB", "print 0"); err != nil {
		t.Fatal(err)
	}

	// A script that never ends stands for a parser that hangs.
	s := <-p.loaded
	if _, err := s.engine.(*vm).js.Eval("kusto2otlp.analyze = function () { for (;;) {} }", 0); err != nil {
		t.Fatal(err)
	}
	p.loaded <- s
	p.config.Timeout = 10 * time.Millisecond
	if _, err := p.Analyze(ctx, mustSchema(t), "TelemetryDB", "print 1"); !errors.Is(err, errTimeout) {
		t.Fatalf("got %v", err)
	}
	p.config.Timeout = Config{}.WithDefaults().Timeout
	if q, err := p.Analyze(ctx, mustSchema(t), "TelemetryDB", "print 1"); err != nil || q.Err() != nil {
		t.Fatalf("the next analysis must have an engine of its own, got %v", err)
	}

	// Who waits for the engine waits no longer than its context.
	s = <-p.loaded
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.Analyze(done, mustSchema(t), "TelemetryDB", "print 2"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	p.loaded <- s

	p.Close()
	p.Close()
	if _, err := p.Analyze(ctx, mustSchema(t), "TelemetryDB", "print 3"); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

// A text that nests deeper than a stack allows must be refused, and the parser survive it.
func TestAnalyzeDeep(t *testing.T) {
	for _, n := range []int{200, 5000, 100000} {
		text := "print " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n)
		q, err := mustOpen(t).Analyze(context.Background(), mustSchema(t), "TelemetryDB", text)
		if err == nil && q.Err() == nil && n > 5000 {
			t.Errorf("%d brackets were accepted", n)
		}
	}
	if err := mustAnalyze(t, "print after = 1").Err(); err != nil {
		t.Error(err)
	}
	_, err := mustOpen(t).Analyze(context.Background(), mustSchema(t), "TelemetryDB", strings.Repeat(" ", 1<<20+1))
	if want := "analyze query: the text must have at most 1048576 bytes, got 1048577"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestAnalyzeConcurrent(t *testing.T) {
	p, schema := mustOpen(t), mustSchema(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 4 {
				name := fmt.Sprintf("c%d", (i+j)%8)
				q, err := p.Analyze(context.Background(), schema, "TelemetryDB", "print "+name+" = 1")
				if err != nil || len(q.Columns()) != 1 || q.Columns()[0].Name != name {
					t.Errorf("%s: got %v, %v", name, q, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestNewSchema(t *testing.T) {
	db := func(d ...Database) []Cluster { return []Cluster{{Name: "c", Databases: d}} }
	for _, tt := range []struct {
		name     string
		clusters []Cluster
		want     string
	}{
		{"ErrHome", []Cluster{{Name: "d"}}, `schema has no cluster "c"`},
		{"ErrDatabaseTwice", db(Database{Name: "D"}, Database{Name: "D"}), `cluster "c": database "D" appears twice`},
		{"ErrTableName", db(Database{Name: "D", Tables: []Table{{}}}), `database "D": a table must have a name`},
		{"ErrColumnTwice", db(Database{Name: "D", Tables: []Table{{Name: "T", Columns: []Column{{Name: "a", Type: "int"}, {Name: "a", Type: "int"}}}}}),
			`database "D": table "T": column "a" appears twice`},
		{"ErrColumnType", db(Database{Name: "D", Tables: []Table{{Name: "T", Columns: []Column{{Name: "a", Type: "varchar"}}}}}),
			`database "D": table "T": column "a": type must be a kusto scalar type, got "varchar"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewSchema("c", tt.clusters...); err == nil || err.Error() != tt.want {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func FuzzPositions(f *testing.F) {
	f.Add("a\n𝄞é\xff\nb")
	f.Fuzz(func(t *testing.T, text string) {
		p := newPositions(text)
		// The reference: walk the text rune by rune.
		u, line, column := 0, 1, 1
		for b, r := range text {
			if got := p.offset(u); got != b {
				t.Fatalf("unit %d is at byte %d, got %d", u, b, got)
			}
			if got, want := p.at(b), (Position{Offset: b, Line: line, Column: column}); got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
			column++
			if r == '\n' {
				line, column = line+1, 1
			}
			u++
			if r > 0xFFFF {
				u++
			}
		}
		if got := p.offset(u + 5); got != len(text) {
			t.Fatalf("past the end is %d, got %d", len(text), got)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	schema := mustSchema(b)
	for b.Loop() {
		p, err := Open(Config{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Analyze(context.Background(), schema, "TelemetryDB", "ErrorEvents | take 1"); err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}

func BenchmarkAnalyze(b *testing.B) {
	p, schema := mustOpen(b), mustSchema(b)
	if _, err := p.Analyze(context.Background(), schema, "TelemetryDB", "print 1"); err != nil {
		b.Fatal(err) // loads, which is another benchmark
	}
	i := 0
	for b.Loop() {
		i++
		text := fmt.Sprintf("ServiceTelemetry | where ResponseTimeMs > %d | summarize avg(ResponseTimeMs) by ServiceName, bin(Timestamp, 1m)", i)
		if q, err := p.Analyze(context.Background(), schema, "TelemetryDB", text); err != nil || q.Err() != nil {
			b.Fatal(err, q.Err())
		}
	}
}
