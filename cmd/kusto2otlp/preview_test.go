package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestPreviewCommandLine(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "two.yaml"), previewExporter("a", "5m", "T", "")+"---\n"+previewExporter("b", "5m", "T", ""))
	two := filepath.Join(dir, "two.yaml")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, `-f is needed: the file of a MetricsExporter`},
		{[]string{"-f", "x", "name"}, `the argument must be NAMESPACE/NAME, got "name"`},
		{[]string{"-f", "x", "a/b", "c/d"}, `kusto2otlp preview takes one NAMESPACE/NAME, got ["a/b" "c/d"]`},
		{[]string{"-f", "x", "-o", "yaml"}, `-o must be table or json, got "yaml"`},
		{[]string{"-f", "x", "--start", "soon"}, `--start must be a time such as 2026-05-01T00:00:00Z or a date, got "soon"`},
		{[]string{"-f", "x", "--end", "2026-05-01T00:00:00.00000005Z"}, `--end must be a multiple of 100ns, Kusto's unit of time, got "2026-05-01T00:00:00.00000005Z"`},
		{[]string{"-f", "x", "--start", "2026-05-02", "--end", "2026-05-01"}, `--start must be before --end, got 2026-05-02 and 2026-05-01`},
		{[]string{"-f", "x", "--data", "x"}, `--data is for --sandbox`},
		{[]string{"-f", "x", "--limit=-1"}, `--limit must not be negative, got -1`},
		{[]string{"-f", "x", "--max-rows=-1"}, `--max-rows must not be negative, got -1`},
		{[]string{"-f", two, "--sandbox"}, two + ` has several MetricsExporters, name one of test/a, test/b`},
	} {
		t.Run("ErrUsage", func(t *testing.T) {
			code, out, errs := run(t, append([]string{"preview"}, tt.args...)...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.Equal(t, fmt.Sprintf("kusto2otlp: %s\nkusto2otlp: run 'kusto2otlp preview --help' for how it is used\n", tt.want), errs)
		})
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-f", filepath.Join(dir, "none.yaml")}, filepath.Join(dir, "none.yaml") + ": does not exist\n"},
		{[]string{"-f", filepath.Join(dir, "*.yml")}, filepath.Join(dir, "*.yml") + ": matches no file\n"},
		{[]string{"-f", dir, "test/c"}, dir + " has no MetricsExporter test/c; it has test/a, test/b\n"},
		{[]string{"-f", two, "test/a", "--config", filepath.Join(dir, "no.yaml")}, "read configuration: open " + filepath.Join(dir, "no.yaml") + ": no such file or directory\n"},
	} {
		t.Run("ErrFile", func(t *testing.T) {
			code, out, errs := run(t, append([]string{"preview"}, tt.args...)...)
			require.Equal(t, exitFailure, code)
			require.Empty(t, out)
			require.Equal(t, "kusto2otlp: "+tt.want, errs)
		})
	}
}

func previewExporter(name, interval, body, more string) string {
	return fmt.Sprintf(`apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: %s, namespace: test}
spec:
  database: DB
  exporter: out
  interval: %s
  criteria: {region: [eastus]}
  body: %s
  transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t, labelColumns: [L]}
%s`, name, interval, body, more)
}

// cannedKusto answers every query with the same rows, and what fault says.
func cannedKusto(t *testing.T, rows *table.Table, requests *[]*sandbox.Request, fault *sandbox.Fault) string {
	t.Helper()
	s, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0", FragmentRows: 20_000,
		Engine: sandbox.EngineFunc(func(_ context.Context, r *sandbox.Request) (*sandbox.Result, error) {
			*requests = append(*requests, r)
			return sandbox.Tables(rows), nil
		}),
		Fault: func(*sandbox.Request) *sandbox.Fault { return fault },
	})
	require.NoError(t, err)
	require.NoError(t, s.Start())
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s.URL()
}

func previewRows(t *testing.T) *table.Table {
	t.Helper()
	rows := table.New("PrimaryResult", table.Schema{
		{Name: "v", Type: table.Long}, {Name: "L", Type: table.String}, {Name: "t", Type: table.DateTime}, {Name: "extra", Type: table.Real},
	}, 5)
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for _, r := range [][]any{
		{int64(1), "a\nb", at, 0.5}, {int64(2), "b", at, 0.5}, {nil, "c", at, 0.5}, {int64(9_007_199_254_740_993), "d", at.Add(time.Minute), 0.5}, {int64(5), "b", at.Add(time.Minute), nil},
	} {
		require.NoError(t, rows.AppendRow(r...))
	}
	return rows
}

