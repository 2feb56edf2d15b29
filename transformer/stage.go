package transformer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// defaultConcurrency is how many windows of one exporter and lane are worked on at
// a time: while one waits for the stream to store its batches, another computes.
const defaultConcurrency = 2

// Config is everything a Stage needs.
type Config struct {
	Pipe    *pipe.Pipe
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	// Exporters to make OTLP batches for.
	Exporters []Exporter
	// Concurrency is how many windows of one exporter and lane this process works on
	// at a time. Of those with more than 131,072 rows it is one of each lane. 0: 2.
	Concurrency int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Exporter is a named exporter and what its OTLP batches look like.
type Exporter struct {
	Name string
	Output
}

// Stage is the transformer.
type Stage struct {
	cfg     Config
	workers []*worker
}

// New returns a Stage; it consumes nothing yet.
func New(cfg Config) (*Stage, error) {
	if cfg.Pipe == nil || len(cfg.Exporters) == 0 {
		return nil, errors.New("transformer: a pipe and at least one exporter are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = telemetry.NewMetrics()
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = defaultConcurrency
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Logger = cfg.Logger.With("stage", string(schemas.Transformer))
	s := &Stage{cfg: cfg}
	m := &memory{}
	for _, e := range cfg.Exporters {
		t, err := NewTransformer(e.Output)
		if err != nil {
			return nil, fmt.Errorf("exporter %q: %w", e.Name, err)
		}
		for _, lane := range schemas.Lanes {
			s.workers = append(s.workers, &worker{
				cfg: &s.cfg, exporter: e.Name, lane: lane, transformer: t,
				// A large window takes tens of megabytes: one at a time. Each exporter and lane
				// has its own turn, so that nobody waits for one whose stream is full.
				large:  make(chan struct{}, 1),
				memory: m,
				log:    cfg.Logger.With("exporter", e.Name),
			})
		}
	}
	return s, nil
}

// Run transforms windows until ctx ends, then finishes those it has begun and
// returns nil. An error says that a consumer was refused.
func (s *Stage) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range s.workers {
		group.Go(func() error {
			return s.cfg.Pipe.Consume(ctx, pipe.ConsumerConfig{
				Stage:       schemas.Transformer,
				Stream:      schemas.RowsStream,
				Durable:     schemas.TransformerDurable(w.exporter, w.lane),
				Filter:      schemas.RowsFilter(w.exporter, w.lane),
				Concurrency: s.cfg.Concurrency,
				Handle:      w.handle,
			})
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("transformer: %w", err)
	}
	return nil
}
