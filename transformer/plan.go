package transformer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// plan is a spec's transform, prepared for one window.
type plan struct {
	spec      schemas.TransformConfig
	maxSeries int64
	values    []string // value columns
	labels    []string // label columns, each once

	several   bool // names are made from valueColumns
	onNull    schemas.NullValue
	metricEnd []byte // what follows a Metric's name: description and unit, encoded
	data      protowire.Number
	dataEnd   []byte // what follows the points: a sum's temporality and monotonic, encoded
	start     uint64 // startTimeUnixNano; 0 is none
}

// compile checks what of a spec the columns do not decide. Most of it the resource's
// validation has seen before; a window job carries what was true when it was issued.
func compile(spec *schemas.MetricsExporterSpec, start time.Time) (*plan, error) {
	t := spec.Transform
	p := &plan{spec: t, maxSeries: spec.Limits.MaxSeries, values: t.ValueColumns, onNull: t.NullValue}
	if p.several = len(p.values) > 0; !p.several {
		p.values = []string{t.ValueColumn}
	}
	switch {
	case t.ValueColumn == "" && !p.several:
		return nil, errors.New("transform: one of valueColumn and valueColumns is needed")
	case t.ValueColumn != "" && p.several:
		return nil, errors.New("transform: only one of valueColumn and valueColumns may be set")
	case t.TimestampColumn == "":
		return nil, errors.New("transform.timestampColumn is needed")
	case t.MetricNameColumn == "" && t.DefaultMetricName == "":
		return nil, errors.New("transform: one of metricNameColumn and defaultMetricName is needed")
	}
	if p.several {
		if err := p.checkNames(); err != nil {
			return nil, err
		}
	}
	for i, name := range t.LabelColumns {
		if name == "" {
			return nil, fmt.Errorf("transform.labelColumns[%d] is empty", i)
		}
		// A second attribute of the same key is no valid OTLP, and says nothing new.
		if !slices.Contains(p.labels, name) {
			p.labels = append(p.labels, name)
		}
	}
	switch t.NullValue {
	case "":
		p.onNull = schemas.NullSkip
	case schemas.NullSkip, schemas.NullZero, schemas.NullFail:
	default:
		return nil, fmt.Errorf("transform.nullValue must be skip, zero or fail, got %q", t.NullValue)
	}
	if t.Description != "" {
		p.metricEnd = appendString(p.metricEnd, metricDescription, valid(t.Description))
	}
	if t.Unit != "" {
		p.metricEnd = appendString(p.metricEnd, metricUnit, valid(t.Unit))
	}
	return p, p.setType(start)
}

func (p *plan) setType(start time.Time) error {
	switch p.spec.Type {
	case "", schemas.Gauge:
		p.data = metricGauge
		return nil
	case schemas.Sum:
	default:
		return fmt.Errorf("transform.type must be gauge or sum, got %q", p.spec.Type)
	}
	p.data = metricSum
	p.start = uint64(max(start.UnixNano(), 0))
	temporality := uint64(temporalityDelta)
	switch p.spec.Temporality {
	case "", schemas.Delta:
	case schemas.Cumulative:
		temporality = temporalityCumulative
	default:
		return fmt.Errorf("transform.temporality must be delta or cumulative, got %q", p.spec.Temporality)
	}
	p.dataEnd = protowire.AppendTag(p.dataEnd, sumTemporality, protowire.VarintType)
	p.dataEnd = protowire.AppendVarint(p.dataEnd, temporality)
	if p.spec.Monotonic {
		p.dataEnd = protowire.AppendTag(p.dataEnd, sumMonotonic, protowire.VarintType)
		p.dataEnd = protowire.AppendVarint(p.dataEnd, 1)
	}
	return nil
}

// checkNames refuses value columns whose metrics could not be told apart.
func (p *plan) checkNames() error {
	seen := make(map[string]string, len(p.values))
	for i, column := range p.values {
		name := schemas.SnakeCase(column)
		if name == "" {
			return fmt.Errorf("transform.valueColumns[%d]: no metric name can be made from %q: it has no letter or digit", i, column)
		}
		if other, ok := seen[name]; ok {
			return fmt.Errorf("transform.valueColumns[%d]: %q and %q make the same metric name, ending in %q", i, other, column, name)
		}
		seen[name] = column
	}
	return nil
}

// metricName returns the name of value column v's metric in a row whose name is
// text; empty if there is none.
func (p *plan) metricName(text []byte, v int) string {
	name := valid(string(text))
	if name == "" {
		name = valid(p.spec.DefaultMetricName)
	}
	if p.several && name != "" {
		name = schemas.MetricName(p.spec.MetricNamePrefix, name, p.values[v])
	}
	return name
}
