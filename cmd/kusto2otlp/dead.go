package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/deadletter"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// reasonWidth is how much of a reason the table shows, in characters.
const reasonWidth = 100

// deadFlags are those of all commands about dead letters.
type deadFlags struct {
	config   string
	output   string
	stage    string
	exporter string
	all      bool
	check    bool
	reason   string
}

func newDead() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Decide about messages that can never succeed",
		Long: `A message that can never succeed (a query with a syntax error, points that the
endpoint refuses) is kept whole as a dead letter, with its reason, and its window
counts as failed. The windows after it go on. It is not tried again until somebody
decides: 'retry' puts it back where it failed, 'drop' gives it up and records why.

A job that is put back runs with the spec that it carries; 'retry' says so where the
MetricsExporter has another by now. For a window whose query was wrong, mend the
MetricsExporter, run 'kusto2otlp replay' over the window, and drop the letter.

ATTEMPTS counts deliveries, those among them where a message had to wait for its turn
or for another instance.`,
		Example: `  kusto2otlp dead list
  kusto2otlp dead show 12
  kusto2otlp dead retry 12`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeadList(), newDeadShow(), newDeadRetry(), newDeadDrop())
	return cmd
}

func newDeadList() *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters",
		Long:  "List dead letters, the oldest first.",
		Example: `  kusto2otlp dead list
  kusto2otlp dead list --stage sender -o json
  kusto2otlp dead list --check && echo "nothing is dead"`,
		Args: noArgs,
	}
	f.add(cmd)
	f.addFilter(cmd)
	cmd.Flags().BoolVar(&f.check, "check", false, "exit 1 when there is one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.run(cmd, func(ctx context.Context, d *deadletter.Desk, filter deadletter.Filter) error {
			letters, err := d.List(ctx, filter)
			if err != nil {
				return err
			}
			if f.output == outputJSON {
				err = printJSON(cmd.OutOrStdout(), deadRows(letters))
			} else {
				err = printDead(cmd.OutOrStdout(), letters)
			}
			if err == nil && f.check && len(letters) > 0 {
				err = fmt.Errorf("there are %d dead letters", len(letters))
			}
			return err
		})
	}
	return cmd
}

func newDeadShow() *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use:     "show ID…",
		Short:   "Show dead letters: headers, reason and what is in them",
		Example: "  kusto2otlp dead show 12\n  kusto2otlp dead show 12 -o json",
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := deadIDs(cmd, args)
		if err != nil {
			return err
		}
		return f.run(cmd, func(ctx context.Context, d *deadletter.Desk, _ deadletter.Filter) error {
			shown := []deadShown{}
			var errs []error
			for _, id := range ids {
				l, err := d.Get(ctx, id)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				shown = append(shown, deadShown{deadRowOf(l), l.Subject, l.Header, l.Content()})
			}
			if f.output == outputJSON {
				errs = append(errs, printJSON(cmd.OutOrStdout(), shown))
			} else {
				for _, s := range shown {
					errs = append(errs, s.print(cmd.OutOrStdout()))
				}
			}
			return errors.Join(errs...)
		})
	}
	return cmd
}

func newDeadRetry() *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use:   "retry [ID…]",
		Short: "Put dead letters back where they failed",
		Long: `Put the message of each dead letter back on the subject where it failed, and remove
the letter. What fails again becomes a dead letter again. Of a window with several,
each is one of its own: the window is failed until the last was put back.

It is put back as it was, with the spec of its time. What failed in a query or a
transform needs no retry once the spec is changed: its window is queried again with
the new one by itself.`,
		Example: `  kusto2otlp dead retry 12 13
  kusto2otlp dead retry --stage sender --metrics-exporter monitoring/response-times
  kusto2otlp dead retry --all`,
	}
	f.add(cmd)
	f.addFilter(cmd)
	f.addAll(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return f.decide(cmd, args, "put back", func(ctx context.Context, d *deadletter.Desk, id uint64) (*deadletter.Letter, error) {
			return d.Retry(ctx, id)
		})
	}
	return cmd
}

