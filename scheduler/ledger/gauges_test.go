package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// The gauges say what the ledger says, also after it was built again.
func TestGauges(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	m := telemetry.NewMetrics()
	g := NewGauges(p, m, pipetest.Logger(t))
	require.NoError(t, g.measure(t.Context()), "without a ledger")

	_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.DeadSubject(schemas.Sender, "ns", "x.y"), Header: nats.Header{}})
	require.NoError(t, err)
	_, err = p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.OTLPSubject("prom", schemas.LaneLive, "ns", "x.y", began, "w", 0), Data: make([]byte, 5000)})
	require.NoError(t, err)
	s := newStory("x.y").export(0).event(1, schemas.EventPlanned, 1).
		event(24*60, schemas.EventTransformed, 1, run("w"), rows(9, 2)).event(24*60, schemas.EventExported, 2, run("w"), batch(1, 1))
	f := start(t, Config{Pipe: p}, nil)
	publish(t, p, s.events)
	settle(t, p)
	want := func(querier, sender int) {
		t.Helper()
		require.NoError(t, g.measure(t.Context()))
		require.NoError(t, testutil.GatherAndCompare(m.Registry, strings.NewReader(fmt.Sprintf(`
# HELP kusto2otlp_backlog_windows Windows that wait, by the stage they wait for, of the whole pipeline.
# TYPE kusto2otlp_backlog_windows gauge
kusto2otlp_backlog_windows{exporter="prom",metrics_exporter="ns/x.y",stage="querier"} %d
kusto2otlp_backlog_windows{exporter="prom",metrics_exporter="ns/x.y",stage="sender"} %d
kusto2otlp_backlog_windows{exporter="prom",metrics_exporter="ns/x.y",stage="transformer"} 0
# HELP kusto2otlp_dead_letters Messages that can never succeed and that nobody has decided about, by the stage where they failed.
# TYPE kusto2otlp_dead_letters gauge
kusto2otlp_dead_letters{metrics_exporter="ns/x.y",stage="querier"} 0
kusto2otlp_dead_letters{metrics_exporter="ns/x.y",stage="sender"} 1
kusto2otlp_dead_letters{metrics_exporter="ns/x.y",stage="transformer"} 0
`, querier, sender)), "kusto2otlp_backlog_windows", "kusto2otlp_dead_letters"))
	}
	want(1, 1)
	families, err := m.Registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "kusto2otlp_backlog_bytes" {
			require.Greater(t, f.Metric[0].Gauge.GetValue(), 5000.0)
		}
	}

	publish(t, p, newStory("x.y").event(24*60, schemas.EventExported, 3, run("w"), batch(0, 1)).events)
	settle(t, p)
	want(1, 0)
	publish(t, p, newStory("x.y").event(1, schemas.EventQueried, 3, run("n")).events)
	settle(t, p)
	want(0, 0)

	f.stop(t)
	deleteBucket(t, p.JS)
	require.NoError(t, g.measure(t.Context()))
	require.Empty(t, g.days)
	f = start(t, Config{Pipe: p, Now: func() time.Time { return began }}, nil)
	settle(t, p)
	want(0, 0)
	f.stop(t)
	// This time nobody looks before there is another, and the old one had long been written.
	g.last += 1000
	deleteBucket(t, p.JS)
	publish(t, p, newStory("x.y").event(2, schemas.EventPlanned, 3).events)
	start(t, Config{Pipe: p, Now: func() time.Time { return began }}, nil)
	settle(t, p)
	want(1, 0)
}
