package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
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

var everyType = table.Schema{
	{Name: "b", Type: table.Bool}, {Name: "i", Type: table.Int}, {Name: "l", Type: table.Long},
	{Name: "r", Type: table.Real}, {Name: "d", Type: table.Decimal}, {Name: "t", Type: table.DateTime},
	{Name: "s", Type: table.TimeSpan}, {Name: "g", Type: table.GUID}, {Name: "x", Type: table.String},
	{Name: "j", Type: table.Dynamic},
}

// every is a table with every type and its edges, and the strings that azkustodata shows for them.
func every(tb testing.TB) (*table.Table, [][]string) {
	tb.Helper()
	const guid = "123e27de-1e4e-49d9-b579-fe0b331d3642"
	t := table.New("Every", everyType, 4)
	rows := []struct {
		values []any
		want   []string
	}{
		{
			[]any{true, 2147483647, int64(math.MaxInt64), 0.1, "2.00000000000001", time.Date(2020, 3, 4, 14, 5, 1, 310996500, time.UTC), time.Hour + 100*time.Nanosecond, guid, "é\"\\\n\t\x01\u2028", `{"a": [1,
 null, "x"]}`},
			[]string{"true", "2147483647", "9223372036854775807", "0.1", "2.00000000000001", "2020-03-04T14:05:01.3109965Z", "1h0m0.0000001s", guid, "é\"\\\n\t\x01\u2028", `{"a":[1,null,"x"]}`},
		},
		{
			[]any{nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
			[]string{"", "", "", "", "", "", "", "", "", ""},
		},
		{
			[]any{false, -2147483648, int64(math.MinInt64), math.NaN(), "-0.5", table.Time(table.MinDateTime), -25 * time.Hour, guid, "", `9007199254740993`},
			[]string{"false", "-2147483648", "-9223372036854775808", "NaN", "-0.5", "0001-01-01T00:00:00Z", "-25h0m0s", guid, "", "9007199254740993"},
		},
		{
			[]any{false, 0, int64(0), math.Inf(1), "0", table.Time(table.MaxDateTime), time.Duration(0), guid, "[1,2]", `[]`},
			[]string{"false", "0", "0", "+Inf", "0", "9999-12-31T23:59:59.9999999Z", "0s", guid, "[1,2]", "[]"},
		},
		{
			[]any{false, 0, int64(0), math.Inf(-1), "0", time.Unix(0, 0), time.Duration(0), guid, "", `true`},
			[]string{"false", "0", "0", "-Inf", "0", "1970-01-01T00:00:00Z", "0s", guid, "", "true"},
		},
		{
			[]any{false, 0, int64(0), 1e300, "0", time.Unix(0, 0), time.Duration(0), guid, "", `{}`},
			[]string{"false", "0", "0", "1e+300", "0", "1970-01-01T00:00:00Z", "0s", guid, "", "{}"},
		},
		{
			[]any{false, 0, int64(0), 2.0, "0", time.Unix(0, 0), time.Duration(0), guid, "", `{}`},
			[]string{"false", "0", "0", "2", "0", "1970-01-01T00:00:00Z", "0s", guid, "", "{}"},
		},
	}
	var want [][]string
	for _, r := range rows {
		if err := t.AppendRow(r.values...); err != nil {
			tb.Fatal(err)
		}
		want = append(want, r.want)
	}
	return t, want
}

func TestQueryEveryType(t *testing.T) {
	src, want := every(t)
	s := start(t, sandbox.Config{Engine: canned(src)})
	ds, err := client(t, s.URL()).Query(context.Background(), "Any", kql.New("Every"))
	if err != nil {
		t.Fatal(err)
	}
	primary := primaries(ds)
	if len(primary) != 1 {
		t.Fatalf("%d primary tables", len(primary))
	}
	for i, c := range primary[0].Columns() {
		if c.Name() != everyType[i].Name || string(c.Type()) != everyType[i].Type.String() {
			t.Errorf("column %d is %s %s, want %v", i, c.Name(), c.Type(), everyType[i])
		}
	}
	rows := primary[0].Rows()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, r := range rows {
		for j, v := range r.Values() {
			if v.String() != want[i][j] {
				t.Errorf("row %d column %s = %q, want %q", i, everyType[j].Name, v.String(), want[i][j])
			}
			if i == 1 && everyType[j].Type != table.String && v.GetValue() != nil && fmt.Sprint(v.GetValue()) != "<nil>" && fmt.Sprint(v.GetValue()) != "[]" {
				t.Errorf("null of column %s is %v", everyType[j].Name, v.GetValue())
			}
		}
	}
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
		"ErrGetschema": {"D", "T", []azkustodata.QueryOption{azkustodata.QueryResultsApplyGetschema()}, 400, true, `Request is invalid and cannot be processed: not supported by the sandbox: request option "query_results_apply_getschema"`},
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
			`{`:                           "request body must be json: unexpected EOF",
			`{"db":"D","csl":" "}`:        "csl must not be empty",
			`{"csl":"T","properties":[]}`: "properties must be an object with Options and Parameters: ",
			strings.Repeat(" ", 5<<20):    "request body must be at most 4194304 bytes",
			`{"csl":"T","properties":{"Options":{"servertimeout":"4 min"}}}`: `request option \"servertimeout\" is invalid, got \"4 min\": must be a timespan like 00:04:00`,
		} {
			resp := post(t, s.URL()+"/v2/rest/query", body, nil)
			if text := readAll(t, resp); resp.StatusCode != 400 || !strings.Contains(text, want) || !strings.Contains(text, `"@permanent":true`) {
				t.Errorf("status %d: %s", resp.StatusCode, text)
			}
		}
	})
	t.Run("ErrPath", func(t *testing.T) {
		resp := post(t, s.URL()+"/v1/rest/query", `{}`, nil)
		if text := readAll(t, resp); resp.StatusCode != 404 || !strings.Contains(text, "not supported by the sandbox: POST /v1/rest/query") {
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

func TestMgmt(t *testing.T) {
	ctx := context.Background()
	s := start(t, sandbox.Config{Engine: canned(), Catalog: table.Catalog{
		{Name: "A", Tables: []table.Definition{{Name: "T", Doc: "rows"}, {Name: "U"}}}, {Name: "B"}, {Cluster: "east", Name: "C"},
	}})
	c := client(t, s.URL())
	for command, want := range map[string]string{
		".show tables":    "[T A  rows] [U A  ]",
		".show Databases": "[A  v1.0 true ReadOnly ] [B  v1.0 false ReadOnly ]",
	} {
		ds, err := c.Mgmt(ctx, "A", kql.New("").AddUnsafe(command))
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, r := range ds.Tables()[0].Rows() {
			rows = append(rows, fmt.Sprint(r.Values()))
		}
		if got := strings.Join(rows, " "); got != want {
			t.Errorf("%s\n got %s\nwant %s", command, got, want)
		}
	}
	if ds, err := c.Mgmt(ctx, "A", kql.New(".show version")); err != nil || len(ds.Tables()[0].Rows()) != 1 {
		t.Errorf("%v, %v", ds, err)
	}
	_, err := c.Mgmt(ctx, "A", kql.New(".drop table T"))
	wantHTTP(t, err, 400, true, `Request is invalid and cannot be processed: not supported by the sandbox: management command ".drop table t"`)
	_, err = c.Mgmt(ctx, "X", kql.New(".show tables"))
	wantHTTP(t, err, 400, true, `Entity ID 'X' of kind 'Database' was not found.`)
}

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
