package preview

import (
	"bytes"
	"encoding/json"
	"io"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// JSON writes requests as one ExportMetricsServiceRequest in OTLP's JSON: names in
// lowerCamel, 64-bit integers as strings, enums as numbers. An OTLP/HTTP endpoint
// takes what it writes, as application/json.
type JSON struct {
	out io.Writer
	n   int
}

// NewJSON returns a JSON that writes to out.
func NewJSON(out io.Writer) *JSON { return &JSON{out: out} }

var otlpJSON = protojson.MarshalOptions{UseEnumNumbers: true}

// Add writes what a request has.
func (j *JSON) Add(req *colmetrics.ExportMetricsServiceRequest) error {
	for _, r := range req.ResourceMetrics {
		text, err := otlpJSON.Marshal(r)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if j.n == 0 {
			b.WriteString("{\n  \"resourceMetrics\": [\n    ")
		} else {
			b.WriteString(",\n    ")
		}
		j.n++
		// protojson varies its white space on purpose.
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			return err
		}
		if err := json.Indent(&b, compact.Bytes(), "    ", "  "); err != nil {
			return err
		}
		if _, err := j.out.Write(b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// Close writes the end.
func (j *JSON) Close() error {
	end := "\n  ]\n}\n"
	if j.n == 0 {
		end = "{\n  \"resourceMetrics\": []\n}\n"
	}
	_, err := io.WriteString(j.out, end)
	return err
}
