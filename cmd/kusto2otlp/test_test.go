package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-o", "table"}, `-o must be text or json, got "table"`},
		{[]string{"--run", "("}, "--run must be a regular expression: error parsing regexp: missing closing ): `(`"},
	} {
		t.Run("ErrUsage", func(t *testing.T) {
			code, out, errs := run(t, append([]string{"test"}, tt.args...)...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.Equal(t, fmt.Sprintf("kusto2otlp: %s\nkusto2otlp: run 'kusto2otlp test --help' for how it is used\n", tt.want), errs)
		})
	}
	t.Run("ErrNone", func(t *testing.T) {
		dir := t.TempDir()
		code, out, errs := run(t, "test", dir)
		require.Equal(t, exitFailure, code)
		require.Empty(t, out)
		require.Equal(t, "kusto2otlp: "+dir+" has no test: no file in it ends in .test.yaml or .test.yml\n", errs)
	})
}

// The examples' tests pass.
func TestExamples(t *testing.T) {
	code, out, errs := run(t, "test", "../../deploy/examples")
	require.Zero(t, code, out+errs)
	require.Empty(t, errs)
	for _, name := range []string{"customer-analytics", "global-error-rates", "infrastructure-monitoring", "service-response-times"} {
		require.Regexp(t, `(?m)^ok    \.\./\.\./deploy/examples/`+name+`\.test\.yaml  \d tests?  `, out)
	}
}

// A directory with a test that passes, one that fails and a file that is none.
func TestTest(t *testing.T) {
	dir := t.TempDir()
	example := readFile(t, "../../deploy/examples/infrastructure-monitoring.test.yaml")
	for _, name := range []string{"a", "b"} {
		write(t, filepath.Join(dir, name+".yaml"), readFile(t, "../../deploy/examples/infrastructure-monitoring.yaml"))
	}
	write(t, filepath.Join(dir, "a.test.yaml"), example)
	failing := strings.NewReplacer("value: 15.5", "value: 15", "NodeName: aks-1", "NodeName: aks-2").Replace(example)
	b := filepath.Join(dir, "b.test.yaml")
	write(t, b, failing)

	t.Run("ErrText", func(t *testing.T) {
		code, out, errs := run(t, "test", dir)
		require.Equal(t, exitFailure, code)
		require.Equal(t, "kusto2otlp: 1 of 2 tests failed\n", errs)
		require.Regexp(t, `^ok    `+dir+`/a\.test\.yaml  1 test  \S+s
--- FAIL: `+b+`:5: the average of each node in half a minute \(\S+s\)
    - node_cpu_utilization{ClusterName="westus-aks-0", NodeName="aks-2", Region="westus"} 2025-06-25T10:00:30Z 70\.0
    \+ node_cpu_utilization{ClusterName="westus-aks-0", NodeName="aks-1", Region="westus"} 2025-06-25T10:00:30Z 70\.0
    ~ node_cpu_utilization{ClusterName="eastus-aks-0", NodeName="aks-0", Region="eastus"} 2025-06-25T10:00:30Z: want 15, got 15\.5
FAIL  `+b+`  1 test  \S+s
$`, out)
	})

	t.Run("ErrJSON", func(t *testing.T) {
		code, out, _ := run(t, "test", dir, "-o", "json")
		require.Equal(t, exitFailure, code)
		var list []map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &list))
		require.Len(t, list, 2)
		require.Equal(t, true, list[0]["passed"])
		require.Equal(t, false, list[1]["passed"])
		require.Equal(t, b, list[1]["file"])
		require.EqualValues(t, 5, list[1]["line"])
		require.Equal(t, []any{map[string]any{
			"name": "node_cpu_utilization", "time": "2025-06-25T10:00:30Z", "value": 70.0,
			"labels": map[string]any{"ClusterName": "westus-aks-0", "NodeName": "aks-2", "Region": "westus"},
		}}, list[1]["missing"])
		require.Len(t, list[1]["unexpected"], 1)
		require.Len(t, list[1]["changed"], 1)
	})

	t.Run("ErrFile", func(t *testing.T) {
		broken := filepath.Join(dir, "c.test.yaml")
		write(t, broken, "kind: MetricsTest\ntests: []\n")
		code, out, errs := run(t, "test", dir)
		require.Equal(t, exitFailure, code)
		require.Contains(t, out, "FAIL  "+broken+"  0 tests  ")
		require.Contains(t, out, "ok    "+filepath.Join(dir, "a.test.yaml"), "the others are run all the same")
		require.Equal(t, fmt.Sprintf("kusto2otlp: %[1]s:1:1: apiVersion: is needed, and must be \"adx-mon.azure.com/v1\"\nkusto2otlp: %[1]s:2:8: tests: must have at least one test\nkusto2otlp: 1 of 2 tests failed\n", broken), errs)
		code, out, errs = run(t, "test", broken, "-o", "json")
		require.Equal(t, exitFailure, code)
		require.Equal(t, "[]\n", out)
		require.Contains(t, errs, "must have at least one test")
	})

	t.Run("OKRun", func(t *testing.T) {
		code, out, errs := run(t, "test", filepath.Join(dir, "a.test.yaml"), b, "--run", "^no such")
		require.Equal(t, exitFailure, code)
		require.Empty(t, out)
		require.Equal(t, "kusto2otlp: no test has a name that matches --run \"^no such\"\n", errs)
		code, _, errs = run(t, "test", filepath.Join(dir, "a.test.yaml"), "--run", "average of")
		require.Zero(t, code, errs)
	})

	t.Run("OKUpdate", func(t *testing.T) {
		code, out, errs := run(t, "test", filepath.Join(dir, "a.test.yaml"), b, "--update")
		require.Zero(t, code, errs)
		require.Regexp(t, `(?m)^ok    `+dir+`/a\.test\.yaml  1 test  \S+s$`, out)
		require.Regexp(t, `(?m)^ok    `+b+`  1 test  \S+s  1 expectation updated$`, out)
		// What is right again is what it was before it was wrong.
		require.Equal(t, example, readFile(t, b))
	})
}

// Of a test with very many differences the first are shown.
func TestTestLimitsLines(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), previewExporter("m", "5m", "range i from 1 to 100 step 1 | project v = i, t = _startTime, L = tostring(i)", ""))
	write(t, filepath.Join(dir, "m.test.yaml"), "apiVersion: adx-mon.azure.com/v1\nkind: MetricsTest\ntests:\n  - {name: a, window: {start: 2026-05-01T00:00:00Z}, expect: {points: []}}\n")
	code, out, _ := run(t, "test", dir)
	require.Equal(t, exitFailure, code)
	require.Equal(t, maxTestLines, strings.Count(out, "\n    + "))
	require.Contains(t, out, "\n    … and 60 more\n")
}
