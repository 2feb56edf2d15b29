package transformer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// reference is the transform once more, the plain way: row by row, from cells to
// generated messages, without any of the code under test.
type reference struct {
	spec     *schemas.MetricsExporterSpec
	out      Output
	rejected map[string]uint64
}

type refPoint struct {
	name  string
	point *metricspb.NumberDataPoint
}

// requests returns one request for each answer that has points.
func (ref *reference) requests(batches ...answer) []*collectorpb.ExportMetricsServiceRequest {
	ref.rejected = map[string]uint64{}
	points := make([][]*refPoint, len(batches))
	last := map[string]*refPoint{}
	for i, a := range batches {
		for _, row := range a.rows {
			for _, p := range ref.row(a, row) {
				key := p.name + "\x00" + fmt.Sprint(p.point.Attributes) + "\x00" + fmt.Sprint(p.point.TimeUnixNano)
				last[key] = p
				points[i] = append(points[i], p)
			}
		}
	}
	live := map[*refPoint]bool{}
	for _, p := range last {
		live[p] = true
	}
	var requests []*collectorpb.ExportMetricsServiceRequest
	for _, ps := range points {
		n := len(ps)
		ps = slices.DeleteFunc(ps, func(p *refPoint) bool { return !live[p] })
		if len(ps) < n {
			ref.rejected["duplicate"] += uint64(n - len(ps))
		}
		if len(ps) > 0 {
			requests = append(requests, ref.request(ps))
		}
	}
	return requests
}

func (ref *reference) request(points []*refPoint) *collectorpb.ExportMetricsServiceRequest {
	t := ref.spec.Transform
	var metrics []*metricspb.Metric
	for len(points) > 0 {
		name := points[0].name
		var mine []*metricspb.NumberDataPoint
		points = slices.DeleteFunc(points, func(p *refPoint) bool {
			if p.name == name {
				mine = append(mine, p.point)
			}
			return p.name == name
		})
		slices.SortStableFunc(mine, func(a, b *metricspb.NumberDataPoint) int { return cmp.Compare(a.TimeUnixNano, b.TimeUnixNano) })
		m := &metricspb.Metric{Name: name, Unit: t.Unit, Description: t.Description}
		if t.Type == schemas.Sum {
			temporality := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
			if t.Temporality == schemas.Cumulative {
				temporality = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
			}
			m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{DataPoints: mine, AggregationTemporality: temporality, IsMonotonic: t.Monotonic}}
		} else {
			m.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: mine}}
		}
		metrics = append(metrics, m)
	}
	attributes := map[string]string{"service.name": "adx-mon-metrics-exporter", "service.version": ref.out.ServiceVersion}
	maps.Copy(attributes, ref.out.ResourceAttributes)
	maps.DeleteFunc(attributes, func(_, v string) bool { return v == "" })
	var resource []*commonpb.KeyValue
	for _, k := range slices.Sorted(maps.Keys(attributes)) {
		resource = append(resource, attribute(k, attributes[k]))
	}
	return &collectorpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: &resourcepb.Resource{Attributes: resource},
		ScopeMetrics: []*metricspb.ScopeMetrics{{
			Scope:   &commonpb.InstrumentationScope{Name: "adx-mon.azure.com/metrics-exporter", Version: "v1"},
			Metrics: metrics,
		}},
	}}}
}

func attribute(k, v string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
}

