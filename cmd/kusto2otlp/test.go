package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/cmd/kusto2otlp/unittest"
)

// outputText is how a command prints for people where it is no table.
const outputText = "text"

type testFlags struct {
	output, run string
	update      bool
}

func newTest() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [DIR|FILE]…",
		Short: "Run the unit tests of MetricsExporters",
		Long: `Run the tests in *.test.yaml files. A test gives the rows of tables, a window and the
points that must come of them; query and transform run in a sandbox in this process,
without a cluster and without configuration:

  # response-times.test.yaml, beside response-times.yaml
  apiVersion: adx-mon.azure.com/v1
  kind: MetricsTest
  tests:
    - name: the average of a minute
      window: {start: 2026-05-01T10:00:00Z}
      tables:
        ServiceTelemetry:
          columns: [Timestamp:datetime, ServiceName:string, ResponseTimeMs:real]
          rows:
            - [2026-05-01T10:00:01Z, api, 100]
            - [2026-05-01T10:00:59Z, api, 200]
      expect:
        points:
          - {name: response_time_avg, labels: {ServiceName: api}, time: 2026-05-01T10:00:00Z, value: 150}

Of a test that fails, - is a point that was expected and is missing, + one that was
not, ~ one with another value. --update writes the points that there are into the
file as those that are expected; everything else in it stays as it is.

Without an argument the working directory is searched, and those in it.`,
		Example: `  kusto2otlp test exporters
  kusto2otlp test exporters/response-times.test.yaml --run average
  kusto2otlp test exporters --update`,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", outputText, "text or json")
	flags.StringVar(&f.run, "run", "", "only tests whose name matches this `regexp`")
	flags.BoolVar(&f.update, "update", false, "write what comes of the tests into their files as what is expected")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.output != outputText && f.output != outputJSON {
			return usageError{fmt.Errorf("-o must be %s or %s, got %q", outputText, outputJSON, f.output)}
		}
		match, err := regexp.Compile(f.run)
		if err != nil {
			return usageError{fmt.Errorf("--run must be a regular expression: %w", err)}
		}
		if len(args) == 0 {
			args = []string{"."}
		}
		paths, err := unittest.Find(args)
		if err != nil {
			return err
		}
		return f.test(cmd.Context(), paths, match, cmd.OutOrStdout())
	}
	return cmd
}

// testedFile is what became of a file of tests.
type testedFile struct {
	path     string
	outcomes []*unittest.Outcome
	updated  int
	err      error // why none or not all of its tests were run
	took     time.Duration
}

func (f *testedFile) failed() (n int) {
	for _, o := range f.outcomes {
		if !o.Passed() {
			n++
		}
	}
	return n
}

func (f *testFlags) test(ctx context.Context, paths []string, match *regexp.Regexp, out io.Writer) error {
	parser, err := parserOfProcess()
	if err != nil {
		return err
	}
	engine := unittest.NewEngine(parser)
	report := newTestReport(f.output, out)
	var errs []error
	var tests, failed int
	for _, path := range paths {
		file, err := f.file(ctx, engine, path, match)
		if err != nil {
			return err // to stop, or everything is broken
		}
		tests += len(file.outcomes)
		failed += file.failed()
		if file.err != nil {
			errs = append(errs, file.err)
		}
		if err := report.file(file); err != nil {
			return err
		}
	}
	if err := report.close(); err != nil {
		return err
	}
	if tests == 0 && len(errs) == 0 {
		return fmt.Errorf("no test has a name that matches --run %q", f.run)
	}
	if failed > 0 {
		errs = append(errs, fmt.Errorf("%d of %s failed", failed, plural(uint64(tests), "test")))
	}
	return errors.Join(errs...)
}

// file runs the tests of one file.
func (f *testFlags) file(ctx context.Context, engine *unittest.Engine, path string, match *regexp.Regexp) (*testedFile, error) {
	began := time.Now()
	tested := &testedFile{path: path}
	file, err := unittest.Load(path)
	if err != nil {
		tested.err = err
		return tested, nil
	}
	for _, t := range file.Tests {
		if !match.MatchString(t.Name) {
			continue
		}
		o, err := engine.Run(ctx, t)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			tested.err = errors.Join(tested.err, err)
			continue
		}
		tested.outcomes = append(tested.outcomes, o)
	}
	if f.update && tested.err == nil {
		if tested.updated, err = file.Update(tested.outcomes); err != nil {
			tested.err = err
		}
		if tested.updated > 0 {
			return f.again(ctx, engine, tested, match)
		}
	}
	tested.took = time.Since(began)
	return tested, nil
}

// again runs the tests of a file that was written anew, so that what is reported is
// what the file says now.
func (f *testFlags) again(ctx context.Context, engine *unittest.Engine, before *testedFile, match *regexp.Regexp) (*testedFile, error) {
	once := *f
	once.update = false
	after, err := once.file(ctx, engine, before.path, match)
	if err == nil {
		after.updated = before.updated
	}
	return after, err
}
