package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kusto2otlp/kusto2otlp/cmd/kusto2otlp/preview"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/files"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/querier"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/transformer"
)

type previewFlags struct {
	file, config, start, end, output string
	data                             string
	labels                           map[string]string
	limit                            int
	maxRows                          int64
	sandbox                          bool

	configured bool // --config was given
}

func newPreview() *cobra.Command {
	var f previewFlags
	cmd := &cobra.Command{
		Use:   "preview -f FILE [NAMESPACE/NAME]",
		Short: "Run one window now and show what would be exported, and send nothing",
		Long: `Run the query of a MetricsExporter for one window and show the points that the
pipeline would export, what would be rejected and why, and what it cost. Nothing is
sent, and nothing is written anywhere.

The window is the latest that is due, by the MetricsExporter's own interval or
schedule and its ingestionDelay; --start and --end choose another, each by itself
with the grid's next boundary. Query, parameters, options and transform are those of
the pipeline, and so is what an error says. Criteria that do not match the labels of
the configuration are told, and do not keep the window from being run.

-o json writes the points as one OTLP request, as an OTLP/HTTP endpoint takes it,
and everything else to stderr.

With --sandbox the query runs in a sandbox in this process (see 'kusto2otlp sandbox'),
over its samples or the tables in --data, and no configuration is needed; with --config
its labels and exporters count all the same.`,
		Example: `  kusto2otlp preview -f exporters/response-times.yaml --config pipeline.yaml
  kusto2otlp preview -f exporters/response-times.yaml --sandbox --label environment=production
  kusto2otlp preview -f exporters monitoring/response-times --start 2026-05-01T10:00:00Z -o json`,
		Args: atMostOne,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "the `file` of the MetricsExporter, a directory or a pattern; needed")
	flags.StringVar(&f.config, "config", "pipeline.yaml", "the pipeline's configuration `file`")
	flags.StringVar(&f.start, "start", "", "`time` of the window's start, RFC 3339 or a date in UTC")
	flags.StringVar(&f.end, "end", "", "`time` of the window's end")
	flags.StringVarP(&f.output, "output", "o", outputTable, "table or json")
	flags.IntVar(&f.limit, "limit", 20, "the most points that the table shows")
	flags.Int64Var(&f.maxRows, "max-rows", 0, "fail when the query answers with more rows; 0: as the MetricsExporter and Kusto say")
	flags.StringToStringVar(&f.labels, "label", nil, "a label of the instance, `name=value`, in place of the configuration's; may be repeated")
	flags.BoolVar(&f.sandbox, "sandbox", false, "run the query in a sandbox in this process")
	flags.StringVar(&f.data, "data", "", "with --sandbox: the `directory` of its tables, in place of the samples")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.configured = cmd.Flags().Changed("config")
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		return f.run(cmd.Context(), name, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func (f *previewFlags) run(ctx context.Context, name string, out, errs io.Writer) error {
	start, end, err := f.check(name)
	if err != nil {
		return err
	}
	doc, err := chooseDocument(f.file, name)
	if err != nil {
		return err
	}
	cfg, err := f.load()
	if err != nil {
		return err
	}
	cluster, closeCluster, err := f.cluster(cfg, doc.MetricsExporter)
	if err != nil {
		return err
	}
	defer closeCluster()
	now := time.Now()
	p := &previewed{
		doc: doc, cfg: cfg, path: f.config, cluster: cluster, now: now,
		window: preview.Choose(doc.Grid, doc.MetricsExporter.Spec.IngestionDelay.Duration, start, end, now),
		latest: f.start == "" && f.end == "",
	}
	if !f.configured && f.sandbox {
		p.path = ""
	}
	return p.run(ctx, f, out, errs)
}

// check reads the flags that can be wrong by themselves.
func (f *previewFlags) check(name string) (start, end time.Time, err error) {
	fail := func(err error) (time.Time, time.Time, error) { return time.Time{}, time.Time{}, usageError{err} }
	if f.file == "" {
		return fail(errors.New("-f is needed: the file of a MetricsExporter"))
	}
	if name != "" {
		if _, _, err := metricsExporterName("the argument", name); err != nil {
			return start, end, err
		}
	}
	if err := checkOutput(f.output); err != nil {
		return start, end, err
	}
	for _, t := range []struct {
		flag, value string
		to          *time.Time
	}{{"--start", f.start, &start}, {"--end", f.end, &end}} {
		if t.value == "" {
			continue
		}
		if *t.to, err = parseTime(t.value); err != nil {
			return fail(fmt.Errorf("%s %w", t.flag, err))
		}
		if !t.to.Truncate(schemas.Tick).Equal(*t.to) {
			return fail(fmt.Errorf("%s must be a multiple of 100ns, Kusto's unit of time, got %q", t.flag, t.value))
		}
	}
	switch {
	case f.start != "" && f.end != "" && !start.Before(end):
		return fail(fmt.Errorf("--start must be before --end, got %s and %s", f.start, f.end))
	case f.data != "" && !f.sandbox:
		return fail(errors.New("--data is for --sandbox"))
	case f.limit < 0:
		return fail(fmt.Errorf("--limit must not be negative, got %d", f.limit))
	case f.maxRows < 0:
		return fail(fmt.Errorf("--max-rows must not be negative, got %d", f.maxRows))
	}
	return start, end, nil
}

// chooseDocument returns the MetricsExporter that is named, or the only one there is.
func chooseDocument(path, name string) (resource.Document, error) {
	found, problems := resource.Find([]string{path})
	paths := make([]string, len(found))
	for i, f := range found {
		paths[i] = f.Path
	}
	documents, more := resource.Load(paths, resource.Context{})
	problems = append(problems, more...)
	var names []string
	for _, d := range documents {
		if d.Key() == name || name == "" && len(documents) == 1 && len(problems) == 0 {
			return d, nil
		}
		names = append(names, d.Key())
	}
	switch {
	case len(problems) > 0:
		return resource.Document{}, strict.Problems(problems)
	case len(names) == 0:
		return resource.Document{}, fmt.Errorf("%s has no MetricsExporter", path)
	case name == "":
		return resource.Document{}, usageError{fmt.Errorf("%s has several MetricsExporters, name one of %s", path, strings.Join(names, ", "))}
	}
	return resource.Document{}, fmt.Errorf("%s has no MetricsExporter %s; it has %s", path, name, strings.Join(names, ", "))
}

// load returns the configuration; without one, in a sandbox, an empty one.
func (f *previewFlags) load() (*config.Config, error) {
	cfg := config.Default()
	if f.configured || !f.sandbox {
		var err error
		if cfg, err = config.Load(f.config); err != nil {
			return nil, err
		}
	}
	labels := maps.Clone(cfg.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, f.labels)
	cfg.Labels = labels
	return cfg, nil
}

// cluster returns the cluster to ask, and what to call when it is not needed any more.
func (f *previewFlags) cluster(cfg *config.Config, m *schemas.MetricsExporter) (config.Kusto, func(), error) {
	if !f.sandbox {
		cluster, ok := cfg.ClusterFor(m.Spec.Database)
		if !ok {
			hint := "it has " + strings.Join(cfg.Databases(), ", ")
			if near := strict.Nearest(m.Spec.Database, cfg.Databases()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return cluster, nil, fmt.Errorf("%s: no kusto entry serves database %q of %s, %s", f.config, m.Spec.Database, m.Key(), hint)
		}
		return cluster, func() {}, nil
	}
	parser, err := parserOfProcess()
	if err != nil {
		return config.Kusto{}, nil, err
	}
	sc := sandbox.Config{Listen: "127.0.0.1:0", Parser: parser}
	if f.data != "" {
		data, err := files.Load(f.data)
		if err != nil {
			return config.Kusto{}, nil, err
		}
		sc.Source, sc.Catalog = data.Source(), data.Catalog()
	}
	s, err := sandbox.New(sc)
	if err != nil {
		return config.Kusto{}, nil, err
	}
	if err := s.Start(); err != nil {
		return config.Kusto{}, nil, errors.Join(err, s.Close())
	}
	return sandboxCluster(s.URL(), m.Spec.Database), func() { _ = s.Close() }, nil
}

// sandboxCluster is the configuration of a sandbox.
func sandboxCluster(url string, databases ...string) config.Kusto {
	k := config.DefaultKusto()
	k.Name, k.Endpoint, k.Databases, k.Auth.Type = "sandbox", config.Address(url), databases, config.AuthNone
	return k
}

// previewed is a window on its way to be shown.
type previewed struct {
	doc     resource.Document
	cfg     *config.Config
	path    string // of cfg; empty when there is none
	cluster config.Kusto
	window  schemas.Window
	latest  bool
	now     time.Time
}

func (p *previewed) run(ctx context.Context, f *previewFlags, out, errs io.Writer) error {
	client, err := querier.NewClient(querier.ClientConfig{
		Cluster: p.cluster, LabelParameters: p.cfg.LabelParameters(), Version: version,
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	pc := preview.Config{
		Client: client, Output: p.output(), MetricsExporter: p.doc.MetricsExporter,
		Window: p.window, MaxRows: f.maxRows,
	}
	if f.output == outputJSON {
		j := preview.NewJSON(out)
		pc.Take = j.Add
		r, err := preview.Run(ctx, pc)
		if err != nil {
			return p.failed(err)
		}
		if err := j.Close(); err != nil {
			return err
		}
		return p.report(errs, r)
	}
	t := preview.NewTable(f.limit)
	pc.Take = t.Add
	r, err := preview.Run(ctx, pc)
	if err != nil {
		return p.failed(err)
	}
	if err := p.head(out); err != nil {
		return err
	}
	if err := t.Write(out, terminalWidth(out)); err != nil {
		return err
	}
	if r.Points > 0 {
		fmt.Fprintln(out)
	}
	return p.report(out, r)
}

// output is what the OTLP of the exporter looks like.
func (p *previewed) output() transformer.Output {
	exporters := transformed(p.cfg)
	i := slices.IndexFunc(exporters, func(e transformer.Exporter) bool { return e.Name == p.doc.MetricsExporter.Spec.Exporter })
	if i < 0 {
		return transformer.Output{ServiceVersion: version, ResourceAttributes: p.cfg.ResourceAttributes}
	}
	return exporters[i].Output
}

// failed says of an error what the pipeline would make of it.
func (p *previewed) failed(err error) error {
	kind, delay := pipe.KindOf(err)
	verdict := "retry: the pipeline would try this window again"
	switch kind {
	case pipe.KindPermanent:
		verdict = "permanent: the window would fail for good and become a dead letter"
	case pipe.KindRetryAfter:
		verdict = fmt.Sprintf("retry_after: the pipeline would try this window again after %s", duration(delay))
	}
	return fmt.Errorf("%s%s, window %s: %w\n%s", p.place(err), p.doc.Key(), p.window, err, verdict)
}

// place is where in the file Kusto finds fault with the query; empty when it does not say.
func (p *previewed) place(err error) string {
	var e *frames.Error
	if !errors.As(err, &e) {
		return ""
	}
	line, column, ok := e.Place()
	if !ok {
		return ""
	}
	const field = "spec.body"
	line, column = p.doc.Source.PositionIn(field, strict.Offset(p.doc.MetricsExporter.Spec.Body, line, column))
	return fmt.Sprintf("%s:%d:%d: %s: ", p.doc.File, line, column, field)
}

// terminalWidth is how wide a line may be; 0 where there is no terminal.
func terminalWidth(out io.Writer) int {
	file, ok := isTerminal(out)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}
