package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/querier"
	"github.com/kusto2otlp/kusto2otlp/scheduler"
	"github.com/kusto2otlp/kusto2otlp/scheduler/ledger"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/sender"
	"github.com/kusto2otlp/kusto2otlp/transformer"
)

// gcPercent is Go's GOGC where the environment has none. What lives of a large
// window is some tens of MB, most of it the embedded server's file blocks: at 50 a
// window of a million rows peaks at 70 MiB instead of 104, for a few percent of CPU.
const gcPercent = 50

// closing is the part of the shutdown timeout kept for what comes after the last
// handler: acks, the embedded server's files.
const closing = 2 * time.Second

func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	return telemetry.NewLogger(w, cfg.Telemetry.LogLevel.Level(), cfg.Telemetry.LogFormat == config.LogJSON)
}

// pipeline is the stages of one process and what they stand on.
type pipeline struct {
	cfg     *config.Config
	log     *slog.Logger
	metrics *telemetry.Metrics
	server  *pipe.Server // nil when nats.url is set
	pipe    *pipe.Pipe
	http    *telemetry.Server
	stages  []stage
	ready   atomic.Bool
}

type stage interface {
	Run(ctx context.Context) error
}

// runPipeline runs stages until ctx ends or one of them fails.
func runPipeline(ctx context.Context, cfg *config.Config, stages []schemas.Stage, log *slog.Logger) error {
	p, err := openPipeline(ctx, cfg, stages, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it had begun
		}
		return err
	}
	defer p.Close()
	slog.SetDefault(log) // what libraries print is a line of ours too
	log.Info("running", "version", version, "stages", stages, "config", cfg, "telemetry", p.http.Addr())
	err = p.Run(ctx)
	log.Info("stopped")
	return err
}

// openPipeline connects everything and starts nothing but the embedded server.
func openPipeline(ctx context.Context, cfg *config.Config, stages []schemas.Stage, log *slog.Logger) (_ *pipeline, err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	p := &pipeline{cfg: cfg, log: log, metrics: telemetry.NewMetrics()}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	// The port first: a second process on the same configuration ends here.
	if p.http, err = telemetry.Listen(cfg.Telemetry.Listen, p.metrics, p.whyNotReady, log); err != nil {
		return nil, err
	}
	if cfg.NATS.URL == "" {
		if p.server, err = pipe.StartServer(cfg.DataDir, log); err != nil {
			return nil, err
		}
	}
	p.pipe, err = pipe.Await(ctx, pipe.Config{
		Server:          p.server,
		URL:             cfg.NATS.URL.Reveal(),
		CredentialsFile: cfg.NATS.CredentialsFile,
		CAFile:          cfg.NATS.TLS.CAFile,
		CertFile:        cfg.NATS.TLS.CertFile,
		KeyFile:         cfg.NATS.TLS.KeyFile,
		Replicas:        cfg.NATS.Replicas,
		Name:            fmt.Sprintf("kusto2otlp %v", stages),
		Grace:           max(cfg.ShutdownTimeout-closing, cfg.ShutdownTimeout/2),
		Logger:          log,
		Metrics:         p.metrics,
	})
	if err != nil {
		return nil, err
	}
	exporters := exporterStreams(cfg)
	if err = p.pipe.EnsureStreams(ctx, exporters); err != nil {
		return nil, err
	}
	clusters := make([]string, len(cfg.Kusto))
	for i, k := range cfg.Kusto {
		clusters[i] = k.Name
	}
	// It is for a warning alone, and no reason not to start: a cluster that changes
	// its leader answers nobody for a moment.
	strays, err := p.pipe.Strays(ctx, clusters, cfg.ExporterNames())
	if err != nil {
		log.Warn("could not look for what waits for a name that the configuration does not have", "error", err)
	}
	for _, s := range strays {
		log.Warn("nobody will take up what waits for a name that the configuration does not have", "what", s)
	}
	for _, name := range stages {
		s, err := p.newStage(name, exporters)
		if err != nil {
			return nil, err
		}
		p.stages = append(p.stages, s)
		if name == schemas.Scheduler {
			f, err := ledger.New(ledger.Config{Pipe: p.pipe, Replicas: cfg.NATS.Replicas, Logger: log})
			if err != nil {
				return nil, err
			}
			p.stages = append(p.stages, f, ledger.NewGauges(p.pipe, p.metrics, log))
		}
	}
	return p, nil
}

