package schemas

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// TestKind is the kind of a file with tests of a MetricsExporter. Its version is
// APIVersion.
const TestKind = "MetricsTest"

// MetricsTest declares tests of one MetricsExporter: rows, a window, and the points
// that they must give. `kusto2otlp test` runs them; a pipeline passes them over.
type MetricsTest struct {
	// APIVersion is adx-mon.azure.com/v1.
	APIVersion string `json:"apiVersion"`

	// Kind is MetricsTest.
	Kind string `json:"kind"`

	// MetricsExporter is the file of what is tested, relative to this one, with
	// #name or #namespace/name behind it where the file has several. When empty it is
	// x.yaml for x.test.yaml.
	MetricsExporter string `json:"metricsExporter,omitempty"`

	// Labels of the instance, in every test.
	Labels map[string]string `json:"labels,omitempty"`

	// Tables that every test has, by name: Table (in spec.database), Database.Table
	// or cluster('name').database('name').Table.
	Tables map[string]MetricsTestTable `json:"tables,omitempty"`

	// Tests, at least one.
	Tests []MetricsTestCase `json:"tests"`
}

// MetricsTestCase is one test.
type MetricsTestCase struct {
	// Name says what the test shows. No two of a file have the same.
	Name string `json:"name"`

	// Window that the query is run for.
	Window MetricsTestWindow `json:"window"`

	// Now is what now() gives. When empty, when the window is due: its end and the
	// ingestionDelay.
	Now time.Time `json:"now,omitzero"`

	// Labels of the instance, over those of the file.
	Labels map[string]string `json:"labels,omitempty"`

	// Tables of this test, over those of the file.
	Tables map[string]MetricsTestTable `json:"tables,omitempty"`

	// Expect is what must come of it. `kusto2otlp test --update` writes it.
	Expect MetricsTestExpect `json:"expect,omitzero"`
}

// MetricsTestWindow is a half-open range of time.
type MetricsTestWindow struct {
	// Start of the window.
	Start time.Time `json:"start"`

	// End of the window. When empty, where the window of the MetricsExporter's
	// interval or schedule ends.
	End time.Time `json:"end,omitzero"`
}

// MetricsTestTable is the rows of a table: as Rows with Columns, as CSV, as NDJSON or
// as a File, one of them.
type MetricsTestTable struct {
	// Columns of Rows, and where they are given of NDJSON, each written name:type
	// with one of Kusto's types.
	Columns []string `json:"columns,omitempty"`

	// Rows, each a list with a value for each of Columns. Datetimes, timespans and
	// guids are written as text; null is null.
	Rows [][]any `json:"rows,omitempty"`

	// CSV is text whose first line is name:type for each column.
	CSV string `json:"csv,omitempty"`

	// NDJSON is text with an object a line.
	NDJSON string `json:"ndjson,omitempty"`

	// File is a .csv or .ndjson file, relative to this one.
	File string `json:"file,omitempty"`
}

// MetricsTestExpect is what a window must give: points and what is rejected, or an
// error.
type MetricsTestExpect struct {
	// Points that must be exported, in any order, and no other.
	Points []MetricsTestPoint `json:"points,omitempty"`

	// Rejected is how many points there must not be, by reason.
	Rejected map[string]uint64 `json:"rejected,omitempty"`

	// Error is a part of the error that the window must fail with.
	Error string `json:"error,omitempty"`
}

// MetricsTestPoint is a point.
type MetricsTestPoint struct {
	// Name of the metric.
	Name string `json:"name"`

	// Labels of the point, every one.
	Labels map[string]string `json:"labels,omitempty"`

	// Time of the point.
	Time time.Time `json:"time"`

	// Value of the point. Doubles may differ by a part in 10^9.
	Value *MetricsTestValue `json:"value"`
}

// MetricsTestValue is the value of a point, a whole number or a double.
type MetricsTestValue struct {
	IsInt bool
	Int   int64
	Real  float64
}

var errNumber = errors.New("must be a number")

// UnmarshalText reads a number; without a point and an exponent it is a whole one
// where it fits 64 bits.
func (v *MetricsTestValue) UnmarshalText(text []byte) error {
	s := string(text)
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		*v = MetricsTestValue{IsInt: true, Int: i}
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(s, "_xXpP") {
		return errNumber
	}
	*v = MetricsTestValue{Real: f}
	return nil
}

// MarshalText writes the number as UnmarshalText reads it.
func (v MetricsTestValue) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// String writes a whole number plain and any other so that it reads back the same.
func (v MetricsTestValue) String() string {
	if v.IsInt {
		return strconv.FormatInt(v.Int, 10)
	}
	s := strconv.FormatFloat(v.Real, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// tolerance is how far apart two doubles may be, relative to the larger.
const tolerance = 1e-9

// Equal reports whether two values are the same number, doubles within a part in
// 10^9. A whole number is the same as the double of its value.
func (v MetricsTestValue) Equal(o MetricsTestValue) bool {
	if v.IsInt && o.IsInt {
		return v.Int == o.Int
	}
	a, b := v.float(), o.float()
	return a == b || math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b))
}

func (v MetricsTestValue) float() float64 {
	if v.IsInt {
		return float64(v.Int)
	}
	return v.Real
}
