package validate

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/kusto2otlp/kusto2otlp/internal/criteria"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/internal/schemafile"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Config is what MetricsExporters are checked against. Only Parser is needed.
type Config struct {
	// Parser reads the queries. Its engines work side by side.
	Parser *kql.Parser
	// Engines is how many queries are checked at a time.
	Engines int
	// Pipeline is what a configuration has; nil without one.
	Pipeline *Pipeline
	// Schema is what names in queries refer to; nil: queries are checked for their syntax.
	Schema *schemafile.File
	// Asker asks Kusto itself; nil: nobody is asked.
	Asker Asker
}

// Pipeline is what of a pipeline configuration MetricsExporters refer to.
type Pipeline struct {
	Exporters []string
	Databases []string
	// Labels of the instance, and the query parameter of each.
	Labels map[string]string
	// Cluster is the name of the cluster that serves a database; empty for none.
	Cluster func(database string) string
}

// Asker asks Kusto what a query would return: the columns of each of its tables. That the query is
// refused is a *Refusal.
type Asker interface {
	ResultColumns(ctx context.Context, m *schemas.MetricsExporter) ([][]schemas.ColumnType, error)
}

// Refusal says why Kusto does not take a query, and where in its body; Line and Column count from 1
// and are 0 when Kusto does not say.
type Refusal struct {
	Message      string
	Line, Column int
}

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

// Run checks files, directories and patterns. An error means that there is no report.
func Run(ctx context.Context, cfg Config, names []string) (*Report, error) {
	found, problems := resource.Find(names)
	r := &Report{Files: len(found)}
	for _, p := range problems {
		r.Findings = append(r.Findings, finding(p, ruleFile, Error))
	}
	check := resource.Context{}
	if cfg.Pipeline != nil {
		check.Exporters, check.Databases = slices.Concat([]string{}, cfg.Pipeline.Exporters), slices.Concat([]string{}, cfg.Pipeline.Databases)
	}
	var documents []*document
	files := make([]file, len(found))
	declared := map[string]*document{}
	for i, f := range found {
		drafts, problems := resource.Inspect(f.Path, check)
		for _, p := range problems {
			rule := ruleYAML
			if p.Line == 0 {
				rule = ruleFile
			}
			files[i].findings = append(files[i].findings, finding(p, rule, Error))
		}
		for _, draft := range drafts {
			if f.Walked && foreign(draft) {
				r.Foreign++
				continue
			}
			d := &document{cfg: cfg, draft: draft}
			d.values()
			d.duplicate(declared)
			documents = append(documents, d)
			files[i].documents = append(files[i].documents, d)
		}
	}
	r.Documents = len(documents)
	if err := checkQueries(ctx, cfg, documents); err != nil {
		return nil, err
	}
	for _, f := range files {
		list := f.findings
		for _, d := range f.documents {
			list = append(list, d.findings...)
		}
		sortByPlace(list)
		r.Findings = append(r.Findings, list...)
	}
	if len(found) > 0 && r.Documents == 0 && len(r.Findings) == 0 {
		return nil, fmt.Errorf("no MetricsExporter in %s", strings.Join(names, ", "))
	}
	return r, nil
}

type file struct {
	findings  []Finding // of the file itself
	documents []*document
}

// foreign says that a document of a directory is not meant to be a MetricsExporter. A kind that is
// nearly ours is a mistake.
func foreign(d resource.Draft) bool {
	m := d.MetricsExporter
	return len(d.Foreign) > 0 && m.APIVersion != schemas.APIVersion && strict.Nearest(m.Kind, []string{schemas.Kind}) == ""
}

// queriesPerEngine is what another engine must have to do, since it takes as long as some thirty
// queries to start.
const queriesPerEngine = 30

