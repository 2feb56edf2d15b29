package pipe_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestStrays(t *testing.T) {
	p := pipetest.MustOpen(t, "prom", "old.one")
	publish := func(subject string) {
		t.Helper()
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: subject})
		require.NoError(t, err)
	}
	job(t, p, 0)
	publish(schemas.CursorSubject("monitoring", "times"))
	publish(schemas.JobSubject("renamed", "prom", schemas.LaneLive, "monitoring", "times", start, ""))
	publish(schemas.JobSubject("telemetry", "old.one", schemas.LaneLive, "monitoring", "times", start, ""))
	publish(schemas.RowsSubject("prom", schemas.LaneLive, "monitoring", "times", start, "run"))
	publish(schemas.RowsSubject("old.one", schemas.LaneLive, "monitoring", "times", start, "run"))
	publish(schemas.PartSubject("run", 0))
	publish(schemas.OTLPSubject("old.one", schemas.LaneLive, "monitoring", "times", start, "run", 0))

	strays, err := p.Strays(t.Context(), []string{"telemetry"}, []string{"prom"})
	require.NoError(t, err)
	require.Equal(t, []string{
		"1 OTLP batches of exporter old=2Eone",
		"1 window jobs of cluster renamed",
		"1 window jobs of exporter old=2Eone",
		"1 windows' rows of exporter old=2Eone",
	}, strays)
	strays, err = p.Strays(t.Context(), []string{"telemetry", "renamed"}, []string{"prom", "old.one"})
	require.NoError(t, err)
	require.Empty(t, strays)
}
