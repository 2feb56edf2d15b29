package schemas

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The group, version and kind of the resource a user writes.
const (
	APIVersion = "adx-mon.azure.com/v1"
	Kind       = "MetricsExporter"
)

// MetricsExporter declares that the rows of a KQL query become OTLP metrics,
// window after window, at a named exporter.
type MetricsExporter struct {
	metav1.TypeMeta `json:",inline"`

	// Metadata has the name, which is needed, and the namespace, which is default
	// when empty.
	metav1.ObjectMeta `json:"metadata"`

	// Spec is what the user asks for.
	Spec MetricsExporterSpec `json:"spec"`

	// Status is what the pipeline reports; files have none.
	Status MetricsExporterStatus `json:"status,omitzero"`
}

// Key returns the resource's name as logs, metrics and commands print it:
// "namespace/name".
func (m *MetricsExporter) Key() string { return m.Namespace + "/" + m.Name }

// MetricsExporterSpec is what the user asks for. A window job carries it as
// JSON, so that the stages after the scheduler need no lookup.
type MetricsExporterSpec struct {
	// Database is the Kusto database to query. A kusto[] entry of the pipeline
	// configuration must list it.
	Database string `json:"database"`

	// Exporter names the OTLP destination: an exporters[] entry of the pipeline
	// configuration.
	Exporter string `json:"exporter"`

	// Interval is the length of a window, at least 1s. Windows are aligned to
	// its multiples, as time.Truncate does. Exactly one of Interval and Schedule is set.
	Interval metav1.Duration `json:"interval,omitzero"`

	// Schedule is a cron expression of 5 fields, or a descriptor such as @hourly.
	// A window runs from one tick to the next.
	Schedule string `json:"schedule,omitempty"`

	// TimeZone is the IANA name in which Schedule is read; UTC when empty.
	TimeZone string `json:"timeZone,omitempty"`

	// IngestionDelay is how long after its end a window is run, to let late rows
	// arrive.
	IngestionDelay metav1.Duration `json:"ingestionDelay,omitzero"`

	// Suspend stops the issue of new windows. When it is lifted, the windows in
	// between are caught up with like those of a downtime.
	Suspend bool `json:"suspend,omitempty"`

	// Criteria selects where the query runs: every key must be a label of the
	// instance, with one of the key's values, regardless of case.
	Criteria map[string][]string `json:"criteria,omitempty"`

	// CriteriaExpression is a CEL expression over the instance's labels that must
	// be true as well.
	CriteriaExpression string `json:"criteriaExpression,omitempty"`

	// Body is the KQL query. It sees _startTime and _endTime, both inclusive, and
	// each label of the instance as _label.
	Body string `json:"body"`

	// Transform says how a row becomes a point.
	Transform TransformConfig `json:"transform"`

	// Limits bounds what one window may be.
	Limits Limits `json:"limits,omitzero"`

	// Reconcile looks again at windows that were closed; off when nil.
	Reconcile *Reconcile `json:"reconcile,omitempty"`

	// Backfill asks for past windows, once per RequestID; none when nil.
	Backfill *Backfill `json:"backfill,omitempty"`
}

// MetricType is the kind of OTLP metric points are written as.
type MetricType string

// The metric types.
const (
	Gauge MetricType = "gauge"
	Sum   MetricType = "sum"
)

// Temporality is the aggregation temporality of a sum.
type Temporality string

// The temporalities.
const (
	Delta      Temporality = "delta"
	Cumulative Temporality = "cumulative"
)

// NullValue says what becomes of a value that is null, NaN or infinite.
type NullValue string

// The treatments of a null value.
const (
	// NullSkip writes no point and counts the row as rejected.
	NullSkip NullValue = "skip"
	// NullZero writes a point of value 0.
	NullZero NullValue = "zero"
	// NullFail fails the window before anything of it is exported.
	NullFail NullValue = "fail"
)

// TransformConfig maps the columns of a query's answer to OTLP points.
type TransformConfig struct {
	// MetricNameColumn holds the metric's name, used verbatim.
	MetricNameColumn string `json:"metricNameColumn,omitempty"`

	// DefaultMetricName is the name without a MetricNameColumn, and where that
	// column is empty.
	DefaultMetricName string `json:"defaultMetricName,omitempty"`

	// MetricNamePrefix comes, with an underscore, before names made from
	// ValueColumns.
	MetricNamePrefix string `json:"metricNamePrefix,omitempty"`

	// ValueColumn holds the value. Exactly one of ValueColumn and ValueColumns is
	// set.
	ValueColumn string `json:"valueColumn,omitempty"`

	// ValueColumns hold several values, each of which gives a metric of its own
	// named [prefix_]name_column, the column in snake case.
	ValueColumns []string `json:"valueColumns,omitempty"`

	// TimestampColumn holds the point's time.
	TimestampColumn string `json:"timestampColumn"`

	// LabelColumns become the point's attributes, in this order.
	LabelColumns []string `json:"labelColumns,omitempty"`

	// Type is gauge when empty.
	Type MetricType `json:"type,omitempty"`

	// Temporality of a sum; delta when empty.
	Temporality Temporality `json:"temporality,omitempty"`

	// Monotonic marks a sum that never falls.
	Monotonic bool `json:"monotonic,omitempty"`

	// Unit is the metric's unit, in UCUM.
	Unit string `json:"unit,omitempty"`

	// Description is the metric's description.
	Description string `json:"description,omitempty"`

	// NullValue is skip when empty.
	NullValue NullValue `json:"nullValue,omitempty"`
}

// Limits bounds a window. A window beyond a limit fails whole: exporting part of
// it would be a number that looks right and is not.
type Limits struct {
	// MaxRows is the most rows the query may return; 0 is no limit.
	MaxRows int64 `json:"maxRows,omitempty"`

	// MaxSeries is the most distinct series (name and labels) they may make; 0 is
	// no limit.
	MaxSeries int64 `json:"maxSeries,omitempty"`
}

// Reconcile looks again at closed windows for rows that came late.
type Reconcile struct {
	// After is how long after its end a window is queried again; 1m to 168h, more
	// than spec.ingestionDelay.
	After metav1.Duration `json:"after"`

	// Lookback is how far back that goes after a downtime; After and 24h when empty,
	// at least After and 1m, at most 744h.
	Lookback metav1.Duration `json:"lookback,omitzero"`
}

// Backfill asks for the windows of a past time range.
type Backfill struct {
	// RequestID names the request. It is carried out once; another id asks again.
	RequestID string `json:"requestId"`

	// StartTime is where the first window begins.
	StartTime metav1.Time `json:"startTime"`

	// EndTime is where the last window ends.
	EndTime metav1.Time `json:"endTime"`

	// MaxInFlight bounds the windows under way at once; 1 when empty.
	MaxInFlight int `json:"maxInFlight,omitempty"`
}

// MetricsExporterStatus is what the pipeline reports of a resource.
type MetricsExporterStatus struct {
	// Conditions holds, as its primary condition, ConditionOwner.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConditionOwner is the type of a MetricsExporter's primary condition.
const ConditionOwner = "metricsexporter.adx-mon.azure.com"
