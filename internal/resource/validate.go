package resource

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/internal/criteria"
	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Bounds of a spec. A window job carries the whole spec, so that it has to fit
// into a message with room to spare.
const (
	maxBody    = 256 << 10 // bytes
	maxName    = 253       // characters of a name
	maxLabel   = 63        // characters of a namespace
	maxColumns = 1000      // of labelColumns and of valueColumns
)

// Validate returns every problem of a MetricsExporter whose defaults are set.
// The problems have no positions; those of Load do.
func Validate(m *schemas.MetricsExporter, check Context) []Problem {
	return validate(nil, m, check)
}

// A checker collects the problems of one MetricsExporter.
type checker struct {
	source   *strict.Document // nil when it came from no file
	problems []Problem
}

func (c *checker) problem(field, format string, args ...any) {
	c.problems = append(c.problems, c.source.Problem(field, format, args...))
}

func (c *checker) needed(field, value string) bool {
	if strings.TrimSpace(value) == "" {
		c.problem(field, "is needed")
		return false
	}
	return true
}

func validate(source *strict.Document, m *schemas.MetricsExporter, check Context) []Problem {
	c := &checker{source: source}
	c.identity(m)
	c.destination(m.Spec, check)
	c.windows(m.Spec)
	c.criteria(m.Spec)
	if c.needed("spec.body", m.Spec.Body) && len(m.Spec.Body) > maxBody {
		c.problem("spec.body", "must not be longer than %s, has %d bytes", strict.Bytes(maxBody), len(m.Spec.Body))
	}
	c.transform(m.Spec.Transform)
	c.limits(m.Spec.Limits)
	c.reconcile(m.Spec)
	c.backfill(m.Spec)
	return c.problems
}

// Names as Kubernetes has them, RFC 1123.
var (
	labelName     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	subdomainName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

func (c *checker) identity(m *schemas.MetricsExporter) {
	if c.needed("metadata.name", m.Name) {
		switch {
		case len(m.Name) > maxName:
			c.problem("metadata.name", "must not be longer than %d characters, has %d", maxName, len(m.Name))
		case !subdomainName.MatchString(m.Name):
			c.problem("metadata.name", "must be lowercase letters, digits, \"-\" and \".\", and begin and end with a letter or digit, got %q", m.Name)
		}
	}
	switch {
	case len(m.Namespace) > maxLabel:
		c.problem("metadata.namespace", "must not be longer than %d characters, has %d", maxLabel, len(m.Namespace))
	case !labelName.MatchString(m.Namespace):
		c.problem("metadata.namespace", "must be lowercase letters, digits and \"-\", and begin and end with a letter or digit, got %q", m.Namespace)
	}
}

func (c *checker) destination(spec schemas.MetricsExporterSpec, check Context) {
	if c.needed("spec.database", spec.Database) && check.Databases != nil {
		c.known("spec.database", "database", spec.Database, check.Databases)
	}
	if c.needed("spec.exporter", spec.Exporter) && check.Exporters != nil {
		c.known("spec.exporter", "exporter", spec.Exporter, check.Exporters)
	}
}

// known tells of a name that the pipeline configuration does not have.
func (c *checker) known(field, what, name string, names []string) {
	if slices.Contains(names, name) {
		return
	}
	hint := fmt.Sprintf("it has %s", strings.Join(quoted(names), ", "))
	if near := strict.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(names) > 10 || len(names) == 0 {
		hint = fmt.Sprintf("it has %d", len(names))
	}
	c.problem(field, "%s %q is not in the pipeline configuration, %s", what, name, hint)
}

func quoted(names []string) []string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return q
}

func (c *checker) windows(spec schemas.MetricsExporterSpec) {
	for _, p := range grid.Check(spec) {
		c.problem("spec."+p.Field, "%s", p.Message)
	}
	if spec.IngestionDelay.Duration < 0 {
		c.problem("spec.ingestionDelay", "must be at least 0s, got %s", spec.IngestionDelay.Duration)
	}
}

