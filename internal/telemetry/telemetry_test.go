package telemetry

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestLag(t *testing.T) {
	m := NewMetrics()
	now := time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)
	m.lag.now = func() time.Time { return now }
	end := now.Add(-time.Minute)
	m.Exported("ns/a", "prom", 5, end)
	m.Exported("ns/a", "prom", 5, end.Add(-time.Hour)) // an older window, late
	m.Exported("ns/a", "prom", 5, time.Time{})         // a backfill
	now = now.Add(time.Minute)
	require.NoError(t, testutil.CollectAndCompare(m.lag, strings.NewReader(`
# HELP kusto2otlp_lag_seconds Time since the end of the newest live window of which a batch was accepted by the endpoint. Between two windows it grows by their interval.
# TYPE kusto2otlp_lag_seconds gauge
kusto2otlp_lag_seconds{exporter="prom",metrics_exporter="ns/a"} 120
`)))
	require.EqualValues(t, 15, testutil.ToFloat64(m.points.WithLabelValues("ns/a", "prom")))
}

func TestBacklog(t *testing.T) {
	m := NewMetrics()
	now := time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)
	m.backlog.now = func() time.Time { return now }
	m.Backlogs([]Backlog{{MetricsExporter: "ns/gone"}})
	m.Backlogs([]Backlog{
		{MetricsExporter: "ns/a", Exporter: "prom", Bytes: 300, Windows: map[schemas.Stage]uint64{schemas.Sender: 3}, Dead: map[schemas.Stage]uint64{schemas.Querier: 2}},
		{Dead: map[schemas.Stage]uint64{schemas.Sender: 1}},
	})
	require.NoError(t, testutil.CollectAndCompare(m.backlog, strings.NewReader(`
# HELP kusto2otlp_backlog_bytes About how many bytes the messages have that wait, of the whole pipeline.
# TYPE kusto2otlp_backlog_bytes gauge
kusto2otlp_backlog_bytes{exporter="prom",metrics_exporter="ns/a"} 300
# HELP kusto2otlp_backlog_windows Windows that wait, by the stage they wait for, of the whole pipeline.
# TYPE kusto2otlp_backlog_windows gauge
kusto2otlp_backlog_windows{exporter="prom",metrics_exporter="ns/a",stage="querier"} 0
kusto2otlp_backlog_windows{exporter="prom",metrics_exporter="ns/a",stage="sender"} 3
kusto2otlp_backlog_windows{exporter="prom",metrics_exporter="ns/a",stage="transformer"} 0
# HELP kusto2otlp_dead_letters Messages that can never succeed and that nobody has decided about, by the stage where they failed.
# TYPE kusto2otlp_dead_letters gauge
kusto2otlp_dead_letters{metrics_exporter="",stage="querier"} 0
kusto2otlp_dead_letters{metrics_exporter="",stage="sender"} 1
kusto2otlp_dead_letters{metrics_exporter="",stage="transformer"} 0
kusto2otlp_dead_letters{metrics_exporter="ns/a",stage="querier"} 2
kusto2otlp_dead_letters{metrics_exporter="ns/a",stage="sender"} 0
kusto2otlp_dead_letters{metrics_exporter="ns/a",stage="transformer"} 0
`)))
	now = now.Add(backlogKept + 1)
	require.Zero(t, testutil.CollectAndCount(m.backlog), "an old number is none")
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	NewLogger(&b, slog.LevelInfo, true).Info("done", "took", 1500*time.Millisecond)
	require.Contains(t, b.String(), `"msg":"done","took":"1.5s"}`)
	b.Reset()
	NewLogger(&b, slog.LevelWarn, false).Info("done")
	require.Empty(t, b.String())
}

func TestServer(t *testing.T) {
	m := NewMetrics()
	m.Handled(schemas.Sender, "prom", "retry", time.Second)
	m.Handled(schemas.Sender, "prom", "", time.Second)
	m.Rows("ns/a", 7)
	m.Rejected(schemas.Transformer, "ns/a", "null_value", 3)
	m.Windows("ns/a", schemas.LaneLive, schemas.EventPlanned, 2)
	var notReady error
	s, err := Listen("127.0.0.1:0", m, func() error { return notReady }, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + s.Addr() + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	code, body := get("/healthz")
	require.Equal(t, 200, code)
	require.Equal(t, "ok\n", body)
	code, _ = get("/readyz")
	require.Equal(t, 200, code)
	notReady = errors.New("not connected to nats")
	code, body = get("/readyz")
	require.Equal(t, 503, code)
	require.Equal(t, "not connected to nats\n", body)
	_, body = get("/metrics")
	for _, line := range []string{
		`kusto2otlp_messages_total{exporter="prom",outcome="ok",stage="sender"} 1`,
		`kusto2otlp_errors_total{exporter="prom",kind="retry",stage="sender"} 1`,
		`kusto2otlp_rows_total{metrics_exporter="ns/a"} 7`,
		`kusto2otlp_rejected_total{metrics_exporter="ns/a",reason="null_value",stage="transformer"} 3`,
		`kusto2otlp_windows_total{lane="live",metrics_exporter="ns/a",state="planned"} 2`,
		`kusto2otlp_stage_duration_seconds_count{stage="sender"} 2`,
	} {
		require.Contains(t, body, line)
	}

	_, err = Listen(s.Addr(), m, nil, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "telemetry.listen: listen tcp "+s.Addr()+": bind: address already in use")
	s.Close()
	s.Close()
	_, err = http.Get("http://" + s.Addr() + "/healthz")
	require.ErrorContains(t, err, "connection refused")
}
