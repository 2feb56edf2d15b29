package pipe_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Trimmed all the time, as hard as can be, while both lanes are published to and
// consumed in no order: each message is handled. (None is given back here: a purge
// at the wrong moment makes the server forget the delay of a nak, and the message
// comes after its lease of 15 s instead.)
func TestTrimWhilePublishing(t *testing.T) {
	const n = 400 // of each lane
	p := pipetest.MustOpen(t, "prom")
	subject := func(lane schemas.Lane, i int) string {
		return schemas.OTLPSubject("prom", lane, "monitoring", "times", start, "run", i)
	}
	var mu sync.Mutex
	handled := map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, lane := range schemas.Lanes {
		wg.Go(func() {
			_ = p.Consume(ctx, pipe.ConsumerConfig{
				Stage: schemas.Sender, Stream: schemas.OTLPStream("prom"), Durable: schemas.SenderDurable("prom", lane),
				Filter: schemas.OTLPFilter("prom", lane), Concurrency: 4, MaxAckPending: 16, MaxBackoff: 10 * time.Millisecond,
				Handle: func(_ context.Context, m *pipe.Message) error {
					<-time.After(rand.N(5 * time.Millisecond)) // so that later ones overtake it
					mu.Lock()
					defer mu.Unlock()
					handled[m.Subject]++
					return nil
				},
			})
		})
	}
	trims := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			if p.Trim(ctx, "prom", time.Now().Add(time.Hour), 1) == nil {
				trims++
			}
		}
	})
	for i := range n {
		for _, lane := range schemas.Lanes {
			if lane == schemas.LaneBackfill && i%50 != 0 {
				continue // mostly idle: its messages lie between those of the other
			}
			_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: subject(lane, i), Header: nats.Header{}, Data: make([]byte, 1000)})
			require.NoError(t, err)
		}
	}
	require.Eventually(t, func() bool {
		b, err := p.Backlog(t.Context(), "prom")
		mu.Lock()
		defer mu.Unlock()
		return err == nil && b.Messages == 0 && len(handled) >= n+n/50
	}, 30*time.Second, 5*time.Millisecond, "a message was removed before it was handled")
	cancel()
	wg.Wait()
	require.Len(t, handled, n+n/50)
	require.Less(t, messages(t, p, schemas.OTLPStream("prom")), uint64(n), "and trimmed it was")
	t.Logf("%d messages, %d trims", len(handled), trims)
}
