package transformer

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// TestLabelText has, for every Kusto type, what becomes of a value as a label.
func TestLabelText(t *testing.T) {
	t.Parallel()
	const none = "<none>"
	day := 24 * time.Hour
	for _, tt := range []struct {
		typ  string
		cell any
		want string
	}{
		{"bool", true, "true"}, {"bool", false, "false"}, {"bool", nil, none},
		{"int", int64(math.MinInt32), "-2147483648"}, {"int", nil, none},
		{"long", int64(0), "0"}, {"long", int64(math.MaxInt64), "9223372036854775807"}, {"long", int64(math.MinInt64), "-9223372036854775808"},
		{"real", 145.3, "145.3"}, {"real", 2.0, "2"}, {"real", 0.0, "0"}, {"real", math.Copysign(0, -1), "-0"},
		{"real", 1e20, "100000000000000000000"}, {"real", 1e21, "1e+21"}, {"real", -1.5e300, "-1.5e+300"},
		{"real", 1e-6, "0.000001"}, {"real", 1e-7, "1e-7"}, {"real", 9.5e-10, "9.5e-10"}, {"real", 5e-324, "5e-324"},
		{"real", math.MaxFloat64, "1.7976931348623157e+308"}, {"real", 0.30000000000000004, "0.30000000000000004"},
		{"real", math.NaN(), "NaN"}, {"real", math.Inf(1), "+Inf"}, {"real", math.Inf(-1), "-Inf"}, {"real", nil, none},
		{"decimal", "1.50", "1.50"}, {"decimal", "-0.001", "-0.001"}, {"decimal", "79228162514264337593543950335", "79228162514264337593543950335"},
		{"decimal", "1E+3", "1000"}, {"decimal", "1.5e3", "1500"}, {"decimal", "-12.345E1", "-123.45"}, {"decimal", "1.2E-5", "0.000012"},
		{"decimal", "12E-1", "1.2"}, {"decimal", "0E+2", "0"}, {"decimal", "1e99999", "1e99999"}, {"decimal", "1e", "1e"}, {"decimal", "e5", "e5"},
		{"decimal", "1x2e5", "1x2e5"}, {"decimal", nil, none},
		{"string", "api-gateway", "api-gateway"}, {"string", " spaces ", " spaces "}, {"string", "größe 大", "größe 大"},
		{"string", "", none}, {"string", nil, none},
		{"datetime", time.Date(2025, 6, 25, 10, 15, 0, 0, time.UTC), "2025-06-25T10:15:00Z"},
		{"datetime", time.Date(2025, 6, 25, 10, 15, 0, 500_000_000, time.UTC), "2025-06-25T10:15:00.5Z"},
		{"datetime", time.Date(2025, 6, 25, 10, 15, 0, 123_456_700, time.UTC), "2025-06-25T10:15:00.1234567Z"},
		{"datetime", time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), "0001-01-01T00:00:00Z"},
		{"datetime", time.Date(1969, 12, 31, 23, 59, 59, 999_999_900, time.UTC), "1969-12-31T23:59:59.9999999Z"},
		{"datetime", time.Date(9999, 12, 31, 23, 59, 59, 999_999_900, time.UTC), "9999-12-31T23:59:59.9999999Z"}, {"datetime", nil, none},
		{"timespan", time.Duration(0), "00:00:00"}, {"timespan", 90 * time.Second, "00:01:30"}, {"timespan", -90 * time.Second, "-00:01:30"},
		{"timespan", day + 2*time.Hour, "1.02:00:00"}, {"timespan", -(400*day + time.Second), "-400.00:00:01"},
		{"timespan", 1500 * time.Millisecond, "00:00:01.5000000"}, {"timespan", -100 * time.Nanosecond, "-00:00:00.0000001"},
		{"timespan", int64(math.MaxInt64), "10675199.02:48:05.4775807"}, {"timespan", int64(math.MinInt64), "-10675199.02:48:05.4775808"},
		{"timespan", nil, none},
		{"guid", "74BE27DE-1E4E-49D9-B579-FE0B331D3642", "74be27de-1e4e-49d9-b579-fe0b331d3642"}, {"guid", nil, none},
		{"dynamic", `"bare"`, "bare"}, {"dynamic", `"a\"b\u00e9"`, `a"bé`}, {"dynamic", `""`, none}, {"dynamic", `null`, none}, {"dynamic", ` null `, none},
		{"dynamic", `12`, "12"}, {"dynamic", `1.50`, "1.50"}, {"dynamic", `true`, "true"},
		{"dynamic", `{ "b" : [1, "x y"],  "a" : null }`, `{"b":[1,"x y"],"a":null}`}, {"dynamic", `[ ]`, "[]"},
		{"dynamic", `{"html":"<&>"}`, `{"html":"<&>"}`}, {"dynamic", `not json`, "not json"}, {"dynamic", `{"cut`, `{"cut`}, {"dynamic", `"cut`, `"cut`},
		{"dynamic", "", none}, {"dynamic", nil, none},
	} {
		a := answer{columns: []schemas.ColumnType{{Name: "at", Type: "datetime"}, {Name: "v", Type: "long"}, {Name: "L", Type: tt.typ}}}
		a.rows = [][]any{{epoch, 1, tt.cell}}
		spec := &schemas.MetricsExporterSpec{Transform: schemas.TransformConfig{
			DefaultMetricName: "m", ValueColumn: "v", TimestampColumn: "at", LabelColumns: []string{"L"}}}
		batches, _ := transform(t, mustNew(t, Output{}), window(t, spec, a))
		attributes := request(t, batches[0]).ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetGauge().DataPoints[0].Attributes
		got := none
		if len(attributes) > 0 {
			require.Equal(t, "L", attributes[0].Key)
			got = attributes[0].Value.GetStringValue()
		}
		require.Equal(t, tt.want, got, "%s %v", tt.typ, tt.cell)
	}
}

