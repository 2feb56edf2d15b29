package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"
	yaml "go.yaml.in/yaml/v3"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	exporterSchema = "metricsexporter.schema.json"
	testSchema     = "metricstest.schema.json"
	pipelineSchema = "pipeline.schema.json"
)

func mustRoot(t *testing.T) string {
	t.Helper()
	dir, err := root()
	require.NoError(t, err)
	return dir
}

// The files are what the types give.
func TestInStep(t *testing.T) {
	d := newDocs(mustRoot(t))
	for _, doc := range documents {
		want, err := doc.encode(d)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(d.root, "schemas", doc.file))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), `schemas/%s is not what the types give: run "make generate"`, doc.file)
	}
}

// mustResolve returns the schemas that are published, ready to validate.
func mustResolve(t *testing.T) map[string]*jsonschema.Resolved {
	t.Helper()
	resolved := map[string]*jsonschema.Resolved{}
	for _, doc := range documents {
		text, err := os.ReadFile(filepath.Join(mustRoot(t), "schemas", doc.file))
		require.NoError(t, err)
		s := new(jsonschema.Schema)
		require.NoError(t, s.UnmarshalJSON(text))
		require.Equal(t, "https://json-schema.org/draft/2020-12/schema", s.Schema)
		resolved[doc.file], err = s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
		require.NoError(t, err)
	}
	return resolved
}

// Every field says what it is for.
func TestDescribed(t *testing.T) {
	for _, doc := range documents {
		text, err := os.ReadFile(filepath.Join(mustRoot(t), "schemas", doc.file))
		require.NoError(t, err)
		s := new(jsonschema.Schema)
		require.NoError(t, s.UnmarshalJSON(text))
		var walk func(path string, s *jsonschema.Schema)
		walk = func(path string, s *jsonschema.Schema) {
			for name, p := range s.Properties {
				require.NotEmpty(t, p.Description, path+"."+name)
				walk(path+"."+name, p)
			}
			if s.Items != nil {
				walk(path+"[]", s.Items)
			}
			if a := s.AdditionalProperties; a != nil {
				walk(path+".*", a)
			}
			if s.Type == "object" {
				require.NotNil(t, s.AdditionalProperties, path)
			}
		}
		walk(doc.file, s)
	}
}

// instance is a YAML document as an editor sees it: times are strings.
func instance(t *testing.T, text string) any {
	t.Helper()
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &root), text)
	if len(root.Content) == 0 {
		return nil
	}
	return value(t, root.Content[0])
}

func value(t *testing.T, n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return value(t, n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = value(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, value(t, c))
		}
		return l
	}
	if n.ShortTag() == "!!timestamp" {
		return n.Value
	}
	var v any
	require.NoError(t, n.Decode(&v))
	return v
}

// fence is a YAML block of a page; one that is marked as broken shows a mistake.
var fence = regexp.MustCompile("(?ms)^```ya?ml([^\n]*)\n(.*?)^```$")

// Every sample in the repository is as the schemas want it.
func TestSamples(t *testing.T) {
	resolved := mustResolve(t)
	dir := mustRoot(t)
	checked := map[string]int{}
	validate := func(t *testing.T, text string, broken bool) {
		for _, part := range regexp.MustCompile(`(?m)^---\s*$`).Split(text, -1) {
			m, ok := instance(t, part).(map[string]any)
			if !ok {
				continue
			}
			if schema := complete(t, m); schema != "" {
				checked[schema]++
				err := resolved[schema].Validate(m)
				require.Equal(t, broken, err != nil, "%v\n%s", err, part)
			}
		}
	}
	for _, pattern := range []string{"deploy/examples/*.yaml", "cmd/kusto2otlp/demo/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			t.Run(filepath.Base(path), func(t *testing.T) {
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				validate(t, string(text), false)
			})
		}
	}
	var pages []string
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	}))
	for _, path := range append(pages, filepath.Join(dir, "README.md")) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
				validate(t, m[2], strings.Contains(m[1], "broken"))
			}
		})
	}
	// Lest the test find nothing to do.
	require.GreaterOrEqual(t, checked[exporterSchema], 8, checked)
	require.GreaterOrEqual(t, checked[testSchema], 4, checked)
	require.GreaterOrEqual(t, checked[pipelineSchema], 5, checked)
}

