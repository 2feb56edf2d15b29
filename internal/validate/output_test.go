package validate_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/internal/validate"
)

var findings = []validate.Finding{
	{File: "a b/ü.yaml", Line: 3, Column: 18, Field: "spec.body", Severity: validate.Error, Message: "100% wrong\r\nhere: a, b", MetricsExporter: "ns/x", Rule: "kql-syntax"},
	{File: "/repo/c:d.yaml", Line: 1, Column: 1, Field: "spec.body", Severity: validate.Warning, Message: "careful", Rule: "kql-window"},
	{File: "gone.yaml", Severity: validate.Error, Message: "does not exist", Rule: "file"},
}

func TestWriteText(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, validate.WriteText(&b, findings[1:], false))
	require.Equal(t, "/repo/c:d.yaml:1:1: spec.body: warning: careful\ngone.yaml: does not exist\n", b.String())
	b.Reset()
	require.NoError(t, validate.WriteText(&b, findings[1:], true))
	require.Equal(t, "\x1b[1m/repo/c:d.yaml:1:1:\x1b[0m \x1b[33mspec.body: warning: careful\x1b[0m\n\x1b[1mgone.yaml:\x1b[0m \x1b[31mdoes not exist\x1b[0m\n", b.String())
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, validate.WriteJSON(&b, nil))
	require.Equal(t, "[]\n", b.String())
	b.Reset()
	require.NoError(t, validate.WriteJSON(&b, findings[:1]))
	require.JSONEq(t, `[{"file":"a b/ü.yaml","line":3,"column":18,"field":"spec.body","severity":"error","message":"100% wrong\r\nhere: a, b","metricsExporter":"ns/x","rule":"kql-syntax"}]`, b.String())
}

func TestWriteGitHub(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, validate.WriteGitHub(&b, findings, "/repo"))
	require.Equal(t, `::error file=a b/ü.yaml,line=3,col=18::spec.body: 100%25 wrong%0D%0Ahere: a, b
::warning file=c%3Ad.yaml,line=1,col=1::spec.body: careful
::error file=gone.yaml::does not exist
`, b.String())
}

// TestWriteSARIF checks what the published schema of SARIF 2.1.0 requires of the objects that are used.
func TestWriteSARIF(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, validate.WriteSARIF(&b, findings, "/repo", "1.2.3"))
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name, Version, InformationURI string
					Rules                         []struct {
						ID               string
						ShortDescription struct{ Text string }
					}
				}
			}
			ColumnKind string
			Results    []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           *struct{ StartLine, StartColumn int }
					}
					LogicalLocations []struct{ Name, FullyQualifiedName, Kind string }
				}
			}
		}
	}
	d := json.NewDecoder(&b)
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&log))
	require.Equal(t, "2.1.0", log.Version)
	require.Len(t, log.Runs, 1)
	run := log.Runs[0]
	require.Equal(t, "kusto2otlp", run.Tool.Driver.Name)
	require.Contains(t, []string{"utf16CodeUnits", "unicodeCodePoints"}, run.ColumnKind)
	var ids []string
	for _, r := range run.Tool.Driver.Rules {
		require.NotContains(t, ids, r.ID)
		require.NotEmpty(t, r.ShortDescription.Text)
		ids = append(ids, r.ID)
	}
	// The rules are a contract: one may be added, none renamed.
	for _, id := range []string{"file", "yaml", "field", "resource", "duplicate", "destination", "schedule", "criteria", "label", "transform", "limit",
		"pipeline", "kql-syntax", "kql-semantics", "kql-window", "column", "kusto"} {
		require.Contains(t, ids, id)
	}
	require.Len(t, run.Results, 3)
	uriReference := regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*:)?[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*$`)
	for _, r := range run.Results {
		require.Equal(t, slices.Index(ids, r.RuleID), r.RuleIndex)
		require.Contains(t, []string{"none", "note", "warning", "error"}, r.Level)
		require.NotEmpty(t, r.Message.Text)
		require.Regexp(t, uriReference, r.Locations[0].PhysicalLocation.ArtifactLocation.URI)
		if region := r.Locations[0].PhysicalLocation.Region; region != nil {
			require.Positive(t, region.StartLine)
			require.Positive(t, region.StartColumn)
		}
	}
	require.Equal(t, "a%20b/%C3%BC.yaml", run.Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI)
	require.Equal(t, "ns/x: spec.body", run.Results[0].Locations[0].LogicalLocations[0].FullyQualifiedName)
	require.Equal(t, "./c:d.yaml", run.Results[1].Locations[0].PhysicalLocation.ArtifactLocation.URI)
	require.Nil(t, run.Results[2].Locations[0].PhysicalLocation.Region)

	b.Reset()
	require.NoError(t, validate.WriteSARIF(&b, nil, "/repo", "dev"))
	require.Contains(t, b.String(), `"results": []`)
}

func TestFromProblems(t *testing.T) {
	got := validate.FromProblems([]strict.Problem{{File: "p.yaml", Line: 2, Column: 3, Field: "kusto", Message: "is needed"}})
	require.Equal(t, []validate.Finding{{File: "p.yaml", Line: 2, Column: 3, Field: "kusto", Severity: validate.Error, Message: "is needed", Rule: "pipeline"}}, got)
}