func TestPreview(t *testing.T) {
	var requests []*sandbox.Request
	fault := &sandbox.Fault{}
	url := cannedKusto(t, previewRows(t), &requests, fault)
	dir := t.TempDir()
	conf, file := filepath.Join(dir, "pipeline.yaml"), filepath.Join(dir, "m.yaml")
	// Nothing listens at the exporter: nothing may be sent.
	write(t, conf, fmt.Sprintf(`
dataDir: %s/data
labels: {region: westus, data-class: open}
kusto: [{name: k, endpoint: %s, databases: [DB], auth: {type: none}}]
exporters: [{name: out, endpoint: "http://127.0.0.1:1/v1/metrics", resourceAttributes: {team: core}}]
`, dir, url))
	write(t, file, previewExporter("a", "5m", "T", ""))
	preview := func(t *testing.T, args ...string) (int, string, string) {
		requests = nil
		return run(t, append([]string{"preview", "-f", file, "--config", conf}, args...)...)
	}

	t.Run("OKTable", func(t *testing.T) {
		code, out, errs := preview(t, "--start", "2026-05-01T10:00:00Z", "--limit", "3")
		require.Zero(t, code, errs)
		require.Empty(t, errs)
		require.Regexp(t, `^test/a  2026-05-01T10:00:00Z/2026-05-01T10:05:00Z

NAME  TIME \(UTC\)           VALUE             LABELS
m     2026-05-01 10:00:00  1                 L="a\\nb"
m     2026-05-01 10:00:00  2                 L="b"
m     2026-05-01 10:01:00  9007199254740993  L="d"
… and 1 more

rows      5
          not read by the transform: extra \(real\)
points    4, of 3 series, in 1 request, \d+ B before compression
rejected  1
          null_value 1: row 3: column "v" is null
query     \S+s, database "DB" on cluster "k"; it ran for \S+
criteria  do not match the labels \(region is "westus"\): this pipeline would not run it
exporter  "out", http://127.0.0.1:1/v1/metrics

nothing was sent
$`, out)
		require.NoFileExists(t, filepath.Join(dir, "data"))

		// Kusto was asked as the querier asks.
		require.Len(t, requests, 1)
		require.Equal(t, "preview;test/a@2026-05-01T10:00:00Z/2026-05-01T10:05:00Z#0", requests[0].ClientRequestID)
		require.Equal(t, "DB", requests[0].Database)
		require.Equal(t, "kusto2otlp/dev", requests[0].Application)
		require.Equal(t, map[string]string{
			"_startTime": "datetime(2026-05-01T10:00:00Z)", "_endTime": "datetime(2026-05-01T10:04:59.9999999Z)",
			"_region": `"westus"`, "_data_class": `"open"`,
		}, requests[0].Parameters)
	})

	t.Run("OKLabel", func(t *testing.T) {
		code, out, errs := preview(t, "--label", "region=EastUS", "--end", "2026-05-01T10:05:00Z")
		require.Zero(t, code, errs)
		require.Contains(t, out, "test/a  2026-05-01T10:00:00Z/2026-05-01T10:05:00Z\n")
		require.Contains(t, out, `match the labels (region is "EastUS")`+"\n")
		require.Equal(t, `"EastUS"`, requests[0].Parameters["_region"])
	})

	t.Run("OKLatest", func(t *testing.T) {
		before := time.Now()
		code, out, errs := preview(t)
		require.Zero(t, code, errs)
		var starts []string
		for _, now := range []time.Time{before, time.Now()} {
			end := now.UTC().Truncate(5 * time.Minute)
			starts = append(starts, "test/a  "+schemas.Window{Start: end.Add(-5 * time.Minute), End: end}.String()+", the latest that is due\n")
		}
		require.True(t, slices.ContainsFunc(starts, func(s string) bool { return strings.HasPrefix(out, s) }), "%s\n%s", out, starts)
	})

	t.Run("OKOtherWindow", func(t *testing.T) {
		code, out, errs := preview(t, "--start", "2026-05-01T10:00:30Z", "--end", "2026-05-01T10:00:40Z")
		require.Zero(t, code, errs)
		require.Contains(t, out, "10:00:40Z, which is none of the pipeline's own: those have other boundaries\n")
		code, out, errs = preview(t, "--start", "2100-01-01")
		require.Zero(t, code, errs)
		require.Contains(t, out, "2100-01-01T00:05:00Z, which is not over yet\n")
	})

	t.Run("OKJSON", func(t *testing.T) {
		code, out, errs := preview(t, "--start", "2026-05-01T10:00:00Z", "-o", "json")
		require.Zero(t, code)
		require.Contains(t, errs, "points    4, of 3 series")
		require.Contains(t, errs, "nothing was sent\n")
		require.Contains(t, out, `"asInt": "9007199254740993"`)
		require.Contains(t, out, `"timeUnixNano": "1777629600000000000"`)
		var req colmetrics.ExportMetricsServiceRequest
		require.NoError(t, protojson.Unmarshal([]byte(out), &req))
		require.Len(t, req.ResourceMetrics, 1)
		require.Len(t, req.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetGauge().DataPoints, 4)
		require.Contains(t, req.ResourceMetrics[0].Resource.String(), "core")
	})

	t.Run("OKSum", func(t *testing.T) {
		// Enums are numbers in OTLP's JSON, and both ends are there.
		write(t, filepath.Join(dir, "sum.yaml"), previewExporter("sum", "5m", "T", "  # a sum\n")+"  limits: {maxSeries: 3}\n")
		text := readFile(t, filepath.Join(dir, "sum.yaml"))
		write(t, filepath.Join(dir, "sum.yaml"), replaceOnce(t, text, "labelColumns: [L]", "labelColumns: [L], type: sum, monotonic: true"))
		code, out, errs := run(t, "preview", "-f", filepath.Join(dir, "sum.yaml"), "--config", conf, "--start", "2026-05-01T10:00:00Z", "-o", "json")
		require.Zero(t, code, errs)
		require.Contains(t, out, `"aggregationTemporality": 1`)
		require.Contains(t, out, `"startTimeUnixNano": "1777629600000000000"`)
	})

	t.Run("ErrMaxRows", func(t *testing.T) {
		code, out, errs := preview(t, "--start", "2026-05-01", "--max-rows", "4")
		require.Equal(t, exitFailure, code)
		require.Empty(t, out)
		require.Contains(t, errs, "the answer has more than 4 rows (--max-rows)\n")
		code, _, errs = preview(t, "--start", "2026-05-01", "--max-rows", "5")
		require.Zero(t, code, errs)
	})

	t.Run("ErrKusto", func(t *testing.T) {
		for _, tt := range []struct {
			fault sandbox.Fault
			want  string
		}{
			{sandbox.Fault{Error: sandbox.Throttled(30 * time.Second)}, "HTTP 429 Too Many Requests: TooManyRequests: The request was denied due to throttling.\nkusto2otlp: retry_after: the pipeline would try this window again after 30s\n"},
			{sandbox.Fault{Error: sandbox.SyntaxError("oh")}, "HTTP 400 Bad Request: BadRequest_SyntaxError: Syntax error: oh\nkusto2otlp: permanent: the window would fail for good and become a dead letter\n"},
			{sandbox.Fault{After: 1, Cut: true}, "unexpected EOF\nkusto2otlp: retry: the pipeline would try this window again\n"},
		} {
			*fault = tt.fault
			code, out, errs := preview(t, "--start", "2026-05-01", "-o", "json")
			*fault = sandbox.Fault{}
			require.Equal(t, exitFailure, code)
			require.Empty(t, out, "half an answer must not look like a whole one")
			require.Contains(t, errs, "kusto2otlp: test/a, window 2026-05-01T00:00:00Z/2026-05-01T00:05:00Z: ")
			require.Contains(t, errs, tt.want)
		}
	})

	t.Run("ErrKustoPlace", func(t *testing.T) {
		several := filepath.Join(dir, "several.yaml")
		write(t, several, previewExporter("first", "5m", "T", "")+"---\n"+previewExporter("a", "5m", "|\n    T\n    | where ä == 1", ""))
		// The client puts a line with the parameters before the query.
		*fault = sandbox.Fault{Error: sandbox.SyntaxError("3:9: oh")}
		code, _, errs := run(t, "preview", "-f", several, "test/a", "--config", conf, "--start", "2026-05-01")
		*fault = sandbox.Fault{}
		require.Equal(t, exitFailure, code)
		require.True(t, strings.HasPrefix(errs, "kusto2otlp: "+several+":22:13: spec.body: test/a, window "), errs)
		require.Contains(t, errs, "Syntax error: 2:9: oh\n")
	})

	t.Run("ErrTransform", func(t *testing.T) {
		bad := filepath.Join(dir, "bad.yaml")
		write(t, bad, previewExporter("bad", "5m", "T", "  limits: {maxSeries: 2}\n"))
		code, out, errs := run(t, "preview", "-f", bad, "--config", conf, "--start", "2026-05-01", "-o", "json")
		require.Equal(t, exitFailure, code)
		require.Empty(t, out)
		require.Contains(t, errs, "transform: the window has more than 2 series (limits.maxSeries)\nkusto2otlp: permanent:")
	})

	t.Run("ErrDatabase", func(t *testing.T) {
		other := filepath.Join(dir, "other.yaml")
		write(t, other, replaceOnce(t, previewExporter("other", "5m", "T", ""), "database: DB", "database: DC"))
		code, _, errs := run(t, "preview", "-f", other, "--config", conf)
		require.Equal(t, exitFailure, code)
		require.Equal(t, fmt.Sprintf("kusto2otlp: %s: no kusto entry serves database \"DC\" of test/other, did you mean \"DB\"?\n", conf), errs)
	})

	t.Run("OKNoSuchExporter", func(t *testing.T) {
		other := filepath.Join(dir, "exporter.yaml")
		write(t, other, replaceOnce(t, previewExporter("other", "5m", "T", ""), "exporter: out", "exporter: oout"))
		code, out, errs := run(t, "preview", "-f", other, "--config", conf)
		require.Zero(t, code, errs)
		require.Contains(t, out, fmt.Sprintf("exporter  \"oout\" is not in %s, did you mean \"out\"?\n", conf))
	})
}