// complete makes a whole document of a sample, which may show a part, and says which
// schema it is for; none for what is no document of ours.
func complete(t *testing.T, m map[string]any) string {
	t.Helper()
	if m["apiVersion"] == schemas.APIVersion {
		switch m["kind"] {
		case schemas.Kind:
			return exporterSchema
		case schemas.TestKind:
			return testSchema
		}
		t.Errorf("kind %v", m["kind"])
		return ""
	}
	whole := instance(t, goodPipeline).(map[string]any)
	if _, ok := m["spec"]; ok && len(m) == 1 {
		whole = instance(t, goodExporter).(map[string]any)
		for name, v := range whole["spec"].(map[string]any) {
			if _, ok := m["spec"].(map[string]any)[name]; !ok {
				m["spec"].(map[string]any)[name] = v
			}
		}
	} else if _, otherwise := m["receivers"]; otherwise || m["exporters"] == nil && m["kusto"] == nil {
		return ""
	}
	for name, v := range whole {
		if _, ok := m[name]; !ok {
			m[name] = v
		}
	}
	if m["spec"] != nil {
		return exporterSchema
	}
	return pipelineSchema
}

const goodExporter = `
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: a}
spec:
  database: DB
  exporter: e
  interval: 1m
  body: T | where t between (_startTime .. _endTime)
  transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t}
`

const goodPipeline = `
kusto:
  - {endpoint: "https://x.kusto.windows.net", databases: [DB]}
exporters:
  - {endpoint: "http://127.0.0.1:4318/v1/metrics"}
`

const goodTest = `
apiVersion: adx-mon.azure.com/v1
kind: MetricsTest
tests:
  - name: a
    window: {start: 2026-05-01T10:00:00Z}
    expect: {points: [{name: m, time: 2026-05-01T10:00:00Z, value: 1}]}
`

// loads says what the strict loader of a schema's documents finds.
func loads(file, text string) error {
	switch file {
	case exporterSchema:
		_, problems := resource.Parse("f", []byte(text), resource.Context{})
		return strict.Problems(problems).Err()
	case pipelineSchema:
		_, err := config.Parse("f", []byte(text))
		return err
	}
	docs, problems := strict.Parse("f", []byte(text))
	if len(problems) > 0 {
		return problems
	}
	m := new(schemas.MetricsTest)
	if problems := docs[0].Decode(m, strict.Options{}); len(problems) > 0 {
		return problems
	}
	// As package unittest, which nothing but a command imports, wants it.
	if m.APIVersion != schemas.APIVersion || m.Kind != schemas.TestKind || len(m.Tests) == 0 {
		return fmt.Errorf("apiVersion, kind and tests are needed")
	}
	for _, test := range m.Tests {
		if test.Name == "" || test.Window.Start.IsZero() {
			return fmt.Errorf("name and window.start are needed")
		}
		for _, p := range test.Expect.Points {
			if p.Name == "" || p.Time.IsZero() || p.Value == nil {
				return fmt.Errorf("name, time and value are needed")
			}
		}
	}
	return nil
}

// edit replaces a text that is there exactly once.
func edit(t *testing.T, text, old, by string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(text, old), "%q in %s", old, text)
	return strings.Replace(text, old, by, 1)
}

