// Command kusto2otlp turns KQL queries over Azure Data Explorer into OpenTelemetry
// metrics, on schedule, with nothing lost.
//
// This package is wiring: flags, configuration, which stages to run. What a stage
// does is in the package of its name.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK = iota
	exitFailure
	exitUsage
)

func main() {
	// A first signal stops in good order; a second ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the process's exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(append([]string{}, args...)) // nil would be the process's own
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if errors.As(err, new(reportedError)) {
		return exitFailure
	}
	for line := range strings.Lines(strings.TrimRight(err.Error(), "\n")) {
		fmt.Fprintf(stderr, "kusto2otlp: %s\n", strings.TrimRight(line, "\n"))
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "kusto2otlp: run '%s --help' for how it is used\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// reportedError is a failure that the command has told of.
type reportedError struct{}

// Error is not printed.
func (reportedError) Error() string { return "failed" }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "kusto2otlp",
		Short: "KQL queries over Azure Data Explorer become OpenTelemetry metrics",
		Long: `kusto2otlp runs KQL queries over Azure Data Explorer (Kusto) on schedule and
exports their rows as OpenTelemetry metrics, with nothing lost.

A MetricsExporter, a YAML file, names a query, an interval, how a row becomes a
point, and the OTLP exporter to send it to. Four stages run it:

  scheduler -> querier -> transformer -> sender

and everything between two of them is a NATS JetStream stream. 'run' has all four
in one process; a command of each stage's name runs it alone.

Try it, without a cluster and without configuration:

  kusto2otlp demo`,
		Example: `  kusto2otlp validate -f exporters/ --config pipeline.yaml
  kusto2otlp run --config pipeline.yaml
  kusto2otlp status`,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	running := []*cobra.Command{newRun(), newDemo()}
	for _, stage := range stageCommands {
		running = append(running, newStage(stage))
	}
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Write MetricsExporters:", []*cobra.Command{newValidate(), newPreview(), newTest(), newSandbox(), newSchema()}},
		{"Run them:", running},
		{"See and steer what runs:", []*cobra.Command{newStatus(), newWindows(), newReplay(), newDead()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.title
			root.AddCommand(c)
		}
	}
	root.AddCommand(newVersion(), newParserEngine())
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasParent() {
		return usageError{fmt.Errorf("there is no command %q", args[0])}
	}
	return usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)}
}

// configFlag adds --config to a command.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("config", "pipeline.yaml", "the pipeline's configuration `file`")
}
