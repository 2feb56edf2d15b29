package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run every stage in this process",
		Long: `Run the scheduler, the querier, the transformer and the sender in this process.

Unless nats.url is set, they meet on a JetStream that is embedded in the process
and keeps its streams under dataDir. Beside it, other commands find it by the
address in dataDir.

SIGTERM and SIGINT stop within shutdownTimeout. Nothing is lost by them, nor by
SIGKILL: what was under way is done again at the next start.

While it runs, http://<telemetry.listen>/healthz says that the process lives,
/readyz that it can work, and /metrics what it does.`,
		Example: "  kusto2otlp run --config pipeline.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		return runPipeline(cmd.Context(), cfg, schemas.Stages, newLogger(cfg, cmd.ErrOrStderr()))
	}
	return cmd
}

// stageCommand describes the command that runs one stage.
type stageCommand struct {
	stage       schemas.Stage
	short, long string
}

var stageCommands = []stageCommand{
	{schemas.Scheduler, "Run the scheduler: which windows are due", `Run the scheduler alone: it reads the MetricsExporters and issues a job for every
window that is due. Any number may run at once; each window is issued once.`},
	{schemas.Querier, "Run the querier: window jobs become rows", `Run the querier alone: it runs the query of each window job on its Kusto cluster
and stores the rows, all of them or none. Several share the jobs; each runs at
most maxConcurrentQueries at a time on a cluster.`},
	{schemas.Transformer, "Run the transformer: rows become OTLP", `Run the transformer alone: it turns the rows of each window into OTLP batches.
Several share the windows.`},
	{schemas.Sender, "Run the sender: OTLP batches reach their endpoint", `Run the sender alone: it delivers OTLP batches to the endpoints of the exporters
and tries again for as long as it takes. Several share the batches.`},
}

func newStage(s stageCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   string(s.stage),
		Short: s.short,
		Long: s.long + `

It needs nats.url: stages in different processes meet on a NATS server or cluster
with JetStream. All of them can share one configuration file.`,
		Example: fmt.Sprintf("  kusto2otlp %s --config pipeline.yaml", s.stage),
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		if cfg.NATS.URL == "" {
			return errors.New(*path + ": nats.url: is needed to run one stage alone; the embedded server is for 'kusto2otlp run'")
		}
		return runPipeline(cmd.Context(), cfg, []schemas.Stage{s.stage}, newLogger(cfg, cmd.ErrOrStderr()))
	}
	return cmd
}
