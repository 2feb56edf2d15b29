package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
)

const validateBody = `    ServiceTelemetry
    | where Timestamp between (_startTime .. _endTime) and Environment == _env
    | summarize v = avg(ResponseTimeMs) by ServiceName, t = bin(Timestamp, 1m)
`

// exporterFile is a MetricsExporter whose body begins at line 9.
func exporterFile(body string) string {
	return `apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: times}
spec:
  database: TelemetryDB
  exporter: e
  interval: 1m
  body: |
` + body + `  transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t, labelColumns: [ServiceName]}
`
}

func TestValidateCommand(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "exporters", "times.yaml"), exporterFile(validateBody))
	write(t, filepath.Join(dir, "pipeline.yaml"), `labels: {env: prod}
resources: {files: ["`+dir+`/exporters/*.yaml"]}
kusto: [{name: k, endpoint: "${env:KUSTO2OTLP_NOT_SET}", databases: [TelemetryDB]}]
exporters: [{name: e, endpoint: "http://localhost:4318/v1/metrics"}]
`)
	config := filepath.Join(dir, "pipeline.yaml")

	t.Run("OK", func(t *testing.T) {
		code, out, errs := run(t, "validate", "-f", dir+"/exporters", "--config", config, "--schema", "sandbox")
		require.Equal(t, []any{0, "", "1 file, 0 errors, 0 warnings\n"}, []any{code, out, errs})
	})
	t.Run("OKFilesOfConfiguration", func(t *testing.T) {
		code, out, errs := run(t, "validate", "--config", config)
		require.Equal(t, []any{0, "", "1 file, 0 errors, 0 warnings\n"}, []any{code, out, errs})
	})
	t.Run("OKExamples", func(t *testing.T) {
		code, out, errs := run(t, "validate", "../../deploy/examples", "--schema", "sandbox")
		require.Equal(t, []any{0, ""}, []any{code, out}, errs)
	})
	t.Run("OKWarning", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "w.yaml")
		write(t, path, exporterFile("    ServiceTelemetry\n"))
		code, out, errs := run(t, "validate", path)
		require.Equal(t, []any{0, path + ":9:5: spec.body: warning: never mentions _startTime or _endTime: every window exports all rows again\n", "1 file, 0 errors, 1 warning\n"}, []any{code, out, errs})
	})
	t.Run("ErrFindings", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "e.yaml")
		write(t, path, exporterFile(strings.Replace(validateBody, "ServiceName", "Service", 1)))
		for output, want := range map[string]string{
			"github": "::error file=" + path + ",line=11,col=44::spec.body: The name 'Service'",
			"sarif":  `"ruleId": "kql-semantics"`,
		} {
			code, out, errs := run(t, "validate", "-f", path, "--schema", "sandbox", "-o", output)
			require.Equal(t, 1, code)
			require.Contains(t, out, want)
			require.Equal(t, "1 file, 2 errors, 0 warnings\n", errs)
			require.Equal(t, output == "sarif", json.Valid([]byte(out)))
		}
	})
	t.Run("ErrConfiguration", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pipeline.yaml")
		write(t, path, "kusto: []\nexporters: [{nam: e}]\n")
		code, out, errs := run(t, "validate", "-f", dir+"/exporters/times.yaml", "--config", path)
		require.Equal(t, 1, code, errs)
		require.Contains(t, out, path+`:2:14: exporters[0].nam: unknown field "nam", did you mean "name"?`)
		require.Contains(t, errs, "2 files, ")
	})
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"ErrNothing": {nil, 2, "-f or --config is needed"},
		"ErrEmpty":   {[]string{"-f", ""}, 2, "-f must not be empty"},
		"ErrOnline":  {[]string{"-f", dir, "--online"}, 2, "--online needs --config"},
		"ErrOutput":  {[]string{"-f", dir, "-o", "xml"}, 2, `-o must be text, json, sarif or github, got "xml"`},
		"ErrFlag":    {[]string{"--strict"}, 2, "unknown flag: --strict"},
		"ErrConfig":  {[]string{"--config", "/nope.yaml"}, 1, "read configuration: open /nope.yaml: no such file or directory"},
		"ErrSchema":  {[]string{"-f", dir, "--schema", "/nope.json"}, 1, "read schema: open /nope.json: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := run(t, append([]string{"validate"}, tt.args...)...)
			require.Equal(t, tt.code, code)
			require.Empty(t, out)
			require.Contains(t, errs, "kusto2otlp: "+tt.want)
		})
	}
}

