package sandbox

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// DefaultListen is where a sandbox listens when its Config does not say.
const DefaultListen = "127.0.0.1:8080"

// Config is everything a Server needs. Its zero value is a sandbox over the samples.
type Config struct {
	// Listen is host:port; port 0 takes a free one. The protocol has no authentication here, so any
	// other host than a loopback address is the caller's responsibility.
	Listen string

	// Source has the rows of the tables of Catalog, and KQL over them is evaluated. Default: the
	// samples. In a catalog the sandbox's own cluster is "" or HomeCluster.
	Source  engine.Source
	Catalog table.Catalog

	// Engine answers queries in place of the evaluator, for tests with canned answers. Without a
	// Catalog it gets every database name.
	Engine Engine

	// Parser analyses the queries; several servers may share one, and none of them closes it. Default: one
	// of the server's own, which takes a second to load.
	Parser *kql.Parser

	// FragmentRows bounds the rows of one TableFragment. Default 1000.
	FragmentRows int

	// MaxConcurrentQueries bounds queries in progress; more are answered 429 as Kusto does. Default 64.
	MaxConcurrentQueries int

	// Fault, when set, is asked once for each query; nil means nothing goes wrong. It is called from
	// several goroutines.
	Fault func(*Request) *Fault

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: none
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.Source == nil && c.Engine == nil {
		c.Source, c.Catalog = samples.Source{}, samples.Source{}.Catalog()
	}
	if c.FragmentRows == 0 {
		c.FragmentRows = 1000
	}
	if c.MaxConcurrentQueries == 0 {
		c.MaxConcurrentQueries = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("sandbox: listen must be host:port, got %q: %w", c.Listen, err)
	}
	if c.FragmentRows < 1 {
		return fmt.Errorf("sandbox: fragment rows must be at least 1, got %d", c.FragmentRows)
	}
	if c.MaxConcurrentQueries < 1 {
		return fmt.Errorf("sandbox: max concurrent queries must be at least 1, got %d", c.MaxConcurrentQueries)
	}
	return nil
}
