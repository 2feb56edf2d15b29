package preview

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestChoose(t *testing.T) {
	at := func(clock string) time.Time {
		if clock == "" {
			return time.Time{}
		}
		v, err := time.Parse(time.RFC3339, "2026-05-01T"+clock+"Z")
		require.NoError(t, err)
		return v
	}
	cron, err := grid.New(schemas.MetricsExporterSpec{Schedule: "7,30 * * * *"})
	require.NoError(t, err)
	for _, tt := range []struct {
		name       string
		grid       grid.Grid
		delay      time.Duration
		start, end string
		now        string
		want       string
		onGrid     bool
	}{
		{"OKLatest", grid.Every(5 * time.Minute), 0, "", "", "10:07:00", "10:00:00 10:05:00", true},
		{"OKLatestAtBoundary", grid.Every(5 * time.Minute), 0, "", "", "10:05:00", "10:00:00 10:05:00", true},
		{"OKLatestWaits", grid.Every(5 * time.Minute), 3 * time.Minute, "", "", "10:07:59", "09:55:00 10:00:00", true},
		{"OKLatestWaited", grid.Every(5 * time.Minute), 3 * time.Minute, "", "", "10:08:00", "10:00:00 10:05:00", true},
		{"OKCron", cron, 0, "", "", "10:29:59", "09:30:00 10:07:00", true},
		{"OKStart", cron, 0, "08:07:00", "", "10:00:00", "08:07:00 08:30:00", true},
		{"OKStartOffGrid", cron, 0, "08:08:00", "", "10:00:00", "08:08:00 08:30:00", false},
		{"OKEnd", cron, 0, "", "08:07:00", "10:00:00", "07:30:00 08:07:00", true},
		{"OKEndOffGrid", cron, 0, "", "08:08:00", "10:00:00", "08:07:00 08:08:00", false},
		{"OKBoth", cron, 0, "08:00:00", "09:00:00", "10:00:00", "08:00:00 09:00:00", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := Choose(tt.grid, tt.delay, at(tt.start), at(tt.end), at(tt.now))
			require.Equal(t, tt.want, w.Start.Format(time.TimeOnly)+" "+w.End.Format(time.TimeOnly))
			require.Equal(t, tt.onGrid, OnGrid(tt.grid, w))
		})
	}
}

// request has one point for each label value.
func request(values ...string) *colmetrics.ExportMetricsServiceRequest {
	gauge := &metrics.Gauge{}
	for i, v := range values {
		gauge.DataPoints = append(gauge.DataPoints, &metrics.NumberDataPoint{
			TimeUnixNano: uint64(i) * 1e9,
			Attributes:   []*common.KeyValue{{Key: "l", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}},
			Value:        &metrics.NumberDataPoint_AsDouble{AsDouble: 0.1},
		})
	}
	return &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{ScopeMetrics: []*metrics.ScopeMetrics{{
		Metrics: []*metrics.Metric{{Name: "m", Data: &metrics.Metric_Gauge{Gauge: gauge}}},
	}}}}}
}

func TestTable(t *testing.T) {
	table := NewTable(2)
	require.NoError(t, table.Add(request("äöüß", "\x1b[2J\tx")))
	require.NoError(t, table.Add(request("c", "d")))
	var out strings.Builder
	require.NoError(t, table.Write(&out, 0))
	require.Equal(t, `NAME  TIME (UTC)           VALUE  LABELS
m     1970-01-01 00:00:00  0.1    l="äöüß"
m     1970-01-01 00:00:01  0.1    l="\x1b[2J\tx"
… and 2 more
`, out.String())
	out.Reset()
	require.NoError(t, table.Write(&out, 39))
	require.Equal(t, `NAME  TIME (UTC)           VALUE  LABE…
m     1970-01-01 00:00:00  0.1    l="ä…
m     1970-01-01 00:00:01  0.1    l="\…
… and 2 more
`, out.String())

	out.Reset()
	require.NoError(t, NewTable(2).Write(&out, 0))
	require.Empty(t, out.String())

	table = NewTable(0)
	require.NoError(t, table.Add(request("a")))
	require.NoError(t, table.Write(&out, 0))
	require.Equal(t, "… and 1 more\n", out.String())
}

func TestJSON(t *testing.T) {
	for _, requests := range [][]*colmetrics.ExportMetricsServiceRequest{nil, {request("a")}, {request("a"), request("b", `"<&>`)}} {
		var out strings.Builder
		j := NewJSON(&out)
		want := new(colmetrics.ExportMetricsServiceRequest)
		for _, r := range requests {
			require.NoError(t, j.Add(r))
			proto.Merge(want, r)
		}
		require.NoError(t, j.Close())
		got := new(colmetrics.ExportMetricsServiceRequest)
		require.NoError(t, protojson.Unmarshal([]byte(out.String()), got), out.String())
		require.True(t, proto.Equal(want, got), out.String())
	}
}

func TestSeries(t *testing.T) {
	s := newSeries()
	s.add(request("a", "b", "a"))
	s.add(request("b", "c"))
	require.Len(t, s.seen, 3)
}