// What the loader takes, also in the less usual forms, the schemas take.
func TestAccepted(t *testing.T) {
	t.Setenv("SCHEMAGEN_NUMBER", "3")
	t.Setenv("SCHEMAGEN_DURATION", "5m")
	t.Setenv("SCHEMAGEN_BOOL", "true")
	t.Setenv("SCHEMAGEN_ENUM", "zstd")
	resolved := mustResolve(t)
	for _, tt := range []struct{ file, old, by string }{
		{exporterSchema, "metadata:", "metadata:"},
		{exporterSchema, "interval: 1m", "interval: 1d12h"},
		{exporterSchema, "interval: 1m", "interval: 1.5h"},
		{exporterSchema, "interval: 1m", "interval: 1h30m0.5s"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  ingestionDelay: 0"},
		{exporterSchema, "interval: 1m", "interval: 1000ms\n  ingestionDelay: 0s"},
		{exporterSchema, "interval: 1m", "schedule: '@hourly'\n  timeZone: Europe/Berlin"},
		{exporterSchema, "{name: a}", "{name: a, namespace: b, labels: {a: b}, annotations: {c: d}, creationTimestamp: 2026-05-01T00:00:00Z, managedFields: [{manager: m, fieldsV1: {f: {}}}]}"},
		{exporterSchema, "  transform:", "  criteria: {region: [eastus]}\n  limits: {maxRows: 10}\n  backfill: {requestId: may, startTime: 2026-05-01T00:00:00Z, endTime: '2026-06-01T00:00:00+02:00'}\n  reconcile: {after: 1h}\n  transform:"},
		{exporterSchema, "valueColumn: v", "valueColumns: [a, b], type: sum, temporality: cumulative, monotonic: true, nullValue: zero"},
		{pipelineSchema, "kusto:", "catchUp: 0\nkusto:"},
		{pipelineSchema, "kusto:", "catchUp: 7d\nreplayRetention: ${env:SCHEMAGEN_DURATION}\nkusto:"},
		{pipelineSchema, "databases: [DB]", "databases: [DB], maxConcurrentQueries: \"${env:SCHEMAGEN_NUMBER}\", noTruncation: \"${env:SCHEMAGEN_BOOL}\""},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", compression: \"${env:SCHEMAGEN_ENUM}\", maxBacklogBytes: 1.5 GiB"},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", maxBacklogBytes: 8388608, headers: {A: b}"},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", maxBacklogBytes: 8Mi"},
		{testSchema, "tests:", "tests:"},
		{testSchema, "value: 1", "value: 1.5e3, labels: {a: b}"},
		{testSchema, "    window:", "    tables: {T: {columns: [a:int], rows: [[1], [null], [2026-05-01]]}}\n    window:"},
	} {
		text := edit(t, map[string]string{exporterSchema: goodExporter, pipelineSchema: goodPipeline, testSchema: goodTest}[tt.file], tt.old, tt.by)
		require.NoError(t, loads(tt.file, text), text)
		require.NoError(t, resolved[tt.file].Validate(instance(t, text)), text)
	}
}

