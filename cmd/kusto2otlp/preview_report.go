package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kusto2otlp/kusto2otlp/cmd/kusto2otlp/preview"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// head says what was run.
func (p *previewed) head(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s  %s%s\n\n", p.doc.Key(), p.window, p.which())
	return err
}

// which says what is to be known of the window itself.
func (p *previewed) which() string {
	due := p.window.End.Add(p.doc.MetricsExporter.Spec.IngestionDelay.Duration)
	switch {
	case p.latest:
		return ", the latest that is due"
	case p.window.End.After(p.now):
		return ", which is not over yet"
	case due.After(p.now):
		return fmt.Sprintf(", which is due at %s only (ingestionDelay)", timestamp(due))
	case !preview.OnGrid(p.doc.Grid, p.window):
		return ", which is none of the pipeline's own: those have other boundaries"
	}
	return ""
}

// report says what became of the window.
func (p *previewed) report(out io.Writer, r *preview.Result) error {
	m := p.doc.MetricsExporter
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	line("rows", "%d", r.Rows)
	if unread := unreadColumns(r.Columns, m.Spec.Transform.Columns()); len(unread) > 0 {
		line("", "not read by the transform: %s", strings.Join(unread, ", "))
	}
	line("points", "%d, of %d series, in %s, %s before compression", r.Points, r.Series, plural(uint64(r.Batches), "request"), size(uint64(r.Bytes)))
	if total := r.Rejected.Total(); total == 0 {
		line("rejected", "none")
	} else {
		counts, samples := r.Rejected.Counts(), r.Rejected.Samples()
		line("rejected", "%d", total)
		for _, reason := range slices.Sorted(maps.Keys(counts)) {
			line("", "%s %d: %s", reason, counts[reason], preview.Printable(samples[reason]))
		}
	}
	line("query", "%s, database %q on cluster %q%s", duration(r.Query), m.Spec.Database, p.cluster.Name, cost(r))
	line("criteria", "%s", p.criteria())
	line("exporter", "%s", p.exporter())
	if m.Spec.Suspend {
		line("suspend", "true: no windows of it are issued")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\nnothing was sent")
	return err
}

// unreadColumns are those of the answer that the transform does not name.
func unreadColumns(columns []schemas.ColumnType, read []string) []string {
	var names []string
	for _, c := range columns {
		if !slices.Contains(read, c.Name) {
			names = append(names, fmt.Sprintf("%s (%s)", c.Name, c.Type))
		}
	}
	return names
}

// cost is what Kusto says of the query.
func cost(r *preview.Result) string {
	if r.Usage == nil {
		return ""
	}
	parts := []string{fmt.Sprintf("it ran for %s", duration(r.Usage.Execution))}
	if r.Usage.CPU > 0 {
		parts = append(parts, fmt.Sprintf("took %s of CPU", duration(r.Usage.CPU)))
	}
	if r.Usage.PeakMemory > 0 {
		parts = append(parts, fmt.Sprintf("%s of memory on a node", size(uint64(r.Usage.PeakMemory))))
	}
	if r.Usage.TotalRows > 0 {
		parts = append(parts, fmt.Sprintf("read %d of %d rows", r.Usage.ScannedRows, r.Usage.TotalRows))
	}
	return "; " + strings.Join(parts, ", ")
}

// criteria says whether this pipeline would run the MetricsExporter.
func (p *previewed) criteria() string {
	spec := p.doc.MetricsExporter.Spec
	if len(spec.Criteria) == 0 && spec.CriteriaExpression == "" {
		return "none: it runs everywhere"
	}
	var labels []string
	for _, name := range p.doc.Criteria.Labels() {
		if value, ok := p.cfg.Labels[name]; ok {
			labels = append(labels, fmt.Sprintf("%s is %q", name, value))
		} else {
			labels = append(labels, "there is no "+name)
		}
	}
	with := strings.Join(labels, ", ")
	match, err := p.doc.Criteria.Match(p.cfg.Labels)
	switch {
	case err != nil:
		return fmt.Sprintf("cannot be evaluated for the labels (%s): %v", with, err)
	case match:
		return fmt.Sprintf("match the labels (%s)", with)
	}
	return fmt.Sprintf("do not match the labels (%s): this pipeline would not run it", with)
}

// exporter says where the points would go.
func (p *previewed) exporter() string {
	name := p.doc.MetricsExporter.Spec.Exporter
	if p.path == "" {
		return fmt.Sprintf("%q; there is no configuration to look it up in", name)
	}
	e, ok := p.cfg.ExporterNamed(name)
	if ok {
		return fmt.Sprintf("%q, %s", name, e.Endpoint)
	}
	hint := "it has " + strings.Join(p.cfg.ExporterNames(), ", ")
	if near := strict.Nearest(name, p.cfg.ExporterNames()); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("%q is not in %s, %s", name, p.path, hint)
}

// plural writes a number of things.
func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
