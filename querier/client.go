package querier

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// The parameters of every query.
const (
	startParameter = "_startTime"
	endParameter   = "_endTime"
)

// maxRequestID bounds x-ms-client-request-id, in bytes.
const maxRequestID = 1024

// ClientConfig is everything a Client needs.
type ClientConfig struct {
	Cluster config.Kusto
	// LabelParameters are what config.Config.LabelParameters returns: parameter name
	// to value, each a string in every query.
	LabelParameters map[string]string
	// Version of this program, told to the cluster as kusto2otlp/<version>.
	Version string
	// Transport is the HTTP transport; nil is one of the client's own.
	Transport http.RoundTripper
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Client queries one cluster. It may be used by several goroutines.
type Client struct {
	cfg    ClientConfig
	kusto  *azkustodata.Client
	secret *strings.Replacer
}

// Query is one query and what to read from its answer.
type Query struct {
	// ID is the window id; it becomes x-ms-client-request-id.
	ID       string
	Database string
	Window   schemas.Window
	// Body is KQL.
	Body string
	// Answer says what to read.
	Answer frames.Query
}

// WindowQuery is the query of one window of a MetricsExporter, as the stage asks it.
func WindowQuery(id string, w schemas.Window, spec *schemas.MetricsExporterSpec, take func(frames.Batch) error) Query {
	return Query{
		ID:       id,
		Database: spec.Database,
		Window:   w,
		Body:     spec.Body,
		Answer: frames.Query{
			Columns: spec.Transform.Columns(),
			Check:   spec.Transform.Check,
			MaxRows: spec.Limits.MaxRows,
			Take:    take,
		},
	}
}

// NewClient returns a client; it does not connect yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	k := cfg.Cluster
	fail := func(err error) (*Client, error) { return nil, fmt.Errorf("kusto cluster %q: %w", k.Name, err) }
	u, err := url.Parse(k.Endpoint.Reveal())
	if err != nil {
		return fail(errors.New("endpoint is no URL")) // the error would quote it, with any password
	}
	if k.QueryTimeout <= 0 {
		return fail(fmt.Errorf("queryTimeout must be above 0, got %s", k.QueryTimeout))
	}
	for name := range cfg.LabelParameters {
		if kql.RequiresQuoting(name) || name == startParameter || name == endParameter {
			return fail(fmt.Errorf("a label gives query parameter %q, which cannot be declared", name))
		}
	}
	if u.Scheme == "http" && isLoopback(u) && (k.Auth.Type == config.AuthDefault || k.Auth.Type == "") {
		// A sandbox: azkustodata sends no credentials over plain HTTP, and fails instead.
		k.Auth.Type = config.AuthNone
	}
	b, err := connection(k)
	if err != nil {
		return fail(err)
	}
	b.ApplicationForTracing = "kusto2otlp/" + cfg.Version
	b.UserForTracing = azkustodata.NONE
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true // transport does it
		t.MaxIdleConnsPerHost = max(k.MaxConcurrentQueries, 2)
		t.ReadBufferSize = 64 << 10
		cfg.Transport = t
	}
	client := &http.Client{
		Transport: &transport{base: cfg.Transport, host: u.Host, identity: isLoopback(u), now: cfg.Now},
		// A redirect would carry the token to a server nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	kusto, err := azkustodata.New(b, azkustodata.WithHttpClient(client))
	if err != nil {
		return fail(errors.New(frames.OneLine(redactor(k.Auth).Replace(err.Error()))))
	}
	return &Client{cfg: cfg, kusto: kusto, secret: redactor(k.Auth)}, nil
}

// redactor takes the secrets out of a text that others have written.
func redactor(a config.Auth) *strings.Replacer {
	var pairs []string
	for _, s := range []config.Secret{a.ClientSecret, a.Token} {
		if s != "" {
			pairs = append(pairs, s.Reveal(), "[redacted]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// decoders are kept for their buffers, which are up to some MiB.
var decoders = sync.Pool{New: func() any { return frames.NewDecoder() }}

// Query runs q and reads its answer, batch by batch. Only when it returns nil is
// the answer whole; until then its batches are void. Errors are marked as package
// pipe sorts them. The cluster's query timeout bounds all of it.
func (c *Client) Query(ctx context.Context, q Query) (frames.Result, error) {
	var r frames.Result
	err := c.ask(ctx, q.Database, func(ctx context.Context) (err error) {
		r, err = c.query(ctx, q)
		return err
	})
	return r, err
}

func (c *Client) query(ctx context.Context, q Query, more ...azkustodata.QueryOption) (frames.Result, error) {
	body, err := c.kusto.RawV2(ctx, q.Database, kql.New("").AddUnsafe(q.Body), append(c.options(q), more...))
	if err != nil {
		return frames.Result{}, err
	}
	defer body.Close()
	d := decoders.Get().(*frames.Decoder)
	defer decoders.Put(d)
	return d.Decode(body, q.Answer)
}

func (c *Client) options(q Query) []azkustodata.QueryOption {
	parameters := kql.NewParameters().
		AddDateTime(startParameter, q.Window.Start.UTC()).
		AddDateTime(endParameter, q.Window.Last().UTC())
	for name, value := range c.cfg.LabelParameters {
		parameters.AddString(name, value)
	}
	// RawV2 sets none of these by itself.
	options := []azkustodata.QueryOption{
		azkustodata.QueryParameters(parameters),
		azkustodata.ClientRequestID(headerSafe(q.ID)),
		azkustodata.ServerTimeout(c.cfg.Cluster.QueryTimeout),
		azkustodata.RequestReadonly(),
		azkustodata.V2FragmentPrimaryTables(),
		azkustodata.V2NewlinesBetweenFrames(),
		azkustodata.ResultsErrorReportingPlacement(azkustodata.ResultsErrorReportingPlacementEndOfTable),
	}
	if c.cfg.Cluster.NoTruncation {
		options = append(options, azkustodata.NoTruncation())
	}
	return options
}

// headerSafe makes any text the value of an HTTP header.
func headerSafe(s string) string {
	b := []byte(s[:min(len(s), maxRequestID)])
	for i, ch := range b {
		if ch < ' ' || ch > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// Close gives the client's connections back.
func (c *Client) Close() error { return c.kusto.Close() }
