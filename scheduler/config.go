package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
)

// DefaultCatchUp is how long after it was due a window is still issued, where
// the configuration does not say.
const DefaultCatchUp = 24 * time.Hour

// Source tells which MetricsExporters there are. A resource.Watcher is one.
type Source interface {
	// Run calls apply with everything there is, at once and whenever it changes,
	// until ctx ends.
	Run(ctx context.Context, apply func(resource.Set)) error
}

// Config is what a Scheduler needs. Pipe, Source and ClusterFor have no default.
type Config struct {
	Pipe   *pipe.Pipe
	Source Source
	// ClusterFor returns the name of the kusto[] entry that serves a database.
	ClusterFor func(database string) (cluster string, ok bool)
	// CatchUp is how long after it was due a window is still issued. 0:
	// DefaultCatchUp.
	CatchUp time.Duration
	// Labels of this instance, which the criteria of MetricsExporters are matched
	// against.
	Labels map[string]string
	// Clock is the system's when nil.
	Clock Clock
	// Witness is a second clock, asked after the start and after a leap of Clock.
	// Nil: none is asked.
	Witness Witness
	Metrics *telemetry.Metrics // nil: nothing is counted
	Logger  *slog.Logger       // nil: nothing is logged
}

func (c Config) withDefaults() Config {
	if c.CatchUp == 0 {
		c.CatchUp = DefaultCatchUp
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Metrics == nil {
		c.Metrics = telemetry.NewMetrics()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Pipe == nil:
		return errors.New("scheduler: a pipe is needed")
	case c.Source == nil:
		return errors.New("scheduler: a source of resources is needed")
	case c.ClusterFor == nil:
		return errors.New("scheduler: a lookup of the database's cluster is needed")
	case c.CatchUp < 0:
		return fmt.Errorf("scheduler: catchUp must not be negative, got %s", c.CatchUp)
	}
	return nil
}
