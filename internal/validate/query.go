package validate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const bodyField = "spec.body"

// The parameters that every query has beside those of the labels.
const (
	startParameter = "_startTime"
	endParameter   = "_endTime"
)

// query checks the document's query, with a schema or without, and what it returns against the
// transform. An error is the parser's own.
func (d *document) query(ctx context.Context, schema *kql.Schema) error {
	body := d.draft.MetricsExporter.Spec.Body
	wrong := slices.ContainsFunc(d.findings, func(f Finding) bool { return f.Field == bodyField })
	if len(d.draft.Foreign) > 0 || strings.TrimSpace(body) == "" || wrong || !d.draft.Decoded(bodyField) {
		return nil // there is none, or too much of it, which has been reported
	}
	q := &query{document: d, schema: schema, body: body}
	return q.check(ctx)
}

// query is the check of one query.
type query struct {
	*document
	schema *kql.Schema // nil: only the syntax is checked
	name   string      // of the database in the schema
	body   string

	parameters map[string]bool // of labels, each a string
	prefix     int             // bytes that come before the body in the text that is analysed
	analysis   *kql.Report
}

func (q *query) check(ctx context.Context) error {
	if code := firstCode(q.body); strings.HasPrefix(code, ".") || strings.HasPrefix(code, "#") {
		q.reportIn(len(q.body)-len(code), ruleSyntax, Error, bodyField, "must be a query, is a management command or directive")
		return nil
	}
	q.database()
	q.parameters = map[string]bool{}
	if p := q.cfg.Pipeline; p != nil {
		for label := range p.Labels {
			q.parameters[config.LabelParameter(label)] = true
		}
	}
	if err := q.analyze(ctx); ctx.Err() != nil || errors.Is(err, kql.ErrClosed) {
		return err
	} else if err != nil {
		// One query is too much for the parser; the others need not be.
		q.report(ruleSyntax, Error, bodyField, "cannot be parsed: %s", err)
		return nil
	}
	syntax := q.diagnostics()
	q.window(syntax)
	if syntax {
		return nil // what the rest means nobody knows
	}
	results := q.results()
	if q.cfg.Asker != nil {
		if answer := q.ask(ctx); answer != nil {
			results = answer // Kusto knows better than a file
		}
	}
	for i, r := range results {
		q.columns(r, i, len(results))
	}
	return context.Cause(ctx)
}

// firstCode is the text without the white space and the comments before it.
func firstCode(text string) string {
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if !strings.HasPrefix(text, "//") {
			return text
		}
		_, text, _ = strings.Cut(text, "\n")
	}
}

// database reports one that the schema does not have.
func (q *query) database() {
	name := q.draft.MetricsExporter.Spec.Database
	if q.cfg.Schema == nil || name == "" {
		return
	}
	if q.name = q.databaseName(); q.schema == nil || q.schema.Database(q.name) == nil {
		q.schema = nil
	}
	if q.schema != nil && strings.EqualFold(q.name, name) {
		return
	}
	if slices.ContainsFunc(q.findings, func(f Finding) bool { return f.Field == "spec.database" }) {
		return
	}
	hint := "it has " + strings.Join(q.cfg.Schema.Databases(), ", ")
	if q.name != name {
		hint = fmt.Sprintf("did you mean %q?", q.name)
	}
	q.report(ruleDestination, Error, "spec.database", "database %q is not in the schema, %s", name, hint)
}

// analyze has the query parsed behind a declaration of its parameters, as it is sent to Kusto.
// Without a configuration every name that begins with an underscore and means nothing else may be
// a label's.
func (q *query) analyze(ctx context.Context) error {
	for range 2 {
		declared := []string{startParameter + ":datetime", endParameter + ":datetime"}
		for _, name := range slices.Sorted(maps.Keys(q.parameters)) {
			declared = append(declared, name+":string")
		}
		prefix := "declare query_parameters(" + strings.Join(declared, ", ") + ");\n"
		q.prefix = len(prefix)
		var err error
		if q.analysis, err = q.cfg.Parser.Check(ctx, q.schema, q.name, prefix+q.body); err != nil {
			return err
		}
		more := false
		for _, d := range q.analysis.Diagnostics {
			name := q.named(d)
			if q.cfg.Pipeline == nil && strings.HasPrefix(name, "_") && !q.parameters[name] && config.LabelParameter(name[1:]) == name {
				q.parameters[name], more = true, true
			}
		}
		if !more {
			break
		}
	}
	return nil
}

// The binder's diagnostics of a name that it does not find, and what the name would have to be.
const (
	unknownName  = "KS142"
	unknownTable = "KS204"
)

// named is the name that is not found; empty when something else is wrong.
func (q *query) named(d kql.Diagnostic) string {
	at := d.Offset - q.prefix
	if d.Code != unknownName && d.Code != unknownTable || at < 0 || at+d.Length > len(q.body) {
		return ""
	}
	return q.body[at : at+d.Length]
}

// diagnostics reports what the parser finds. When it is about syntax it returns true, and all else is
// left out: it would only be what follows.
func (q *query) diagnostics() (syntax bool) {
	syntax = slices.ContainsFunc(q.analysis.Diagnostics, func(d kql.Diagnostic) bool { return d.Syntax })
	last := -1
	for _, d := range q.analysis.Diagnostics {
		severity := Error
		switch d.Severity {
		case "Error":
		case "Warning":
			severity = Warning
		default:
			continue
		}
		// Of what cannot be parsed one place has one fault, and what comes after it is not what the parser
		// waited for.
		if d.Syntax != syntax || syntax && (d.Offset == last || last >= 0 && consequence(d)) {
			continue
		}
		last = d.Offset
		rule := ruleSemantics
		if d.Syntax {
			rule = ruleSyntax
		}
		q.reportIn(max(d.Offset-q.prefix, 0), rule, severity, bodyField, "%s (%s)%s", d.Message, d.Code, q.hint(d))
	}
	return syntax
}

