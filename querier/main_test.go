package querier

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }

var (
	windowStart = time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC)
	window      = schemas.Window{Start: windowStart, End: windowStart.Add(5 * time.Minute)}
	windowID    = schemas.WindowID{Namespace: "monitoring", Name: "rt", Window: window, Generation: 3}.String()
)

// metrics is a table of n rows as a query of the tests answers it.
func metrics(n int) *table.Table {
	t := table.New("PrimaryResult", table.Schema{
		{Name: "metric_value", Type: table.Real}, {Name: "Service", Type: table.String}, {Name: "timestamp", Type: table.DateTime},
	}, n)
	for i := range n {
		if err := t.AppendRow(float64(i), fmt.Sprintf("service-%d", i), window.Start.Add(time.Duration(i)*time.Millisecond)); err != nil {
			panic(err)
		}
	}
	return t
}

func canned(tables ...*table.Table) sandbox.Engine {
	return sandbox.EngineFunc(func(context.Context, *sandbox.Request) (*sandbox.Result, error) {
		return sandbox.Tables(tables...), nil
	})
}

func mustSandbox(tb testing.TB, cfg sandbox.Config) *sandbox.Server {
	tb.Helper()
	cfg.Listen = "127.0.0.1:0"
	s, err := sandbox.New(cfg)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// mustServe answers queries with handler, and the metadata that comes before as a
// cluster without it does.
func mustServe(tb testing.TB, handler http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(withMetadata(handler))
	tb.Cleanup(s.Close)
	return s
}

func withMetadata(handler http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/rest/auth/metadata", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	mux.HandleFunc("POST /v2/rest/query", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		handler(w, r)
	})
	return mux
}

func cluster(endpoint string) config.Kusto {
	k := config.DefaultKusto()
	k.Name, k.Endpoint, k.Auth.Type = "telemetry", config.Address(endpoint), config.AuthNone
	return k
}

func mustClient(tb testing.TB, cfg ClientConfig) *Client {
	tb.Helper()
	c, err := NewClient(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// ask runs a query of metrics' columns and returns its rows.
func ask(ctx context.Context, c *Client) (rows int, r frames.Result, err error) {
	r, err = c.Query(ctx, Query{
		ID: windowID, Database: "TelemetryDB", Window: window, Body: "T",
		Answer: frames.Query{Columns: []string{"metric_value", "timestamp", "Service"}, Take: func(b frames.Batch) error {
			rows += b.Rows
			return proto.Unmarshal(b.Data, new(wire.RowBatch))
		}},
	})
	return rows, r, err
}

func kindOf(err error) pipe.Kind {
	kind, _ := pipe.KindOf(err)
	return kind
}
