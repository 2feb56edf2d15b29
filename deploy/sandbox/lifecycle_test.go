package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestCancellation(t *testing.T) {
	entered, cancelled := make(chan struct{}), make(chan error, 1)
	s := start(t, sandbox.Config{Engine: sandbox.EngineFunc(func(context.Context, *sandbox.Request) (*sandbox.Result, error) {
		return &sandbox.Result{Tables: []sandbox.ResultTable{{Schema: numbers(0).Schema(), Scan: func(ctx context.Context, yield func(*table.Table) error) error {
			if err := yield(numbers(10)); err != nil {
				return err
			}
			close(entered)
			<-ctx.Done()
			cancelled <- ctx.Err()
			return ctx.Err()
		}}}}, nil
	})})
	ctx, cancel := context.WithCancel(context.Background())
	ds, err := client(t, s.URL()).IterativeQuery(ctx, "D", kql.New("T"))
	if err != nil {
		t.Fatal(err)
	}
	<-entered // the first rows were on the wire before the query was done
	cancel()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("query ended with %v", err)
	}
	for range ds.Tables() {
		continue
	}
}

func TestCloseCancelsQueries(t *testing.T) {
	entered := make(chan struct{})
	s := start(t, sandbox.Config{Engine: sandbox.EngineFunc(func(ctx context.Context, _ *sandbox.Request) (*sandbox.Result, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})})
	done := make(chan error, 1)
	c := client(t, s.URL())
	go func() {
		_, err := c.Query(context.Background(), "D", kql.New("T"))
		done <- err
	}()
	<-entered
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("a query outlived the server")
	}
	if err := s.Start(); err == nil || err.Error() != "sandbox: a server starts once" {
		t.Errorf("second start: %v", err)
	}
}

func TestTooManyQueries(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := start(t, sandbox.Config{MaxConcurrentQueries: 1, Engine: sandbox.EngineFunc(func(context.Context, *sandbox.Request) (*sandbox.Result, error) {
		close(entered)
		<-release
		return sandbox.Tables(), nil
	})})
	c := client(t, s.URL())
	done := make(chan error, 1)
	go func() {
		_, err := c.Query(context.Background(), "D", kql.New("T"))
		done <- err
	}()
	<-entered
	resp := post(t, s.URL()+"/v2/rest/query", `{"db":"D","csl":"T"}`, nil)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("status %d, retry after %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Answers share buffers, compressors and the source; none of them may leak into another.
func TestConcurrentQueries(t *testing.T) {
	s := start(t, sandbox.Config{FragmentRows: 7, Engine: sandbox.EngineFunc(func(_ context.Context, r *sandbox.Request) (*sandbox.Result, error) {
		n, err := strconv.Atoi(r.Query)
		return sandbox.Tables(numbers(n)), err
	})})
	c := client(t, s.URL())
	var wg sync.WaitGroup
	for n := range 48 {
		wg.Go(func() {
			ds, err := c.Query(context.Background(), "D", kql.New("").AddUnsafe(strconv.Itoa(n*10)))
			if err != nil {
				t.Error(err)
				return
			}
			rows := primaries(ds)[0].Rows()
			if len(rows) != n*10 {
				t.Errorf("%d rows, want %d", len(rows), n*10)
			}
			for i, r := range rows {
				if got, err := r.StringByName("S"); err != nil || got != fmt.Sprintf("row %d", i) {
					t.Errorf("row %d of %d: %q, %v", i, len(rows), got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