// What the schemas refuse, the loader refuses too.
func TestRefused(t *testing.T) {
	resolved := mustResolve(t)
	for _, tt := range []struct{ file, old, by string }{
		{exporterSchema, "kind: MetricsExporter", "kind: MetricExporter"},
		{exporterSchema, "kind: MetricsExporter", ""},
		{exporterSchema, "adx-mon.azure.com/v1", "v1"},
		{exporterSchema, "metadata: {name: a}", ""},
		{exporterSchema, "{name: a}", "{namespace: a}"},
		{exporterSchema, "{name: a}", "{name: a, nam: b}"},
		{exporterSchema, "{name: a}", "{name: 1}"},
		{exporterSchema, "  database: DB\n", ""},
		{exporterSchema, "  exporter: e\n", ""},
		{exporterSchema, "  body: T | where t between (_startTime .. _endTime)\n", ""},
		{exporterSchema, ", timestampColumn: t", ""},
		{exporterSchema, "spec:", "sepc: {}\nspec:"},
		{exporterSchema, "interval: 1m", "intervall: 1m"},
		{exporterSchema, "interval: 1m", "interval: 1"},
		{exporterSchema, "interval: 1m", "interval: 1 m"},
		{exporterSchema, "interval: 1m", "interval: -1m"},
		{exporterSchema, "interval: 1m", "interval: 1w"},
		{exporterSchema, "interval: 1m", "interval: {minutes: 1}"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  suspend: 'yes'"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  criteria: {region: eastus}"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  criteria: [region]"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  limits: {maxRows: ten}"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  limits: {maxRows: 1.5}"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  backfill: {requestId: may, startTime: 2026-05-01, endTime: 2026-06-01T00:00:00Z}"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  backfill: {requestId: may, startTime: 2026-05-01T00:00:00Z}"},
		{exporterSchema, "interval: 1m", "interval: 1m\n  reconcile: {lookback: 2h}"},
		{exporterSchema, "valueColumn: v", "valueColumn: v, type: counter"},
		{exporterSchema, "valueColumn: v", "valueColumn: v, type: sum, temporality: rate"},
		{exporterSchema, "valueColumn: v", "valueColumn: v, nullValue: 0"},
		{exporterSchema, "valueColumn: v", "valueColumns: v"},
		{exporterSchema, "valueColumn: v", "valueColumns: [1]"},
		{pipelineSchema, "kusto:", "retries: 3\nkusto:"},
		{pipelineSchema, "kusto:", "catchUp: 2y\nkusto:"},
		{pipelineSchema, "kusto:", "catchUp: 1\nkusto:"},
		{pipelineSchema, "kusto:", "labels: [a]\nkusto:"},
		{pipelineSchema, "kusto:", "labels: {a: 1}\nkusto:"},
		{pipelineSchema, "kusto:", "resources: {files: x}\nkusto:"},
		{pipelineSchema, "kusto:", "telemetry: {logLevel: verbose}\nkusto:"},
		{pipelineSchema, "kusto:", "telemetry: {listen: 8090}\nkusto:"},
		{pipelineSchema, "kusto:", "nats: {replicas: three}\nkusto:"},
		{pipelineSchema, ", databases: [DB]", ""},
		{pipelineSchema, `endpoint: "https://x.kusto.windows.net", `, ""},
		{pipelineSchema, "databases: [DB]", "databases: [DB], auth: {type: password}"},
		{pipelineSchema, "databases: [DB]", "databases: [DB], auth: none"},
		{pipelineSchema, "databases: [DB]", "databases: [DB], maxConcurrentQueries: many"},
		{pipelineSchema, "databases: [DB]", "databases: [DB], noTruncation: 'yes'"},
		{pipelineSchema, `{endpoint: "http://127.0.0.1:4318/v1/metrics"}`, "{name: a}"},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", protocol: http"},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", compression: snappy"},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", maxBacklogBytes: 1 Gigabyte"},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", maxBacklogBytes: -1"},
		{pipelineSchema, "/v1/metrics\"", "/v1/metrics\", headers: {A: 1}"},
		{pipelineSchema, "exporters:", "exporter:"},
		{testSchema, "kind: MetricsTest", "kind: MetricsExporter"},
		{testSchema, "  - name: a\n    window", "  - window"},
		{testSchema, "    window: {start: 2026-05-01T10:00:00Z}\n", ""},
		{testSchema, "{start: 2026-05-01T10:00:00Z}", "{end: 2026-05-01T10:00:00Z}"},
		{testSchema, "{start: 2026-05-01T10:00:00Z}", "{start: 10:00}"},
		{testSchema, "expect:", "expects:"},
		{testSchema, "value: 1", "value: one"},
		{testSchema, ", value: 1", ""},
		{testSchema, "value: 1", "value: 1, labels: {a: 1}"},
		{testSchema, "expect: {", "expect: {rejected: {duplicate: -1}, "},
		{testSchema, "    window:", "    tables: {T: {column: [a:int]}}\n    window:"},
		{testSchema, "    window:", "    tables: {T: {columns: [a:int], rows: [1]}}\n    window:"},
	} {
		text := edit(t, map[string]string{exporterSchema: goodExporter, pipelineSchema: goodPipeline, testSchema: goodTest}[tt.file], tt.old, tt.by)
		require.Error(t, resolved[tt.file].Validate(instance(t, text)), "the schema takes\n%s", text)
		require.Error(t, loads(tt.file, text), "the loader takes\n%s", text)
	}
}
