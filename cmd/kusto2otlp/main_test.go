package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// asProgram makes the test binary be the program, for tests that need a process
// to kill.
const asProgram = "KUSTO2OTLP_TEST_PROGRAM"

func TestMain(m *testing.M) {
	parserCommand = func() *exec.Cmd { return program(newParserEngine().Name()) }
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case "servers":
		os.Exit(serveForBenchmark())
	case "nats":
		os.Exit(serveNATS())
	default:
		if path := os.Getenv(clockFile); path != "" {
			clock = steppedClock{path}
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}
}

// program returns a command that runs this program as a process of its own.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// run runs one command line in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestCommandLine(t *testing.T) {
	t.Run("OKHelp", func(t *testing.T) {
		for _, args := range [][]string{nil, {"--help"}, {"help"}} {
			code, out, errs := run(t, args...)
			require.Zero(t, code)
			require.Empty(t, errs)
			for _, command := range []string{"run", "scheduler", "querier", "transformer", "sender", "demo", "sandbox", "preview", "test", "version"} {
				require.Contains(t, out, "\n  "+command)
			}
		}
	})

	t.Run("OKHelpOfEach", func(t *testing.T) {
		var each func(c *cobra.Command)
		each = func(c *cobra.Command) {
			path := strings.Fields(c.CommandPath())[1:]
			code, out, errs := run(t, append(path, "--help")...)
			require.Zero(t, code)
			require.Empty(t, errs)
			require.Contains(t, out, "Examples:\n  "+c.CommandPath(), "an example of %s", c.CommandPath())
			for _, sub := range c.Commands() {
				if sub.Hidden {
					continue
				}
				require.NotEmpty(t, sub.Short)
				require.True(t, c.HasParent() || sub.GroupID != "" || sub.Name() == "version", "%s is in no group", sub.CommandPath())
				each(sub)
			}
		}
		each(newRoot())
	})

	t.Run("OKVersion", func(t *testing.T) {
		code, out, _ := run(t, "version")
		require.Zero(t, code)
		require.True(t, strings.HasPrefix(out, "kusto2otlp dev"), out)
	})

	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"frobnicate"}, `kusto2otlp: there is no command "frobnicate"` + "\nkusto2otlp: run 'kusto2otlp --help' for how it is used\n"},
		{[]string{"run", "--confg", "x"}, "kusto2otlp: unknown flag: --confg\nkusto2otlp: run 'kusto2otlp run --help' for how it is used\n"},
		{[]string{"run", "x.yaml"}, `kusto2otlp: kusto2otlp run takes no arguments, got ["x.yaml"]` + "\nkusto2otlp: run 'kusto2otlp run --help' for how it is used\n"},
		{[]string{"demo", "--for", "soon"}, `kusto2otlp: invalid argument "soon" for "--for" flag: time: invalid duration "soon"` + "\nkusto2otlp: run 'kusto2otlp demo --help' for how it is used\n"},
		{[]string{"demo", "--for=-1s"}, "kusto2otlp: --for must not be negative, got -1s\nkusto2otlp: run 'kusto2otlp demo --help' for how it is used\n"},
	} {
		t.Run("ErrUsage", func(t *testing.T) {
			code, out, errs := run(t, tt.args...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.Equal(t, tt.want, errs)
		})
	}

	t.Run("ErrNoConfig", func(t *testing.T) {
		code, _, errs := run(t, "run", "--config", "missing.yaml")
		require.Equal(t, exitFailure, code)
		require.Equal(t, "kusto2otlp: read configuration: open missing.yaml: no such file or directory\n", errs)
	})

	t.Run("ErrConfig", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pipeline.yaml")
		write(t, path, `kusto:
  - {name: telemetry, endpoint: "http://127.0.0.1:1", databases: [TelemetryDB], auth: {type: none}}
exporters:
  - name: datadog
    endpoint: http://127.0.0.1:1/v1/metrics
    timeout: 10ms
    protocl: grpc
`)
		code, _, errs := run(t, "run", "--config", path)
		require.Equal(t, exitFailure, code)
		require.Equal(t, fmt.Sprintf(`kusto2otlp: %s:6:14: exporters[0].timeout: exporter "datadog": timeout must be at least 1s, got 10ms
kusto2otlp: %s:7:5: exporters[0].protocl: unknown field "protocl", did you mean "protocol"?
`, path, path), errs)
	})

	t.Run("ErrStageAlone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pipeline.yaml")
		write(t, path, `kusto:
  - {name: telemetry, endpoint: "http://127.0.0.1:1", databases: [TelemetryDB], auth: {type: none}}
exporters:
  - {name: prom, endpoint: "http://127.0.0.1:1/v1/metrics"}
`)
		code, _, errs := run(t, "querier", "--config", path)
		require.Equal(t, exitFailure, code)
		require.Equal(t, "kusto2otlp: "+path+": nats.url: is needed to run one stage alone; the embedded server is for 'kusto2otlp run'\n", errs)
	})
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// replaceOnce replaces a text that is there exactly once.
func replaceOnce(t testing.TB, text, old, by string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(text, old), old)
	return strings.Replace(text, old, by, 1)
}
