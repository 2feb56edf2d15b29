package preview

import (
	"hash/maphash"
	"iter"
	"strconv"
	"strings"
	"time"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// Point is one point of a request, as a person reads it.
type Point struct {
	Name   string
	Labels []Label // in the order of labelColumns
	Time   time.Time
	// Value is a whole number where IsInt says so.
	IsInt bool
	Int   int64
	Real  float64
}

// Label is an attribute of a point.
type Label struct{ Name, Value string }

// Value returns the value as text: a whole number plain, any other so that it
// reads back as the same double.
func (p Point) Value() string {
	if p.IsInt {
		return strconv.FormatInt(p.Int, 10)
	}
	return strconv.FormatFloat(p.Real, 'g', -1, 64)
}

// LabelText returns the labels as {a="x", b="y"}, as PromQL writes them; nothing
// when there are none.
func (p Point) LabelText() string {
	if len(p.Labels) == 0 {
		return ""
	}
	var b strings.Builder
	for i, l := range p.Labels {
		b.WriteString([]string{"{", ", "}[min(i, 1)])
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// Points returns the points of a request in its order.
func Points(req *colmetrics.ExportMetricsServiceRequest) iter.Seq[Point] {
	return func(yield func(Point) bool) {
		for m, p := range numbers(req) {
			point := Point{Name: m.Name, Time: time.Unix(0, int64(p.TimeUnixNano)).UTC()}
			for _, a := range p.Attributes {
				point.Labels = append(point.Labels, Label{a.Key, a.Value.GetStringValue()})
			}
			switch v := p.Value.(type) {
			case *metrics.NumberDataPoint_AsInt:
				point.IsInt, point.Int = true, v.AsInt
			case *metrics.NumberDataPoint_AsDouble:
				point.Real = v.AsDouble
			}
			if !yield(point) {
				return
			}
		}
	}
}

func numbers(req *colmetrics.ExportMetricsServiceRequest) iter.Seq2[*metrics.Metric, *metrics.NumberDataPoint] {
	return func(yield func(*metrics.Metric, *metrics.NumberDataPoint) bool) {
		for _, r := range req.ResourceMetrics {
			for _, s := range r.ScopeMetrics {
				for _, m := range s.Metrics {
					points := m.GetGauge().GetDataPoints()
					if sum := m.GetSum(); sum != nil {
						points = sum.DataPoints
					}
					for _, p := range points {
						if !yield(m, p) {
							return
						}
					}
				}
			}
		}
	}
}

// series counts distinct series by a hash of each.
type series struct {
	hash maphash.Hash
	seen map[uint64]struct{}
}

func newSeries() *series { return &series{seen: map[uint64]struct{}{}} }

func (s *series) add(req *colmetrics.ExportMetricsServiceRequest) {
	for m, p := range numbers(req) {
		s.hash.Reset()
		s.text(m.Name)
		for _, a := range p.Attributes {
			s.label(a)
		}
		s.seen[s.hash.Sum64()] = struct{}{}
	}
}

func (s *series) label(a *common.KeyValue) {
	s.text(a.Key)
	s.text(a.Value.GetStringValue())
}

// text adds a string and where it ends.
func (s *series) text(text string) {
	_, _ = s.hash.WriteString(text)
	_ = s.hash.WriteByte(0)
}
