package otlp

import (
	"math"
	"sort"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// Snapshot is what an endpoint has counted.
type Snapshot struct {
	Exporters []Exporter `json:"exporters"` // by name
	Truncated bool       `json:"truncated"` // a limit was reached: there were more metrics or series than are shown
}

// Exporter is what came to one path.
type Exporter struct {
	Name     string    `json:"name"` // the path before /v1/metrics, without slashes around it
	Requests int64     `json:"requests"`
	Refused  int64     `json:"refused"` // requests answered with a failure and not counted
	Points   int64     `json:"points"`
	Series   int64     `json:"series"`
	Bytes    int64     `json:"bytes"` // of bodies on the wire
	Last     time.Time `json:"last"`  // newest timestamp of a point
	Metrics  []Metric  `json:"metrics"`
}

// Metric is what came under one name.
type Metric struct {
	Name   string    `json:"name"`
	Points int64     `json:"points"`
	Series int64     `json:"series"`
	First  time.Time `json:"first"` // oldest timestamp of a point
	Last   time.Time `json:"last"`
	Value  float64   `json:"value"` // of the newest point; a NaN or infinity reads 0
}

// Exporter finds an exporter; one that nothing has come to is zero.
func (s Snapshot) Exporter(name string) Exporter {
	for _, e := range s.Exporters {
		if e.Name == name {
			return e
		}
	}
	return Exporter{Name: name}
}

// Metric finds a metric; one that has not come is zero.
func (e Exporter) Metric(name string) Metric {
	for _, m := range e.Metrics {
		if m.Name == name {
			return m
		}
	}
	return Metric{Name: name}
}

// Points is the number of points over all exporters.
func (s Snapshot) Points() int64 {
	var n int64
	for _, e := range s.Exporters {
		n += e.Points
	}
	return n
}

// counts is what Snapshot copies.
type counts struct {
	maxMetrics, maxSeries int

	mu        sync.Mutex
	exporters map[string]*exporter
	metrics   int
	series    int
	truncated bool
	next      chan struct{}
}

type exporter struct {
	Exporter
	last    uint64
	metrics map[string]*metric
}

type metric struct {
	points      int64
	first, last uint64
	value       float64
	series      map[uint64]struct{}
}

func newCounts(maxMetrics, maxSeries int) *counts {
	return &counts{maxMetrics: maxMetrics, maxSeries: maxSeries, exporters: map[string]*exporter{}, next: make(chan struct{})}
}

// maxExporters bounds the paths that are counted, since anything may be posted to.
const maxExporters = 1000

func (c *counts) exporter(name string) *exporter {
	e := c.exporters[name]
	if e == nil {
		if len(c.exporters) >= maxExporters {
			c.truncated = true
			return &exporter{metrics: map[string]*metric{}}
		}
		e = &exporter{Exporter: Exporter{Name: name}, metrics: map[string]*metric{}}
		c.exporters[name] = e
	}
	return e
}

func (c *counts) refused(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exporter(name).Refused++
	c.signal()
}

func (c *counts) add(name string, req *colmetrics.ExportMetricsServiceRequest, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.exporter(name)
	e.Requests++
	e.Bytes += size
	for _, rm := range req.ResourceMetrics {
		resource := attributes(rm.GetResource().GetAttributes())
		for _, sm := range rm.ScopeMetrics {
			scope := resource*31 + xxhash.Sum64String(sm.GetScope().GetName()+"\x00"+sm.GetScope().GetVersion())
			for _, m := range sm.Metrics {
				c.metric(e, m, scope*31+xxhash.Sum64String(m.Name))
			}
		}
	}
	c.signal()
}

func (c *counts) metric(e *exporter, m *metrics.Metric, id uint64) {
	mc := e.metrics[m.Name]
	if mc == nil {
		if c.metrics >= c.maxMetrics {
			c.truncated = true
			mc = &metric{series: map[uint64]struct{}{}}
		} else {
			c.metrics++
			mc = &metric{series: map[uint64]struct{}{}}
			e.metrics[m.Name] = mc
		}
	}
	point := func(attrs []*common.KeyValue, at uint64, value float64) {
		e.Points++
		mc.points++
		e.last = max(e.last, at)
		if mc.points == 1 || at < mc.first {
			mc.first = at
		}
		if at >= mc.last {
			mc.last, mc.value = at, value
		}
		h := id*31 + attributes(attrs)
		if _, ok := mc.series[h]; ok {
			return
		}
		if c.series >= c.maxSeries || e.metrics[m.Name] != mc {
			c.truncated = true
			return
		}
		c.series++
		mc.series[h] = struct{}{}
	}
	number := func(points []*metrics.NumberDataPoint) {
		for _, p := range points {
			value := p.GetAsDouble()
			if v, ok := p.Value.(*metrics.NumberDataPoint_AsInt); ok {
				value = float64(v.AsInt)
			}
			point(p.Attributes, p.TimeUnixNano, value)
		}
	}
	switch d := m.Data.(type) {
	case *metrics.Metric_Gauge:
		number(d.Gauge.GetDataPoints())
	case *metrics.Metric_Sum:
		number(d.Sum.GetDataPoints())
	case *metrics.Metric_Histogram:
		for _, p := range d.Histogram.GetDataPoints() {
			point(p.Attributes, p.TimeUnixNano, p.GetSum())
		}
	case *metrics.Metric_ExponentialHistogram:
		for _, p := range d.ExponentialHistogram.GetDataPoints() {
			point(p.Attributes, p.TimeUnixNano, p.GetSum())
		}
	case *metrics.Metric_Summary:
		for _, p := range d.Summary.GetDataPoints() {
			point(p.Attributes, p.TimeUnixNano, p.GetSum())
		}
	}
}

// attributes hashes a set: the sum of its members' hashes does not depend on their order.
func attributes(kvs []*common.KeyValue) uint64 {
	var sum uint64
	for _, kv := range kvs {
		if s, ok := kv.GetValue().GetValue().(*common.AnyValue_StringValue); ok {
			sum += xxhash.Sum64String(kv.Key + "\x00" + s.StringValue)
			continue
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(kv)
		if err != nil {
			continue // it came from Unmarshal, and so can be marshalled
		}
		sum += xxhash.Sum64(b)
	}
	return sum
}

// signal tells those who wait that something has been counted.
func (c *counts) signal() {
	close(c.next)
	c.next = make(chan struct{})
}

func (c *counts) changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *counts) snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Snapshot{Exporters: []Exporter{}, Truncated: c.truncated}
	for _, e := range c.exporters {
		out := e.Exporter
		out.Last, out.Metrics = moment(e.last), []Metric{}
		for name, m := range e.metrics {
			out.Series += int64(len(m.series))
			out.Metrics = append(out.Metrics, Metric{
				Name: name, Points: m.points, Series: int64(len(m.series)),
				First: moment(m.first), Last: moment(m.last), Value: finite(m.value),
			})
		}
		sort.Slice(out.Metrics, func(i, j int) bool { return out.Metrics[i].Name < out.Metrics[j].Name })
		s.Exporters = append(s.Exporters, out)
	}
	sort.Slice(s.Exporters, func(i, j int) bool { return s.Exporters[i].Name < s.Exporters[j].Name })
	return s
}

// moment is zero for a timestamp that was not given.
func moment(nanos uint64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(int64(nanos/1e9), int64(nanos%1e9)).UTC()
}

// finite keeps a snapshot fit for JSON.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}