func exporterStreams(cfg *config.Config) []pipe.ExporterStream {
	streams := make([]pipe.ExporterStream, len(cfg.Exporters))
	for i, e := range cfg.Exporters {
		streams[i] = pipe.ExporterStream{Name: e.Name, MaxBacklogBytes: int64(e.MaxBacklogBytes)}
	}
	return streams
}

func transformed(cfg *config.Config) []transformer.Exporter {
	exporters := make([]transformer.Exporter, len(cfg.Exporters))
	for i, e := range cfg.Exporters {
		exporters[i] = transformer.Exporter{Name: e.Name, Output: transformer.Output{
			Compression:        transformer.Compression(e.Compression),
			ServiceVersion:     version,
			ResourceAttributes: cfg.AttributesOf(e),
		}}
	}
	return exporters
}

// clock is the scheduler's, nil for the system's. Tests step it.
var clock scheduler.Clock

func (p *pipeline) newStage(name schemas.Stage, exporters []pipe.ExporterStream) (stage, error) {
	cfg, log := p.cfg, p.log
	switch name {
	case schemas.Scheduler:
		return scheduler.New(scheduler.Config{
			Pipe: p.pipe, Metrics: p.metrics, Logger: log, Clock: clock,
			CatchUp: max(cfg.CatchUp, 1), // there, 0 stands for the default
			Labels:  cfg.Labels,
			Witness: scheduler.ServerTime(p.pipe.JS),
			ClusterFor: func(database string) (string, bool) {
				k, ok := cfg.ClusterFor(database)
				return k.Name, ok
			},
			Source: resource.NewWatcher(resource.WatcherConfig{
				Globs:   cfg.Resources.Files,
				Context: resource.Context{Exporters: cfg.ExporterNames(), Databases: cfg.Databases()},
				Logger:  log,
			}),
		})
	case schemas.Querier:
		gate := p.pipe.NewGate(exporters)
		return querier.New(querier.Config{
			Pipe: p.pipe, Metrics: p.metrics, Logger: log,
			Clusters: cfg.Kusto, Exporters: cfg.ExporterNames(),
			Labels: cfg.Labels, LabelParameters: cfg.LabelParameters(),
			Gate: gate.Open, Takes: gate.Takes,
			Version: version,
		})
	case schemas.Transformer:
		return transformer.New(transformer.Config{
			Pipe: p.pipe, Metrics: p.metrics, Logger: log,
			Exporters: transformed(cfg),
		})
	case schemas.Sender:
		return sender.New(sender.Config{
			Pipe: p.pipe, Metrics: p.metrics, Logger: log,
			Exporters: cfg.Exporters, Version: version, ReplayRetention: cfg.ReplayRetention,
		})
	}
	return nil, fmt.Errorf("there is no stage %q", name)
}

// Run runs the stages until ctx ends, and gives them the shutdown timeout then.
func (p *pipeline) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range p.stages {
		g.Go(func() error { return s.Run(ctx) })
	}
	if p.server != nil {
		g.Go(func() error { return p.server.Watch(ctx) })
	}
	p.ready.Store(true)
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	p.ready.Store(false)
	select {
	case err := <-done:
		return err
	case <-time.After(p.cfg.ShutdownTimeout):
		if p.server != nil && p.server.WhyFailed() != nil {
			return p.server.WhyFailed() // what could not be stored cannot be finished
		}
		return fmt.Errorf("did not stop within shutdownTimeout (%s); what was under way is done again at the next start", p.cfg.ShutdownTimeout)
	}
}

// whyNotReady says why the process cannot work at this moment; nil when it can.
func (p *pipeline) whyNotReady() error {
	if !p.ready.Load() {
		return errors.New("starting or stopping")
	}
	if !p.pipe.Connected() {
		return errors.New("not connected to nats")
	}
	if p.server != nil {
		return p.server.WhyNotReady()
	}
	return nil
}

// Close closes what openPipeline opened, the last first.
func (p *pipeline) Close() {
	if p.pipe != nil {
		p.pipe.Close()
	}
	if p.server != nil {
		p.server.Close()
	}
	if p.http != nil {
		p.http.Close()
	}
}
