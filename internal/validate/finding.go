package validate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

// Severity says whether a MetricsExporter can work in spite of a finding.
type Severity string

// The severities.
const (
	// Error: it is refused, or will fail.
	Error Severity = "error"
	// Warning: it will run, and likely not do what is meant.
	Warning Severity = "warning"
)

// Finding is one thing that is wrong. Its JSON is a contract.
type Finding struct {
	// File is the path as it was given.
	File string `json:"file"`
	// Line and Column count from 1, columns in characters; 0 when the finding is the whole file's.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Field is the path to the field, such as spec.transform.valueColumn; empty for the whole document.
	Field    string   `json:"field"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// MetricsExporter is namespace/name, where the document says.
	MetricsExporter string `json:"metricsExporter"`
	// Rule is the ID of one of Rules.
	Rule string `json:"rule"`
}

// String prints file:line:column: field: message, leaving out what is not known. A warning says so.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Field != "" {
		b.WriteString(f.Field + ": ")
	}
	if f.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Rule is a kind of finding.
type Rule struct{ ID, Description string }

// The IDs of the rules; they do not change.
const (
	ruleFile        = "file"
	ruleYAML        = "yaml"
	ruleField       = "field"
	ruleResource    = "resource"
	ruleDuplicate   = "duplicate"
	ruleDestination = "destination"
	ruleSchedule    = "schedule"
	ruleCriteria    = "criteria"
	ruleLabel       = "label"
	ruleTransform   = "transform"
	ruleLimit       = "limit"
	rulePipeline    = "pipeline"
	ruleSyntax      = "kql-syntax"
	ruleSemantics   = "kql-semantics"
	ruleWindow      = "kql-window"
	ruleColumn      = "column"
	ruleKusto       = "kusto"
)

// Rules are all rules.
var Rules = []Rule{
	{ruleFile, "A file or directory that is named exists and can be read."},
	{ruleYAML, "A file is valid YAML or JSON."},
	{ruleField, "A document has the fields that a MetricsExporter has, each once and with a value of its type."},
	{ruleResource, "apiVersion, kind, name and namespace are those of a MetricsExporter."},
	{ruleDuplicate, "A namespace and name is declared once."},
	{ruleDestination, "spec.database and spec.exporter are set, and the pipeline configuration has them."},
	{ruleSchedule, "Interval, schedule, time zone, delay, reconciliation and backfill make sense."},
	{ruleCriteria, "Criteria can match, and their expression is CEL that is true or false."},
	{ruleLabel, "The labels that criteria are about are labels of the pipeline configuration."},
	{ruleTransform, "The transform has what it needs, and nothing that excludes another."},
	{ruleLimit, "Limits are in their bounds."},
	{rulePipeline, "The pipeline configuration itself is valid."},
	{ruleSyntax, "The query is KQL."},
	{ruleSemantics, "What the query names is there, and is used as its type allows."},
	{ruleWindow, "The query is bounded by _startTime and _endTime."},
	{ruleColumn, "The query returns the columns that the transform wants, of a type it can use."},
	{ruleKusto, "Kusto accepts the query."},
}

// ruleOf is the rule of a value that is out of bounds.
func ruleOf(field string) string {
	rules := []struct{ prefix, rule string }{
		{"spec.database", ruleDestination}, {"spec.exporter", ruleDestination},
		{"spec.criteria", ruleCriteria}, {"spec.transform", ruleTransform}, {"spec.limits", ruleLimit},
		{"spec.body", ruleSyntax}, {"spec.", ruleSchedule},
	}
	for _, r := range rules {
		if strings.HasPrefix(field, r.prefix) {
			return r.rule
		}
	}
	return ruleResource
}

// finding is a problem as a finding; whose it is is filled in by the caller.
func finding(p strict.Problem, rule string, severity Severity) Finding {
	return Finding{File: p.File, Line: p.Line, Column: p.Column, Field: p.Field, Severity: severity, Message: p.Message, Rule: rule}
}

// FromProblems are the findings of a pipeline configuration.
func FromProblems(problems []strict.Problem) []Finding {
	list := make([]Finding, len(problems))
	for i, p := range problems {
		list[i] = finding(p, rulePipeline, Error)
	}
	return list
}

// Report is what there is to say of some files.
type Report struct {
	// Files is how many files were read, Documents how many MetricsExporters they have, Foreign how
	// many other documents were passed over.
	Files, Documents, Foreign int
	Findings                  []Finding
}

// Count is how many findings there are of a severity.
func (r *Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Summary says how many there are of everything, in a line.
func (r *Report) Summary() string {
	s := strings.Join([]string{count(r.Files, "file"), count(r.Count(Error), "error"), count(r.Count(Warning), "warning")}, ", ")
	if r.Foreign > 0 {
		s += fmt.Sprintf(" (%s of other kinds passed over)", count(r.Foreign, "document"))
	}
	return s
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// sortByPlace puts the findings of one file into the order of its text.
func sortByPlace(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
