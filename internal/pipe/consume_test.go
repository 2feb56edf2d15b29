package pipe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const window = "monitoring/times@2026-01-01T00:00:00Z/2026-01-01T00:05:00Z#1"

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// job publishes one job-like message; what is in it is the handler's affair.
func job(tb testing.TB, p *pipe.Pipe, n int) pipe.Outgoing {
	tb.Helper()
	o := pipe.Outgoing{
		Subject: schemas.JobSubject("telemetry", "prom", schemas.LaneLive, "monitoring", "times", start.Add(time.Duration(n)*time.Minute), ""),
		Header:  nats.Header{schemas.HeaderWindow: {window}, schemas.HeaderLane: {"live"}},
		Data:    fmt.Appendf(nil, "job %d", n),
	}
	_, err := p.Publish(tb.Context(), o)
	require.NoError(tb, err)
	return o
}

// consume runs a consumer until stop is called, which waits for it.
func consume(tb testing.TB, p *pipe.Pipe, handle pipe.Handler) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() {
		done <- p.Consume(ctx, pipe.ConsumerConfig{
			Stage: schemas.Querier, Stream: schemas.JobsStream, Durable: "test",
			Filter: schemas.JobFilter("telemetry", "prom", schemas.LaneLive), Concurrency: 2,
			MaxBackoff: 20 * time.Millisecond, Handle: handle,
		})
	}()
	return func() {
		tb.Helper()
		cancel()
		select {
		case err := <-done:
			require.NoError(tb, err)
		case <-time.After(20 * time.Second):
			tb.Fatal("the consumer did not stop")
		}
	}
}

func messages(tb testing.TB, p *pipe.Pipe, stream string) uint64 {
	tb.Helper()
	s, err := p.JS.Stream(tb.Context(), stream)
	require.NoError(tb, err)
	return s.CachedInfo().State.Msgs
}

// deadLetter returns the only dead letter there is.
func deadLetter(tb testing.TB, p *pipe.Pipe) *jetstream.RawStreamMsg {
	tb.Helper()
	s, err := p.JS.Stream(tb.Context(), schemas.DeadStream)
	require.NoError(tb, err)
	require.EqualValues(tb, 1, s.CachedInfo().State.Msgs)
	msg, err := s.GetMsg(tb.Context(), s.CachedInfo().State.FirstSeq)
	require.NoError(tb, err)
	return msg
}

func lastEvent(tb testing.TB, p *pipe.Pipe, kind schemas.EventType) *wire.Event {
	tb.Helper()
	msg, err := p.Get(tb.Context(), schemas.EventsStream, schemas.EventSubject("monitoring", "times", kind))
	require.NoError(tb, err)
	var e wire.Event
	require.NoError(tb, proto.Unmarshal(msg.Data, &e))
	return &e
}

