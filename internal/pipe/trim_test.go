package pipe_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Trimmed all the time, as hard as can be, while both lanes are published to and
// consumed in no order, and some given back: each message is handled.
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
					if m.Attempt == 1 && m.Sequence%8 == 0 {
						return pipe.Later(errors.New("not yet"), time.Millisecond)
					}
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
			if p.Trim(ctx, "prom", time.Now().Add(time.Hour), 1, nil) == nil {
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
	}, time.Minute, 5*time.Millisecond, "a message was removed before it was handled")
	cancel()
	wg.Wait()
	require.Len(t, handled, n+n/50)
	require.Less(t, messages(t, p, schemas.OTLPStream("prom")), uint64(n), "and trimmed it was")
	t.Logf("%d messages, %d trims", len(handled), trims)
}

// stuck is an exporter's stream with one batch that is tried for ever, while all
// others are delivered.
type stuck struct {
	p         *pipe.Pipe
	stream    jetstream.Stream
	delivered *pipe.Delivered
	mended    atomic.Bool
	handled   chan string
	acked     atomic.Int64
}

const stuckMark = 64 << 10

func newStuck(t *testing.T) *stuck {
	t.Helper()
	s := &stuck{p: pipetest.MustOpen(t), delivered: &pipe.Delivered{}, handled: make(chan string, 10_000)}
	require.NoError(t, s.p.EnsureStreams(t.Context(), []pipe.ExporterStream{{Name: "prom", MaxBacklogBytes: stuckMark}}))
	var err error
	s.stream, err = s.p.JS.Stream(t.Context(), schemas.OTLPStream("prom"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, lane := range schemas.Lanes {
		wg.Go(func() {
			_ = s.p.Consume(ctx, pipe.ConsumerConfig{
				Stage: schemas.Sender, Stream: schemas.OTLPStream("prom"), Durable: schemas.SenderDurable("prom", lane),
				Filter: schemas.OTLPFilter("prom", lane), Concurrency: 4, MaxBackoff: 10 * time.Millisecond,
				Handle: func(_ context.Context, m *pipe.Message) error {
					if strings.HasSuffix(m.Subject, ".stuck.0") && !s.mended.Load() {
						return errors.New("not now")
					}
					s.handled <- m.Subject + " " + string(m.Data[:1])
					m.AfterAck(func(context.Context) { s.delivered.Add(m); s.acked.Add(1) })
					return nil
				},
			})
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	s.publish(t, "stuck", 0)
	return s
}

func (s *stuck) publish(t *testing.T, run string, n int) {
	t.Helper()
	_, err := s.p.Publish(t.Context(), pipe.Outgoing{Data: make([]byte, 1000),
		Subject: schemas.OTLPSubject("prom", schemas.LaneLive, "monitoring", "times", start, run, n)})
	require.NoError(t, err)
}

// A batch that is tried for ever does not keep what is delivered after it in the
// stream, and is itself kept.
func TestTrimBehindStuck(t *testing.T) {
	for _, tt := range []struct {
		name string
		trim func(s *stuck) error
		left int // at most, of 40 that were delivered
	}{
		{"OKByBytes", func(s *stuck) error {
			return s.p.Trim(t.Context(), "prom", time.Now().Add(-time.Hour), stuckMark/4, s.delivered)
		}, 20},
		{"OKByAge", func(s *stuck) error {
			return s.p.Trim(t.Context(), "prom", time.Now().Add(time.Hour), stuckMark, s.delivered)
		}, 0},
		{"OKNothingKnown", func(s *stuck) error {
			return s.p.Trim(t.Context(), "prom", time.Now().Add(time.Hour), 1, &pipe.Delivered{})
		}, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStuck(t)
			for round := 1; round <= 10; round++ {
				for n := range 40 {
					s.publish(t, "run", round*100+n)
				}
				require.Eventually(t, func() bool { return s.acked.Load() == int64(40*round) }, time.Minute, time.Millisecond)
				require.NoError(t, tt.trim(s))
				require.LessOrEqual(t, int(messages(t, s.p, schemas.OTLPStream("prom"))), 1+tt.left)
				if tt.left == 40 {
					require.EqualValues(t, 41, messages(t, s.p, schemas.OTLPStream("prom")), "what is not known to be delivered stays")
					return
				}
				msg, err := s.stream.GetMsg(t.Context(), 1)
				require.NoError(t, err, "what is not delivered stays")
				require.Contains(t, msg.Subject, ".stuck.0")
				if tt.left > 0 {
					last, err := s.stream.GetLastMsgForSubject(t.Context(), schemas.OTLPFilter("prom", schemas.LaneLive))
					require.NoError(t, err)
					require.Contains(t, last.Subject, ".run."+strconv.Itoa(round*100+39), "the newest are kept for a replay")
				}
			}
			s.mended.Store(true)
			require.Eventually(t, func() bool {
				b, err := s.p.Backlog(t.Context(), "prom")
				return err == nil && b.Messages == 0
			}, time.Minute, time.Millisecond)
			count := map[string]int{}
			for len(s.handled) > 0 {
				count[<-s.handled]++
			}
			require.Len(t, count, 401)
			for what, n := range count {
				require.Equal(t, 1, n, what)
			}
			require.NoError(t, s.p.Trim(t.Context(), "prom", time.Now().Add(time.Hour), stuckMark, s.delivered))
			require.Zero(t, messages(t, s.p, schemas.OTLPStream("prom")))
		})
	}
}

// Somebody deletes the stream: what was delivered of the old one has the sequences of
// what waits in the new one.
func TestTrimAnotherStream(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	stream := schemas.OTLPStream("prom")
	delivered := &pipe.Delivered{}
	for n := range 20 {
		delivered.Add(&pipe.Message{Sequence: uint64(n + 1), Stored: time.Now().Add(-time.Minute)})
	}
	for n := range 20 {
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: batchSubject(n), Data: make([]byte, 1000)})
		require.NoError(t, err)
	}
	require.NoError(t, p.Trim(t.Context(), "prom", time.Now().Add(time.Hour), 1, delivered))
	require.EqualValues(t, 20, messages(t, p, stream))
}

// The server tells of a consumer that it is still about to create that nothing is
// pending: that is no leave to remove what it has not delivered.
func TestTrimNewConsumer(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	stream := schemas.OTLPStream("prom")
	for _, lane := range schemas.Lanes {
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.OTLPSubject("prom", lane, "monitoring", "times", start, "run", 0)})
		require.NoError(t, err)
	}
	old, err := p.JS.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: schemas.SenderDurable("prom", schemas.LaneBackfill),
		FilterSubject: schemas.OTLPFilter("prom", schemas.LaneBackfill), AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	msg, err := old.Next()
	require.NoError(t, err)
	require.NoError(t, msg.DoubleAck(t.Context()))
	// As one that is half made looks.
	_, err = p.JS.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: schemas.SenderDurable("prom", schemas.LaneLive),
		FilterSubject: schemas.OTLPFilter("prom", schemas.LaneLive), AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy})
	require.NoError(t, err)
	require.NoError(t, p.Trim(t.Context(), "prom", time.Now().Add(time.Hour), 1, nil))
	require.EqualValues(t, 2, messages(t, p, stream))
	b, err := p.Backlog(t.Context(), "prom")
	require.NoError(t, err)
	require.NotZero(t, b.Messages)
}

// What waits to be delivered again comes at once, and not after its lease, when what was
// delivered before it is removed in the meantime.
func TestTrimBeforeRedelivery(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	stream := schemas.OTLPStream("prom")
	consumers := map[schemas.Lane]jetstream.Consumer{}
	for _, lane := range schemas.Lanes {
		c, err := p.JS.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{Durable: schemas.SenderDurable("prom", lane),
			FilterSubject: schemas.OTLPFilter("prom", lane), AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour})
		require.NoError(t, err)
		consumers[lane] = c
	}
	for n := range 20 {
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: batchSubject(n), Data: make([]byte, 1000)})
		require.NoError(t, err)
	}
	for n := range 20 {
		msg, err := consumers[schemas.LaneLive].Next()
		require.NoError(t, err)
		if n < 10 {
			require.NoError(t, msg.DoubleAck(t.Context()))
		} else {
			require.NoError(t, msg.Nak())
		}
	}
	require.NoError(t, p.Trim(t.Context(), "prom", time.Now().Add(time.Hour), 1, nil))
	require.EqualValues(t, 10, messages(t, p, stream))
	for range 10 {
		_, err := consumers[schemas.LaneLive].Next()
		require.NoError(t, err)
	}
}