// consequence says that a diagnostic only follows from another before it.
func consequence(d kql.Diagnostic) bool {
	const incompleteFragment, expected = "KS198", "KS005"
	return d.Code == incompleteFragment || d.Code == expected && strings.HasSuffix(d.Message, ": ;")
}

// operators are what may follow a pipe.
var operators = strings.Fields(`as consume count distinct evaluate extend facet find fork getschema invoke join limit lookup
	make-series mv-apply mv-expand order parse parse-kv parse-where partition project project-away project-keep
	project-rename project-reorder reduce render sample sample-distinct scan search serialize sort summarize take top
	top-hitters top-nested union where`)

// hint is what somebody may have meant by a name that is not found.
func (q *query) hint(d kql.Diagnostic) string {
	const operatorExpected = "KS176"
	if at := d.Offset - q.prefix; d.Code == operatorExpected && at >= 0 && at+d.Length <= len(q.body) {
		return didYouMean(q.body[at:at+d.Length], operators)
	}
	name := q.named(d)
	if name == "" || q.schema == nil {
		return ""
	}
	var names []string
	db := q.schema.Database(q.name)
	for _, tables := range [][]kql.Table{db.Tables, db.MaterializedViews} {
		for _, t := range tables {
			if d.Code == unknownTable {
				names = append(names, t.Name)
			} else if slices.Contains(q.analysis.Names, t.Name) {
				for _, c := range t.Columns {
					names = append(names, c.Name)
				}
			}
		}
	}
	if d.Code == unknownName {
		names = append(names, startParameter, endParameter)
		names = append(names, slices.Sorted(maps.Keys(q.parameters))...)
	}
	return didYouMean(name, names)
}

// didYouMean ends a message with the nearest of names. Of two letters everything is near to everything.
func didYouMean(name string, names []string) string {
	near := strict.Nearest(name, names)
	if near == "" || near == name || len(name) < 3 && !strings.EqualFold(near, name) {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", near)
}

// window warns of a query that returns the same rows whatever the window. Of a text that cannot be
// parsed the names may not be known.
func (q *query) window(syntax bool) {
	var missing []string
	for _, name := range []string{startParameter, endParameter} {
		if !slices.Contains(q.analysis.Names, name) && !(syntax && strings.Contains(q.body, name)) {
			missing = append(missing, name)
		}
	}
	var message string
	switch {
	case len(missing) == 2:
		message = "never mentions " + startParameter + " or " + endParameter + ": every window exports all rows again"
	case len(missing) == 0:
		return
	case missing[0] == startParameter:
		message = "mentions " + endParameter + " and never " + startParameter + ": every window exports all rows before its end again"
	default:
		message = "mentions " + startParameter + " and never " + endParameter + ": a window that runs late exports the rows of later ones as well"
	}
	if near := strict.Nearest(missing[0], without(q.analysis.Names, startParameter, endParameter)); len(near) > 5 {
		message += fmt.Sprintf(", is %q meant to be %s?", near, missing[0])
	}
	q.reportIn(len(q.body)-len(firstCode(q.body)), ruleWindow, Warning, bodyField, "%s", message)
}

func without(names []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(some, n) })
}

// result is the columns of a table that the query returns.
type result struct {
	columns []schemas.ColumnType
	open    bool // there may be more
}

// results are the tables that the query returns, as far as the parser knows.
func (q *query) results() []result {
	var list []result
	for _, r := range q.analysis.Results {
		columns := make([]schemas.ColumnType, len(r.Columns))
		for i, c := range r.Columns {
			columns[i] = schemas.ColumnType{Name: c.Name, Type: c.Type}
		}
		list = append(list, result{columns, r.Open || q.schema == nil})
	}
	if len(list) == 0 {
		q.reportIn(len(strings.TrimRight(q.body, " \t\r\n")), ruleSyntax, Error, bodyField, "returns no table: the last statement must be a tabular expression")
	}
	return list
}

// columns reports the columns of the transform that a result does not have, or has of a wrong type.
func (q *query) columns(r result, i, of int) {
	names := make([]string, len(r.columns))
	for j, c := range r.columns {
		names[j] = c.Name
	}
	for _, p := range q.draft.MetricsExporter.Spec.Transform.CheckAll(r.columns) {
		field := "spec.transform." + p.Field
		if p.Missing && r.open || !q.draft.Decoded(field) {
			continue
		}
		message := p.Message
		if p.Missing {
			message += didYouMean(p.Column, names)
		}
		if of > 1 {
			message = fmt.Sprintf("statement %d: %s", i+1, message)
		}
		q.report(ruleColumn, Error, field, "%s", message)
	}
}

// ask asks Kusto. No results mean that it gave none, which has been reported.
func (q *query) ask(ctx context.Context) []result {
	tables, err := q.cfg.Asker.ResultColumns(ctx, q.draft.MetricsExporter)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Line > 0:
		q.reportIn(strict.Offset(q.body, refusal.Line, refusal.Column), ruleKusto, Error, bodyField, "%s", refusal.Message)
		return nil
	case err != nil:
		q.report(ruleKusto, Error, bodyField, "%s", err)
		return nil
	}
	list := make([]result, len(tables))
	for i, columns := range tables {
		list[i] = result{columns: columns}
	}
	return list
}