// TestValidateOnline asks a sandbox, over HTTP and with azkustodata, as it would ask a cluster.
func TestValidateOnline(t *testing.T) {
	s, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, s.Start())
	defer s.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "pipeline.yaml")
	write(t, config, `labels: {env: prod}
kusto: [{name: k, endpoint: "`+s.URL()+`", databases: [TelemetryDB, AnalyticsDB], auth: {type: none}}]
exporters: [{name: e, endpoint: "http://localhost:4318/v1/metrics"}]
`)
	check := func(t *testing.T, text string, args ...string) (int, string) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		write(t, path, text)
		code, out, _ := run(t, append([]string{"validate", "-f", path, "--config", config}, args...)...)
		return code, strings.ReplaceAll(out, path+":", "")
	}

	t.Run("OK", func(t *testing.T) {
		code, out := check(t, exporterFile(validateBody), "--online")
		require.Equal(t, []any{0, ""}, []any{code, out})
	})
	t.Run("ErrPlace", func(t *testing.T) {
		code, out := check(t, exporterFile(strings.Replace(validateBody, "ResponseTimeMs", "ResponseTime", 1)), "--online")
		require.Equal(t, 1, code)
		require.True(t, strings.HasPrefix(out, "11:25: spec.body: Kusto refuses it: Semantic error: The name 'ResponseTime'"), out)
	})
	t.Run("ErrColumns", func(t *testing.T) {
		code, out := check(t, exporterFile(strings.Replace(validateBody, "t = ", "at = ", 1)), "--online")
		require.Equal(t, []any{1, "12:70: spec.transform.timestampColumn: the answer has no column \"t\"; it has ServiceName (string), at (datetime), v (real)\n"}, []any{code, out})
	})
	t.Run("ErrNobody", func(t *testing.T) {
		code, out := check(t, strings.Replace(exporterFile(validateBody), "TelemetryDB", "AnalyticsDB", 1), "--online")
		require.Equal(t, 1, code)
		require.Contains(t, out, "9:5: spec.body: Kusto refuses it: Semantic error: The name 'ServiceTelemetry'")
	})

	t.Run("OKDump", func(t *testing.T) {
		path := filepath.Join(dir, "schema.json")
		code, out, errs := run(t, "schema", "dump", "--config", config, "-o", path)
		require.Equal(t, []any{0, "", path + ": 1 cluster, 2 databases, 4 tables\n"}, []any{code, out, errs})
		code, again, _ := run(t, "schema", "dump", "--config", config, "--kusto", "k")
		require.Equal(t, 0, code)
		dumped, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(dumped), again)

		code, out = check(t, exporterFile(strings.Replace(validateBody, "ResponseTimeMs", "ResponseTime", 1)), "--schema", path)
		require.Equal(t, []any{1, "11:25: spec.body: The name 'ResponseTime' does not refer to any known column, table, variable or function. (KS142), did you mean \"ResponseTimeMs\"?\n"}, []any{code, out})
		code, out = check(t, exporterFile(validateBody), "--schema", path)
		require.Equal(t, []any{0, ""}, []any{code, out})
	})
	t.Run("ErrDumpCluster", func(t *testing.T) {
		code, _, errs := run(t, "schema", "dump", "--config", config, "--kusto", "other")
		require.Equal(t, 2, code)
		require.Contains(t, errs, `--kusto "other" is no cluster of the configuration`)
	})
	t.Run("ErrDumpDatabase", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pipeline.yaml")
		write(t, path, `kusto: [{name: k, endpoint: "`+s.URL()+`", databases: [Nowhere], auth: {type: none}}]
exporters: [{name: e, endpoint: "http://localhost:4318/v1/metrics"}]
`)
		out := filepath.Join(t.TempDir(), "schema.json")
		code, _, errs := run(t, "schema", "dump", "--config", path, "-o", out)
		require.Equal(t, 1, code)
		require.Contains(t, errs, `query database "Nowhere" on cluster "k": HTTP 400`)
		require.NoFileExists(t, out)
	})
}

func TestSchemaDumpSandbox(t *testing.T) {
	code, out, _ := run(t, "schema", "dump", "--sandbox")
	require.Equal(t, 0, code)
	require.True(t, strings.HasPrefix(out, "{\n  \"version\": 1,\n  \"clusters\": [\n    {\n      \"name\": \"sandbox\","), out[:200])
	require.Contains(t, out, "\"name\": \"ResponseTimeMs\",\n                  \"type\": \"real\"")
	code, _, errs := run(t, "schema", "dump", "--sandbox", "--kusto", "k")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "--sandbox takes neither --config nor --kusto")
}
