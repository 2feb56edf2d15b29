package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// endless is tables in memory, and Endless, whose rows only a scan's context ends.
type endless struct {
	engine.Tables
	entered chan struct{} // once for each scan, after its first rows
	ended   chan error    // what each scan ended with
}

func (e endless) Scan(ctx context.Context, req engine.ScanRequest, yield func(*table.Table) error) error {
	if req.Table != "Endless" {
		return e.Tables.Scan(ctx, req, yield)
	}
	err := yield(numbers(1))
	e.entered <- struct{}{}
	for err == nil {
		if err = ctx.Err(); err == nil {
			err = yield(numbers(1000))
		}
	}
	e.ended <- err
	return err
}

func TestSource(t *testing.T) {
	if slowParser {
		t.Skip("the parser, compiled from C, is far too slow with the race detector in it")
	}
	ctx := context.Background()
	src, want := every(t)
	e := endless{engine.Tables{"sandbox/D/Every": src, "sandbox/D/Numbers": numbers(100_000)}, make(chan struct{}, 1), make(chan error, 1)}
	s := start(t, sandbox.Config{Source: e, Catalog: table.Catalog{{Name: "D", Tables: []table.Definition{
		{Name: "Every", Schema: everyType}, {Name: "Numbers", Schema: numbers(0).Schema()}, {Name: "Endless", Schema: numbers(0).Schema()},
	}}}})
	c := client(t, s.URL())

	t.Run("OKEveryType", func(t *testing.T) {
		ds, err := c.Query(ctx, "D", kql.New("Every"))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range primaries(ds)[0].Rows() {
			for j, v := range r.Values() {
				if v.String() != want[i][j] {
					t.Errorf("row %d column %s = %q, want %q", i, everyType[j].Name, v.String(), want[i][j])
				}
			}
		}
	})
	t.Run("OKGetSchema", func(t *testing.T) {
		ds, err := c.Query(ctx, "D", kql.New("Endless | summarize total = sum(N), mean = avg(N) by S"), azkustodata.QueryResultsApplyGetschema())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range primaries(ds)[0].Rows() {
			got = append(got, fmt.Sprint(r.Values()))
		}
		if g := strings.Join(got, " "); g != "[S 0 System.String string] [total 1 System.Int64 long] [mean 2 System.Double real]" {
			t.Error(g)
		}
	})
	const odd = "Numbers | where N % 2 == 1 | project N, S"
	t.Run("OKManyRows", func(t *testing.T) {
		ds, err := c.Query(ctx, "D", kql.New(odd), azkustodata.CustomQueryOption("no_such_option", 5),
			azkustodata.CustomQueryOption("query_weakconsistency_session_id", "x"), azkustodata.MaxOutputColumns(5))
		if err != nil {
			t.Fatal(err)
		}
		rows := primaries(ds)[0].Rows()
		if len(rows) != 50_000 {
			t.Fatalf("%d rows", len(rows))
		}
		for i, r := range rows {
			if n, err := r.LongByName("N"); err != nil || *n != int64(2*i+1) {
				t.Fatalf("row %d: %v, %v", i, n, err)
			}
		}
	})
	// azkustodata asks for these but reads fragments alone.
	t.Run("OKOtherFrames", func(t *testing.T) {
		for name, options := range map[string][]azkustodata.QueryOption{"plain": nil, "progressive": {azkustodata.ResultsProgressiveEnabled()}} {
			text, err := c.QueryToJson(ctx, "D", kql.New(odd), options...)
			if err != nil {
				t.Fatal(err)
			}
			var frames []struct {
				FrameType, TableKind string
				IsProgressive        bool
				Rows                 [][]any
				RowCount             int
			}
			if err := json.Unmarshal([]byte(text), &frames); err != nil {
				t.Fatal(err)
			}
			if frames[0].IsProgressive != (name == "progressive") {
				t.Errorf("%s: header %+v", name, frames[0])
			}
			n := 0
			for _, f := range frames {
				if f.FrameType == "TableCompletion" && f.RowCount != 50_000 {
					t.Errorf("%s: %d rows at the end", name, f.RowCount)
				}
				if f.TableKind != "PrimaryResult" && f.FrameType != "TableFragment" {
					continue
				}
				for _, r := range f.Rows {
					if r[0] != float64(2*n+1) || r[1] != fmt.Sprintf("row %d", 2*n+1) {
						t.Fatalf("%s: row %d is %v", name, n, r)
					}
					n++
				}
			}
			if n != 50_000 {
				t.Errorf("%s: %d rows", name, n)
			}
		}
	})
	for name, query := range map[string]string{"Before": "Endless | summarize count()", "Among": "Endless"} {
		t.Run("ErrTimeout"+name+"Rows", func(t *testing.T) {
			q := kql.New("").AddUnsafe(query)
			// Analysed once, the query spends its time on rows.
			if _, err := c.Query(ctx, "D", q, azkustodata.QueryResultsApplyGetschema()); err != nil {
				t.Fatal(err)
			}
			_, err := c.Query(ctx, "D", q, azkustodata.ServerTimeout(300*time.Millisecond), azkustodata.NoTruncation())
			if err == nil || !strings.Contains(err.Error(), "Query execution has exceeded the allowed time of 300ms.") {
				t.Fatalf("error %v", err)
			}
			<-e.entered
			if ended := <-e.ended; !errors.Is(ended, context.DeadlineExceeded) {
				t.Errorf("the scan ended with %v", ended)
			}
		})
	}
	t.Run("ErrClientGone", func(t *testing.T) {
		for _, query := range []string{"Endless | summarize count()", "Endless | order by N desc | take 1"} {
			ctx, cancel := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func() {
				_, err := c.Query(ctx, "D", kql.New("").AddUnsafe(query), azkustodata.NoTruncation())
				done <- err
			}()
			<-e.entered
			cancel()
			if ended := <-e.ended; !errors.Is(ended, context.Canceled) {
				t.Errorf("%s: the scan ended with %v", query, ended)
			}
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: the client got %v", query, err)
			}
		}
	})
	// One text, so one analysis, with other values for each: nothing of one query may be seen in another.
	t.Run("OKConcurrent", func(t *testing.T) {
		const queries = 64
		var wg sync.WaitGroup
		for k := range int64(queries) {
			wg.Go(func() {
				ds, err := c.Query(ctx, "D", kql.New("Numbers | where N % 64 == _k | summarize n = count(), total = sum(N), low = min(N) by b = bin(N, 10000), k = _k | order by b asc"),
					azkustodata.QueryParameters(kql.NewParameters().AddLong("_k", k)))
				if err != nil {
					t.Error(err)
					return
				}
				rows := primaries(ds)[0].Rows()
				if len(rows) != 10 {
					t.Errorf("query %d: %d rows", k, len(rows))
					return
				}
				for b, r := range rows {
					var n, total, low int64
					for x := (int64(b)*10_000-k+63)/64*64 + k; x < int64(b+1)*10_000; x += 64 {
						if n == 0 {
							low = x
						}
						n++
						total += x
					}
					if got, want := fmt.Sprint(r.Values()), fmt.Sprint([]int64{int64(b) * 10_000, k, n, total, low}); got != want {
						t.Errorf("query %d: got %s, want %s", k, got, want)
					}
				}
			})
		}
		wg.Wait()
	})
}

