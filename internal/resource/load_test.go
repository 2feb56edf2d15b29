package resource_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const complete = `
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: service-response-times, namespace: monitoring}
spec:
  database: TelemetryDB
  exporter: prometheus-exporter
  interval: 5m
  ingestionDelay: 0s
  suspend: false
  criteria: {region: ["eastus", "westus"]}
  criteriaExpression: "environment == 'production'"
  body: |
    ServiceTelemetry
    | where Timestamp between (_startTime .. _endTime)
  transform:
    metricNameColumn: metric_name
    defaultMetricName: ""
    metricNamePrefix: ""
    valueColumn: metric_value
    valueColumns: []
    timestampColumn: timestamp
    labelColumns: [ServiceName, Environment]
    type: gauge
    temporality: delta
    monotonic: false
    unit: ms
    description: ""
    nullValue: skip
  limits: {maxRows: 0, maxSeries: 0}
`

// minimal has what is needed and nothing else. %s can be added to spec.
func minimal(name string) string {
	return `apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: ` + name + `}
spec:
  database: DB
  exporter: e
  interval: 1m
  body: T
  transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t}
`
}

func keys(documents []resource.Document) []string {
	names := []string{}
	for _, d := range documents {
		names = append(names, d.Key())
	}
	return names
}

func messages(problems []resource.Problem) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

func TestParse(t *testing.T) {
	t.Run("OKComplete", func(t *testing.T) {
		documents, problems := resource.Parse("f.yaml", []byte(complete), resource.Context{
			Exporters: []string{"prometheus-exporter"}, Databases: []string{"TelemetryDB"},
		})
		require.Empty(t, messages(problems))
		require.Equal(t, []string{"monitoring/service-response-times"}, keys(documents))
		d := documents[0]
		require.Equal(t, 2, d.Line)
		require.Equal(t, "ServiceTelemetry\n| where Timestamp between (_startTime .. _endTime)\n", d.MetricsExporter.Spec.Body)
		match, err := d.Criteria.Match(map[string]string{"region": "WestUS", "environment": "production"})
		require.NoError(t, err)
		require.True(t, match)
		length, fixed := d.Grid.Interval()
		require.True(t, fixed)
		require.Equal(t, 5*time.Minute, length)
	})
	t.Run("OKDefaults", func(t *testing.T) {
		documents, problems := resource.Parse("f.yaml", []byte(minimal("a")), resource.Context{})
		require.Empty(t, messages(problems))
		m := documents[0].MetricsExporter
		require.Equal(t, "default", m.Namespace)
		require.Equal(t, schemas.Gauge, m.Spec.Transform.Type)
		require.Equal(t, schemas.NullSkip, m.Spec.Transform.NullValue)
		require.Empty(t, m.Spec.Transform.Temporality)
	})
	t.Run("OKSum", func(t *testing.T) {
		text := strings.Replace(minimal("a"), "valueColumn: v", "valueColumn: v, type: sum, monotonic: true", 1)
		documents, problems := resource.Parse("f.yaml", []byte(text), resource.Context{})
		require.Empty(t, messages(problems))
		require.Equal(t, schemas.Delta, documents[0].MetricsExporter.Spec.Transform.Temporality)
	})
	t.Run("OKValueColumns", func(t *testing.T) {
		for _, name := range []string{"defaultMetricName: m, ", "metricNameColumn: n, ", "metricNamePrefix: p, metricNameColumn: n, defaultMetricName: m, "} {
			text := strings.Replace(minimal("a"), "defaultMetricName: m, valueColumn: v", name+"valueColumns: [MaxMs, MinMs]", 1)
			documents, problems := resource.Parse("f.yaml", []byte(text), resource.Context{})
			require.Empty(t, messages(problems))
			require.Len(t, documents, 1)
		}
	})
	t.Run("OKScheduleInZone", func(t *testing.T) {
		text := strings.Replace(minimal("a"), "interval: 1m", "schedule: '@daily'\n  timeZone: Europe/Berlin", 1)
		documents, problems := resource.Parse("f.yaml", []byte(text), resource.Context{})
		require.Empty(t, messages(problems))
		require.Equal(t, time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC), documents[0].Grid.Next(time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC)))
	})
	t.Run("OKStatusIsIgnored", func(t *testing.T) {
		documents, problems := resource.Parse("f.yaml", []byte(minimal("a")+"status: {conditions: []}\n"), resource.Context{})
		require.Empty(t, messages(problems))
		require.Len(t, documents, 1)
	})
	t.Run("OKValidOnesGoOn", func(t *testing.T) {
		text := minimal("a") + "---\n" + strings.Replace(minimal("b"), "1m", "10ms", 1) + "---\nx: [\n---\n" + minimal("c") + "---\n" + minimal("a")
		documents, problems := resource.Parse("f.yaml", []byte(text), resource.Context{})
		require.Equal(t, []string{"default/a", "default/c"}, keys(documents))
		require.Equal(t, `f.yaml:17:13: document 2: spec.interval: must be at least 1s, got 10ms
f.yaml:21:1: document 3: is not valid YAML: did not find expected node content
f.yaml:35:18: document 5: metadata.name: "default/a" is already declared at f.yaml:1 (document 1)`, messages(problems))
	})
}

