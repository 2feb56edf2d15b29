package kql

import (
	"context"
	"encoding/json"
	"fmt"
)

// Report is what Check finds in one text. It is shared between all who ask for the same, and so
// must not be changed.
type Report struct {
	// Kind is Query; or Command or Directive, which are not looked at any further.
	Kind string

	Diagnostics []Diagnostic

	// Names are the names that the text refers to, bound or not, each once. What is only in a comment
	// or a string is not among them.
	Names []string

	// Results are those of the tabular statements, in order.
	Results []Result
}

// Result is what a tabular statement returns, as far as it is known.
type Result struct {
	// Columns have the type unknown where it cannot be told.
	Columns []Column `json:"columns"`
	// Open says that there may be more columns, as what the query reads is not in the schema.
	Open bool `json:"open"`
}

// Check is Analyze for those who want to know what is wrong with a text rather than run it: it is
// faster, tells what it can of a text with errors, and does without a schema. When schema is nil the
// diagnostics are those of syntax alone, and every result is open.
func (p *Parser) Check(ctx context.Context, schema *Schema, database, text string) (*Report, error) {
	version := ""
	if schema != nil {
		db := schema.Database(database)
		if db == nil {
			return nil, &DatabaseError{Database: database, Cluster: schema.cluster}
		}
		version, database = schema.version, db.Name
	}
	if len(text) > p.config.MaxText {
		return nil, fmt.Errorf("check query: the text must have at most %d bytes, got %d", p.config.MaxText, len(text))
	}
	k := key{version, database, text}
	if r := p.checks.get(k); r != nil {
		return r, nil
	}
	var r *Report
	err := p.use(ctx, schema, func(ctx context.Context, e engine) error {
		// Another may have asked for the same while this one waited.
		if r = p.checks.get(k); r != nil {
			return nil
		}
		answer, err := e.call(ctx, "check", version, database, text)
		if err != nil {
			return err
		}
		r, err = decodeReport(answer, text)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.checks.put(k, r)
	return r, nil
}

func decodeReport(answer, text string) (*Report, error) {
	var w struct {
		wire
		Names   []string `json:"names"`
		Results []Result `json:"results"`
	}
	if err := json.Unmarshal([]byte(answer), &w); err != nil {
		return nil, fmt.Errorf("decode the report: %w", err)
	}
	if err := w.lost(); err != nil {
		return nil, err
	}
	r := &Report{Kind: w.Kind, Names: w.Names, Results: w.Results}
	pos := newPositions(text)
	for _, d := range w.Diagnostics {
		r.Diagnostics = append(r.Diagnostics, d.diagnostic(pos))
	}
	if r.Kind == "Query" && !w.Analyzed && len(r.Diagnostics) == 0 {
		r.Diagnostics = append(r.Diagnostics, tooComplex(pos))
	}
	return r, nil
}
