package sender

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

// exchange sends one batch to an endpoint that answers as it is told.
func exchange(t *testing.T, answer http.HandlerFunc) (int64, string, error) {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	c, err := newHTTPClient(config.Exporter{Name: "prom", Endpoint: config.Address(srv.URL + "/v1/metrics?key=hunter2"), Timeout: time.Second,
		Headers: map[string]config.Secret{"Authorization": "Bearer hunter2"}}, "1.2.3")
	require.NoError(t, err)
	t.Cleanup(c.Close)
	c.now = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	rejected, why, err := c.Send(t.Context(), []byte("body"), "gzip")
	if err != nil {
		require.NotContains(t, err.Error(), "hunter2", "no secret in an error")
	}
	return rejected, why, err
}

func protobuf(t *testing.T, code int, m proto.Message) http.HandlerFunc {
	data, err := proto.Marshal(m)
	require.NoError(t, err)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = w.Write(data)
	}
}

func TestSendAccepted(t *testing.T) {
	t.Run("OKEmpty", func(t *testing.T) {
		var got *http.Request
		_, _, err := exchange(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
		require.NoError(t, err)
		require.Equal(t, http.MethodPost, got.Method)
		require.Equal(t, "application/x-protobuf", got.Header.Get("Content-Type"))
		require.Equal(t, "gzip", got.Header.Get("Content-Encoding"))
		require.Equal(t, "Bearer hunter2", got.Header.Get("Authorization"))
		require.Equal(t, "kusto2otlp/1.2.3", got.Header.Get("User-Agent"))
		require.EqualValues(t, 4, got.ContentLength)
	})
	t.Run("OKPartialSuccess", func(t *testing.T) {
		rejected, why, err := exchange(t, protobuf(t, 200, &collector.ExportMetricsServiceResponse{
			PartialSuccess: &collector.ExportMetricsPartialSuccess{RejectedDataPoints: 3, ErrorMessage: "too\nold"}}))
		require.NoError(t, err)
		require.EqualValues(t, 3, rejected)
		require.Equal(t, "too old", why)
	})
	t.Run("OKPartialSuccessWithoutRejects", func(t *testing.T) {
		rejected, why, err := exchange(t, protobuf(t, 200, &collector.ExportMetricsServiceResponse{
			PartialSuccess: &collector.ExportMetricsPartialSuccess{ErrorMessage: "deprecated"}}))
		require.NoError(t, err)
		require.Zero(t, rejected)
		require.Equal(t, "deprecated", why)
	})
	t.Run("OKJSON", func(t *testing.T) {
		rejected, _, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			fmt.Fprint(w, `{"status":"ok","partialSuccess":{"rejectedDataPoints":"2"}}`)
		})
		require.NoError(t, err)
		require.EqualValues(t, 2, rejected)
	})
	t.Run("OKText", func(t *testing.T) {
		_, _, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); fmt.Fprint(w, "accepted") })
		require.NoError(t, err)
	})
	// A login page in front of the endpoint answers 200 to everything.
	t.Run("ErrNotOTLP", func(t *testing.T) {
		_, _, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html>Sign in</html>")
		})
		require.EqualError(t, err, `the endpoint answered 200 OK with "text/html; charset=utf-8" that is no OTLP answer: <html>Sign in</html>`)
		kind, _ := pipe.KindOf(err)
		require.Equal(t, pipe.KindRetry, kind)
	})
	t.Run("ErrGarbage", func(t *testing.T) {
		_, _, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			fmt.Fprint(w, "\x0a\xff garbage")
		})
		require.ErrorContains(t, err, "is no OTLP answer")
	})
}

