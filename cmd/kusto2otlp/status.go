package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/scheduler/ledger"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NAMESPACE/NAME]",
		Short: "Show how far each MetricsExporter is, and what went wrong last",
		Long: `Show, for each MetricsExporter that is declared or ever had a window, or for the
one named, how far it is:

  watermark  every window that ends at or before it is exported
  lag        the time since then; it includes the window that is not over yet
  backlog    windows under way, by the stage that they wait for, and about how
             many bytes their messages are
  gaps       ranges of time that were skipped, failed, given up or are missing:
             'kusto2otlp windows NAMESPACE/NAME --state failed,skipped' lists them

A failed window holds the watermark until it succeeds or is given up ('kusto2otlp
dead'); a skipped one does not. A MetricsExporter is failing when its last three
windows or more have failed. It is ready when something of it was exported, nothing
went wrong since, no failed window is undecided, a running scheduler has it, and it is
not late: of what is due by its schedule no more than two windows are under way, or
what was due in the last minute, or hour where they are long. Below the table it says
why one is not ready.

With --check the exit code is 1 when one is failing or cannot be scheduled, when a
document is invalid, or, with --max-lag, when one lags by more: for cron jobs and probes. Choose --max-lag longer than the
longest interval. One without a window lags from when it was declared. A
MetricsExporter that is suspended is not expected to keep up, and one that no
scheduler has any more is checked only when it is named.`,
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
			err = errors.Join(checkStatus(list, name, *maxLag), notes.check())
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
	// gone: no scheduler has it any more, and nothing of it waits.
	gone bool
	// never: no window of it was issued since it was declared.
	never bool
	// invalid says why it is not scheduled; empty: it is.
	invalid string
	// unready says why it is not ready; empty: it is, or problem says it.
	unready string
	// since is when it was declared as it is, where it is never or invalid.
	since time.Time
	// backfill is the requestId of its spec.backfill; empty: there is none.
	backfill string
}

func (s status) key() string { return s.Namespace + "/" + s.Name }

// readStatus reads the ledger; of one MetricsExporter where name is not empty.
func readStatus(ctx context.Context, cfg *config.Config, name string) ([]status, statusNotes, error) {
	p, err := openClient(cfg, "status")
	if err != nil {
		return nil, statusNotes{}, err
	}
	defer p.Close()
	declared, problems, running, err := p.Declared(ctx)
	if err != nil {
		return nil, statusNotes{}, err
	}
	// A document that is wrong may be that of any MetricsExporter that is not there.
	told := told{running: running > 0, all: running > 0 && len(problems) == 0}
	list, err := readSummaries(ctx, p, declared, told, name)
	if err != nil {
		return nil, statusNotes{}, err
	}
	notes, err := readNotes(ctx, p, list)
	if name == "" {
		notes.problems = problems
	}
	return list, notes, err
}

func readSummaries(ctx context.Context, p *pipe.Pipe, declared []schemas.Declared, told told, name string) ([]status, error) {
	r, err := ledger.OpenReader(ctx, p)
	if err != nil {
		return nil, err
	}
	var summaries []ledger.Summary
	if namespace, of, ok := strings.Cut(name, "/"); ok {
		declared = slices.DeleteFunc(declared, func(d schemas.Declared) bool { return d.Key() != name })
		s, err := r.Summary(ctx, namespace, of, time.Now())
		if err == nil {
			summaries = append(summaries, s)
		} else if !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
	} else if summaries, err = r.Summaries(ctx, time.Now()); err != nil {
		return nil, err
	}
	sizes, err := ledger.ReadSizes(ctx, p, summaries)
	if err != nil {
		return nil, err
	}
	list := merge(summaries, sizes, declared, told, time.Now())
	if name != "" && len(list) == 0 {
		return nil, unknown(ctx, r, name)
	}
	return list, nil
}

// told is what is known of schedulers.
type told struct {
	running bool // there are some
	all     bool // what they have not declared is gone
}

// merge adds to what the ledger knows what the schedulers have.
func merge(summaries []ledger.Summary, sizes ledger.Sizes, declared []schemas.Declared, told told, now time.Time) []status {
	list := make([]status, len(summaries))
	known := map[string]*status{}
	for i, s := range summaries {
		list[i] = status{Summary: s, bytes: sizes.Bytes(s), gone: told.all && s.Waiting() == 0, unready: "no running scheduler has it"}
		if !told.running {
			list[i].unready = "no scheduler is running"
		}
		known[list[i].key()] = &list[i]
	}
	var more []status
	for _, d := range declared {
		s := known[d.Key()]
		if s == nil {
			s = &status{Summary: ledger.Summary{Namespace: d.Namespace, Name: d.Name, Exporter: d.Exporter, Lag: max(now.Sub(d.Since), 0)}, never: true}
		}
		switch d.State {
		case schemas.DeclaredElsewhere:
			continue
		case schemas.DeclaredSuspended:
			s.suspended = true
		case schemas.DeclaredInvalid:
			s.invalid = d.Reason
		}
		if s.unready = cmp.Or(s.Unready, s.late(d, now)); d.State == schemas.DeclaredInvalid {
			s.unready = "it is not scheduled"
		}
		s.since, s.backfill = d.Since, d.Backfill
		s.gone = false
		if s.never && !s.suspended {
			more = append(more, *s)
		}
	}
	list = append(list, more...)
	for i, s := range list {
		list[i].Ready = s.unready == "" && s.problem() == ""
	}
	slices.SortStableFunc(list, func(a, b status) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return list
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

// problem says in words why nothing comes of it; empty: the ledger says it.
func (s status) problem() string {
	switch {
	case s.invalid != "":
		return "is not scheduled: " + s.invalid
	case s.never:
		return "was never issued a window since it was declared"
	}
	return ""
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
		switch {
		case s.suspended:
		case s.invalid != "":
			errs = append(errs, fmt.Errorf("%s %s", s.key(), s.problem()))
		case s.never && maxLag > 0 && s.Lag > maxLag:
			errs = append(errs, fmt.Errorf("%s %s %s ago, longer than --max-lag %s", s.key(), s.problem(), duration(s.Lag), duration(maxLag)))
		case maxLag > 0 && s.Lag > maxLag:
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

// notScheduled is the kind of error of a MetricsExporter that has no windows.
const notScheduled = "not_scheduled"

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
		if p := s.problem(); p != "" {
			elements[i].LastError = &errorJSON{string(schemas.Scheduler), notScheduled, "it " + p, s.since}
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

const notReady = "not ready"

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
	return notReady
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
	if p := s.problem(); p != "" {
		return timestamp(s.since) + " scheduler: it " + p
	}
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