func TestInvalid(t *testing.T) {
	known := resource.Context{Exporters: []string{"e", "datadog"}, Databases: []string{"DB"}}
	for name, tt := range map[string]struct{ old, new, want string }{
		"ErrAPIVersion":        {"adx-mon.azure.com/v1", "v1", `f.yaml:1:13: apiVersion: must be "adx-mon.azure.com/v1", got "v1"`},
		"ErrKind":              {"kind: MetricsExporter", "kind: ConfigMap\ndata: {}", `f.yaml:2:7: kind: must be "MetricsExporter", got "ConfigMap"`},
		"ErrKindMissing":       {"kind: MetricsExporter\n", "", `f.yaml:1:1: kind: is needed, and must be "MetricsExporter"`},
		"ErrUnknown":           {"interval:", "interva:", "f.yaml:5:3: spec.interval: interval or schedule is needed\nf.yaml:7:3: spec.interva: unknown field \"interva\", did you mean \"interval\"?"},
		"ErrUnknownMeta":       {"{name: a}", "{name: a, label: {}}", `f.yaml:3:21: metadata.label: unknown field "label", did you mean "labels"?`},
		"ErrName":              {"{name: a}", "{}", "f.yaml:3:11: metadata.name: is needed"},
		"ErrNameCharacters":    {"name: a", "name: A_b", `f.yaml:3:18: metadata.name: must be lowercase letters, digits, "-" and ".", and begin and end with a letter or digit, got "A_b"`},
		"ErrNameLong":          {"name: a", "name: " + strings.Repeat("a", 254), "f.yaml:3:18: metadata.name: must not be longer than 253 characters, has 254"},
		"ErrNamespace":         {"name: a", "name: a, namespace: a.b", `f.yaml:3:32: metadata.namespace: must be lowercase letters, digits and "-", and begin and end with a letter or digit, got "a.b"`},
		"ErrNamespaceLong":     {"name: a", "name: a, namespace: " + strings.Repeat("a", 64), "f.yaml:3:32: metadata.namespace: must not be longer than 63 characters, has 64"},
		"ErrDatabase":          {"database: DB", "database: ", "f.yaml:5:12: spec.database: is needed"},
		"ErrDatabaseUnknown":   {"database: DB", "database: DC", `f.yaml:5:13: spec.database: database "DC" is not in the pipeline configuration, did you mean "DB"?`},
		"ErrExporter":          {"  exporter: e\n", "", "f.yaml:5:3: spec.exporter: is needed"},
		"ErrExporterUnknown":   {"exporter: e", "exporter: prometheus", `f.yaml:6:13: spec.exporter: exporter "prometheus" is not in the pipeline configuration, it has "e", "datadog"`},
		"ErrIntervalShort":     {"interval: 1m", "interval: 999ms", "f.yaml:7:13: spec.interval: must be at least 1s, got 999ms"},
		"ErrIntervalOffTick":   {"interval: 1m", "interval: 1000000050ns", "f.yaml:7:13: spec.interval: must be a multiple of 100ns, Kusto's unit of time, got 1.00000005s"},
		"ErrIntervalType":      {"interval: 1m", "interval: often", `f.yaml:7:13: spec.interval: must be a duration such as 30s, 5m or 1h30m, got "often"`},
		"ErrBoth":              {"interval: 1m", "interval: 1m\n  schedule: '@hourly'", "f.yaml:8:13: spec.schedule: only one of interval and schedule may be set"},
		"ErrSchedule":          {"interval: 1m", "schedule: '61 * * * *'", `f.yaml:7:13: spec.schedule: must be a cron expression of 5 fields or one like @hourly, got "61 * * * *": end of range (61) above maximum (59): 61`},
		"ErrScheduleNever":     {"interval: 1m", "schedule: '0 0 30 2 *'", `f.yaml:7:13: spec.schedule: must come at least once in ten years, got "0 0 30 2 *"`},
		"ErrTimeZone":          {"interval: 1m", "schedule: '@hourly'\n  timeZone: Mars/Olympus", `f.yaml:8:13: spec.timeZone: must be an IANA time zone such as Europe/Berlin, got "Mars/Olympus"`},
		"ErrTimeZoneInterval":  {"interval: 1m", "interval: 1m\n  timeZone: UTC", "f.yaml:8:13: spec.timeZone: applies to schedule only"},
		"ErrDelay":             {"interval: 1m", "interval: 1m\n  ingestionDelay: -1s", "f.yaml:8:19: spec.ingestionDelay: must be at least 0s, got -1s"},
		"ErrCriteriaEmpty":     {"interval: 1m", "interval: 1m\n  criteria: {region: []}", "f.yaml:8:22: spec.criteria.region: must have at least one value: without one it could never match"},
		"ErrCriteriaNull":      {"interval: 1m", "interval: 1m\n  criteria: {region: }", "f.yaml:8:22: spec.criteria.region: must have at least one value: without one it could never match"},
		"ErrCriteriaDotted":    {"interval: 1m", "interval: 1m\n  criteria: {a.b: []}", `f.yaml:8:19: spec.criteria["a.b"]: must have at least one value: without one it could never match`},
		"ErrCriteriaType":      {"interval: 1m", "interval: 1m\n  criteria: {region: eastus}", `f.yaml:8:22: spec.criteria.region: must be a list, got "eastus"`},
		"ErrExpression":        {"interval: 1m", "interval: 1m\n  criteriaExpression: team ==", "f.yaml:8:23: spec.criteriaExpression: is not valid CEL: 1:8: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"},
		"ErrExpressionType":    {"interval: 1m", "interval: 1m\n  criteriaExpression: team", "f.yaml:8:23: spec.criteriaExpression: must be true or false, is of type string"},
		"ErrBody":              {"body: T", "body: ' '", "f.yaml:8:9: spec.body: is needed"},
		"ErrBodyLong":          {"body: T", "body: " + strings.Repeat("T", 256<<10+1), "f.yaml:8:9: spec.body: must not be longer than 256KiB, has 262145 bytes"},
		"ErrTransform":         {"transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t}", "suspend: false", "f.yaml:5:3: spec.transform.valueColumn: valueColumn or valueColumns is needed\nf.yaml:5:3: spec.transform.metricNameColumn: metricNameColumn or defaultMetricName is needed\nf.yaml:5:3: spec.transform.timestampColumn: is needed"},
		"ErrMetricName":        {"defaultMetricName: m, ", "", "f.yaml:9:14: spec.transform.metricNameColumn: metricNameColumn or defaultMetricName is needed"},
		"ErrNameOfSeveral":     {"defaultMetricName: m, valueColumn: v", "valueColumns: [v]", "f.yaml:9:14: spec.transform.metricNameColumn: metricNameColumn or defaultMetricName is needed"},
		"ErrNameless":          {"defaultMetricName: m, valueColumn: v", "defaultMetricName: '-', valueColumns: [v]", `f.yaml:9:34: spec.transform.defaultMetricName: must have a letter or digit, got "-"`},
		"ErrBothValues":        {"valueColumn: v", "valueColumn: v, valueColumns: [w]", "f.yaml:9:67: spec.transform.valueColumns: only one of valueColumn and valueColumns may be set"},
		"ErrPrefix":            {"valueColumn: v", "valueColumn: v, metricNamePrefix: p", "f.yaml:9:71: spec.transform.metricNamePrefix: applies to valueColumns only"},
		"ErrTimestamp":         {", timestampColumn: t", "", "f.yaml:9:14: spec.transform.timestampColumn: is needed"},
		"ErrLabelTwice":        {"valueColumn: v", "valueColumn: v, labelColumns: [A, B, A]", `f.yaml:9:74: spec.transform.labelColumns[2]: "A" is in the list twice, first as labelColumns[0]`},
		"ErrLabelEmpty":        {"valueColumn: v", "valueColumn: v, labelColumns: ['']", "f.yaml:9:68: spec.transform.labelColumns[0]: must not be empty"},
		"ErrValueTwice":        {"valueColumn: v", "valueColumns: [v, v]", `f.yaml:9:55: spec.transform.valueColumns[1]: "v" is in the list twice, first as valueColumns[0]`},
		"ErrValueNames":        {"valueColumn: v", "valueColumns: [MaxMs, max_ms]", `f.yaml:9:59: spec.transform.valueColumns[1]: "MaxMs" and "max_ms" would both be named "max_ms"`},
		"ErrValueNameless":     {"valueColumn: v", "valueColumns: ['--']", `f.yaml:9:52: spec.transform.valueColumns[0]: must have a letter or digit to name a metric by, got "--"`},
		"ErrType":              {"valueColumn: v", "valueColumn: v, type: histogram", `f.yaml:9:59: spec.transform.type: must be gauge or sum, got "histogram"`},
		"ErrTemporality":       {"valueColumn: v", "valueColumn: v, type: sum, temporality: x", `f.yaml:9:77: spec.transform.temporality: must be delta or cumulative, got "x"`},
		"ErrTemporalityGauge":  {"valueColumn: v", "valueColumn: v, temporality: cumulative", `f.yaml:9:66: spec.transform.temporality: applies to type sum only, got "cumulative" with type gauge`},
		"ErrMonotonicGauge":    {"valueColumn: v", "valueColumn: v, monotonic: true", "f.yaml:9:64: spec.transform.monotonic: applies to type sum only, got true with type gauge"},
		"ErrNullValue":         {"valueColumn: v", "valueColumn: v, nullValue: drop", `f.yaml:9:64: spec.transform.nullValue: must be skip, zero or fail, got "drop"`},
		"ErrLimits":            {"body: T", "body: T\n  limits: {maxRows: -1, maxSeries: -2}", "f.yaml:9:21: spec.limits.maxRows: must be at least 0, got -1\nf.yaml:9:36: spec.limits.maxSeries: must be at least 0, got -2"},
		"ErrReconcileAfter":    {"body: T", "body: T\n  reconcile: {after: 30s}", "f.yaml:9:22: spec.reconcile.after: must be between 1m0s and 168h0m0s, got 30s"},
		"ErrReconcileMissing":  {"body: T", "body: T\n  reconcile: {lookback: 1h}", "f.yaml:9:14: spec.reconcile.after: must be between 1m0s and 168h0m0s, got 0s"},
		"ErrReconcileDelay":    {"body: T", "body: T\n  ingestionDelay: 2m\n  reconcile: {after: 2m}", "f.yaml:10:22: spec.reconcile.after: must be more than ingestionDelay, which is 2m0s, got 2m0s"},
		"ErrReconcileLookback": {"body: T", "body: T\n  reconcile: {after: 1h, lookback: 1h}", "f.yaml:9:36: spec.reconcile.lookback: must be between 1h1m0s (after and a minute) and 744h0m0s, got 1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(minimal("a"), tt.old, tt.new, 1)
			require.NotEqual(t, minimal("a"), text)
			documents, problems := resource.Parse("f.yaml", []byte(text), known)
			require.Empty(t, documents)
			require.Equal(t, tt.want, messages(problems))
		})
	}
}

