package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/kusto2otlp/kusto2otlp/deploy/examples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// demoRefresh is how often the table is drawn.
const demoRefresh = 500 * time.Millisecond

//go:embed demo/pipeline.yaml.tmpl
var demoPipeline string

//go:embed demo/live.yaml
var demoLive []byte

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything on this machine, with a local Kusto and a local OTLP endpoint",
		Long: `Run the whole pipeline on this machine with nothing to configure: a local Kusto
endpoint over sample data at one end (see 'kusto2otlp sandbox'), a local OTLP
endpoint at the other, and the four use cases of the design document in between.

On a terminal it shows a table that refreshes in place, elsewhere a line for every
exported window. At the end it compares what the pipeline says it exported with
what the endpoint counted.

The configuration and the MetricsExporters that it runs with are written to a
temporary directory, shown at the start: change one and see it take effect.`,
		Example: `  kusto2otlp demo
  kusto2otlp demo --for 20s`,
		Args: noArgs,
	}
	length := cmd.Flags().Duration("for", 0, "end by itself after this `duration`; 0: at Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *length < 0 {
			return usageError{fmt.Errorf("--for must not be negative, got %s", *length)}
		}
		return runDemo(cmd.Context(), *length, cmd.OutOrStdout())
	}
	return cmd
}

// demo is everything that runs.
type demo struct {
	dir      string
	kusto    *sandbox.Server
	endpoint *otlp.Server
	pipeline *pipeline
	logFile  *os.File
	board    *board
}

func runDemo(ctx context.Context, length time.Duration, out io.Writer) error {
	fmt.Fprintln(out, "starting a local kusto, an OTLP endpoint and the pipeline …")
	d, err := openDemo(ctx)
	if err != nil {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
		return err
	}
	err = d.Run(ctx, length, out)
	return errors.Join(err, d.Close())
}

func openDemo(ctx context.Context) (_ *demo, err error) {
	d := &demo{board: newBoard()}
	if d.dir, err = os.MkdirTemp("", "kusto2otlp-demo-"); err != nil {
		return nil, err
	}
	if d.kusto, err = sandbox.New(sandbox.Config{Listen: "127.0.0.1:0"}); err != nil {
		return d, err
	}
	if err = d.kusto.Start(); err != nil {
		return d, err
	}
	if d.endpoint, err = otlp.New(otlp.Config{Listen: "127.0.0.1:0"}); err != nil {
		return d, err
	}
	if err = d.endpoint.Start(); err != nil {
		return d, err
	}
	// The first query loads the KQL parser, which takes a second or two: now, and not
	// in a window's time.
	if err = d.warm(ctx); err != nil {
		return d, err
	}
	cfg, err := d.configure()
	if err != nil {
		return d, err
	}
	if d.logFile, err = os.Create(filepath.Join(d.dir, "log.json")); err != nil {
		return d, err
	}
	log := slog.New(slog.NewJSONHandler(d.logFile, nil))
	if d.pipeline, err = openPipeline(ctx, cfg, schemas.Stages, log); err != nil {
		return d, err
	}
	return d, nil
}

func (d *demo) warm(ctx context.Context) error {
	body := strings.NewReader(`{"db": "TelemetryDB", "csl": "print 1"}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.kusto.URL()+"/v2/rest/query", body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("start the local kusto: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		return fmt.Errorf("start the local kusto: %s: %s", resp.Status, text)
	}
	return nil
}

// configure writes the configuration and the MetricsExporters to the directory,
// as a user would have them, and loads the former.
func (d *demo) configure() (*config.Config, error) {
	t, err := template.New("pipeline.yaml").Parse(demoPipeline)
	if err != nil {
		return nil, err
	}
	exporters := filepath.Join(d.dir, "exporters")
	if err := os.Mkdir(exporters, 0o755); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Dir": d.dir, "Kusto": d.kusto.URL(), "Endpoint": d.endpoint.Endpoint})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(d.dir, "pipeline.yaml")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	files, err := fs.Glob(examples.Files, "*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := examples.Files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(exporters, name), text, 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(exporters, "requests-live.yaml"), demoLive, 0o644); err != nil {
		return nil, err
	}
	return config.Load(path)
}

// Run shows the pipeline at work until ctx ends or length has passed.
func (d *demo) Run(ctx context.Context, length time.Duration, out io.Writer) error {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if length > 0 {
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
	}
	until := "until Ctrl-C"
	if length > 0 {
		until = fmt.Sprintf("for %s", length)
	}
	fmt.Fprintf(out, "kusto2otlp demo, %s: KQL windows become OTLP metrics\n\n", until)
	fmt.Fprintf(out, "  kusto      %s\n  endpoint   http://%s\n  telemetry  http://%s/metrics\n  files      %s\n\n",
		d.kusto.URL(), d.endpoint.Addr(), d.pipeline.http.Addr(), d.dir)

	// The events are watched for longer than the pipeline runs, so that the last
	// windows are counted too.
	watchCtx, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	var g errgroup.Group
	screen := newScreen(out)
	g.Go(func() error {
		return d.pipeline.pipe.Watch(watchCtx, func(e *wire.Event) { d.board.see(e, screen) })
	})
	g.Go(func() error {
		screen.show(ctx, d.board, d.endpoint)
		return nil
	})
	err := d.pipeline.Run(ctx)
	cancel()
	d.settle(ctx)
	stopWatching()
	err = errors.Join(err, g.Wait())
	width, _ := screen.size()
	fmt.Fprint(out, d.board.summary(time.Since(began), d.endpoint.Snapshot(), width))
	return err
}

// settle waits until the board has seen what the endpoint has, or a second.
func (d *demo) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for d.board.points() != d.endpoint.Snapshot().Points() {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Close ends what still runs and removes the directory.
func (d *demo) Close() error {
	if d.pipeline != nil {
		d.pipeline.Close()
	}
	var errs []error
	if d.endpoint != nil {
		errs = append(errs, d.endpoint.Close())
	}
	if d.kusto != nil {
		errs = append(errs, d.kusto.Close())
	}
	if d.logFile != nil {
		errs = append(errs, d.logFile.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// isTerminal says whether out can be drawn on in place.
func isTerminal(out io.Writer) (*os.File, bool) {
	f, ok := out.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
