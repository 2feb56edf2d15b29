package otlp

import (
	"fmt"
	"net"
	"net/http"
	"time"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
)

// DefaultListen is the port that OpenTelemetry assigns to OTLP/HTTP.
const DefaultListen = "127.0.0.1:4318"

// Config of a Server. Its zero value works.
type Config struct {
	Listen string // host:port; port 0 takes a free one

	MaxBodyBytes int64 // of one request, before and after inflating it. Default 64 MiB
	MaxMetrics   int   // distinct names, over all exporters. Default 10,000
	MaxSeries    int   // distinct series, over all names. Default 1,000,000

	// Respond, when set, is asked before a request is decoded; nil means that it is accepted. It is
	// called from several goroutines.
	Respond func(exporter string, r *http.Request) *Response

	// OnRequest, when set, sees every accepted request before it is answered. It is called from
	// several goroutines; the request is its own.
	OnRequest func(exporter string, r *http.Request, m *colmetrics.ExportMetricsServiceRequest)
}

// Response is an answer in place of a success.
type Response struct {
	Delay      time.Duration // before answering, also before a success; cut short when the client goes away
	Status     int           // 0: accept the request after the delay
	RetryAfter string        // the header, as it is: seconds or an HTTP date
	Body       string        // text/plain; empty: a google.rpc.Status

	// Accept counts the request although the answer is a failure, as an endpoint does whose answer
	// gets lost: the sender then has to send again what has already arrived.
	Accept bool

	// RejectedPoints, with Status 0, is a partial success.
	RejectedPoints int64
	Message        string // of the partial success or the Status
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = 64 << 20
	}
	if c.MaxMetrics == 0 {
		c.MaxMetrics = 10_000
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 1_000_000
	}
	return c
}

func (c Config) validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("otlp endpoint: listen must be host:port, got %q: %w", c.Listen, err)
	}
	if c.MaxBodyBytes < 1 || c.MaxMetrics < 1 || c.MaxSeries < 1 {
		return fmt.Errorf("otlp endpoint: limits must be at least 1, got %d body bytes, %d metrics, %d series", c.MaxBodyBytes, c.MaxMetrics, c.MaxSeries)
	}
	return nil
}