// An answer of several row batches is whole, also one that takes back what it said.
func TestPreviewLarge(t *testing.T) {
	const n = 30_000
	rows := table.New("PrimaryResult", table.Schema{{Name: "v", Type: table.Long}, {Name: "L", Type: table.String}, {Name: "t", Type: table.DateTime}}, n)
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for i := range n {
		require.NoError(t, rows.AppendRow(int64(i), fmt.Sprint(i%100), at.Add(time.Duration(i)*time.Millisecond)))
	}
	var requests []*sandbox.Request
	fault := &sandbox.Fault{}
	url := cannedKusto(t, rows, &requests, fault)
	dir := t.TempDir()
	conf, file := filepath.Join(dir, "pipeline.yaml"), filepath.Join(dir, "m.yaml")
	write(t, conf, fmt.Sprintf("kusto: [{name: k, endpoint: %s, databases: [DB], auth: {type: none}}]\nexporters: [{name: out, endpoint: \"http://127.0.0.1:1/v1/metrics\"}]\n", url))
	write(t, file, previewExporter("a", "5m", "T", ""))
	args := []string{"preview", "-f", file, "--config", conf, "--start", "2026-05-01T10:00:00Z", "--limit", "0"}
	for _, *fault = range []sandbox.Fault{{}, {Frames: sandbox.Progressive, Replace: true}} {
		code, out, errs := run(t, append(args, "--max-rows", fmt.Sprint(n))...)
		require.Zero(t, code, errs)
		require.Contains(t, out, "… and 30000 more\n")
		require.Contains(t, out, "rows      30000\n")
		require.Regexp(t, `points    30000, of 100 series, in \d requests, `, out)
		require.Contains(t, out, "rejected  none\n")
	}
	code, _, errs := run(t, append(args, "--max-rows", fmt.Sprint(n-1))...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, errs, "the answer has more than 29999 rows (--max-rows)\n")
}

