package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// backlogKept is how long a backlog counts after it was last measured.
const backlogKept = 2 * time.Minute

// Backlog is what waits of a MetricsExporter, and what is dead of it.
type Backlog struct {
	// MetricsExporter is namespace/name; empty for dead letters that do not tell.
	MetricsExporter string
	Exporter        string
	// Windows that wait, by the stage they wait for.
	Windows map[schemas.Stage]uint64
	// Bytes is about how large the messages are that wait.
	Bytes uint64
	// Dead letters, by the stage where they failed.
	Dead map[schemas.Stage]uint64
}

// backlogs are gauges of all pipelines' processes together, as the ledger has them.
// Once they cannot be measured they are left out: an old number would look like a
// new one.
type backlogs struct {
	windows, bytes, dead *prometheus.Desc
	now                  func() time.Time

	mu   sync.Mutex
	list []Backlog
	at   time.Time
}

func newBacklogs() *backlogs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kusto2otlp_"+name, help, labels, nil)
	}
	return &backlogs{
		windows: desc("backlog_windows", "Windows that wait, by the stage they wait for, of the whole pipeline.", "metrics_exporter", "exporter", "stage"),
		bytes:   desc("backlog_bytes", "About how many bytes the messages have that wait, of the whole pipeline.", "metrics_exporter", "exporter"),
		dead:    desc("dead_letters", "Messages that can never succeed and that nobody has decided about, by the stage where they failed.", "metrics_exporter", "stage"),
		now:     time.Now,
	}
}

// Describe implements prometheus.Collector.
func (b *backlogs) Describe(c chan<- *prometheus.Desc) {
	c <- b.windows
	c <- b.bytes
	c <- b.dead
}

// Collect implements prometheus.Collector.
func (b *backlogs) Collect(c chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now().Sub(b.at) > backlogKept {
		return
	}
	gauge := func(desc *prometheus.Desc, n uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
	}
	for _, l := range b.list {
		for _, stage := range schemas.Stages[1:] {
			gauge(b.dead, l.Dead[stage], l.MetricsExporter, string(stage))
			if l.Exporter != "" {
				gauge(b.windows, l.Windows[stage], l.MetricsExporter, l.Exporter, string(stage))
			}
		}
		if l.Exporter != "" {
			gauge(b.bytes, l.Bytes, l.MetricsExporter, l.Exporter)
		}
	}
}

// Backlogs sets what waits and what is dead of every MetricsExporter, each once.
func (m *Metrics) Backlogs(list []Backlog) {
	m.backlog.mu.Lock()
	defer m.backlog.mu.Unlock()
	m.backlog.list, m.backlog.at = list, m.backlog.now()
}
