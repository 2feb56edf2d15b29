package transformer

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden has the examples of the design document. The files hold OTLP JSON, to
// be read; what is compared is the bytes that the protobuf library makes of them.
func TestGolden(t *testing.T) {
	t.Parallel()
	utc := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		require.NoError(t, err)
		return at
	}
	for _, tt := range []struct {
		name   string
		spec   schemas.TransformConfig
		answer answer
	}{
		{"simple", schemas.TransformConfig{
			MetricNameColumn: "metric_name", ValueColumn: "metric_value", TimestampColumn: "timestamp", LabelColumns: []string{"ServiceName", "Region"},
		}, answer{columns("ServiceName:string Region:string timestamp:datetime metric_value:real metric_name:string"), [][]any{
			{"api-gateway", "us-east-1", utc("2022-01-01T00:00:00Z"), 245.7, "service_response_time_avg"},
		}}},
		{"complex", schemas.TransformConfig{
			MetricNameColumn: "metric_name", ValueColumn: "Value", TimestampColumn: "StartTimeUTC",
			LabelColumns: []string{"LocationId", "CustomerResourceId", "Numerator", "Denominator", "EndTimeUTC"},
		}, answer{columns("LocationId:string CustomerResourceId:string Value:real Numerator:long Denominator:long StartTimeUTC:datetime EndTimeUTC:datetime metric_name:string"), [][]any{
			{"datacenter-01", "customer-12345", 0.987, 1974, 2000, utc("2022-01-01T00:00:00Z"), utc("2022-01-01T10:05:00Z"), "success_rate_analytics"},
		}}},
		// The complete payload, with the timestamp that its row has: the document's is
		// of another day.
		{"complete", schemas.TransformConfig{
			MetricNameColumn: "metric_name", ValueColumn: "Value", TimestampColumn: "StartTimeUTC",
			LabelColumns: []string{"LocationId", "CustomerResourceId", "ServiceTier", "Numerator", "Denominator", "EndTimeUTC", "AvgLatency"},
			Description:  "Customer success rate analytics exported from ADX", Unit: "1",
		}, answer{columns("Value:real LocationId:string CustomerResourceId:string ServiceTier:string Numerator:long Denominator:long StartTimeUTC:datetime EndTimeUTC:datetime AvgLatency:real metric_name:string"), [][]any{
			{0.987, "datacenter-west", "customer-abc123", "Premium", 2456, 2489, utc("2025-06-25T10:00:00Z"), utc("2025-06-25T10:15:00Z"), 145.3, "customer_success_rate_premium"},
		}}},
		{"valuecolumns", schemas.TransformConfig{
			DefaultMetricName: "http_server", MetricNamePrefix: "Team-A", ValueColumns: []string{"MaxMs", "p95Ms", "HTTPCount"},
			TimestampColumn: "timestamp", LabelColumns: []string{"ServiceName"}, Type: schemas.Sum, Temporality: schemas.Cumulative, Monotonic: true,
		}, answer{columns("ServiceName:string timestamp:datetime MaxMs:real p95Ms:timespan HTTPCount:long"), [][]any{
			{"checkout", at(60), 12.5, 1500 * time.Millisecond, 7},
			{"checkout", at(0), nil, 900 * time.Millisecond, 5},
			{nil, at(60), 1.0, nil, 0},
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := window(t, &schemas.MetricsExporterSpec{Transform: tt.spec}, tt.answer)
			batches, _ := transform(t, mustNew(t, Output{Compression: None, ServiceVersion: "1.0.0"}), w)
			require.Len(t, batches, 1)
			file := filepath.Join("testdata", tt.name+".json")
			if *update {
				compact, err := protojson.Marshal(request(t, batches[0]))
				require.NoError(t, err)
				var text bytes.Buffer
				require.NoError(t, json.Indent(&text, compactJSON(t, compact), "", "  "))
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(file, append(text.Bytes(), '\n'), 0o644))
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			want := new(collectorpb.ExportMetricsServiceRequest)
			require.NoError(t, protojson.Unmarshal(text, want))
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
			require.NoError(t, err)
			require.Equal(t, want.String(), request(t, batches[0]).String())
			require.Equal(t, data, batches[0].Data)
		})
	}
	t.Run("TimestampOfTheDocument", func(t *testing.T) {
		text, err := os.ReadFile("testdata/complete.json")
		require.NoError(t, err)
		require.Contains(t, string(text), `"timeUnixNano": "1750845600000000000"`)
	})
}

// compactJSON takes out the space that protojson puts in at random.
func compactJSON(t *testing.T, text []byte) []byte {
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, text))
	return b.Bytes()
}
