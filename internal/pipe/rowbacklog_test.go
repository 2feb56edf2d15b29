package pipe_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// TestRowBacklog counts the windows that wait for their transform, and apart those of
// the live lane.
func TestRowBacklog(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	want := map[schemas.Lane]int{schemas.LaneLive: 2, schemas.LaneBackfill: 5}
	for lane, n := range want {
		_, err := p.JS.CreateOrUpdateConsumer(t.Context(), schemas.RowsStream, jetstream.ConsumerConfig{
			Durable: schemas.TransformerDurable("prom", lane), FilterSubject: schemas.RowsFilter("prom", lane), AckPolicy: jetstream.AckExplicitPolicy})
		require.NoError(t, err)
		for i := range n {
			_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.RowsSubject("prom", lane, "ns", "a", start, string(rune('A'+i)))})
			require.NoError(t, err)
		}
	}
	// A consumer hears of a message only after the stream has it.
	require.Eventually(t, func() bool {
		b, err := p.Backlog(t.Context(), "prom")
		require.NoError(t, err)
		return b.Windows == 7 && b.LiveWindows == 2
	}, time.Minute, 5*time.Millisecond)
}