// checkQueries checks the query of each document, on as many engines as there are. Those of one
// cluster come one after the other: an engine has one cluster's schema at a time.
func checkQueries(ctx context.Context, cfg Config, documents []*document) error {
	type group struct {
		schema    *kql.Schema
		documents []*document
	}
	var groups []*group
	of := map[string]*group{}
	for _, d := range documents {
		cluster := d.cluster()
		g := of[cluster]
		if g == nil {
			g = &group{}
			if cluster != "" {
				var err error
				if g.schema, err = cfg.Schema.Schema(cluster); err != nil {
					return fmt.Errorf("schema: %w", err)
				}
			}
			of[cluster] = g
			groups = append(groups, g)
		}
		g.documents = append(g.documents, d)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan func() error)
	var wg sync.WaitGroup
	for range min(max(cfg.Engines, 1), 1+len(documents)/queriesPerEngine) {
		wg.Go(func() {
			for f := range work {
				if err := f(); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, g := range groups {
		for _, d := range g.documents {
			select {
			case work <- func() error { return d.query(ctx, g.schema) }:
			case <-ctx.Done():
			}
		}
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// document is a MetricsExporter and what was found in it.
type document struct {
	cfg      Config
	draft    resource.Draft
	findings []Finding
}

// report adds a finding at the place of a field.
func (d *document) report(rule string, severity Severity, field, format string, args ...any) *Finding {
	f := finding(d.draft.Source.Problem(field, format, args...), rule, severity)
	f.MetricsExporter = d.key()
	d.findings = append(d.findings, f)
	return &d.findings[len(d.findings)-1]
}

// reportIn adds a finding at a place within the text of a field.
func (d *document) reportIn(offset int, rule string, severity Severity, field, format string, args ...any) {
	f := d.report(rule, severity, field, format, args...)
	f.Line, f.Column = d.draft.Source.PositionIn(field, offset)
}

// key is namespace/name, empty where there is no name.
func (d *document) key() string {
	if d.draft.MetricsExporter.Name == "" || len(d.draft.Foreign) > 0 {
		return ""
	}
	return d.draft.MetricsExporter.Key()
}

// values reports what resource found.
func (d *document) values() {
	for _, p := range d.draft.Foreign {
		d.report(ruleResource, Error, p.Field, "%s", p.Message)
	}
	for _, p := range d.draft.Decoding {
		f := finding(p, ruleField, Error)
		f.MetricsExporter = d.key()
		d.findings = append(d.findings, f)
	}
	for _, p := range d.draft.Validation {
		f := d.report(ruleOf(p.Field), Error, p.Field, "%s", p.Message)
		if at, ok := placeInExpression(d.draft.MetricsExporter.Spec.CriteriaExpression, p); ok {
			f.Line, f.Column = d.draft.Source.PositionIn(p.Field, at)
		}
	}
	d.labels()
}

var celPlace = regexp.MustCompile(`^is not valid CEL: (\d{1,6}):(\d{1,6}): `)

// placeInExpression is the byte of an expression at which CEL finds fault with it.
func placeInExpression(expression string, p strict.Problem) (int, bool) {
	m := celPlace.FindStringSubmatch(p.Message)
	if m == nil || p.Field != "spec.criteriaExpression" {
		return 0, false
	}
	return strict.Offset(expression, atoi(m[1]), atoi(m[2])), true
}

func atoi(digits string) (n int) {
	for _, r := range digits {
		n = 10*n + int(r-'0')
	}
	return n
}

// labels warns of labels that the instance does not have.
func (d *document) labels() {
	p, spec := d.cfg.Pipeline, d.draft.MetricsExporter.Spec
	if p == nil || len(d.draft.Foreign) > 0 {
		return
	}
	known := make([]string, 0, len(p.Labels))
	for label := range p.Labels {
		known = append(known, label)
	}
	slices.Sort(known)
	tell := func(name string) (string, []any) {
		hint := "it has " + strings.Join(known, ", ")
		if near := strict.Nearest(name, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if len(known) == 0 {
			hint = "it has none"
		}
		return "label %q is not in the pipeline configuration, %s", []any{name, hint}
	}
	for key := range spec.Criteria {
		if _, ok := p.Labels[key]; !ok && key != "" {
			format, args := tell(key)
			d.report(ruleLabel, Warning, strict.Join("spec.criteria", key), format, args...)
		}
	}
	m, err := criteria.New(nil, spec.CriteriaExpression)
	if err != nil {
		return // reported
	}
	for _, name := range m.Labels() {
		if _, ok := p.Labels[name]; !ok {
			format, args := tell(name)
			d.reportIn(max(strings.Index(spec.CriteriaExpression, name), 0), ruleLabel, Warning, "spec.criteriaExpression", format, args...)
		}
	}
}

// duplicate tells of a name that another document has.
func (d *document) duplicate(declared map[string]*document) {
	key := d.key()
	if key == "" {
		return
	}
	first, taken := declared[key]
	if !taken {
		declared[key] = d
		return
	}
	line, _ := first.draft.Source.Position("")
	d.report(ruleDuplicate, Error, "metadata.name", "%q is already declared at %s:%d", key, first.draft.Source.File, line)
}

// databaseName is the database of the schema that is meant: the one that is named, or the nearest to
// it, so that a mistake in the name does not hide those in the query.
func (d *document) databaseName() string {
	name, names := d.draft.MetricsExporter.Spec.Database, d.cfg.Schema.Databases()
	if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		if near := strict.Nearest(name, names); near != "" {
			return near
		}
	}
	return name
}

// cluster is the one of the schema that the query runs on; empty when it is not known.
func (d *document) cluster() string {
	if d.cfg.Schema == nil || d.draft.MetricsExporter.Spec.Database == "" {
		return ""
	}
	database := d.databaseName()
	if p := d.cfg.Pipeline; p != nil {
		// The file may have been dumped with another configuration.
		if name := p.Cluster(database); d.cfg.Schema.Has(name, database) {
			return name
		}
	}
	return d.cfg.Schema.ClusterOf(database)
}