func TestSendRefused(t *testing.T) {
	for _, tt := range []struct {
		code       int
		retryAfter string
		kind       pipe.Kind
		delay      time.Duration
	}{
		{code: 400, kind: pipe.KindPermanent},
		{code: 400, retryAfter: "5", kind: pipe.KindPermanent},
		{code: 413, kind: pipe.KindPermanent},
		{code: 415, kind: pipe.KindPermanent},
		{code: 422, kind: pipe.KindPermanent},
		{code: 501, kind: pipe.KindPermanent},
		{code: 505, kind: pipe.KindPermanent},
		{code: 500, kind: pipe.KindRetry},
		{code: 500, retryAfter: "7", kind: pipe.KindRetryAfter, delay: 7 * time.Second},
		{code: 507, kind: pipe.KindRetry},
		{code: 429, kind: pipe.KindRetry},
		{code: 429, retryAfter: "7", kind: pipe.KindRetryAfter, delay: 7 * time.Second},
		{code: 502, kind: pipe.KindRetry},
		{code: 503, kind: pipe.KindRetry},
		{code: 503, retryAfter: "Thu, 01 Jan 2026 00:00:30 GMT", kind: pipe.KindRetryAfter, delay: 30 * time.Second},
		{code: 503, retryAfter: "Wed, 31 Dec 2025 00:00:30 GMT", kind: pipe.KindRetryAfter},
		{code: 503, retryAfter: "soon", kind: pipe.KindRetry},
		{code: 503, retryAfter: "-1", kind: pipe.KindRetry},
		{code: 504, kind: pipe.KindRetry},
		{code: 401, kind: pipe.KindRetry},
		{code: 403, kind: pipe.KindRetry},
		{code: 404, kind: pipe.KindRetry},
		{code: 301, kind: pipe.KindRetry},
		{code: 307, kind: pipe.KindRetry},
	} {
		t.Run(fmt.Sprintf("Err%d/%s", tt.code, tt.retryAfter), func(t *testing.T) {
			_, _, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.Header().Set("Date", "Thu, 01 Jan 2026 00:00:00 GMT") // its clock counts, not ours
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Content-Type", "text/plain")
				w.WriteHeader(tt.code)
				fmt.Fprint(w, "out of\norder\n")
			})
			require.EqualError(t, err, fmt.Sprintf("the endpoint answered %d %s: out of order", tt.code, http.StatusText(tt.code)))
			kind, delay := pipe.KindOf(err)
			require.Equal(t, tt.kind, kind)
			require.Equal(t, tt.delay, delay)
		})
	}

	t.Run("ErrEcho", func(t *testing.T) {
		_, _, err := exchange(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			fmt.Fprintf(w, "refused: %s %s", r.Header.Get("Authorization"), r.URL.RawQuery)
		})
		require.EqualError(t, err, "the endpoint answered 400 Bad Request: refused: [redacted] key=[redacted]")
	})
	t.Run("ErrStatus", func(t *testing.T) {
		_, _, err := exchange(t, protobuf(t, 400, &status.Status{Message: "invalid metric"}))
		require.EqualError(t, err, "the endpoint answered 400 Bad Request: invalid metric")
	})
	t.Run("ErrLongMessage", func(t *testing.T) {
		_, _, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			for range 100_000 {
				fmt.Fprint(w, "é")
			}
		})
		require.Less(t, len(err.Error()), 600)
	})
}

func TestSendBroken(t *testing.T) {
	t.Run("ErrTimeout", func(t *testing.T) {
		_, _, err := exchange(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the client go
			<-r.Context().Done()
		})
		require.ErrorContains(t, err, "Client.Timeout exceeded")
		kind, _ := pipe.KindOf(err)
		require.Equal(t, pipe.KindRetry, kind)
	})
	t.Run("ErrCutAnswer", func(t *testing.T) {
		_, _, err := exchange(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		require.ErrorContains(t, err, "unexpected EOF")
	})
	t.Run("ErrRefused", func(t *testing.T) {
		srv := httptest.NewServer(http.NotFoundHandler())
		srv.Close()
		c, err := newHTTPClient(config.Exporter{Endpoint: config.Address(srv.URL + "?key=hunter2"), Timeout: time.Second}, "1")
		require.NoError(t, err)
		_, _, err = c.Send(context.Background(), nil, "")
		require.ErrorContains(t, err, "connection refused")
		require.NotContains(t, err.Error(), "hunter2")
	})
}

func TestTLS(t *testing.T) {
	t.Run("ErrCAFile", func(t *testing.T) {
		_, err := New(Config{Exporters: []config.Exporter{{Name: "prom", TLS: config.ExporterTLS{CAFile: "http_test.go"}}}})
		require.EqualError(t, err, `exporter "prom": tls.caFile: http_test.go holds no certificate`)
		_, err = New(Config{Exporters: []config.Exporter{{Name: "prom", TLS: config.ExporterTLS{CAFile: "missing.pem"}}}})
		require.EqualError(t, err, `exporter "prom": tls.caFile: open missing.pem: no such file or directory`)
	})
}
