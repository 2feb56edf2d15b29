package unittest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/cmd/kusto2otlp/preview"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Point is a point that was expected or that there is.
type Point struct {
	Name   string
	Labels []preview.Label
	Time   time.Time
	Value  schemas.MetricsTestValue
}

// actual is a point as it would be exported.
func actual(p preview.Point) Point {
	return Point{p.Name, p.Labels, p.Time, schemas.MetricsTestValue{IsInt: p.IsInt, Int: p.Int, Real: p.Real}}
}

// expected is a point of a file. A label without a value is one that is not there.
func expected(p schemas.MetricsTestPoint) Point {
	e := Point{Name: p.Name, Time: p.Time.UTC()}
	for name, value := range p.Labels {
		if value != "" {
			e.Labels = append(e.Labels, preview.Label{Name: name, Value: value})
		}
	}
	slices.SortFunc(e.Labels, func(a, b preview.Label) int { return strings.Compare(a.Name, b.Name) })
	if p.Value != nil {
		e.Value = *p.Value
	}
	return e
}

// key is what makes a point one and not another: all but its value.
func (p Point) key() string {
	labels := slices.Clone(p.Labels)
	slices.SortFunc(labels, func(a, b preview.Label) int { return strings.Compare(a.Name, b.Name) })
	return preview.Printable(p.Name) + preview.Point{Labels: labels}.LabelText() + " " + p.Time.UTC().Format(time.RFC3339Nano)
}

// String returns the point on one line.
func (p Point) String() string { return p.key() + " " + p.Value.String() }

// MarshalJSON writes the point as a file of tests has it.
func (p Point) MarshalJSON() ([]byte, error) {
	labels := map[string]string{}
	for _, l := range p.Labels {
		labels[l.Name] = l.Value
	}
	return json.Marshal(struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
		Time   time.Time         `json:"time"`
		Value  json.Number       `json:"value"`
	}{p.Name, labels, p.Time, json.Number(p.Value.String())})
}

// Change is a point with another value.
type Change struct {
	Want Point `json:"want"`
	Got  Point `json:"got"`
}

// String returns the change on one line.
func (c Change) String() string {
	return fmt.Sprintf("%s: want %s, got %s", c.Want.key(), c.Want.Value, c.Got.Value)
}
