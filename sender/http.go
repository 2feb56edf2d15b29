package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

const (
	contentType = "application/x-protobuf"

	// maxAnswer bounds what is read of an endpoint's answer.
	maxAnswer = 64 << 10

	// maxMessage bounds what is quoted of it.
	maxMessage = 512
)

// httpClient sends over OTLP/HTTP with protobuf bodies.
// https://opentelemetry.io/docs/specs/otlp/#otlphttp
type httpClient struct {
	endpoint string
	header   http.Header
	secrets  *strings.Replacer // hides header values that an answer repeats
	http     *http.Client
	now      func() time.Time
}

func newHTTPClient(e config.Exporter, version string) (*httpClient, error) {
	tlsCfg, err := tlsConfig(e.TLS)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsCfg
	transport.MaxIdleConnsPerHost = 2 * inFlight // both lanes keep their connections
	transport.DisableCompression = true          // an answer is a few bytes
	c := &httpClient{
		endpoint: e.Endpoint.Reveal(),
		header:   http.Header{},
		now:      time.Now,
		http: &http.Client{
			Transport: transport,
			Timeout:   e.Timeout,
			// A redirected POST may arrive as a GET, and be answered with 200.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.secrets = strings.NewReplacer(secretsOf(e)...)
	c.header.Set("User-Agent", "kusto2otlp/"+version)
	for k, v := range e.Headers {
		c.header.Set(k, v.Reveal())
	}
	c.header.Set("Content-Type", contentType)
	return c, nil
}

// secretsOf returns what must not be quoted of an answer, each with what stands in
// its place: the values of headers, also without their scheme (Bearer …), and of
// the endpoint's query and password.
func secretsOf(e config.Exporter) []string {
	var pairs []string
	hide := func(secret string) {
		if len(secret) >= 4 { // shorter ones are no secrets, and would garble every text
			pairs = append(pairs, secret, "[redacted]")
		}
	}
	for _, v := range e.Headers {
		hide(v.Reveal())
		if _, token, ok := strings.Cut(v.Reveal(), " "); ok {
			hide(strings.TrimSpace(token))
		}
	}
	if u, err := url.Parse(e.Endpoint.Reveal()); err == nil {
		for _, values := range u.Query() {
			for _, v := range values {
				hide(v)
			}
		}
		if password, ok := u.User.Password(); ok {
			hide(password)
		}
	}
	return pairs
}

// Close closes the idle connections.
func (c *httpClient) Close() { c.http.CloseIdleConnections() }

// Send posts one ExportMetricsServiceRequest, compressed as encoding says.
func (c *httpClient) Send(ctx context.Context, body []byte, encoding string) (rejected int64, why string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, "", errors.New("endpoint is no URL")
	}
	req.Header = c.header.Clone()
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("send: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, "", fmt.Errorf("read the answer to %d bytes sent: %w", len(body), withoutURL(err))
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection can be used again
	if resp.StatusCode/100 == 2 {
		return c.accepted(resp, answer)
	}
	return 0, "", c.refused(resp, answer)
}

// withoutURL drops the URL from an error of net/http: it may hold a key.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// accepted reads the answer of a success. A web page did not come from an OTLP
// endpoint, but from a proxy or a login page in front of it, and garbage from
// nobody knows whom; other bodies are an endpoint's own way of saying yes.
func (c *httpClient) accepted(resp *http.Response, answer []byte) (rejected int64, why string, err error) {
	if len(answer) == 0 {
		return 0, "", nil
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var ok collector.ExportMetricsServiceResponse
	switch media {
	case contentType:
		err = proto.Unmarshal(answer, &ok)
	case "application/json":
		// Some endpoints answer in JSON whatever they were sent, and not always OTLP's.
		_ = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(answer, &ok)
	case "text/html", "application/xhtml+xml":
		err = errors.New("a web page")
	}
	if err != nil {
		return 0, "", fmt.Errorf("the endpoint answered %s with %q that is no OTLP answer: %s",
			resp.Status, resp.Header.Get("Content-Type"), c.quote(string(answer)))
	}
	p := ok.GetPartialSuccess()
	return max(p.GetRejectedDataPoints(), 0), c.bounded(p.GetErrorMessage()), nil
}

// refused turns an answer that is no success into an error of the right kind.
func (c *httpClient) refused(resp *http.Response, answer []byte) error {
	err := fmt.Errorf("the endpoint answered %s: %s", resp.Status, c.message(resp, answer))
	if resp.StatusCode == http.StatusInternalServerError {
		err = &serverError{err}
	}
	if delay, ok := pipe.RetryAfterHeader(resp.Header, c.now()); ok && retryable(resp.StatusCode) {
		return pipe.RetryAfter(err, delay)
	}
	if retryable(resp.StatusCode) {
		return err
	}
	return pipe.Permanent(err)
}

// serverError is an answer of 500: an endpoint's own failure, or what it says to data
// that it will never take.
type serverError struct{ error }

func (e *serverError) Unwrap() error { return e.error }

// retryable says whether the same batch can succeed later. OTLP names 429, 502,
// 503 and 504. The others here are not about the batch but about the way to the
// endpoint (credentials, address, a proxy, a timeout) or the endpoint itself (5xx),
// which somebody will mend: until then the batch waits, for it would be lost
// otherwise. 501 and 505 are about what was asked, and stay. Endpoints answer 500
// also to data that they never take, which the breaker finds out.
func retryable(code int) bool {
	switch code {
	case http.StatusTooManyRequests,
		http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestTimeout:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return code/100 == 3 || code/100 == 5
}

// message returns what the endpoint said: the text of a protobuf Status, or the
// answer itself.
func (c *httpClient) message(resp *http.Response, answer []byte) string {
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == contentType {
		var s status.Status
		if proto.Unmarshal(answer, &s) == nil && s.GetMessage() != "" {
			return c.quote(s.GetMessage())
		}
	}
	return c.quote(string(answer))
}

// quote returns what an endpoint said, without secrets and bounded.
func (c *httpClient) quote(said string) string {
	if s := c.bounded(said); s != "" {
		return s
	}
	return "(no message)"
}

func (c *httpClient) bounded(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(c.secrets.Replace(s), "?")), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