// row returns the points of one row.
func (ref *reference) row(a answer, row []any) []*refPoint {
	t := ref.spec.Transform
	cell := func(name string) (any, string) {
		i := slices.IndexFunc(a.columns, func(c schemas.ColumnType) bool { return c.Name == name })
		return row[i], a.columns[i].Type
	}
	values := t.ValueColumns
	if len(values) == 0 {
		values = []string{t.ValueColumn}
	}
	reject := func(why string, n int) { ref.rejected[why] += uint64(n) }

	at, _ := cell(t.TimestampColumn)
	when, ok := at.(time.Time)
	if !ok {
		reject("no_timestamp", len(values))
		return nil
	}
	if !when.After(time.Unix(0, 0)) || when.After(time.Unix(0, math.MaxInt64)) {
		reject("time_out_of_range", len(values))
		return nil
	}
	name := t.DefaultMetricName
	if t.MetricNameColumn != "" {
		v, typ := cell(t.MetricNameColumn)
		if s := labelText(v, typ); s != "" {
			name = s
		}
	}
	if name == "" {
		reject("empty_name", len(values))
		return nil
	}
	var attributes []*commonpb.KeyValue
	for i, l := range t.LabelColumns {
		if slices.Contains(t.LabelColumns[:i], l) {
			continue
		}
		v, typ := cell(l)
		if s := labelText(v, typ); s != "" {
			attributes = append(attributes, attribute(l, s))
		}
	}
	var points []*refPoint
	for _, c := range values {
		v, typ := cell(c)
		p := &metricspb.NumberDataPoint{TimeUnixNano: uint64(when.UnixNano()), Attributes: attributes}
		if t.Type == schemas.Sum {
			p.StartTimeUnixNano = uint64(epoch.UnixNano())
		}
		if why := setValue(p, v, typ); why != "" {
			if t.NullValue != schemas.NullZero || why == "not_a_number" {
				reject(why, 1)
				continue
			}
			if typ == "int" || typ == "long" || typ == "bool" {
				p.Value = &metricspb.NumberDataPoint_AsInt{}
			} else {
				p.Value = &metricspb.NumberDataPoint_AsDouble{}
			}
		}
		full := name
		if len(t.ValueColumns) > 0 {
			full = strings.Trim(t.MetricNamePrefix+"_"+name+"_"+refSnake[c], "_")
		}
		points = append(points, &refPoint{full, p})
	}
	return points
}

// refSnake are the value columns' names in snake case. Names and prefixes in the
// property tests are in it already; TestMetricName has the rest.
var refSnake = map[string]string{"MaxMs": "max_ms", "p95Ms": "p95_ms", "Count": "count", "HTTPErrors": "http_errors"}

func setValue(p *metricspb.NumberDataPoint, v any, typ string) (why string) {
	double := func(f float64) string {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return "not_finite"
		}
		p.Value = &metricspb.NumberDataPoint_AsDouble{AsDouble: f}
		return ""
	}
	text := func(s string) string {
		if s == "" {
			return "null_value"
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(f, 0) {
			return "not_a_number"
		}
		return double(f)
	}
	switch v := v.(type) {
	case nil:
		return "null_value"
	case bool:
		p.Value = &metricspb.NumberDataPoint_AsInt{}
		if v {
			p.Value = &metricspb.NumberDataPoint_AsInt{AsInt: 1}
		}
		return ""
	case int64:
		p.Value = &metricspb.NumberDataPoint_AsInt{AsInt: v}
		return ""
	case float64:
		return double(v)
	case time.Duration:
		return double(float64(int64(v)/100) / 1e7)
	case string:
		if typ != "dynamic" {
			return text(v)
		}
		var j any
		if json.Unmarshal([]byte(v), &j) != nil {
			return text(v)
		}
		switch j := j.(type) {
		case nil:
			return "null_value"
		case float64:
			return double(j)
		case bool:
			if j {
				return double(1)
			}
			return double(0)
		case string:
			return text(j)
		}
		return "not_a_number"
	}
	panic(fmt.Sprintf("a cell of type %T", v))
}

func labelText(v any, typ string) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool, int64:
		return fmt.Sprint(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		b, _ := json.Marshal(v)
		return string(b)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		sign := ""
		t := int64(v) / 100
		if t < 0 {
			sign, t = "-", -t
		}
		s := fmt.Sprintf("%02d:%02d:%02d", t/36e9%24, t/6e8%60, t/1e7%60)
		if d := t / 864e9; d > 0 {
			s = fmt.Sprintf("%d.%s", d, s)
		}
		if f := t % 1e7; f > 0 {
			s += fmt.Sprintf(".%07d", f)
		}
		return sign + s
	case string:
		switch typ {
		case "guid":
			return strings.ToLower(v)
		case "dynamic":
			var j any
			if json.Unmarshal([]byte(v), &j) != nil {
				return v
			}
			if s, ok := j.(string); ok {
				return s
			}
			if j == nil {
				return ""
			}
			var b bytes.Buffer
			_ = json.Compact(&b, []byte(v))
			return b.String()
		}
		return v
	}
	panic(fmt.Sprintf("a cell of type %T", v))
}
