package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/scheduler/ledger"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NAMESPACE/NAME]",
		Short: "Show how far each MetricsExporter is, and what went wrong last",
		Long: `Show, for each MetricsExporter that ever had a window or for the one named, how
far it is:

  watermark  every window that ends at or before it is exported
  lag        the time since then; it includes the window that is not over yet
  backlog    windows under way, by the stage that they wait for, and about how
             many bytes their messages are
  gaps       ranges of time that were skipped, failed, given up or are missing:
             'kusto2otlp windows NAMESPACE/NAME --state failed,skipped' lists them

A failed window holds the watermark until it succeeds or is given up ('kusto2otlp
dead'); a skipped one does not. A MetricsExporter is failing when its last three
windows or more have failed; it is ready when something of it was exported and
nothing went wrong since.

With --check the exit code is 1 when one is failing or, with --max-lag, lags by
more: for cron jobs and probes. Choose --max-lag longer than the longest interval.
A MetricsExporter that is suspended is not expected to keep up, and one that none
of resources.files has any more is checked only when it is named.`,
		Example: `  kusto2otlp status
  kusto2otlp status monitoring/service-response-times -o json
  kusto2otlp status --check --max-lag 10m`,
		Args: atMostOne,
	}
	path := configFlag(cmd)
	output := outputFlag(cmd)
	check := cmd.Flags().Bool("check", false, "exit with 1 when anything is failing, or lags beyond --max-lag")
	maxLag := cmd.Flags().Duration("max-lag", 0, "with --check: the longest lag that is well, a `duration`; 0: any")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *maxLag < 0 {
			return usageError{fmt.Errorf("--max-lag must not be negative, got %s", *maxLag)}
		}
		if *maxLag > 0 && !*check {
			return usageError{errors.New("--max-lag is for --check")}
		}
		if err := checkOutput(*output); err != nil {
			return err
		}
		name := ""
		if len(args) > 0 {
			name = args[0]
			if _, _, err := metricsExporterName("the argument", name); err != nil {
				return err
			}
		}
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		list, notes, err := readStatus(cmd.Context(), cfg, name)
		if err != nil {
			return err
		}
		if *output == outputJSON {
			err = writeStatusJSON(cmd.OutOrStdout(), list)
		} else {
			if err = writeStatusTable(cmd.OutOrStdout(), list); err == nil {
				err = notes.write(cmd.OutOrStdout())
			}
		}
		if err == nil && *check {
			err = checkStatus(list, name, *maxLag)
		}
		return err
	}
	return cmd
}

// status is how far a MetricsExporter is.
type status struct {
	ledger.Summary
	bytes     uint64
	suspended bool
	gone      bool // no file has it any more, and nothing of it waits
}

func (s status) key() string { return s.Namespace + "/" + s.Name }

// readStatus reads the ledger; of one MetricsExporter where name is not empty.
func readStatus(ctx context.Context, cfg *config.Config, name string) ([]status, statusNotes, error) {
	p, err := openClient(cfg, "status")
	if err != nil {
		return nil, statusNotes{}, err
	}
	defer p.Close()
	list, err := readSummaries(ctx, p, cfg, name)
	if err != nil {
		return nil, statusNotes{}, err
	}
	notes, err := readNotes(ctx, p, list)
	return list, notes, err
}

func readSummaries(ctx context.Context, p *pipe.Pipe, cfg *config.Config, name string) ([]status, error) {
	r, err := ledger.OpenReader(ctx, p)
	if err != nil {
		return nil, err
	}
	var summaries []ledger.Summary
	if namespace, of, ok := strings.Cut(name, "/"); ok {
		s, err := r.Summary(ctx, namespace, of, time.Now())
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, unknown(ctx, r, name)
		}
		if err != nil {
			return nil, err
		}
		summaries = append(summaries, s)
	} else if summaries, err = r.Summaries(ctx, time.Now()); err != nil {
		return nil, err
	}
	return describe(ctx, p, cfg, summaries)
}

// describe adds what the ledger does not know.
func describe(ctx context.Context, p *pipe.Pipe, cfg *config.Config, summaries []ledger.Summary) ([]status, error) {
	sizes, err := ledger.ReadSizes(ctx, p, summaries)
	if err != nil {
		return nil, err
	}
	declared := map[string]resource.Document{}
	documents, problems := resource.Load(cfg.Resources.Files, resource.Context{})
	for _, d := range documents {
		declared[d.Key()] = d
	}
	// From another machine, or beside Kubernetes, the files say nothing.
	tells := len(documents) > 0 && len(problems) == 0 && !cfg.Resources.Kubernetes
	list := make([]status, len(summaries))
	for i, s := range summaries {
		list[i] = status{Summary: s, bytes: sizes.Bytes(s)}
		d, ok := declared[list[i].key()]
		list[i].gone = tells && !ok && s.Waiting() == 0
		list[i].suspended = ok && d.MetricsExporter.Spec.Suspend
	}
	return list, nil
}