// What is previewed is what the pipeline sends, to the last bit.
func TestPreviewIsWhatIsSent(t *testing.T) {
	sent := make(chan *colmetrics.ExportMetricsServiceRequest, 10)
	endpoint, err := otlp.New(otlp.Config{OnRequest: func(_ string, _ *http.Request, m *colmetrics.ExportMetricsServiceRequest) { sent <- m }})
	require.NoError(t, err)
	srv := httptest.NewServer(endpoint.Handler())
	t.Cleanup(srv.Close)
	kusto, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, kusto.Start())
	t.Cleanup(func() { require.NoError(t, kusto.Close()) })
	dir := t.TempDir()
	conf, file := filepath.Join(dir, "pipeline.yaml"), filepath.Join(dir, "m.yaml")
	write(t, file, `
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: rt, namespace: test}
spec:
  database: TelemetryDB
  exporter: out
  interval: 10m
  body: |
    ServiceTelemetry
    | where Timestamp between (_startTime .. _endTime) and Environment == _environment
  transform: {defaultMetricName: rt, valueColumn: ResponseTimeMs, timestampColumn: Timestamp, labelColumns: [ServiceName], type: sum, unit: ms}
`)
	write(t, conf, fmt.Sprintf(`
dataDir: %[1]s/data
labels: {environment: production}
resources: {files: [%[2]s]}
telemetry: {listen: "127.0.0.1:0"}
kusto: [{name: kusto, endpoint: %[3]s, databases: [TelemetryDB], auth: {type: none}}]
exporters: [{name: out, endpoint: %[4]s/v1/metrics, maxBacklogBytes: 64MiB, resourceAttributes: {team: core}}]
`, dir, file, kusto.URL(), srv.URL))
	cfg, err := config.Load(conf)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := openPipeline(ctx, cfg, schemas.Stages, pipetest.Logger(t))
	require.NoError(t, err)
	l := &life{more: make(chan struct{})}
	ran := make(chan error, 2)
	for _, run := range []func(context.Context) error{p.Run, func(ctx context.Context) error { return p.pipe.Watch(ctx, l.see) }} {
		go func() { ran <- run(ctx) }()
	}
	var window schemas.WindowID
	l.wait(t, "the first window", func(events []*wire.Event) bool {
		for _, e := range events {
			if e.Type == string(schemas.EventExported) {
				var err error
				window, err = schemas.ParseWindowID(e.Window)
				require.NoError(t, err)
				return true
			}
		}
		return false
	})
	cancel()
	require.NoError(t, errors.Join(<-ran, <-ran))
	p.Close()

	code, out, errs := run(t, "preview", "-f", file, "--config", conf, "-o", "json",
		"--start", window.Window.Start.Format(time.RFC3339), "--end", window.Window.End.Format(time.RFC3339))
	require.Zero(t, code, errs)
	var previewed, exported colmetrics.ExportMetricsServiceRequest
	require.NoError(t, protojson.Unmarshal([]byte(out), &previewed))
	close(sent)
	for m := range sent {
		proto.Merge(&exported, m)
	}
	require.Greater(t, len(exported.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetSum().DataPoints), 500)
	require.True(t, proto.Equal(&exported, &previewed), "%s", errs)
}

