package resource

import (
	"github.com/kusto2otlp/kusto2otlp/internal/criteria"
	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Problem is one thing that is wrong with a document or a file.
type Problem = strict.Problem

// Document is a MetricsExporter that is valid, and where it was declared.
type Document struct {
	// MetricsExporter with every default explicit. It must not be changed.
	MetricsExporter *schemas.MetricsExporter
	// Grid is the boundaries of its windows.
	Grid grid.Grid
	// Criteria decides where it runs.
	Criteria *criteria.Matcher
	// File is the path it was read from, Number its place among the file's
	// documents, from 1, and Line where it begins.
	File   string
	Number int
	Line   int

	// Source is the text it came from, for the positions of later findings.
	Source *strict.Document

	fingerprint string
}

// Key returns namespace/name.
func (d Document) Key() string { return d.MetricsExporter.Key() }

// Context is what documents are checked against beyond themselves. Its zero
// value checks nothing.
type Context struct {
	// Exporters are the names spec.exporter may have; nil: any.
	Exporters []string
	// Databases are the names spec.database may have; nil: any.
	Databases []string
}

// Set is everything the files declare.
type Set struct {
	// Documents that are valid, sorted by namespace and name, each once.
	Documents []Document
	// Problems of everything else, in the order of the files.
	Problems []Problem
}
