package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/scheduler/ledger"
)

func newWindows() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "windows NAMESPACE/NAME",
		Short: "Show what became of each window of a MetricsExporter",
		Long: `Show what became of each window of a MetricsExporter, the oldest first.

A window is planned (its job waits for the query), running, queried (its rows wait
for the transform), transformed (its OTLP batches wait for the endpoint), exported
(the endpoint has accepted all of them), failed, or skipped: passed over because it
was due longer ago than catchUp. A range of windows that were skipped together is
one line.

ATTEMPTS is how often a message of the window was delivered, of the one that was
delivered most often: those times count too when it had to wait for its turn or for
another instance.

'--state failed,skipped' shows the gaps.`,
		Example: `  kusto2otlp windows monitoring/service-response-times --limit 20
  kusto2otlp windows monitoring/service-response-times --state failed,skipped
  kusto2otlp windows monitoring/service-response-times --start 2026-05-01T00:00:00Z --end 2026-05-02T00:00:00Z -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("kusto2otlp windows needs the NAMESPACE/NAME of a MetricsExporter")}
			}
			return atMostOne(cmd, args)
		},
	}
	path := configFlag(cmd)
	output := outputFlag(cmd)
	states := cmd.Flags().StringSlice("state", nil, "only windows in one of these `states`, separated by commas")
	start := cmd.Flags().String("start", "", "only windows that end after this `time`, RFC 3339 or a date in UTC")
	end := cmd.Flags().String("end", "", "only windows that start before this `time`")
	limit := cmd.Flags().Int("limit", 0, "only the newest `n` of them; 0: all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if _, _, err := metricsExporterName("the argument", name); err != nil {
			return err
		}
		if err := checkOutput(*output); err != nil {
			return err
		}
		var err error
		if *limit < 0 {
			return usageError{fmt.Errorf("--limit must not be negative, got %d", *limit)}
		}
		filter := ledger.Filter{}
		if filter.States, err = parseStates(*states); err != nil {
			return err
		}
		if filter.Start, err = parseBound("--start", *start); err != nil {
			return err
		}
		if filter.End, err = parseBound("--end", *end); err != nil {
			return err
		}
		if !filter.Start.IsZero() && !filter.End.IsZero() && !filter.Start.Before(filter.End) {
			return usageError{fmt.Errorf("--start %s is not before --end %s", *start, *end)}
		}
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		return showWindows(cmd.Context(), cfg, name, filter, *limit, *output, cmd.OutOrStdout())
	}
	return cmd
}

func parseStates(names []string) ([]ledger.State, error) {
	var states []ledger.State
	for _, name := range names {
		for one := range strings.SplitSeq(name, "|") {
			s := ledger.State(strings.TrimSpace(one))
			if !slices.Contains(ledger.States, s) {
				return nil, usageError{fmt.Errorf("--state must be of %s, got %q", joined(ledger.States), one)}
			}
			states = append(states, s)
		}
	}
	return states, nil
}

func joined(states []ledger.State) string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// parseBound reads a time that may be left out.
func parseBound(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return t, usageError{fmt.Errorf("%s %w", flag, err)}
	}
	return t, nil
}

func showWindows(ctx context.Context, cfg *config.Config, name string, filter ledger.Filter, limit int, output string, out io.Writer) error {
	p, err := openClient(cfg, "windows")
	if err != nil {
		return err
	}
	defer p.Close()
	r, err := ledger.OpenReader(ctx, p)
	if err != nil {
		return err
	}
	namespace, of, _ := strings.Cut(name, "/")
	windows := r.Windows(ctx, namespace, of, filter, limit > 0)
	if limit > 0 {
		windows = newest(windows, limit)
	}
	if output == outputJSON {
		err = writeWindowsJSON(out, windows)
	} else {
		err = writeWindowsTable(out, windows)
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return unknown(ctx, r, name)
	}
	return err
}

// newest returns the first so many windows, the last of them first.
func newest(windows iter.Seq2[ledger.Window, error], limit int) iter.Seq2[ledger.Window, error] {
	return func(yield func(ledger.Window, error) bool) {
		var list []ledger.Window
		for w, err := range windows {
			if err != nil {
				yield(w, err)
				return
			}
			if list = append(list, w); len(list) == limit {
				break
			}
		}
		for _, w := range slices.Backward(list) {
			if !yield(w, nil) {
				return
			}
		}
	}
}

// windowJSON is an element of what -o json prints; its keys are a contract.
type windowJSON struct {
	ID       string            `json:"id"`
	Start    time.Time         `json:"start"`
	End      time.Time         `json:"end"`
	Lane     string            `json:"lane"`
	State    string            `json:"state"`
	Rows     uint64            `json:"rows"`
	Points   uint64            `json:"points"`
	Rejected map[string]uint64 `json:"rejected"`
	Attempts uint64            `json:"attempts"`
	Error    string            `json:"error"`
}

// writeWindowsJSON writes them as they are read: months of windows fit no memory.
func writeWindowsJSON(out io.Writer, windows iter.Seq2[ledger.Window, error]) error {
	before := "["
	for w, err := range windows {
		if err != nil {
			return err
		}
		data, err := json.Marshal(windowJSON{
			ID: w.ID.String(), Start: w.ID.Window.Start, End: w.ID.Window.End, Lane: string(w.Lane), State: string(w.State),
			Rows: w.Rows, Points: w.Points, Rejected: w.Rejected, Attempts: w.Attempts, Error: w.Error.String(),
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n  %s", before, data); err != nil {
			return err
		}
		before = ","
	}
	if before == "[" {
		_, err := fmt.Fprintln(out, "[]")
		return err
	}
	_, err := fmt.Fprintln(out, "\n]")
	return err
}

func writeWindowsTable(out io.Writer, windows iter.Seq2[ledger.Window, error]) error {
	const format = "%-23s  %-23s  %-8s  %-11s  %10s  %10s  %10s  %8s  %s\n"
	any := false
	for w, err := range windows {
		if err != nil {
			return err
		}
		if !any {
			any = true
			fmt.Fprintf(out, format, "START (UTC)", "END (UTC)", "LANE", "STATE", "ROWS", "POINTS", "REJECTED", "ATTEMPTS", "WHY")
		}
		rejected := uint64(0)
		for _, n := range w.Rejected {
			rejected += n
		}
		why := w.Error.String()
		if why == "" && rejected > 0 {
			var reasons []string
			for _, reason := range slices.Sorted(maps.Keys(w.Rejected)) {
				reasons = append(reasons, fmt.Sprintf("%d rows or points rejected: %s", w.Rejected[reason], reason))
			}
			why = strings.Join(reasons, ", ")
		}
		line := fmt.Sprintf(format, timestamp(w.ID.Window.Start), timestamp(w.ID.Window.End), w.Lane, w.State,
			number(w.Rows), number(w.Points), number(rejected), number(w.Attempts), dash(why))
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
	}
	if !any {
		_, err := fmt.Fprintln(out, "no such windows")
		return err
	}
	return nil
}