// Tables of one's own, in a sandbox.
func TestPreviewData(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), previewExporter("a", "5m", "T | where t between (_startTime .. _endTime)", ""))
	write(t, filepath.Join(dir, "data", "DB", "T.csv"), "t:datetime,L:string,v:long\n2026-05-01T10:00:00Z,a,1\n2026-05-01T10:04:59.9999999Z,b,2\n2026-05-01T10:05:00Z,c,3\n")
	args := []string{"preview", "-f", filepath.Join(dir, "m.yaml"), "--sandbox", "--start", "2026-05-01T10:00:00Z", "--data"}
	code, out, errs := run(t, append(args, filepath.Join(dir, "data"))...)
	require.Zero(t, code, errs)
	require.Contains(t, out, "\nm     2026-05-01 10:00:00          1      L=\"a\"\nm     2026-05-01 10:04:59.9999999  2      L=\"b\"\n\nrows")
	code, _, errs = run(t, append(args, filepath.Join(dir, "none"))...)
	require.Equal(t, exitFailure, code)
	require.Equal(t, "kusto2otlp: "+filepath.Join(dir, "none")+": no such file or directory\n", errs)
}

// The examples run in a sandbox, without any configuration.
func TestPreviewSandbox(t *testing.T) {
	code, out, errs := run(t, "preview", "-f", "../../deploy/examples", "sre/infrastructure-monitoring", "--sandbox", "--label", "role=infrastructure,region=eastus")
	require.Zero(t, code, errs)
	require.Contains(t, out, "points    24, of 24 series, in 1 request")
	require.Contains(t, out, "… and 4 more\n")
	require.Contains(t, out, `criteria  match the labels (region is "eastus", role is "infrastructure")`)
	require.Contains(t, out, `exporter  "grafana-cloud-exporter"; there is no configuration to look it up in`)
}
