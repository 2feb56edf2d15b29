package validate

import (
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
)

// SARIF 2.1.0, as far as it is used: https://docs.oasis-open.org/sarif/sarif/v2.1.0/.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string       `json:"id"`
		ShortDescription sarifMessage `json:"shortDescription"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     Severity        `json:"level"` // SARIF has the same words
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
	}
	sarifLogical struct {
		Name               string `json:"name"`
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
)

// WriteSARIF writes the findings as a SARIF 2.1.0 log of a tool of that version. Files below dir are
// named from there.
func WriteSARIF(w io.Writer, findings []Finding, dir, version string) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{
		Name: "kusto2otlp", Version: version, InformationURI: "https://github.com/kusto2otlp/kusto2otlp",
	}
	for _, r := range Rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{r.ID, sarifMessage{r.Description}})
	}
	for _, f := range findings {
		result := sarifResult{
			RuleID: f.Rule, RuleIndex: slices.IndexFunc(Rules, func(r Rule) bool { return r.ID == f.Rule }),
			Level: f.Severity, Message: sarifMessage{f.Message},
		}
		location := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{fileURI(relative(f.File, dir))}}}
		if f.Line > 0 {
			location.Physical.Region = &sarifRegion{f.Line, f.Column}
		}
		if f.Field != "" {
			result.Message.Text = f.Field + ": " + f.Message
			location.Logical = []sarifLogical{{
				Name: f.Field[strings.LastIndexByte(f.Field, '.')+1:], FullyQualifiedName: strings.TrimPrefix(f.MetricsExporter+": ", ": ") + f.Field,
				Kind: "member",
			}}
		}
		result.Locations = []sarifLocation{location}
		run.Results = append(run.Results, result)
	}
	return encode(w, sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
}

// fileURI is a path as a URI reference: relative ones stay relative.
func fileURI(name string) string {
	u := url.URL{Path: name}
	if path.IsAbs(name) {
		u.Scheme = "file"
	}
	// url.URL puts "./" before a relative path whose first part has a colon, which is right.
	return u.String()
}
