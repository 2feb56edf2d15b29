package unittest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// engine has the parser that all tests share.
var engine *Engine

func TestMain(m *testing.M) {
	parser, err := kql.Open(kql.Config{})
	if err != nil {
		panic(err)
	}
	engine = NewEngine(parser)
	code := m.Run()
	parser.Close()
	if err := goleak.Find(); code == 0 && err != nil {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// exporter counts rows by label and minute, and drops what has no value.
const exporter = `apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: NAME, namespace: test}
spec:
  database: DB
  exporter: out
  interval: 5m
  ingestionDelay: 1m
  body: |
    T
    | where Timestamp between (_startTime .. _endTime)
    | summarize v = sum(V) by L, t = bin(Timestamp, 1m)
  transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t, labelColumns: [L]}
`

const head = `apiVersion: adx-mon.azure.com/v1
kind: MetricsTest
`

// mustLoad writes files and loads x.test.yaml of them.
func mustLoad(t *testing.T, test string, files map[string]string) *File {
	t.Helper()
	f, err := load(t, test, files)
	require.NoError(t, err)
	return f
}

func load(t *testing.T, test string, files map[string]string) (*File, error) {
	t.Helper()
	dir := t.TempDir()
	if files == nil {
		files = map[string]string{"x.yaml": named("x")}
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	path := filepath.Join(dir, "x.test.yaml")
	require.NoError(t, os.WriteFile(path, []byte(test), 0o640))
	return Load(path)
}

func named(name string) string { return strings.Replace(exporter, "NAME", name, 1) }

// runAll runs every test of a file.
func runAll(t *testing.T, f *File) []*Outcome {
	t.Helper()
	var list []*Outcome
	for _, test := range f.Tests {
		o, err := engine.Run(t.Context(), test)
		require.NoError(t, err)
		list = append(list, o)
	}
	return list
}
