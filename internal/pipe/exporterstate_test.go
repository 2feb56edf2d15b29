package pipe_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestExporterStates(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	_, err := p.ExporterStatesOf(t.Context(), "prom")
	require.Error(t, err, "no sender has said anything yet, nor made the bucket")
	all, err := p.ExporterStates(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	of, err := p.ExporterStatesOf(t.Context(), "prom")
	require.NoError(t, err)
	require.Empty(t, of)

	a := schemas.ExporterState{Exporter: "prom", Sender: "host.a", State: schemas.ExporterDown}
	b := schemas.ExporterState{Exporter: "prom", Sender: "host-b", State: schemas.ExporterUp, Stuck: []schemas.Stuck{{MetricsExporter: "ns/a", Batches: 2}}}
	other := schemas.ExporterState{Exporter: "prom*", Sender: "host-b", State: schemas.ExporterDown}
	for _, s := range []schemas.ExporterState{a, b, other} {
		require.NoError(t, p.SetExporterState(t.Context(), s))
	}
	of, err = p.ExporterStatesOf(t.Context(), "prom")
	require.NoError(t, err)
	require.ElementsMatch(t, []schemas.ExporterState{a, b}, of)
	require.NoError(t, p.ClearExporterState(t.Context(), "prom", "host.a"))
	of, err = p.ExporterStatesOf(t.Context(), "prom")
	require.NoError(t, err)
	require.Equal(t, []schemas.ExporterState{b}, of)
	all, err = p.ExporterStates(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []schemas.ExporterState{b, other}, all)
}

// A server that says nothing does not say that nothing is stuck.
func TestExporterStatesSilent(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	sub, err := p.JS.Conn().SubscribeSync("$JS.API.DIRECT.GET.KV_k2o_exporters")
	require.NoError(t, err)
	_, err = p.ExporterStatesOf(t.Context(), "prom")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = sub.NextMsg(time.Minute)
	require.NoError(t, err, "it was asked")
}