func newDeadDrop() *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use:   "drop [ID…] --reason TEXT",
		Short: "Give dead letters up, and record why",
		Long: `Remove dead letters for good. The ledger keeps the decision: the window stays
failed, with the reason given here. It holds the watermark no longer once nothing
else of it is dead.`,
		Example: `  kusto2otlp dead drop 12 --reason "the table did not exist yet"
  kusto2otlp dead drop --all --stage sender --reason "test data"`,
	}
	f.add(cmd)
	f.addFilter(cmd)
	f.addAll(cmd)
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for the ledger; needed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(f.reason) == "" {
			return usageError{errors.New("--reason is needed: the ledger keeps why a message was given up")}
		}
		return f.decide(cmd, args, "dropped", func(ctx context.Context, d *deadletter.Desk, id uint64) (*deadletter.Letter, error) {
			return d.Drop(ctx, id, f.reason)
		})
	}
	return cmd
}

func (f *deadFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "pipeline.yaml", "the pipeline's configuration `file`")
	cmd.Flags().StringVarP(&f.output, "output", "o", outputTable, "table or json")
}

func (f *deadFlags) addFilter(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.stage, "stage", "", "only those of this `stage`: querier, transformer or sender")
	cmd.Flags().StringVar(&f.exporter, "metrics-exporter", "", "only those of this MetricsExporter, `namespace/name`")
}

func (f *deadFlags) addAll(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.all, "all", false, "all of them")
}

// filter reads the flags that select letters.
func (f *deadFlags) filter() (deadletter.Filter, error) {
	filter := deadletter.Filter{Stage: schemas.Stage(f.stage)}
	if f.stage != "" && !slices.Contains(schemas.Stages, filter.Stage) {
		return filter, usageError{fmt.Errorf("--stage must be querier, transformer or sender, got %q", f.stage)}
	}
	if f.exporter != "" {
		var err error
		if filter.Namespace, filter.Name, err = metricsExporterName("--metrics-exporter", f.exporter); err != nil {
			return filter, err
		}
	}
	return filter, checkOutput(f.output)
}

// run connects to the pipeline and calls do.
func (f *deadFlags) run(cmd *cobra.Command, do func(context.Context, *deadletter.Desk, deadletter.Filter) error) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return err
	}
	p, err := openClient(cfg, "dead")
	if err != nil {
		return err
	}
	defer p.Close()
	return do(cmd.Context(), &deadletter.Desk{Pipe: p}, filter)
}

// decide does one thing about each letter that the arguments or filters name. What
// goes wrong with one is told, and does not keep the others waiting.
func (f *deadFlags) decide(cmd *cobra.Command, args []string, done string,
	do func(context.Context, *deadletter.Desk, uint64) (*deadletter.Letter, error)) error {
	filtered := f.all || f.stage != "" || f.exporter != ""
	switch {
	case len(args) == 0 && !filtered:
		return usageError{errors.New("name dead letters by their ids, or select them with --stage, --metrics-exporter or --all")}
	case len(args) > 0 && filtered:
		return usageError{errors.New("ids and --stage, --metrics-exporter or --all exclude each other")}
	}
	var ids []uint64
	if len(args) > 0 {
		var err error
		if ids, err = deadIDs(cmd, args); err != nil {
			return err
		}
	}
	return f.run(cmd, func(ctx context.Context, d *deadletter.Desk, filter deadletter.Filter) error {
		if filtered {
			letters, err := d.List(ctx, filter)
			if err != nil {
				return err
			}
			for _, l := range letters {
				ids = append(ids, l.ID)
			}
		}
		out := cmd.OutOrStdout()
		var decided []*deadletter.Letter
		var errs []error
		for _, id := range ids {
			if ctx.Err() != nil {
				errs = append(errs, errors.New("interrupted: the rest are as they were"))
				break
			}
			l, err := do(ctx, d, id)
			switch {
			case filtered && errors.Is(err, deadletter.ErrNoLetter):
				continue // somebody else was quicker
			case err != nil:
				errs = append(errs, err)
				continue
			}
			decided = append(decided, l)
			if f.output != outputJSON {
				fmt.Fprintf(out, "%s %d: %s, %s\n", done, l.ID, l.Stage, cmp.Or(l.Window, l.Subject))
			}
		}
		if f.output == outputJSON {
			errs = append(errs, printJSON(out, deadRows(decided)))
		} else if len(decided) != 1 {
			fmt.Fprintf(out, "%s: %d dead letters\n", done, len(decided))
		}
		return errors.Join(errs...)
	})
}

