package querier

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

// maxErrorBody bounds what is read of an answer that is an error.
const maxErrorBody = 64 << 10

// exchange is what the transport saw of a query's HTTP exchange, and azkustodata
// does not pass on. It travels in the request's context.
type exchange struct {
	mu         sync.Mutex
	status     int           // of the last answer of the cluster; 0: none
	retryAfter time.Duration // -1: not named
	body       []byte        // of an error, bounded
}

type exchangeKey struct{}

func withExchange(ctx context.Context) (context.Context, *exchange) {
	x := &exchange{retryAfter: -1}
	return context.WithValue(ctx, exchangeKey{}, x), x
}

func (x *exchange) failed() (status int, retryAfter time.Duration, body []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.status, x.retryAfter, x.body
}

// transport is the HTTP transport of one cluster's client. It notes status and
// Retry-After, and inflates: azkustodata always asks for gzip, and the standard
// library's inflating costs more than all that follows it.
type transport struct {
	base http.RoundTripper
	host string
	// identity asks for an answer that is not compressed: between two processes on
	// one machine the bandwidth is free and the inflating is not.
	identity bool
	now      func() time.Time
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.host {
		// Sign-in: another server, whose answers say nothing about the query.
		return t.base.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Accept-Encoding", "gzip")
	if t.identity {
		req.Header.Set("Accept-Encoding", "identity")
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.Header.Get("Content-Encoding") == "gzip" {
		resp.Body = &inflater{body: resp.Body}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength, resp.Uncompressed = -1, true
	}
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok || req.Method != http.MethodPost && resp.StatusCode == http.StatusNotFound {
		// A cluster without metadata is no failure: azkustodata has defaults.
		return resp, nil
	}
	var body []byte
	if resp.StatusCode != http.StatusOK {
		// azkustodata would read it whole, whatever its size.
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		err = errors.Join(err, resp.Body.Close())
		if err != nil && len(body) == 0 {
			body = []byte("its body cannot be read: " + err.Error())
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	x.mu.Lock()
	x.status, x.body = resp.StatusCode, body
	x.retryAfter = -1 // none
	if d, ok := pipe.RetryAfterHeader(resp.Header, t.now()); ok {
		x.retryAfter = d
	}
	x.mu.Unlock()
	return resp, nil
}

// CloseIdleConnections passes on what http.Client asks.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// gunzips are kept, since each has a window and tables of some 40 KiB.
var gunzips sync.Pool

// inflater reads a gzipped body. It reads nothing before it is asked to, so that
// an answer's header is known as soon as it arrives.
type inflater struct {
	body io.ReadCloser
	gz   *gzip.Reader
	err  error
}

func (i *inflater) Read(p []byte) (int, error) {
	if i.err != nil {
		return 0, i.err
	}
	if i.gz == nil {
		if gz, ok := gunzips.Get().(*gzip.Reader); ok {
			i.gz = gz
			i.err = gz.Reset(i.body)
		} else {
			i.gz, i.err = gzip.NewReader(i.body)
		}
		if i.err != nil {
			if i.err == io.EOF {
				i.err = io.ErrUnexpectedEOF // a body without even a header is cut off
			}
			return 0, i.err
		}
	}
	return i.gz.Read(p)
}

func (i *inflater) Close() error {
	if i.gz != nil {
		gunzips.Put(i.gz)
		i.gz = nil
	}
	i.err = http.ErrBodyReadAfterClose
	return i.body.Close()
}

// isLoopback reports whether u is on this machine.
func isLoopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
