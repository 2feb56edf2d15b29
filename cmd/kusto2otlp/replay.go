package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/replay"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// replayDraw is how often the progress bar is drawn, replayLine how often a line
	// is printed where there is no terminal.
	replayDraw = 200 * time.Millisecond
	replayLine = 5 * time.Second

	barWidth = 30
)

type replayFlags struct {
	config, start, end, from, rate, request string
	wait, dryRun                            bool
}

func newReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay NAMESPACE/NAME --start T --end T",
		Short: "Run windows of the past again",
		Long: `Run the windows again that lie wholly within [start, end), on the backfill lane, so
that the windows of the schedule are not delayed.

  --from query   asks Kusto again, with the spec as the files have it now
  --from send    sends again what was exported, as long as it is kept (replayRetention)

Points that arrive a second time are the same series and time; what changed in
Kusto since is overwritten, where the destination takes that.

It may be interrupted: the same command goes on where it was, and does nothing
when everything was issued. To run a range once more, name another --request.`,
		Example: `  kusto2otlp replay monitoring/response-times --start 2026-05-01T00:00:00Z --end 2026-05-02T00:00:00Z --wait
  kusto2otlp replay monitoring/response-times --start 2026-05-01 --end 2026-05-02 --dry-run
  kusto2otlp replay monitoring/response-times --start 2026-05-01 --end 2026-05-02 --from send --rate 20/s`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "pipeline.yaml", "the pipeline's configuration `file`")
	flags.StringVar(&f.start, "start", "", "`time` of the first window's start, RFC 3339 or a date in UTC; needed")
	flags.StringVar(&f.end, "end", "", "`time` of the last window's end; needed")
	flags.StringVar(&f.from, "from", string(replay.FromQuery), "query or send")
	flags.StringVar(&f.rate, "rate", "5/s", "how many windows a second are issued, `N/s`")
	flags.StringVar(&f.request, "request", "", "the `id` of this replay; made of the name, the range and --from")
	flags.BoolVar(&f.wait, "wait", false, "wait until everything is exported")
	flags.BoolVar(&f.dryRun, "dry-run", false, "list the windows, and do nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s needs one NAMESPACE/NAME, got %q", cmd.CommandPath(), args)}
		}
		cfg, rc, err := f.replay(args[0])
		if err != nil {
			return err
		}
		return f.run(cmd.Context(), cfg, rc, cmd.OutOrStdout())
	}
	return cmd
}

// replay reads the flags and the MetricsExporter's file.
func (f *replayFlags) replay(key string) (*config.Config, replay.Config, error) {
	rc := replay.Config{From: replay.From(f.from), Request: f.request}
	namespace, name, err := metricsExporterName("the MetricsExporter", key)
	if err != nil {
		return nil, rc, err
	}
	for _, t := range []struct {
		flag, value string
		to          *time.Time
	}{{"--start", f.start, &rc.Range.Start}, {"--end", f.end, &rc.Range.End}} {
		if *t.to, err = parseTime(t.value); err != nil {
			return nil, rc, usageError{fmt.Errorf("%s %w", t.flag, err)}
		}
	}
	switch {
	case rc.From != replay.FromQuery && rc.From != replay.FromSend:
		return nil, rc, usageError{fmt.Errorf("--from must be query or send, got %q", f.from)}
	case !rc.Range.Start.Before(rc.Range.End):
		return nil, rc, usageError{fmt.Errorf("--start must be before --end, got %s and %s", f.start, f.end)}
	}
	if rc.Rate, err = parseRate(f.rate); err != nil {
		return nil, rc, usageError{err}
	}
	if f.request != "" {
		if err := schemas.CheckRequest(f.request); err != nil {
			return nil, rc, usageError{fmt.Errorf("--request %w", err)}
		}
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return nil, rc, err
	}
	return cfg, rc, target(cfg, namespace, name, &rc)
}

// target fills in what the MetricsExporter's file says.
func target(cfg *config.Config, namespace, name string, rc *replay.Config) error {
	documents, problems := resource.Load(cfg.Resources.Files, resource.Context{Exporters: cfg.ExporterNames(), Databases: cfg.Databases()})
	for _, d := range documents {
		m := d.MetricsExporter
		if m.Namespace != namespace || m.Name != name {
			continue
		}
		match, err := d.Criteria.Match(cfg.Labels)
		if err != nil {
			return err
		}
		if !match {
			return fmt.Errorf("the criteria of %s/%s do not match the labels of this configuration: no querier of it would take its windows", namespace, name)
		}
		cluster, ok := cfg.ClusterFor(m.Spec.Database)
		if !ok {
			return fmt.Errorf("%s/%s: database: no kusto entry of the configuration serves %q", namespace, name, m.Spec.Database)
		}
		rc.Grid, rc.Delay = d.Grid, m.Spec.IngestionDelay.Duration
		rc.Target = request.Target{Namespace: namespace, Name: name, Cluster: cluster.Name, Exporter: m.Spec.Exporter}
		if rc.Target.Spec, err = json.Marshal(m.Spec); err == nil {
			rc.Hash, err = m.Spec.Hash()
		}
		return err
	}
	err := fmt.Errorf("no file of resources.files declares a valid MetricsExporter %s/%s", namespace, name)
	for _, p := range problems {
		err = fmt.Errorf("%w\n%w", err, p)
	}
	return err
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, errors.New("is needed")
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("must be a time such as 2026-05-01T00:00:00Z or a date, got %q", s)
}

func parseRate(s string) (float64, error) {
	var rate float64
	text := strings.TrimSuffix(s, "/s")
	if n, err := fmt.Sscanf(text+"\n", "%g\n", &rate); n != 1 || err != nil || rate < 0.001 || rate > 1000 {
		return 0, fmt.Errorf("--rate must be between 0.001/s and 1000/s, got %q", s)
	}
	return rate, nil
}

