package pipe_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// In a cluster, most of those who ask for the same change at once get no answer: a
// process that starts must not ask for one where nothing is to be changed.
func TestEnsureStreamsChangesNothing(t *testing.T) {
	p := pipetest.MustOpen(t)
	exporters := []pipe.ExporterStream{{Name: "prom", MaxBacklogBytes: 64 << 20}}
	consume := func() {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- p.Consume(ctx, pipe.ConsumerConfig{
				Stage: schemas.Sender, Stream: schemas.OTLPStream("prom"), Durable: "sender-prom-live",
				Filter: schemas.OTLPFilter("prom", "live"), MaxAckPending: 16,
				Handle: func(context.Context, *pipe.Message) error { return nil },
			})
		}()
		require.Eventually(t, func() bool {
			c, err := p.JS.Consumer(t.Context(), schemas.OTLPStream("prom"), "sender-prom-live")
			return err == nil && c.CachedInfo().NumWaiting > 0
		}, time.Minute, 5*time.Millisecond)
		cancel()
		require.NoError(t, <-done)
	}
	require.NoError(t, p.EnsureStreams(t.Context(), exporters))
	consume()

	changes, err := p.JS.Conn().SubscribeSync("$JS.EVENT.ADVISORY.>")
	require.NoError(t, err)
	require.NoError(t, p.EnsureStreams(t.Context(), exporters))
	consume()
	require.NoError(t, p.JS.Conn().Flush())
	for {
		m, err := changes.NextMsg(50 * time.Millisecond)
		if err != nil {
			break
		}
		require.NotContains(t, string(m.Data), `"action":`, m.Subject)
	}

	// What is to be changed still is.
	exporters[0].MaxBacklogBytes = 32 << 20
	require.NoError(t, p.EnsureStreams(t.Context(), exporters))
	s, err := p.JS.Stream(t.Context(), schemas.OTLPStream("prom"))
	require.NoError(t, err)
	require.EqualValues(t, 64<<20, s.CachedInfo().Config.MaxBytes)
}