func (c *checker) criteria(spec schemas.MetricsExporterSpec) {
	for _, p := range criteria.Check(spec.Criteria, spec.CriteriaExpression) {
		field := "spec." + p.Field
		if p.Key != "" {
			field = strict.Join("spec.criteria", p.Key)
		}
		c.problem(field, "%s", p.Message)
	}
}

func (c *checker) limits(l schemas.Limits) {
	if l.MaxRows < 0 {
		c.problem("spec.limits.maxRows", "must be at least 0, got %d", l.MaxRows)
	}
	if l.MaxSeries < 0 {
		c.problem("spec.limits.maxSeries", "must be at least 0, got %d", l.MaxSeries)
	}
}

func (c *checker) transform(t schemas.TransformConfig) {
	const at = "spec.transform."
	switch {
	case t.ValueColumn != "" && len(t.ValueColumns) > 0:
		c.problem(at+"valueColumns", "only one of valueColumn and valueColumns may be set")
	case t.ValueColumn == "" && len(t.ValueColumns) == 0:
		c.problem(at+"valueColumn", "valueColumn or valueColumns is needed")
	}
	// Several values need a name too: theirs are [prefix_]name_column.
	if t.MetricNameColumn == "" && t.DefaultMetricName == "" {
		c.problem(at+"metricNameColumn", "metricNameColumn or defaultMetricName is needed")
	}
	switch {
	case len(t.ValueColumns) == 0 && t.MetricNamePrefix != "":
		c.problem(at+"metricNamePrefix", "applies to valueColumns only")
	case len(t.ValueColumns) > 0 && t.DefaultMetricName != "" && schemas.SnakeCase(t.DefaultMetricName) == "":
		c.problem(at+"defaultMetricName", "must have a letter or digit, got %q", t.DefaultMetricName)
	}
	c.needed(at+"timestampColumn", t.TimestampColumn)
	c.columns(at+"valueColumns", t.ValueColumns)
	c.columns(at+"labelColumns", t.LabelColumns)
	c.valueNames(at+"valueColumns", t.ValueColumns)

	oneOf(c, at+"type", t.Type, schemas.Gauge, schemas.Sum)
	if t.Temporality != "" {
		oneOf(c, at+"temporality", t.Temporality, schemas.Delta, schemas.Cumulative)
	}
	oneOf(c, at+"nullValue", t.NullValue, schemas.NullSkip, schemas.NullZero, schemas.NullFail)
	if t.Type == schemas.Gauge {
		if t.Temporality == schemas.Cumulative {
			c.problem(at+"temporality", "applies to type sum only, got %q with type gauge", t.Temporality)
		}
		if t.Monotonic {
			c.problem(at+"monotonic", "applies to type sum only, got true with type gauge")
		}
	}
}

// columns checks the names of a list of columns.
func (c *checker) columns(field string, names []string) {
	if len(names) > maxColumns {
		c.problem(field, "must not have more than %d columns, has %d", maxColumns, len(names))
		return
	}
	first := map[string]int{}
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", field, i)
		if strings.TrimSpace(name) == "" {
			c.problem(at, "must not be empty")
			continue
		}
		if j, twice := first[name]; twice {
			c.problem(at, "%q is in the list twice, first as %s[%d]", name, field[strings.LastIndexByte(field, '.')+1:], j)
			continue
		}
		first[name] = i
	}
}

// valueNames tells of two columns that would give one metric.
func (c *checker) valueNames(field string, columns []string) {
	first := map[string]string{}
	for i, column := range columns {
		if strings.TrimSpace(column) == "" {
			continue
		}
		at := fmt.Sprintf("%s[%d]", field, i)
		name := schemas.SnakeCase(column)
		other, taken := first[name]
		switch {
		case name == "":
			c.problem(at, "must have a letter or digit to name a metric by, got %q", column)
		case taken && other != column:
			c.problem(at, "%q and %q would both be named %q", other, column, name)
		case !taken:
			first[name] = column
		}
	}
}

func oneOf[T ~string](c *checker, field string, value T, values ...T) {
	if slices.Contains(values, value) {
		return
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	c.problem(field, "must be %s, got %q", strings.Join(names[:len(names)-1], ", ")+" or "+names[len(names)-1], string(value))
}