// unknown is the error for a MetricsExporter that has no window in the ledger.
func unknown(ctx context.Context, r *ledger.Reader, name string) error {
	list, err := r.Summaries(ctx, time.Now())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("no window of %s was issued: the ledger is empty", name)
	}
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Namespace + "/" + s.Name
	}
	return fmt.Errorf("no window of %s was issued; there are those of %s", name, strings.Join(names, ", "))
}

// checkStatus returns an error, a line for each, when one is failing or late.
func checkStatus(list []status, name string, maxLag time.Duration) error {
	if len(list) == 0 && maxLag > 0 {
		return errors.New("no window of any MetricsExporter was issued yet: is a scheduler running?")
	}
	var errs []error
	for _, s := range list {
		if s.gone && name == "" {
			continue
		}
		if s.Failing {
			errs = append(errs, fmt.Errorf("%s is failing: %d windows in a row failed, the last error is %q", s.key(), s.FailedInARow, s.LastError))
		}
		if maxLag > 0 && s.Lag > maxLag && !s.suspended {
			errs = append(errs, fmt.Errorf("%s lags by %s, more than --max-lag %s", s.key(), duration(s.Lag), duration(maxLag)))
		}
	}
	return errors.Join(errs...)
}

// statusJSON is an element of what -o json prints; its keys are a contract.
type statusJSON struct {
	Namespace      string     `json:"namespace"`
	Name           string     `json:"name"`
	Exporter       string     `json:"exporter"`
	Ready          bool       `json:"ready"`
	Watermark      *time.Time `json:"watermark"`
	LagSeconds     float64    `json:"lagSeconds"`
	BacklogWindows uint64     `json:"backlogWindows"`
	BacklogBytes   uint64     `json:"backlogBytes"`
	LastError      *errorJSON `json:"lastError"`
}

type errorJSON struct {
	Stage   string    `json:"stage"`
	Kind    string    `json:"kind"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

func writeStatusJSON(out io.Writer, list []status) error {
	elements := make([]statusJSON, len(list))
	for i, s := range list {
		elements[i] = statusJSON{
			Namespace: s.Namespace, Name: s.Name, Exporter: s.Exporter, Ready: s.Ready,
			LagSeconds:     s.Lag.Round(time.Millisecond).Seconds(),
			BacklogWindows: s.Waiting(), BacklogBytes: s.bytes,
		}
		if !s.Watermark.IsZero() {
			elements[i].Watermark = &s.Watermark
		}
		if e := s.LastError; e != nil {
			elements[i].LastError = &errorJSON{string(e.Stage), e.Kind, e.Message, e.At}
		}
	}
	return printJSON(out, elements)
}

func writeStatusTable(out io.Writer, list []status) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no window was issued yet")
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "METRICS EXPORTER\tEXPORTER\tSTATE\tWATERMARK (UTC)\tLAG\tBACKLOG\tBYTES\tGAPS\tLAST ERROR")
	for _, s := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.key(), dash(s.Exporter), s.state(), timestamp(s.Watermark),
			duration(s.Lag), s.backlog(), size(s.bytes), s.gaps(), s.lastError())
	}
	return t.Flush()
}

func (s status) state() string {
	switch {
	case s.gone:
		return "gone"
	case s.suspended:
		return "suspended"
	case s.Failing:
		return "failing"
	case s.Ready:
		return "ready"
	}
	return "not ready"
}

// backlog says what waits, and for which stage.
func (s status) backlog() string {
	var parts []string
	for _, stage := range []schemas.Stage{schemas.Querier, schemas.Transformer, schemas.Sender} {
		if n := s.Backlog[stage].Windows; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, stage))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

func (s status) gaps() string {
	if len(s.Gaps) == 0 {
		return "-"
	}
	var length time.Duration
	for _, g := range s.Gaps {
		length += g.End.Sub(g.Start)
	}
	return fmt.Sprintf("%d (%s)", len(s.Gaps), duration(length))
}

func (s status) lastError() string {
	if s.LastError == nil {
		return "-"
	}
	return timestamp(s.LastError.At) + " " + s.LastError.String()
}

// atMostOne refuses more than one argument.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("%s takes one NAMESPACE/NAME, got %q", cmd.CommandPath(), args)}
	}
	return nil
}

// outputFlag adds -o to a command.
func outputFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("output", "o", outputTable, "table or json")
}
