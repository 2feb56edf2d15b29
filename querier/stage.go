package querier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// maxAckPending is how many jobs of one consumer may be unacked. Those that wait
// for a retry count, and they must not keep the others from being tried.
const maxAckPending = 50_000

// sweepInterval is how often parts without a window are looked for.
const sweepInterval = 10 * time.Minute

// Config is everything a Stage needs.
type Config struct {
	Pipe    *pipe.Pipe
	Metrics *telemetry.Metrics
	Logger  *slog.Logger
	// Clusters to query, and Exporters whose windows to query them for, by name.
	Clusters  []config.Kusto
	Exporters []string
	// Labels of this instance, which criteria are matched against, and the query
	// parameters made of them (config.Config.LabelParameters).
	Labels          map[string]string
	LabelParameters map[string]string
	// Gate says whether there is room for another window of an exporter's lane. While it
	// returns false, its jobs wait in the stream, at no cost to Kusto. Nil: always.
	Gate func(ctx context.Context, exporter string, lane schemas.Lane) bool
	// Takes says the same of one MetricsExporter, given as namespace/name, of an exporter
	// that has room. While it returns false, its jobs are given back. Nil: always.
	Takes func(exporter string, lane schemas.Lane, metricsExporter string) bool
	// Version of this program.
	Version string
	// Transport to the clusters; nil is one of each client's own.
	Transport http.RoundTripper
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Stage is the querier.
type Stage struct {
	cfg      Config
	clusters []*clusterState
}

// clusterState is a cluster as the consumers of its jobs share it.
type clusterState struct {
	cfg    config.Kusto
	client *Client
	slots  *slots
	shares *shares
}

// New returns a Stage; it neither connects nor consumes yet.
func New(cfg Config) (*Stage, error) {
	if cfg.Pipe == nil || len(cfg.Clusters) == 0 || len(cfg.Exporters) == 0 {
		return nil, errors.New("querier: a pipe, at least one cluster and at least one exporter are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = telemetry.NewMetrics()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Logger = cfg.Logger.With("stage", string(schemas.Querier))
	s := &Stage{cfg: cfg}
	for _, k := range cfg.Clusters {
		client, err := NewClient(ClientConfig{Cluster: k, LabelParameters: cfg.LabelParameters,
			Version: cfg.Version, Transport: cfg.Transport, Now: cfg.Now})
		if err != nil {
			return nil, fmt.Errorf("querier: %w", err)
		}
		s.clusters = append(s.clusters, &clusterState{cfg: k, client: client,
			slots: newSlots(k.MaxConcurrentQueries), shares: newShares(k.MaxConcurrentQueries, cfg.Now)})
	}
	return s, nil
}

// Run handles window jobs until ctx ends, then finishes what has begun and returns
// nil. It may be called once.
func (s *Stage) Run(ctx context.Context) (err error) {
	defer func() {
		for _, c := range s.clusters {
			err = errors.Join(err, c.client.Close())
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range s.clusters {
		for _, exporter := range s.cfg.Exporters {
			for _, lane := range schemas.Lanes {
				w := &worker{stage: s, cluster: c, exporter: exporter, lane: lane, rounds: newRounds(s.cfg.Now)}
				g.Go(func() error { return s.cfg.Pipe.Consume(ctx, w.consumer()) })
			}
		}
	}
	g.Go(func() error { s.sweepOften(ctx); return nil })
	return g.Wait()
}

func (w *worker) consumer() pipe.ConsumerConfig {
	cfg := pipe.ConsumerConfig{
		Stage:         schemas.Querier,
		Stream:        schemas.JobsStream,
		Durable:       schemas.QuerierDurable(w.cluster.cfg.Name, w.exporter, w.lane),
		Filter:        schemas.JobFilter(w.cluster.cfg.Name, w.exporter, w.lane),
		Concurrency:   w.cluster.slots.max,
		MaxAckPending: maxAckPending,
		Handle:        w.handle,
	}
	if w.lane == schemas.LaneBackfill && cfg.Concurrency > 1 {
		cfg.Concurrency-- // it gets no more slots than that
	}
	if gate := w.stage.cfg.Gate; gate != nil {
		cfg.Gate = func(ctx context.Context) bool { return gate(ctx, w.exporter, w.lane) }
	}
	return cfg
}
