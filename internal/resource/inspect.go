package resource

import (
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Draft is a document of a file with everything that is wrong with it.
type Draft struct {
	// MetricsExporter as far as it could be decoded, with every default explicit.
	MetricsExporter *schemas.MetricsExporter
	// Source is the text it came from.
	Source *strict.Document
	// Foreign are the problems of a document that is of another kind: it has no others.
	Foreign []Problem
	// Decoding are unknown fields and values of a wrong type, Validation the values
	// that are out of bounds.
	Decoding, Validation []Problem
}

// Decoded says whether a field has the value that the text says.
func (d Draft) Decoded(field string) bool { return !strict.Problems(d.Decoding).Cover(field) }

// Inspect reads every document of a file, valid or not, but for tests. The problems
// are those of the file: it cannot be read, or is not YAML.
func Inspect(path string, check Context) ([]Draft, []Problem) {
	text, err := readBounded(path)
	if err != nil {
		return nil, unreadable(path, err).problems
	}
	sources, problems := strict.Parse(path, text)
	var drafts []Draft
	for _, source := range sources {
		if isTest(source) {
			continue
		}
		d := Draft{MetricsExporter: new(schemas.MetricsExporter), Source: source}
		d.Decoding = source.Decode(d.MetricsExporter, strict.Options{})
		if d.Foreign = kindProblems(source, d.MetricsExporter); len(d.Foreign) > 0 {
			d.Decoding = nil
		} else {
			SetDefaults(d.MetricsExporter)
			d.Validation = merge(d.Decoding, validate(source, d.MetricsExporter, check))[len(d.Decoding):]
		}
		drafts = append(drafts, d)
	}
	return drafts, problems
}