func receive[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestConsume(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		want := job(t, p, 0)
		got := make(chan *pipe.Message, 1)
		stop := consume(t, p, func(_ context.Context, m *pipe.Message) error { got <- m; return nil })
		m := receive(t, got)
		stop()
		require.Equal(t, want.Subject, m.Subject)
		require.Equal(t, want.Data, m.Data)
		require.Equal(t, window, m.Window())
		require.EqualValues(t, 1, m.Attempt)
		require.False(t, m.Stored.IsZero())
		require.Zero(t, messages(t, p, schemas.JobsStream), "a handled message must be acked")
		require.Zero(t, messages(t, p, schemas.DeadStream))
	})

	t.Run("ErrRetry", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		job(t, p, 0)
		done := make(chan uint64, 1)
		stop := consume(t, p, func(_ context.Context, m *pipe.Message) error {
			if m.Attempt < 5 {
				return errors.New("kusto is busy")
			}
			done <- m.Attempt
			return nil
		})
		require.EqualValues(t, 5, receive(t, done))
		stop()
		require.Zero(t, messages(t, p, schemas.JobsStream))
		require.Zero(t, messages(t, p, schemas.DeadStream), "a retryable error never becomes a dead letter")
		e := lastEvent(t, p, schemas.EventRetrying)
		require.Equal(t, "kusto is busy", e.Message)
		require.Equal(t, "retry", e.Kind)
		require.Equal(t, window, e.Window)
		require.EqualValues(t, 1, messages(t, p, schemas.EventsStream), "reported once, not for each attempt")
	})

	t.Run("ErrRetryAfter", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		job(t, p, 0)
		const delay = 300 * time.Millisecond
		times := make(chan time.Time, 2)
		stop := consume(t, p, func(_ context.Context, m *pipe.Message) error {
			times <- time.Now()
			if m.Attempt == 1 {
				return pipe.RetryAfter(errors.New("busy"), delay)
			}
			return nil
		})
		first, second := receive(t, times), receive(t, times)
		stop()
		require.GreaterOrEqual(t, second.Sub(first), delay, "the server's delay is longer than the backoff, and is waited")
	})

	t.Run("ErrPermanent", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		want := job(t, p, 0)
		job(t, p, 1)
		handled := make(chan struct{}, 2)
		stop := consume(t, p, func(_ context.Context, m *pipe.Message) error {
			defer func() { handled <- struct{}{} }()
			if string(m.Data) == "job 0" {
				return fmt.Errorf("query: %w", pipe.Permanent(errors.New("no such\ncolumn "+strings.Repeat("é", 1000))))
			}
			return nil
		})
		receive(t, handled)
		receive(t, handled)
		stop()
		require.Zero(t, messages(t, p, schemas.JobsStream), "a dead letter is taken off its stream, and the next message runs")
		dead := deadLetter(t, p)
		require.Equal(t, want.Data, dead.Data)
		require.Equal(t, "k2o.dead.querier.monitoring.times", dead.Subject)
		require.Equal(t, "querier", dead.Header.Get(schemas.HeaderDeadStage))
		require.Equal(t, "permanent", dead.Header.Get(schemas.HeaderDeadKind))
		require.Equal(t, "1", dead.Header.Get(schemas.HeaderDeadAttempts))
		require.Equal(t, want.Subject, dead.Header.Get(schemas.HeaderDeadSubject))
		require.Equal(t, window, dead.Header.Get(schemas.HeaderWindow))
		reason := dead.Header.Get(schemas.HeaderDeadReason)
		require.True(t, strings.HasPrefix(reason, "query: no such column é"), reason)
		require.Less(t, len(reason), 1100)
		e := lastEvent(t, p, schemas.EventFailed)
		require.Equal(t, window, e.Window)
		require.Equal(t, "querier", e.Stage)
	})

	t.Run("ErrPanic", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		job(t, p, 0)
		job(t, p, 1)
		handled := make(chan struct{}, 2)
		stop := consume(t, p, func(_ context.Context, m *pipe.Message) error {
			defer func() { handled <- struct{}{} }()
			if string(m.Data) == "job 0" {
				var none []int
				_ = none[len(m.Data)]
			}
			return nil
		})
		receive(t, handled)
		receive(t, handled)
		stop()
		require.Zero(t, messages(t, p, schemas.JobsStream))
		require.Equal(t, "panic", deadLetter(t, p).Header.Get(schemas.HeaderDeadKind))
	})

	t.Run("ErrNewerVersion", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		// Published past Publish, which would write this version.
		_, err := p.JS.PublishMsg(t.Context(), &nats.Msg{
			Subject: schemas.JobSubject("telemetry", "prom", schemas.LaneLive, "monitoring", "times", start, ""),
			Header:  nats.Header{schemas.HeaderVersion: {"2"}, schemas.HeaderWindow: {window}}, Data: []byte("from the future")})
		require.NoError(t, err)
		job(t, p, 1)
		handled := make(chan string, 2)
		stop := consume(t, p, func(_ context.Context, m *pipe.Message) error { handled <- string(m.Data); return nil })
		require.Equal(t, "job 1", receive(t, handled), "the message behind is handled")
		require.Eventually(t, func() bool {
			_, err := p.Get(t.Context(), schemas.EventsStream, schemas.EventSubject("monitoring", "times", schemas.EventRetrying))
			return err == nil
		}, time.Minute, 5*time.Millisecond, "it is refused, and that is reported")
		stop()
		require.Empty(t, handled, "the handler must not see the newer message")
		require.EqualValues(t, 1, messages(t, p, schemas.JobsStream), "it is kept for a newer reader")
		require.Zero(t, messages(t, p, schemas.DeadStream))
		require.Contains(t, lastEvent(t, p, schemas.EventRetrying).Message, "has version 2 and this process reads up to 1")
	})

	t.Run("ErrNoVersion", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		subject := schemas.JobSubject("telemetry", "prom", schemas.LaneLive, "monitoring", "times", start, "")
		_, err := p.JS.Publish(t.Context(), subject, []byte("from somebody else"))
		require.NoError(t, err)
		job(t, p, 1)
		handled := make(chan string, 2)
		stop := consume(t, p, func(_ context.Context, m *pipe.Message) error { handled <- string(m.Data); return nil })
		require.Equal(t, "job 1", receive(t, handled))
		require.Eventually(t, func() bool { return messages(t, p, schemas.DeadStream) == 1 }, time.Minute, 5*time.Millisecond)
		stop()
		require.Equal(t, "from somebody else", string(deadLetter(t, p).Data))
	})
}

func TestConsumeStop(t *testing.T) {
	t.Run("OKFinishesWhatHasBegun", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		job(t, p, 0)
		begun, finish := make(chan struct{}), make(chan struct{})
		var done atomic.Bool
		stop := consume(t, p, func(ctx context.Context, _ *pipe.Message) error {
			close(begun)
			select {
			case <-finish:
				done.Store(ctx.Err() == nil)
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		receive(t, begun)
		time.AfterFunc(100*time.Millisecond, func() { close(finish) })
		stop()
		require.True(t, done.Load(), "a stop must not cancel what is under way")
		require.Zero(t, messages(t, p, schemas.JobsStream), "and its ack outlives the stop")
	})

	t.Run("ErrGraceIsOver", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		job(t, p, 0)
		begun := make(chan struct{})
		stop := consume(t, p, func(ctx context.Context, _ *pipe.Message) error {
			close(begun)
			<-ctx.Done()
			return pipe.Permanent(context.Cause(ctx)) // even then: a cancelled handler proves nothing
		})
		receive(t, begun)
		stop()
		require.Zero(t, messages(t, p, schemas.DeadStream))
		again := make(chan uint64, 1)
		stop = consume(t, p, func(_ context.Context, m *pipe.Message) error { again <- m.Attempt; return nil })
		require.EqualValues(t, 2, receive(t, again), "the message comes again at once, not after its lease")
		stop()
	})
}

// A handler that works for longer than the lease keeps its message.
func TestConsumeLease(t *testing.T) {
	if testing.Short() {
		t.Skip("takes longer than the lease of 15 s")
	}
	p := pipetest.MustOpen(t)
	job(t, p, 0)
	var calls atomic.Int32
	done := make(chan struct{})
	stop := consume(t, p, func(ctx context.Context, _ *pipe.Message) error {
		if calls.Add(1) == 1 {
			<-time.After(18 * time.Second)
			close(done)
		}
		return nil
	})
	<-done
	stop()
	require.EqualValues(t, 1, calls.Load())
	require.Zero(t, messages(t, p, schemas.JobsStream))
}
