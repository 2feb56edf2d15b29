package deadletter

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/otlpbody"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// samplePoints is how many points of an OTLP batch are shown.
const samplePoints = 5

// Content is what is in a letter's message, for people. One of its fields is set.
type Content struct {
	Job  *Job  `json:"job,omitempty"`
	Rows *Rows `json:"rows,omitempty"`
	OTLP *OTLP `json:"otlp,omitempty"`
	// Problem says why there is nothing to show.
	Problem string `json:"problem,omitempty"`
}

// Job is a window job.
type Job struct {
	Window  string          `json:"window"`
	Start   time.Time       `json:"start"`
	End     time.Time       `json:"end"`
	Lane    string          `json:"lane"`
	Cluster string          `json:"cluster"`
	Request string          `json:"request,omitempty"`
	Spec    json.RawMessage `json:"spec"`
}

// Rows is the rows of a window.
type Rows struct {
	Job     Job      `json:"job"`
	Run     string   `json:"run"`
	Rows    uint64   `json:"rows"`
	Parts   uint32   `json:"parts"`
	Columns []string `json:"columns,omitempty"`
}

// OTLP is an OTLP batch.
type OTLP struct {
	Metrics int      `json:"metrics"`
	Points  int      `json:"points"`
	Sample  []string `json:"sample"`
}

// Content decodes the message's body.
func (l *Letter) Content() Content {
	c, err := l.content()
	if err != nil {
		return Content{Problem: err.Error()}
	}
	return c
}

func (l *Letter) content() (Content, error) {
	stream, err := l.stream()
	switch {
	case err != nil:
		return Content{}, err
	case stream == schemas.JobsStream:
		job, err := l.Job()
		if err != nil {
			return Content{}, err
		}
		j := jobOf(job)
		return Content{Job: &j}, nil
	case stream == schemas.RowsStream:
		w := new(wire.WindowRows)
		if err := proto.Unmarshal(l.Data, w); err != nil {
			return Content{}, fmt.Errorf("decode window rows: %w", err)
		}
		rows := &Rows{Job: jobOf(w.Job), Run: w.Run, Rows: w.Rows, Parts: w.Parts}
		for _, c := range w.Last.GetColumns() {
			rows.Columns = append(rows.Columns, c.Name+" ("+c.Type+")")
		}
		return Content{Rows: rows}, nil
	}
	o, err := otlpOf(l.Data, l.Header.Get(schemas.HeaderEncoding))
	return Content{OTLP: o}, err
}

func jobOf(job *wire.WindowJob) Job {
	if job == nil {
		job = new(wire.WindowJob)
	}
	w := schemas.JobWindow(job)
	j := Job{Window: job.GetWindow(), Start: w.Start, End: w.End, Lane: job.GetLane(), Cluster: job.GetCluster(), Request: job.GetRequest()}
	if json.Valid(job.GetSpec()) {
		j.Spec = job.GetSpec()
	} else {
		j.Spec, _ = json.Marshal(string(job.GetSpec()))
	}
	return j
}

func otlpOf(body []byte, encoding string) (*OTLP, error) {
	data, err := otlpbody.Unpack(body, encoding)
	if err != nil {
		return nil, fmt.Errorf("decompress OTLP batch: %w", err)
	}
	var request colmetrics.ExportMetricsServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		return nil, fmt.Errorf("decode OTLP batch: %w", err)
	}
	o := &OTLP{Sample: []string{}}
	for _, rm := range request.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				points := m.GetGauge().GetDataPoints()
				if m.GetSum() != nil {
					points = m.GetSum().DataPoints
				}
				o.Metrics++
				o.Points += len(points)
				for _, pt := range points[:min(len(points), samplePoints-len(o.Sample))] {
					o.Sample = append(o.Sample, sample(m.Name, pt))
				}
			}
		}
	}
	return o, nil
}

// sample writes a point as name{label="value"} value @time.
func sample(name string, pt *metrics.NumberDataPoint) string {
	labels := make([]string, len(pt.Attributes))
	for i, a := range pt.Attributes {
		labels[i] = fmt.Sprintf("%s=%q", a.Key, text(a.Value))
	}
	value := fmt.Sprint(pt.GetAsDouble())
	if _, ok := pt.Value.(*metrics.NumberDataPoint_AsInt); ok {
		value = fmt.Sprint(pt.GetAsInt())
	}
	return fmt.Sprintf("%s{%s} %s @%s", name, strings.Join(labels, ","), value,
		time.Unix(0, int64(pt.TimeUnixNano)).UTC().Format(time.RFC3339Nano))
}

// text is the value of an attribute; those of the pipeline are strings.
func text(v *common.AnyValue) string {
	if s, ok := v.GetValue().(*common.AnyValue_StringValue); ok {
		return s.StringValue
	}
	return v.String()
}