// TestInvalidUTF8 shows that texts which are no UTF-8 become such, since a receiver
// would refuse the whole request.
func TestInvalidUTF8(t *testing.T) {
	t.Parallel()
	a := answer{columns: columns("name:string at:datetime v:long L:string D:dynamic G:guid"),
		rows: [][]any{{"m@@", epoch, 1, "a@@@b", `{"k":"@"}`, "A@"}}}
	data := a.bytes(t)
	// The protobuf library would not write it.
	for i := range data {
		if data[i] == '@' {
			data[i] = 0xff
		}
	}
	spec := &schemas.MetricsExporterSpec{Transform: schemas.TransformConfig{
		MetricNameColumn: "name", ValueColumn: "v", TimestampColumn: "at", LabelColumns: []string{"L", "D", "G"},
		Unit: "\xff", Description: "\xfe"}}
	w := Window{Spec: spec, Start: epoch, Batches: 1, Rows: 1, Batch: func(int) ([]byte, error) { return data, nil }}
	batches, res := transform(t, mustNew(t, Output{ResourceAttributes: map[string]string{"a\xff": "b\xff"}}), w)
	require.Zero(t, res.Rejected.Total())
	text := request(t, batches[0]).String()
	for _, want := range []string{`name:"m�"`, `"a�b"`, `{\"k\":\"�\"}`, `"a�"`, `key:"a�"`, `"b�"`, `unit:"�"`} {
		require.Contains(t, text, want)
	}
}

// TestLongLabels has rows that share a label too long to be kept for each of them.
func TestLongLabels(t *testing.T) {
	t.Parallel()
	a := answer{columns: columns("at:datetime v:long L:string Text:string")}
	for i := range 300 {
		a.rows = append(a.rows, []any{epoch, i, strings.Repeat("l", i), strings.Repeat("x", 40_000)})
	}
	spec := &schemas.MetricsExporterSpec{Transform: schemas.TransformConfig{
		DefaultMetricName: "m", ValueColumn: "v", TimestampColumn: "at", LabelColumns: []string{"L", "Text"}}}
	batches, res := transform(t, mustNew(t, Output{}), window(t, spec, a))
	require.Equal(t, uint64(300), res.Points)
	require.Len(t, batches, 4) // 12 MB in pieces of less than 4 MiB
	n := 0
	for _, b := range batches {
		require.LessOrEqual(t, len(decompress(t, b)), MaxRequestBytes)
		n += len(request(t, b).ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetGauge().DataPoints)
	}
	require.Equal(t, 300, n)
}