func deadIDs(cmd *cobra.Command, args []string) ([]uint64, error) {
	if len(args) == 0 {
		return nil, usageError{fmt.Errorf("%s needs the id of a dead letter; 'kusto2otlp dead list' has them", cmd.CommandPath())}
	}
	var ids []uint64
	for _, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 64)
		if err != nil || id == 0 {
			return nil, usageError{fmt.Errorf("the id of a dead letter is a number from 1, got %q", arg)}
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// deadRow is a letter as scripts see it.
type deadRow struct {
	ID              string    `json:"id"`
	Stage           string    `json:"stage"`
	Kind            string    `json:"kind"`
	MetricsExporter string    `json:"metricsExporter"`
	Window          string    `json:"window"`
	Exporter        string    `json:"exporter"`
	Reason          string    `json:"reason"`
	Attempts        uint64    `json:"attempts"`
	At              time.Time `json:"at"`
	Bytes           int       `json:"bytes"`
}

func deadRowOf(l *deadletter.Letter) deadRow {
	return deadRow{ID: strconv.FormatUint(l.ID, 10), Stage: string(l.Stage), Kind: string(l.Kind),
		MetricsExporter: l.MetricsExporter(), Window: l.Window, Exporter: l.Exporter,
		Reason: l.Reason, Attempts: l.Attempts, At: l.At, Bytes: l.Bytes}
}

func deadRows(letters []*deadletter.Letter) []deadRow {
	rows := make([]deadRow, len(letters))
	for i, l := range letters {
		rows[i] = deadRowOf(l)
	}
	return rows
}

func printDead(out io.Writer, letters []*deadletter.Letter) error {
	if len(letters) == 0 {
		fmt.Fprintln(out, "no dead letters")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTAGE\tKIND\tAT\tATTEMPTS\tEXPORTER\tWINDOW\tREASON")
	for _, l := range letters {
		reason := l.Reason
		if r := []rune(reason); len(r) > reasonWidth {
			reason = string(r[:reasonWidth-1]) + "…"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", l.ID, l.Stage, l.Kind, l.At.UTC().Format(time.RFC3339),
			l.Attempts, cmp.Or(l.Exporter, "-"), cmp.Or(l.Window, "-"), reason)
	}
	return w.Flush()
}

// deadShown is a letter with everything in it.
type deadShown struct {
	deadRow
	Subject string              `json:"subject"`
	Headers map[string][]string `json:"headers"`
	Content deadletter.Content  `json:"content"`
}

func (s deadShown) print(out io.Writer) error {
	fmt.Fprintf(out, "dead letter %s\n\n", s.ID)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"stage", s.Stage}, {"kind", s.Kind}, {"reason", s.Reason}, {"attempts", strconv.FormatUint(s.Attempts, 10)},
		{"at", s.At.UTC().Format(time.RFC3339Nano)}, {"metrics exporter", s.MetricsExporter}, {"window", s.Window},
		{"exporter", s.Exporter}, {"subject", s.Subject}, {"bytes", strconv.Itoa(s.Bytes)},
	} {
		fmt.Fprintf(w, "  %s\t%s\n", line[0], cmp.Or(line[1], "-"))
	}
	fmt.Fprint(w, "\nheaders\n\n")
	names := make([]string, 0, len(s.Headers))
	for name := range s.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "  %s\t%s\n", name, strings.Join(s.Headers[name], ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text, err := asYAML(s.Content)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\ncontent\n\n  %s\n\n", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "))
	return nil
}

// asYAML writes what has a JSON form as YAML, so that a query's lines are lines.
func asYAML(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var node yaml.Node // JSON is YAML, in flow style
	if err := yaml.Unmarshal(data, &node); err != nil {
		return "", err
	}
	block(&node)
	text, err := yaml.Marshal(&node)
	return string(text), err
}

func block(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, c := range n.Content {
		block(c)
	}
}