func TestValidate(t *testing.T) {
	m := &schemas.MetricsExporter{}
	resource.SetDefaults(m)
	problems := resource.Validate(m, resource.Context{})
	require.Equal(t, "metadata.name: is needed", problems[0].Error())
	require.Len(t, problems, 8)
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one.yaml", minimal("a"))
	write(t, dir, "two.yaml", minimal("b"))
	write(t, dir, "notes.txt", "not: [yaml")
	write(t, dir, ".#one.yaml", minimal("hidden"))
	write(t, dir, "..data/one.yaml", minimal("hidden"))
	write(t, dir, "team/x.yaml", minimal("x"))
	write(t, dir, "dir.yaml/x", "")

	t.Run("OK", func(t *testing.T) {
		documents, problems := resource.Load([]string{dir + "/*.yaml", dir + "/*/*.yaml", dir + "/../" + filepath.Base(dir) + "/one.yaml"}, resource.Context{})
		require.Empty(t, messages(problems))
		require.Equal(t, []string{"default/a", "default/b", "default/x"}, keys(documents))
	})
	t.Run("OKNothingMatches", func(t *testing.T) {
		documents, problems := resource.Load([]string{dir + "/*.json"}, resource.Context{})
		require.Empty(t, problems)
		require.Empty(t, documents)
	})
	t.Run("ErrPaths", func(t *testing.T) {
		_, problems := resource.Load([]string{"/nope/a.yaml", dir, "["}, resource.Context{})
		require.Equal(t, "[: is not a valid pattern\n/nope/a.yaml: does not exist\n"+dir+": cannot be read: is not a file", messages(problems))
	})
	t.Run("ErrTwice", func(t *testing.T) {
		other := t.TempDir()
		write(t, other, "z.yaml", "# comment\n"+minimal("a"))
		documents, problems := resource.Load([]string{dir + "/one.yaml", other + "/*"}, resource.Context{})
		require.Equal(t, []string{"default/a"}, keys(documents))
		require.Equal(t, other+`/z.yaml:4:18: metadata.name: "default/a" is already declared at `+dir+"/one.yaml:1 (document 1)", messages(problems))
	})
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func FuzzParse(f *testing.F) {
	f.Add(complete)
	f.Add(minimal("a") + "---\n" + minimal("b"))
	f.Fuzz(func(t *testing.T, text string) {
		documents, problems := resource.Parse("f", []byte(text), resource.Context{})
		for _, d := range documents {
			if problems := resource.Validate(d.MetricsExporter, resource.Context{}); len(problems) > 0 {
				t.Fatal(problems)
			}
		}
		_ = messages(problems)
	})
}

func TestReconcile(t *testing.T) {
	text := strings.Replace(minimal("a"), "body: T", "body: T\n  reconcile: {after: 90m}", 1)
	documents, problems := resource.Parse("f.yaml", []byte(text), resource.Context{})
	require.Empty(t, problems)
	require.Equal(t, 25*time.Hour+30*time.Minute, documents[0].MetricsExporter.Spec.Reconcile.Lookback.Duration, "the default")
}

func TestReconcileDelta(t *testing.T) {
	text := strings.Replace(minimal("a"), "body: T", "body: T\n  reconcile: {after: 90m}", 1)
	text = strings.Replace(text, "valueColumn: v", "valueColumn: v, type: sum", 1)
	_, problems := resource.Parse("f.yaml", []byte(text), resource.Context{})
	require.Equal(t, "f.yaml:9:14: spec.reconcile: applies to gauges and cumulative sums, got a delta sum: a delta that was exported cannot be corrected", messages(problems))
	text = strings.Replace(text, "type: sum", "type: sum, temporality: cumulative", 1)
	_, problems = resource.Parse("f.yaml", []byte(text), resource.Context{})
	require.Empty(t, problems)
}

// Tests of a MetricsExporter may lie beside it, or in its file.
func TestLoadPassesTestsOver(t *testing.T) {
	const tests = "apiVersion: adx-mon.azure.com/v1\nkind: MetricsTest\nmetricsExporter: a.yaml\ntests:\n  - {name: one, window: {start: 2026-05-01T00:00:00Z}}\n"
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml":      minimal("a"),
		"a.test.yaml": tests,
		"b.yaml":      tests + "---\n" + minimal("b"),
		// The kind decides, and no name keeps a MetricsExporter from running.
		"c.test.yaml": minimal("c"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	documents, problems := resource.Load([]string{filepath.Join(dir, "*.yaml")}, resource.Context{})
	require.Empty(t, problems)
	require.Equal(t, []string{"default/a", "default/b", "default/c"}, keys(documents))
}
