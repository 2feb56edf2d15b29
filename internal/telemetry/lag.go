package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lags is the gauge of how far exports are behind. It is computed when it is
// asked for, so that it grows while nothing is exported.
type lags struct {
	desc *prometheus.Desc
	now  func() time.Time

	mu   sync.Mutex
	ends map[[2]string]time.Time // by MetricsExporter and exporter: of the newest window exported
}

func newLags() *lags {
	return &lags{
		desc: prometheus.NewDesc("kusto2otlp_lag_seconds",
			"Time since the end of the newest live window of which a batch was accepted by the endpoint. Between two windows it grows by their interval.",
			[]string{"metrics_exporter", "exporter"}, nil),
		now:  time.Now,
		ends: map[[2]string]time.Time{},
	}
}

func (l *lags) exported(metricsExporter, exporter string, end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]string{metricsExporter, exporter}
	if end.After(l.ends[key]) {
		l.ends[key] = end
	}
}

// Describe implements prometheus.Collector.
func (l *lags) Describe(c chan<- *prometheus.Desc) { c <- l.desc }

// Collect implements prometheus.Collector.
func (l *lags) Collect(c chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, end := range l.ends {
		c <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, max(l.now().Sub(end), 0).Seconds(), key[0], key[1])
	}
}
