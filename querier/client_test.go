package querier

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

const wholeAnswer = `[{"FrameType":"DataSetHeader","Version":"v2.0"},
{"FrameType":"DataTable","TableId":1,"TableKind":"PrimaryResult","Columns":[{"ColumnName":"metric_value","ColumnType":"real"}],"Rows":[[1],[2]]},
{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}]`

func TestRequest(t *testing.T) {
	var got *sandbox.Request
	s := mustSandbox(t, sandbox.Config{Engine: sandbox.EngineFunc(func(_ context.Context, r *sandbox.Request) (*sandbox.Result, error) {
		got = r
		return sandbox.Tables(metrics(3)), nil
	})})
	k := cluster(s.URL() + "/eastus")
	k.QueryTimeout = 90 * time.Second
	c := mustClient(t, ClientConfig{Cluster: k, Version: "1.2.3", LabelParameters: map[string]string{"_region": `east"us\`, "_team": "a"}})
	rows, r, err := ask(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 3, rows)
	require.EqualValues(t, 3, r.Rows)

	require.Equal(t, "eastus", got.Cluster)
	require.Equal(t, "TelemetryDB", got.Database)
	require.Equal(t, "declare query_parameters(_endTime:datetime, _region:string, _startTime:datetime, _team:string);\nT", got.Query)
	require.Equal(t, map[string]string{
		"_startTime": "datetime(2025-06-25T10:00:00Z)", "_endTime": "datetime(2025-06-25T10:04:59.9999999Z)",
		"_region": `"east\"us\\"`, "_team": `"a"`,
	}, got.Parameters)
	require.Equal(t, windowID, got.ClientRequestID)
	require.Equal(t, "kusto2otlp/1.2.3", got.Application)
	require.Equal(t, "[none]", got.User)
	require.Equal(t, sandbox.Options{
		Fragmented: true, Newlines: true, Placement: sandbox.EndOfTable, ReadOnly: true,
		Timeout: 90 * time.Second, MaxRecords: sandbox.DefaultMaxRecords, MaxBytes: sandbox.DefaultMaxBytes,
	}, got.Options)

	k.NoTruncation = true
	_, _, err = ask(t.Context(), mustClient(t, ClientConfig{Cluster: k}))
	require.NoError(t, err)
	require.Zero(t, got.Options.MaxRecords)
	require.Zero(t, got.Options.MaxBytes)

	t.Run("OKHeaderSafe", func(t *testing.T) {
		require.Equal(t, "a?b??", headerSafe("a\nbé"))
		require.Len(t, headerSafe(strings.Repeat("x", 5000)), maxRequestID)
	})
}

func TestNewClient(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*ClientConfig)
		want   string
	}{
		"ErrEndpoint":     {func(c *ClientConfig) { c.Cluster.Endpoint = "http://u:p w@x" }, `kusto cluster "telemetry": endpoint is no URL`},
		"ErrNoEndpoint":   {func(c *ClientConfig) { c.Cluster.Endpoint = "" }, `kusto cluster "telemetry": endpoint is missing`},
		"ErrQueryTimeout": {func(c *ClientConfig) { c.Cluster.QueryTimeout = 0 }, `kusto cluster "telemetry": queryTimeout must be above 0, got 0s`},
		"ErrLabel": {func(c *ClientConfig) { c.LabelParameters = map[string]string{"_a-b": ""} },
			`kusto cluster "telemetry": a label gives query parameter "_a-b", which cannot be declared`},
		"ErrLabelStartTime": {func(c *ClientConfig) { c.LabelParameters = map[string]string{"_startTime": ""} },
			`kusto cluster "telemetry": a label gives query parameter "_startTime", which cannot be declared`},
		"ErrTokenInClear": {func(c *ClientConfig) { c.Cluster.Auth = config.Auth{Type: config.AuthToken, Token: "s3cret"} },
			`kusto cluster "telemetry": Op(OpServConn): Kind(KClientArgs): cannot use token provider with http endpoint, as it would send the token in clear text`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ClientConfig{Cluster: cluster("http://127.0.0.1:1")}
			tt.change(&cfg)
			_, err := NewClient(cfg)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestFailures(t *testing.T) {
	const prefix = `query database "TelemetryDB" on cluster "telemetry": `
	for name, tt := range map[string]struct {
		fault sandbox.Fault
		want  string
		kind  pipe.Kind
		delay time.Duration
	}{
		"ErrSyntax":           {sandbox.Fault{Error: sandbox.SyntaxError("oops")}, "HTTP 400 Bad Request: BadRequest_SyntaxError: Syntax error: oops", pipe.KindPermanent, 0},
		"ErrDatabase":         {sandbox.Fault{Error: sandbox.DatabaseNotFound("X")}, "HTTP 400 Bad Request: BadRequest_DatabaseNotExist: Entity ID 'X' of kind 'Database' was not found.", pipe.KindPermanent, 0},
		"Err400Transient":     {sandbox.Fault{Error: &sandbox.Error{Status: 400, Code: "C", Message: "m"}}, "HTTP 400 Bad Request: C: m", pipe.KindRetry, 0},
		"Err400NotKusto":      {sandbox.Fault{Status: 400, Body: "<html>\nno</html>"}, "HTTP 400 Bad Request: <html> no</html>", pipe.KindPermanent, 0},
		"Err413":              {sandbox.Fault{Status: 413}, "HTTP 413 Request Entity Too Large", pipe.KindPermanent, 0},
		"ErrThrottled":        {sandbox.Fault{Error: sandbox.Throttled(7 * time.Second)}, "HTTP 429 Too Many Requests: TooManyRequests: The request was denied due to throttling.", pipe.KindRetryAfter, 7 * time.Second},
		"ErrThrottledNoDelay": {sandbox.Fault{Error: sandbox.Throttled(0)}, "HTTP 429 Too Many Requests: TooManyRequests: The request was denied due to throttling.", pipe.KindRetry, 0},
		"ErrUnavailableDate": {sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"Wed, 25 Jun 2025 10:00:30 GMT"}, "Date": {"Wed, 25 Jun 2025 10:00:10 GMT"}}},
			"HTTP 503 Service Unavailable", pipe.KindRetryAfter, 20 * time.Second},
		"ErrUnavailablePast": {sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"Wed, 25 Jun 2025 10:00:00 GMT"}, "Date": {"Wed, 25 Jun 2025 10:00:10 GMT"}}},
			"HTTP 503 Service Unavailable", pipe.KindRetryAfter, 0},
		"ErrUnavailableNonsense": {sandbox.Fault{Status: 503, Header: http.Header{"Retry-After": {"soon"}}}, "HTTP 503 Service Unavailable", pipe.KindRetry, 0},
		"ErrUnauthorized":        {sandbox.Fault{Error: &sandbox.Error{Status: 401, Code: "Unauthorized", Message: "m", Permanent: true}}, "HTTP 401 Unauthorized: Unauthorized: m", pipe.KindRetry, 0},
		"ErrForbidden":           {sandbox.Fault{Error: &sandbox.Error{Status: 403, Code: "Forbidden", Message: "m", Permanent: true}}, "HTTP 403 Forbidden: Forbidden: m", pipe.KindRetry, 0},
		"ErrInternal":            {sandbox.Fault{Error: sandbox.Internal(errors.New("x"))}, "HTTP 500 Internal Server Error: Internal service error: x", pipe.KindRetry, 0},
		"ErrInternalPermanent":   {sandbox.Fault{Error: &sandbox.Error{Status: 500, Code: "C", Message: "m", Permanent: true}}, "HTTP 500 Internal Server Error: C: m", pipe.KindPermanent, 0},
		"ErrTimedOut":            {sandbox.Fault{Error: sandbox.TimedOut(time.Second)}, "HTTP 504 Gateway Timeout: RequestExecutionTimeout: Query execution has exceeded the allowed time of 1s.", pipe.KindRetry, 0},
		"ErrNotFound":            {sandbox.Fault{Status: 404, Body: strings.Repeat("x", 1000)}, "HTTP 404 Not Found: " + strings.Repeat("x", 256), pipe.KindRetry, 0},
		"ErrRedirect":            {sandbox.Fault{Status: 307, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}}, "HTTP 307 Temporary Redirect", pipe.KindRetry, 0},
		"ErrInBand":              {sandbox.Fault{InBand: sandbox.PartialFailure("boom"), After: 5}, "kusto reported an error in frame 4 (TableCompletion): Internal service error: boom", pipe.KindRetry, 0},
		"ErrInBandPlain": {sandbox.Fault{Frames: sandbox.Plain, InBand: sandbox.SemanticError("boom"), After: 5},
			"kusto reported an error in frame 3 (DataSetCompletion): General_BadRequest: Semantic error: boom", pipe.KindPermanent, 0},
		"ErrTruncated": {sandbox.Fault{InBand: sandbox.LimitsExceeded("500000 records"), After: 5},
			"kusto reported an error in frame 4 (TableCompletion): LimitsExceeded: Query execution has exceeded the allowed limits (80DA0003): The results of this query exceed the set limit of 500000 records, so not all records were returned (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003). (set noTruncation: true on the cluster, or summarize to fewer rows)", pipe.KindPermanent, 0},
		"ErrTruncatedStatus": {sandbox.Fault{Error: sandbox.LimitsExceeded("64 MB")},
			"HTTP 400 Bad Request: LimitsExceeded: Query execution has exceeded the allowed limits (80DA0003): The results of this query exceed the set limit of 64 MB, so not all records were returned (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003). (set noTruncation: true on the cluster, or summarize to fewer rows)", pipe.KindPermanent, 0},
		"ErrHasErrors":         {sandbox.Fault{CompletionError: sandbox.PartialFailure("boom")}, "kusto reported an error in frame 6 (DataSetCompletion): Internal service error: boom", pipe.KindRetry, 0},
		"ErrCancelled":         {sandbox.Fault{Cancelled: true}, "kusto reported that the query was cancelled", pipe.KindRetry, 0},
		"ErrRowCount":          {sandbox.Fault{RowCountOff: 1}, "frame 4 (TableCompletion): table 1 has RowCount 11, and 10 rows were read", pipe.KindRetry, 0},
		"ErrNoTableCompletion": {sandbox.Fault{NoTableCompletion: true}, "frame 5 (DataSetCompletion): table 1 has no TableCompletion", pipe.KindRetry, 0},
		"ErrNoCompletion":      {sandbox.Fault{NoDataSetCompletion: true}, "the answer ended without DataSetCompletion", pipe.KindRetry, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustSandbox(t, sandbox.Config{Engine: canned(metrics(10)), Fault: sandbox.Faults(&tt.fault)})
			c := mustClient(t, ClientConfig{Cluster: cluster(s.URL())})
			_, _, err := ask(t.Context(), c)
			require.EqualError(t, err, prefix+tt.want)
			kind, delay := pipe.KindOf(err)
			require.Equal(t, tt.kind, kind)
			require.Equal(t, tt.delay, delay)
			// The next query is none the worse for it.
			rows, _, err := ask(t.Context(), c)
			require.NoError(t, err)
			require.Equal(t, 10, rows)
		})
	}
	for name, fault := range map[string]sandbox.Fault{
		"ErrCut":           {Cut: true, After: 5},
		"ErrCutAtOnce":     {Cut: true},
		"ErrCutBeforeEnd":  {CutBeforeCompletion: true},
		"ErrCutPlainTable": {Frames: sandbox.Plain, Cut: true, After: 5},
	} {
		for _, identity := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				s := mustSandbox(t, sandbox.Config{Engine: canned(metrics(10)), Fault: sandbox.Faults(&fault)})
				c := mustClient(t, ClientConfig{Cluster: cluster(s.URL())})
				transportOf(c).identity = identity
				_, _, err := ask(t.Context(), c)
				require.ErrorContains(t, err, prefix+"the answer broke off after byte ")
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Equal(t, pipe.KindRetry, kindOf(err))
			})
		}
	}
	t.Run("ErrConnection", func(t *testing.T) {
		s := httptest.NewServer(nil)
		s.Close()
		_, _, err := ask(t.Context(), mustClient(t, ClientConfig{Cluster: cluster(s.URL)}))
		require.ErrorContains(t, err, prefix)
		require.ErrorContains(t, err, "connection refused")
		require.NotContains(t, err.Error(), "With query")
		require.Equal(t, pipe.KindRetry, kindOf(err))
	})
	t.Run("ErrMetadataUnavailable", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		defer s.Close()
		_, _, err := ask(t.Context(), mustClient(t, ClientConfig{Cluster: cluster(s.URL)}))
		require.EqualError(t, err, prefix+"HTTP 503 Service Unavailable")
		kind, delay := pipe.KindOf(err)
		require.Equal(t, pipe.KindRetryAfter, kind)
		require.Equal(t, 3*time.Second, delay)
	})
}

func transportOf(c *Client) *transport { return c.kusto.HttpClient().Transport.(*transport) }

func TestTimeouts(t *testing.T) {
	for name, begin := range map[string]string{"ErrBeforeTheAnswer": "", "ErrWithinTheAnswer": wholeAnswer[:150]} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{}, 2)
			s := mustServe(t, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					_, _ = io.WriteString(w, begin)
					_ = http.NewResponseController(w).Flush()
				}
				arrived <- struct{}{}
				<-r.Context().Done()
			})
			k := cluster(s.URL)
			k.QueryTimeout = 50 * time.Millisecond
			_, _, err := ask(t.Context(), mustClient(t, ClientConfig{Cluster: k}))
			require.EqualError(t, err, `query database "TelemetryDB" on cluster "telemetry": no whole answer within the query timeout of 50ms`)
			require.Equal(t, pipe.KindRetry, kindOf(err))
			<-arrived

			stop := errors.New("stop")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() { <-arrived; cancel(stop) }()
			k.QueryTimeout = time.Minute
			_, _, err = ask(ctx, mustClient(t, ClientConfig{Cluster: k}))
			require.ErrorIs(t, err, stop)
		})
	}
}

func TestCompression(t *testing.T) {
	for name, identity := range map[string]bool{"OKGzip": false, "OKIdentity": true} {
		t.Run(name, func(t *testing.T) {
			var encoding string
			s := mustServe(t, func(w http.ResponseWriter, r *http.Request) {
				encoding = r.Header.Get("Accept-Encoding")
				if encoding == "identity" {
					_, _ = io.WriteString(w, wholeAnswer)
					return
				}
				w.Header().Set("Content-Encoding", "gzip")
				gz := gzip.NewWriter(w)
				_, _ = io.WriteString(gz, wholeAnswer)
				_ = gz.Close()
			})
			c := mustClient(t, ClientConfig{Cluster: cluster(s.URL)})
			require.True(t, transportOf(c).identity, "on one machine")
			transportOf(c).identity = identity
			for range 2 { // the second on a used reader
				rows, _, err := ask(t.Context(), c)
				require.NoError(t, err)
				require.Equal(t, 2, rows)
				require.Equal(t, strings.ToLower(name[2:]), encoding)
			}
		})
	}
	t.Run("OKGzipElsewhere", func(t *testing.T) {
		require.False(t, transportOf(mustClient(t, ClientConfig{Cluster: cluster("http://example.com")})).identity)
	})
	for name, body := range map[string]string{"ErrNoGzip": "plain", "ErrNothing": ""} {
		t.Run(name, func(t *testing.T) {
			s := mustServe(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = io.WriteString(w, body)
			})
			_, _, err := ask(t.Context(), mustClient(t, ClientConfig{Cluster: cluster(s.URL)}))
			require.ErrorContains(t, err, "the answer broke off after byte 0: ")
			require.Equal(t, pipe.KindRetry, kindOf(err))
		})
	}
	t.Run("ErrGzippedError", func(t *testing.T) {
		s := mustSandbox(t, sandbox.Config{Engine: canned(), Fault: sandbox.Faults(&sandbox.Fault{Error: sandbox.SyntaxError("oops")})})
		c := mustClient(t, ClientConfig{Cluster: cluster(s.URL())})
		transportOf(c).identity = false
		_, _, err := ask(t.Context(), c)
		require.ErrorContains(t, err, "HTTP 400 Bad Request: BadRequest_SyntaxError: Syntax error: oops")
	})
}

// TestCutAnswers cuts a small answer at every byte, with a length that says so and
// without, compressed and not.
func TestCutAnswers(t *testing.T) {
	var n int
	var gzipped bool
	var zipped strings.Builder
	gz := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(gz, wholeAnswer)
	_ = gz.Close()
	s := mustServe(t, func(w http.ResponseWriter, _ *http.Request) {
		if gzipped {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, zipped.String()[:n])
			return
		}
		_, _ = io.WriteString(w, wholeAnswer[:n])
	})
	c := mustClient(t, ClientConfig{Cluster: cluster(s.URL)})
	for _, gzipped = range []bool{false, true} {
		whole := len(wholeAnswer)
		if gzipped {
			whole = zipped.Len()
		}
		for n = range whole {
			_, _, err := ask(t.Context(), c)
			require.Error(t, err, "gzip %t, cut after %d of %d bytes", gzipped, n, whole)
			require.Equal(t, pipe.KindRetry, kindOf(err))
		}
		n = whole
		_, _, err := ask(t.Context(), c)
		require.NoError(t, err)
	}
}
