package sandbox_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata"
	kustoerrors "github.com/Azure/azure-kusto-go/azkustodata/errors"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"
	"github.com/Azure/azure-kusto-go/azkustodata/query"
	"go.uber.org/goleak"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestMain(m *testing.M) {
	// net/http holds a connection for half a second after it has refused a body that is too large.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// start runs a server until the test ends.
func start(tb testing.TB, cfg sandbox.Config) *sandbox.Server {
	tb.Helper()
	cfg.Listen = "127.0.0.1:0"
	s, err := sandbox.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// client is an azkustodata client as its users have it.
func client(tb testing.TB, url string) *azkustodata.Client {
	tb.Helper()
	// A transport of its own, so that no connection outlives the test.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	c, err := azkustodata.New(azkustodata.NewConnectionStringBuilder(url), azkustodata.WithHttpClient(&http.Client{Transport: transport}))
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

func canned(tables ...*table.Table) sandbox.Engine {
	return sandbox.EngineFunc(func(context.Context, *sandbox.Request) (*sandbox.Result, error) {
		return sandbox.Tables(tables...), nil
	})
}

// numbers is a table of n rows, 0 to n-1.
func numbers(n int) *table.Table {
	t := table.New("Numbers", table.Schema{{Name: "N", Type: table.Long}, {Name: "S", Type: table.String}}, n)
	for i := range n {
		t.Columns[0].Vec.AppendInt(int64(i))
		t.Columns[1].Vec.AppendString(fmt.Sprintf("row %d", i))
	}
	return t
}

func primaries(ds query.Dataset) []query.Table {
	var out []query.Table
	for _, t := range ds.Tables() {
		if t.IsPrimaryResult() {
			out = append(out, t)
		}
	}
	return out
}

func TestQuery(t *testing.T) {
	ctx := context.Background()
	t.Run("OKManyFragmentsAndTables", func(t *testing.T) {
		s := start(t, sandbox.Config{Engine: canned(numbers(2500), numbers(0), numbers(1)), FragmentRows: 100})
		ds, err := client(t, s.URL()).IterativeQuery(ctx, "Any", kql.New("Numbers"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := ds.Close(); err != nil {
				t.Error(err)
			}
		}()
		var counts []int
		var kinds []string
		for res := range ds.Tables() {
			if res.Err() != nil {
				t.Fatal(res.Err())
			}
			n := 0
			for row := range res.Table().Rows() {
				if row.Err() != nil {
					t.Fatal(row.Err())
				}
				if got, err := row.Row().LongByName("N"); res.Table().IsPrimaryResult() && (err != nil || *got != int64(n)) {
					t.Fatalf("row %d: N = %v, %v", n, got, err)
				}
				n++
			}
			counts, kinds = append(counts, n), append(kinds, res.Table().Kind())
		}
		if got := fmt.Sprint(counts, kinds); got != "[2500 0 1 3 2] [PrimaryResult PrimaryResult PrimaryResult QueryProperties QueryCompletionInformation]" {
			t.Error(got)
		}
	})
	t.Run("OKRequest", func(t *testing.T) {
		got := make(chan *sandbox.Request, 1)
		s := start(t, sandbox.Config{Engine: sandbox.EngineFunc(func(_ context.Context, r *sandbox.Request) (*sandbox.Result, error) {
			got <- r
			return sandbox.Tables(numbers(1)), nil
		})})
		now := time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC)
		_, err := client(t, s.URL()+"/eastus-cluster").Query(ctx, "TelemetryDB", kql.New("T | where x > _startTime"),
			azkustodata.QueryParameters(kql.NewParameters().AddDateTime("_startTime", now).AddString("_region", `a"b`)),
			azkustodata.ClientRequestID("window-1"), azkustodata.QueryNow(now), azkustodata.NoTruncation(),
			azkustodata.ServerTimeout(90*time.Second), azkustodata.RequestReadonly())
		if err != nil {
			t.Fatal(err)
		}
		r := <-got
		if r.Cluster != "eastus-cluster" || r.Database != "TelemetryDB" || r.ClientRequestID != "window-1" || !r.Now.Equal(now) {
			t.Errorf("request %+v", r)
		}
		if p := r.Parameters["_startTime"]; p != "datetime(2025-06-25T10:00:00Z)" {
			t.Errorf("_startTime = %s", p)
		}
		if p := r.Parameters["_region"]; p != `"a\"b"` {
			t.Errorf("_region = %s", p)
		}
		if !strings.HasPrefix(r.Query, "declare query_parameters(") {
			t.Errorf("query %q", r.Query)
		}
		want := sandbox.Options{Fragmented: true, Newlines: true, Placement: sandbox.EndOfTable, Timeout: 90 * time.Second, ReadOnly: true, Now: now}
		if r.Options != want {
			t.Errorf("options %+v, want %+v", r.Options, want)
		}
	})
	t.Run("OKRequestIDEchoed", func(t *testing.T) {
		s := start(t, sandbox.Config{Engine: canned(numbers(1))})
		resp := post(t, s.URL()+"/v2/rest/query", `{"db":"D","csl":"T"}`, http.Header{"X-Ms-Client-Request-Id": {"me"}})
		if got := resp.Header.Get("x-ms-client-request-id"); got != "me" {
			t.Errorf("x-ms-client-request-id = %q", got)
		}
	})
	t.Run("OKNoTables", func(t *testing.T) {
		s := start(t, sandbox.Config{Engine: canned()})
		ds, err := client(t, s.URL()).Query(ctx, "Any", kql.New("let x = 1;"))
		if err != nil || len(primaries(ds)) != 0 {
			t.Errorf("%v, %v", ds, err)
		}
	})
}

func TestFrames(t *testing.T) {
	s := start(t, sandbox.Config{
		Engine: canned(numbers(2)), FragmentRows: 1,
		Now: func() time.Time { return time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC) },
	})
	for name, c := range map[string]struct{ options, want string }{
		"Plain":       {`{}`, `DataSetHeader DataTable/QueryProperties DataTable/PrimaryResult DataTable/QueryCompletionInformation DataSetCompletion`},
		"Fragmented":  {`{"results_v2_fragment_primary_tables":true}`, `DataSetHeader DataTable/QueryProperties TableHeader/PrimaryResult TableFragment TableFragment TableCompletion DataTable/QueryCompletionInformation DataSetCompletion`},
		"Progressive": {`{"results_progressive_enabled":"true"}`, `DataSetHeader DataTable/QueryProperties TableHeader/PrimaryResult TableFragment TableProgress TableFragment TableProgress TableCompletion DataTable/QueryCompletionInformation DataSetCompletion`},
		"Newlines":    {`{"results_v2_newlines_between_frames":true}`, `DataSetHeader DataTable/QueryProperties DataTable/PrimaryResult DataTable/QueryCompletionInformation DataSetCompletion`},
	} {
		t.Run(name, func(t *testing.T) {
			resp := post(t, s.URL()+"/v2/rest/query", `{"db":"D","csl":"T","properties":{"Options":`+c.options+`}}`, nil)
			text := readAll(t, resp)
			if got := frameNames(t, text); got != c.want {
				t.Errorf("frames\n got %s\nwant %s", got, c.want)
			}
			if lines := strings.Count(text, "\n,"); (lines > 0) != (name == "Newlines") {
				t.Errorf("%d frames begin on a line of their own", lines)
			}
		})
	}
	t.Run("PropertiesAsText", func(t *testing.T) {
		resp := post(t, s.URL()+"/v2/rest/query", `{"db":"D","csl":"T","properties":"{\"Options\":{\"truncationmaxrecords\":1}}"}`, nil)
		if text := readAll(t, resp); !strings.Contains(text, "set limit of 1 records") {
			t.Error(text)
		}
	})
}

func TestGzip(t *testing.T) {
	s := start(t, sandbox.Config{Engine: canned(numbers(5000))})
	for _, enc := range []string{"gzip", "gzip;q=0", "identity", "deflate, gzip"} {
		resp := post(t, s.URL()+"/v2/rest/query", `{"db":"D","csl":"T"}`, http.Header{"Accept-Encoding": {enc}})
		want := ""
		if strings.HasSuffix(enc, "gzip") {
			want = "gzip"
		}
		if got := resp.Header.Get("Content-Encoding"); got != want {
			t.Errorf("accept %q: content encoding %q, want %q", enc, got, want)
		}
		raw := readAll(t, resp)
		if want == "gzip" {
			raw = gunzip(t, raw)
		}
		if !strings.Contains(raw, `[4999,"row 4999"]`) || !strings.HasSuffix(raw, "]\n") {
			t.Errorf("accept %q: %d bytes that end in %q", enc, len(raw), raw[max(0, len(raw)-40):])
		}
	}
}

func TestGzipRequest(t *testing.T) {
	s := start(t, sandbox.Config{Engine: canned(numbers(3))})
	compress := func(text string) string {
		var b bytes.Buffer
		zw := gzip.NewWriter(&b)
		if _, err := zw.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	good := compress(`{"db":"D","csl":"T"}`)
	for name, c := range map[string]struct {
		encoding, body string
		status         int
		want           string
	}{
		"OK":          {"gzip", good, 200, `[2,"row 2"]`},
		"OKIdentity":  {"identity", `{"db":"D","csl":"T"}`, 200, `[2,"row 2"]`},
		"ErrEncoding": {"br", good, 400, `content encoding must be gzip or identity, got \"br\"`},
		"ErrNoGzip":   {"gzip", `{"db":"D","csl":"T"}`, 400, "request body cannot be read: gzip: invalid header"},
		"ErrCut":      {"gzip", good[:len(good)-9], 400, "request body cannot be read: unexpected EOF"},
		"ErrBomb":     {"gzip", compress(strings.Repeat(" ", 5<<20)), 400, "request body must be at most 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := post(t, s.URL()+"/v2/rest/query", c.body, http.Header{"Content-Encoding": {c.encoding}})
			if text := readAll(t, resp); resp.StatusCode != c.status || !strings.Contains(text, c.want) {
				t.Errorf("status %d: %s", resp.StatusCode, text)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	ctx := context.Background()
	engine := sandbox.EngineFunc(func(ctx context.Context, r *sandbox.Request) (*sandbox.Result, error) {
		switch r.Query {
		case "syntax":
			return nil, sandbox.SyntaxError("Missing expression")
		case "plain":
			return nil, errors.New("disk on fire")
		case "late":
			return &sandbox.Result{Tables: []sandbox.ResultTable{{Schema: numbers(0).Schema(), Scan: func(context.Context, func(*table.Table) error) error {
				return sandbox.NotSupported("late")
			}}}}, nil
		case "later":
			return &sandbox.Result{Tables: []sandbox.ResultTable{{Schema: numbers(0).Schema(), Scan: func(_ context.Context, yield func(*table.Table) error) error {
				if err := yield(numbers(3)); err != nil {
					return err
				}
				return errors.New("disk on fire")
			}}}}, nil
		case "forever":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return sandbox.Tables(numbers(1)), nil
	})
	s := start(t, sandbox.Config{Engine: engine, Catalog: table.Catalog{{Name: "D"}}})
	c := client(t, s.URL())
	for name, test := range map[string]struct {
		db, query string
		options   []azkustodata.QueryOption
		status    int
		permanent bool
		message   string
	}{
		"ErrSyntax":    {"D", "syntax", nil, 400, true, "Syntax error: Missing expression"},
		"ErrDatabase":  {"E", "T", nil, 400, true, "Entity ID 'E' of kind 'Database' was not found."},
		"ErrInternal":  {"D", "plain", nil, 500, false, "disk on fire"},
		"ErrLate":      {"D", "late", nil, 400, true, "Request is invalid and cannot be processed: not supported by the sandbox: late"},
		"ErrTimeout":   {"D", "forever", []azkustodata.QueryOption{azkustodata.ServerTimeout(time.Millisecond)}, 504, false, "Query execution has exceeded the allowed time of 1ms."},
		"ErrMaxRecord": {"D", "T", []azkustodata.QueryOption{azkustodata.TruncationMaxRecords(0)}, 400, true, `Request is invalid and cannot be processed: request option "truncationmaxrecords" is invalid, got "0": must be at least 1`},
		"ErrCommand":   {"D", ".show version", nil, 400, true, "Request is invalid and cannot be processed: Control commands (starting with a dot '.') do not support api_version=v2"},
	} {
		t.Run(name, func(t *testing.T) {
			b := kql.New("").AddUnsafe(test.query)
			_, err := c.Query(ctx, test.db, b, test.options...)
			wantHTTP(t, err, test.status, test.permanent, test.message)
		})
	}
	t.Run("ErrInBand", func(t *testing.T) {
		_, err := c.Query(ctx, "D", kql.New("later"))
		if err == nil || !strings.Contains(err.Error(), "disk on fire") {
			t.Errorf("error %v", err)
		}
		body, err := c.QueryToJson(ctx, "D", kql.New("later"))
		if err != nil || !strings.Contains(body, `[2,"row 2"],{"OneApiErrors":[{"error":`) && !strings.Contains(body, `"Rows":[{"OneApiErrors":`) || !strings.Contains(body, `"HasErrors":true`) {
			t.Errorf("%v: %s", err, body)
		}
	})
	t.Run("ErrTruncated", func(t *testing.T) {
		s := start(t, sandbox.Config{Engine: canned(numbers(1500), numbers(1500))})
		c := client(t, s.URL())
		_, err := c.Query(ctx, "D", kql.New("T"), azkustodata.TruncationMaxRecords(2999))
		if err == nil || !strings.Contains(err.Error(), "exceed the set limit of 2999 records") || !strings.Contains(err.Error(), "E_QUERY_RESULT_SET_TOO_LARGE") {
			t.Errorf("error %v", err)
		}
		_, err = c.Query(ctx, "D", kql.New("T"), azkustodata.TruncationMaxSize(1000))
		if err == nil || !strings.Contains(err.Error(), "exceed the set limit of 1000 bytes") {
			t.Errorf("error %v", err)
		}
		for _, o := range []azkustodata.QueryOption{azkustodata.TruncationMaxRecords(3000), azkustodata.NoTruncation()} {
			if _, err := c.Query(ctx, "D", kql.New("T"), o); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("ErrBody", func(t *testing.T) {
		for body, want := range map[string]string{
			`{`:                           "request body must be json: unexpected end of JSON input",
			`{"db":"D","csl":" "}`:        "csl must not be empty",
			`{"csl":"T","properties":[]}`: "properties must be an object with Options and Parameters: ",
			`{"csl":"` + strings.Repeat("x", 2<<20+1) + `"}`:                 "csl must have at most 2097152 bytes, got 2097153",
			strings.Repeat(" ", 5<<20):                                       "request body must be at most 4194304 bytes",
			`{"csl":"T","properties":{"Options":{"servertimeout":"4 min"}}}`: `request option \"servertimeout\" is invalid, got \"4 min\": must be a timespan like 00:04:00`,
		} {
			resp := post(t, s.URL()+"/v2/rest/query", body, nil)
			if text := readAll(t, resp); resp.StatusCode != 400 || !strings.Contains(text, want) || !strings.Contains(text, `"@permanent":true`) {
				t.Errorf("status %d: %s", resp.StatusCode, text)
			}
		}
	})
	t.Run("ErrPath", func(t *testing.T) {
		resp := post(t, s.URL()+"/v1/rest/ingest", `{}`, nil)
		if text := readAll(t, resp); resp.StatusCode != 404 || !strings.Contains(text, "not supported by the sandbox: POST /v1/rest/ingest") {
			t.Errorf("status %d: %s", resp.StatusCode, text)
		}
	})
}

func wantHTTP(t *testing.T, err error, status int, permanent bool, message string) {
	t.Helper()
	var h *kustoerrors.HttpError
	if !errors.As(err, &h) {
		t.Fatalf("error %v is no HttpError", err)
	}
	inner, _ := h.UnmarshalREST()["error"].(map[string]any)
	if h.StatusCode != status || inner["@permanent"] != permanent || inner["@message"] != message {
		t.Errorf("status %d, %v, want %d, permanent %v, %s", h.StatusCode, inner, status, permanent, message)
	}
}

func TestConfig(t *testing.T) {
	for want, cfg := range map[string]sandbox.Config{
		`sandbox: listen must be host:port, got "8080": address 8080: missing port in address`: {Listen: "8080", Engine: canned()},
		`sandbox: fragment rows must be at least 1, got -1`:                                    {FragmentRows: -1, Engine: canned()},
		`sandbox: max concurrent queries must be at least 1, got -1`:                           {MaxConcurrentQueries: -1, Engine: canned()},
	} {
		if _, err := sandbox.New(cfg); err == nil || err.Error() != want {
			t.Errorf("error\n got %v\nwant %s", err, want)
		}
	}
}

func post(t *testing.T, url, body string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	})
	return resp
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
