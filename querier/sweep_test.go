package querier

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestSweep(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	put := func(subject string, header nats.Header) {
		t.Helper()
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: subject, Header: header})
		require.NoError(t, err)
	}
	rows := func(run string) string {
		return schemas.RowsSubject(exporter, schemas.LaneLive, "monitoring", "rt", window.Start, run)
	}
	put(schemas.PartSubject("ORPHAN", 0), nil)
	put(schemas.PartSubject("ORPHAN", 1), nil)
	put(schemas.PartSubject("VISIBLE", 0), nil)
	put(rows("VISIBLE"), nil)
	put(schemas.PartSubject("DEAD", 0), nil)
	put(schemas.DeadSubject(schemas.Transformer, "monitoring", "rt"), nats.Header{schemas.HeaderDeadSubject: {rows("DEAD")}})

	now := time.Now()
	w := mustWorker(t, p, "http://127.0.0.1:1", func(c *Config) { c.Now = func() time.Time { return now } })
	all := subjects(t, p, schemas.RowsStream)

	now = time.Now().Add(orphanAge - time.Minute)
	require.NoError(t, w.stage.sweep(t.Context()))
	require.Equal(t, all, subjects(t, p, schemas.RowsStream), "too young")

	now = time.Now().Add(orphanAge + time.Minute)
	require.NoError(t, w.stage.sweep(t.Context()))
	require.Equal(t, []string{schemas.PartSubject("DEAD", 0), schemas.PartSubject("VISIBLE", 0), rows("VISIBLE")}, subjects(t, p, schemas.RowsStream))

	require.NoError(t, p.Purge(t.Context(), schemas.DeadStream, ">"))
	require.NoError(t, w.stage.sweep(t.Context()))
	require.Equal(t, []string{schemas.PartSubject("VISIBLE", 0), rows("VISIBLE")}, subjects(t, p, schemas.RowsStream))
}
