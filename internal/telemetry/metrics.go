package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Metrics counts what passes through the stages of one process. Names start with
// kusto2otlp_; label metrics_exporter is namespace/name.
type Metrics struct {
	Registry *prometheus.Registry

	messages *prometheus.CounterVec
	rows     *prometheus.CounterVec
	points   *prometheus.CounterVec
	rejected *prometheus.CounterVec
	errors   *prometheus.CounterVec
	windows  *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	lag      *lags
	backlog  *backlogs
	up       *prometheus.GaugeVec
	outages  *prometheus.CounterVec
	revised  *prometheus.CounterVec
	vanished *prometheus.CounterVec
}

// NewMetrics returns Metrics on a registry of its own, beside those of the Go
// runtime and the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		messages: counter("messages_total", "Messages handled, by stage and outcome: ok, or the kind of error.", "stage", "exporter", "outcome"),
		rows:     counter("rows_total", "Rows read from Kusto.", "metrics_exporter"),
		points:   counter("points_total", "Points accepted by the endpoint.", "metrics_exporter", "exporter"),
		rejected: counter("rejected_total", "Rows or points that gave no point at the endpoint, by stage and reason.", "metrics_exporter", "stage", "reason"),
		errors:   counter("errors_total", "Errors by stage and kind: permanent, retry_after, retry, refused, panic.", "stage", "exporter", "kind"),
		windows:  counter("windows_total", "Windows by what the scheduler did with them: planned, skipped.", "metrics_exporter", "lane", "state"),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kusto2otlp_stage_duration_seconds",
			Help:    "How long a stage worked on one message.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300},
		}, []string{"stage"}),
		lag:     newLags(),
		backlog: newBacklogs(),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kusto2otlp_exporter_up",
			Help: "Whether the exporter's endpoint takes batches: 1 yes; 0 no, they wait and one request probes; 0.5 again, with fewer requests at first.",
		}, []string{"exporter"}),
		revised:  counter("revisions_total", "Points of closed windows that had changed or appeared when they were looked at again, and were sent.", "metrics_exporter"),
		vanished: counter("vanished_total", "Points of closed windows that were exported and gone when they were looked at again. They cannot be retracted.", "metrics_exporter"),
		outages:  counter("exporter_outages_total", "How often the exporter's endpoint was found to be down.", "exporter"),
	}
	m.Registry.MustRegister(m.messages, m.rows, m.points, m.rejected, m.errors, m.windows, m.latency, m.lag, m.backlog, m.up, m.outages, m.revised, m.vanished,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kusto2otlp_" + name, Help: help}, labels)
}

// Handled counts one message about an exporter that a stage finished with, after
// d; kind is the error's, or empty.
func (m *Metrics) Handled(stage schemas.Stage, exporter, kind string, d time.Duration) {
	outcome := kind
	if kind == "" {
		outcome = "ok"
	} else {
		m.errors.WithLabelValues(string(stage), exporter, kind).Inc()
	}
	m.messages.WithLabelValues(string(stage), exporter, outcome).Inc()
	m.latency.WithLabelValues(string(stage)).Observe(d.Seconds())
}

// Rows counts rows read from Kusto.
func (m *Metrics) Rows(metricsExporter string, n int64) {
	m.rows.WithLabelValues(metricsExporter).Add(float64(n))
}

// Rejected counts rows or points that a stage could not pass on.
func (m *Metrics) Rejected(stage schemas.Stage, metricsExporter, reason string, n int64) {
	m.rejected.WithLabelValues(metricsExporter, string(stage), reason).Add(float64(n))
}

// Exported counts points of a window that the endpoint accepted. End is the end of
// a live window, and zero for one of a backfill, whose lag says nothing.
func (m *Metrics) Exported(metricsExporter, exporter string, points int64, end time.Time) {
	m.points.WithLabelValues(metricsExporter, exporter).Add(float64(points))
	if !end.IsZero() {
		m.lag.exported(metricsExporter, exporter, end)
	}
}

// Windows counts n windows that the scheduler planned or skipped.
func (m *Metrics) Windows(metricsExporter string, lane schemas.Lane, state schemas.EventType, n int64) {
	m.windows.WithLabelValues(metricsExporter, string(lane), string(state)).Add(float64(n))
}

// ExporterUp sets whether an exporter's endpoint takes batches: 1, 0, or 0.5 while
// it recovers.
func (m *Metrics) ExporterUp(exporter string, up float64) { m.up.WithLabelValues(exporter).Set(up) }

// Outage counts one time that an exporter's endpoint was found to be down.
func (m *Metrics) Outage(exporter string) { m.outages.WithLabelValues(exporter).Inc() }

// Reconciled counts what looking at a closed window again found.
func (m *Metrics) Reconciled(metricsExporter string, revisions, vanished int64) {
	m.revised.WithLabelValues(metricsExporter).Add(float64(revisions))
	m.vanished.WithLabelValues(metricsExporter).Add(float64(vanished))
}