// logged passes on the messages of a server's log.
type logged struct {
	slog.Handler
	messages chan<- string
}

func (l logged) Enabled(context.Context, slog.Level) bool { return true }

func (l logged) Handle(_ context.Context, r slog.Record) error {
	l.messages <- r.Message
	return nil
}

func (l logged) WithAttrs([]slog.Attr) slog.Handler { return l }

// A query that reads no table must end as well when nobody waits for it.
func TestCancelWithoutSource(t *testing.T) {
	if slowParser {
		t.Skip("the parser, compiled from C, is far too slow with the race detector in it")
	}
	messages := make(chan string, 8)
	s := start(t, sandbox.Config{Logger: slog.New(logged{slog.DiscardHandler, messages})})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ds, err := client(t, s.URL()).IterativeQuery(ctx, "TelemetryDB", kql.New("union (print x = long(0)), (range x from 1 to 1000000000000 step 1 | where x < 0)"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for res := range ds.Tables() {
		if res.Err() != nil {
			break
		}
		for row := range res.Table().Rows() {
			if row.Err() != nil {
				break
			}
			rows++
			cancel()
		}
	}
	if rows != 1 {
		t.Errorf("%d rows before the query was cancelled", rows)
	}
	for m := range messages {
		if m == "query cancelled" {
			return
		}
	}
}

// BenchmarkSummarize is a million generated rows, by two keys and a bin, with everything that a
// query costs this end once it has been analysed.
func BenchmarkSummarize(b *testing.B) {
	s := start(b, sandbox.Config{Now: func() time.Time { return now }})
	c := client(b, s.URL())
	query := func() {
		ds, err := c.Query(context.Background(), "Bench", kql.New(`Million
			| where Timestamp between (datetime(2025-06-25T14:00:00Z) .. datetime(2025-06-25T14:14:59.9999999Z))
			| summarize mean = avg(Value), total = sum(Requests), n = count() by Service, Region, bin(Timestamp, 1m)`))
		if err != nil {
			b.Fatal(err)
		}
		if n := len(primaries(ds)[0].Rows()); n != 20*5*15 {
			b.Fatalf("%d rows", n)
		}
	}
	query()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		query()
	}
	b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}

// cpu is the processor time that this process has used.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