func (f *replayFlags) run(ctx context.Context, cfg *config.Config, rc replay.Config, out io.Writer) error {
	if f.dryRun {
		r, err := replay.New(rc)
		if err != nil {
			return err
		}
		windows := r.Windows()
		for _, w := range windows {
			fmt.Fprintln(out, w)
		}
		fmt.Fprintf(out, "%d windows of %s/%s, from %s, as request %s: nothing was done\n", len(windows), rc.Target.Namespace, rc.Target.Name, rc.From, r.Request())
		return nil
	}
	p, err := openClient(cfg, "replay")
	if err != nil {
		return err
	}
	defer p.Close()
	rc.Pipe = p
	r, err := replay.New(rc)
	if err != nil {
		return err
	}
	resumed, err := r.Open(ctx)
	if err != nil {
		return err
	}
	b := newBar(out)
	b.begin(r, rc, resumed)
	if at, done := r.Done(); done && (!f.wait || !r.Told()) {
		fmt.Fprintf(out, "nothing to do: all was issued by %s; name another --request to run it once more\n", at.Format(time.RFC3339))
		return nil
	}
	if f.wait && !r.Told() {
		return fmt.Errorf("request %s was begun so long ago that nobody can tell any more what became of its windows; leave out --wait, or name another --request", r.Request())
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() {
		err := r.Watch(ctx)
		if err != nil && f.wait {
			cancel()
		}
		watched <- err
	}()
	err = r.Issue(ctx, b.show)
	if err == nil && f.wait {
		err = b.wait(ctx, r)
	}
	interrupted := ctx.Err() != nil
	cancel()
	if werr := <-watched; werr != nil {
		err = werr
	}
	b.end(r.Progress())
	if interrupted && errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted; the same command goes on from here (request %s)", r.Request())
	}
	if err != nil {
		return err
	}
	return b.conclude(r, f.wait)
}

// bar shows a replay's progress: a bar in place on a terminal, lines elsewhere.
type bar struct {
	out   io.Writer
	file  *os.File // nil: no terminal
	shown time.Time
	now   func() time.Time
}

func newBar(out io.Writer) *bar {
	b := &bar{out: out, now: time.Now}
	if file, ok := isTerminal(out); ok {
		b.file = file
	}
	return b
}

func (b *bar) begin(r *replay.Replay, rc replay.Config, resumed bool) {
	verb := "replaying"
	if resumed {
		verb = "going on to replay"
	}
	p := r.Progress()
	fmt.Fprintf(b.out, "%s %d windows of %s/%s, %s, from %s, at %g/s, as request %s\n",
		verb, p.Windows, rc.Target.Namespace, rc.Target.Name, r.Range(), rc.From, rc.Rate, r.Request())
}

// show shows the progress, not more often than one can look.
func (b *bar) show(p replay.Progress) {
	every := replayLine
	if b.file != nil {
		every = replayDraw
	}
	if now := b.now(); now.Sub(b.shown) >= every {
		b.shown = now
		b.print(p)
	}
}

func (b *bar) print(p replay.Progress) {
	line := fmt.Sprintf("issued %d of %d, exported %d, failed %d, %d points", p.Issued, p.Windows, p.Exported, p.Failed, p.Points)
	if p.Missing > 0 {
		line += fmt.Sprintf(", no longer kept %d", p.Missing)
	}
	if b.file == nil {
		fmt.Fprintln(b.out, line)
		return
	}
	ended := p.Exported + p.Failed + p.Missing + p.Empty
	full, half := barWidth*ended/max(p.Windows, 1), barWidth*p.Issued/max(p.Windows, 1)
	full, half = min(full, barWidth), min(max(half, full), barWidth)
	line = "[" + strings.Repeat("#", full) + strings.Repeat("-", half-full) + strings.Repeat(" ", barWidth-half) + "] " + line
	width, _, err := term.GetSize(int(b.file.Fd()))
	if err == nil && width > 1 && len(line) > width-1 {
		line = line[:width-1]
	}
	fmt.Fprintf(b.out, "\r\x1b[K%s", line)
}

// wait shows the progress until nothing more is to come.
func (b *bar) wait(ctx context.Context, r *replay.Replay) error {
	for {
		p := r.Progress()
		if p.Ended() {
			return nil
		}
		b.show(p)
		t := time.NewTimer(replayDraw)
		select {
		case <-r.Changed():
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

func (b *bar) end(p replay.Progress) {
	b.print(p)
	if b.file != nil {
		fmt.Fprintln(b.out)
	}
}

// conclude says what came of it; windows that failed or are not kept are an error.
func (b *bar) conclude(r *replay.Replay, waited bool) error {
	p := r.Progress()
	var errs []error
	const some = 5
	if missing := r.Missing(); p.Missing > 0 {
		text := make([]string, 0, some)
		for _, w := range missing[:min(some, len(missing))] {
			text = append(text, w.String())
		}
		if len(missing) > some {
			text = append(text, "…")
		}
		errs = append(errs, fmt.Errorf("of %d windows nothing, or not everything, is kept any more (%s); --from query asks Kusto for them", p.Missing, strings.Join(text, ", ")))
	}
	if p.Failed > 0 {
		errs = append(errs, fmt.Errorf("%d windows failed, the last one with: %s; see 'kusto2otlp dead list'", p.Failed, p.Message))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if waited {
		fmt.Fprintf(b.out, "done: %d windows exported, %d points\n", p.Exported+p.Empty, p.Points)
	} else {
		fmt.Fprintln(b.out, "all windows are issued; --wait would wait until they are exported")
	}
	return nil
}
