package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
)

// fence finds the fenced blocks of a page, with their language.
var fence = regexp.MustCompile("(?ms)^```([a-z]*)[^\n]*\n(.*?)^```$")

// TestValidateDocs runs the commands that docs/validate.md shows, and compares what it says they print.
func TestValidateDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("a parser is started for each command")
	}
	page, err := os.ReadFile("../../docs/validate.md")
	require.NoError(t, err)
	blocks := fence.FindAllStringSubmatch(string(page), -1)
	require.Equal(t, []string{"yaml", "sh", ""}, []string{blocks[0][1], blocks[1][1], blocks[2][1]})

	s, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, s.Start())
	defer s.Close()
	t.Chdir(t.TempDir())
	write(t, filepath.Join("exporters", "times.yaml"), blocks[0][2])
	write(t, "pipeline.yaml", `labels: {region: eastus}
kusto: [{name: telemetry, endpoint: "`+s.URL()+`", databases: [TelemetryDB], auth: {type: none}}]
exporters: [{name: prometheus-exporter, endpoint: "http://localhost:4318/v1/metrics"}]
`)
	_, out, _ := run(t, strings.Fields(blocks[1][2])[1:]...)
	require.Equal(t, blocks[2][2], out)

	commands := regexp.MustCompile(`kusto2otlp (?:validate|schema dump) [^\n]*`).FindAllString(string(page), -1)
	// The schema is there when others read it.
	code, _, errs := run(t, "schema", "dump", "--config", "pipeline.yaml", "-o", "schema.json")
	require.Zero(t, code, errs)
	ran := 0
	for _, c := range commands {
		args := strings.Fields(strings.SplitN(c, " > ", 2)[0])[1:]
		if args[0] == "validate" && !strings.Contains(c, "-f") {
			args = append(args, "exporters/times.yaml") // as pre-commit calls it
		}
		code, out, errs := run(t, args...)
		want := map[string]int{"validate": 1, "schema": 0}[args[0]]
		require.Equal(t, want, code, "%s\n%s%s", c, out, errs)
		require.NotContains(t, errs, "kusto2otlp: ", c)
		ran++
	}
	require.Equal(t, 8, ran)
}
