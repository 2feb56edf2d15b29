package pipe_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestGet(t *testing.T) {
	p := pipetest.MustOpen(t)
	for n := range 3 {
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.PartSubject("run", n), Data: []byte{byte(n)}})
		require.NoError(t, err)
	}
	t.Run("OK", func(t *testing.T) {
		msg, err := p.Get(t.Context(), schemas.RowsStream, schemas.PartSubject("run", 1))
		require.NoError(t, err)
		require.Equal(t, []byte{1}, msg.Data)
		fromLeader, err := pipe.GetFromLeader(t.Context(), p.JS, schemas.RowsStream, pipe.GetRequest{LastBySubject: schemas.PartSubject("run", 1)})
		require.NoError(t, err)
		require.Equal(t, msg.Data, fromLeader.Data)
		require.Equal(t, msg.Sequence, fromLeader.Sequence)
		require.Equal(t, msg.Subject, fromLeader.Subject)
		require.Equal(t, "1", fromLeader.Header.Get(schemas.HeaderVersion))
	})
	t.Run("OKWildcard", func(t *testing.T) {
		msg, err := p.Get(t.Context(), schemas.RowsStream, schemas.PartFilter("run"))
		require.NoError(t, err)
		require.Equal(t, []byte{2}, msg.Data)
	})
	t.Run("OKNext", func(t *testing.T) {
		for seq, want := range map[uint64]uint64{1: 1, 2: 2, 3: 3} {
			msg, err := pipe.GetFromLeader(t.Context(), p.JS, schemas.RowsStream, pipe.GetRequest{Seq: seq, NextBySubject: schemas.PartFilter("run")})
			require.NoError(t, err)
			require.Equal(t, want, msg.Sequence)
		}
		msg, err := pipe.GetFromLeader(t.Context(), p.JS, schemas.RowsStream, pipe.GetRequest{Seq: 1, NextBySubject: schemas.PartSubject("run", 2)})
		require.NoError(t, err)
		require.EqualValues(t, 3, msg.Sequence)
		_, err = pipe.GetFromLeader(t.Context(), p.JS, schemas.RowsStream, pipe.GetRequest{Seq: 4, NextBySubject: schemas.PartFilter("run")})
		require.ErrorIs(t, err, pipe.ErrNoMessage)
		require.EqualError(t, err, "get k2o.part.run.* from message 4 of stream K2O_ROWS on: no message")
	})
	t.Run("ErrNoMessage", func(t *testing.T) {
		_, err := p.Get(t.Context(), schemas.RowsStream, schemas.PartSubject("run", 3))
		require.ErrorIs(t, err, pipe.ErrNoMessage)
		require.EqualError(t, err, "get k2o.part.run.3: no message")
	})
}

// An ack that never comes is an error in the end, not a handler that hangs.
func TestPublisherLostAck(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the publish timeout of 10 s")
	}
	p := pipetest.MustOpen(t)
	// A subscriber outside of any stream takes the message and says nothing.
	sub, err := p.JS.Conn().SubscribeSync("nowhere")
	require.NoError(t, err)
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := p.Publisher()
	require.NoError(t, b.Add(ctx, pipe.Outgoing{Subject: "nowhere"}))
	require.ErrorIs(t, b.Flush(ctx), jetstream.ErrAsyncPublishTimeout)
	require.NoError(t, ctx.Err())
	require.NoError(t, b.Flush(ctx), "what failed is not waited for again")
}

// Somebody deletes the consumer under several workers: it is made anew.
func TestConsumerDeleted(t *testing.T) {
	p := pipetest.MustOpen(t)
	got := make(chan string, 10)
	stop := consume(t, p, func(_ context.Context, m *pipe.Message) error { got <- string(m.Data); return nil })
	defer stop()
	for n := range 3 {
		job(t, p, n)
		receive(t, got)
		s, err := p.JS.Stream(t.Context(), schemas.JobsStream)
		require.NoError(t, err)
		// It may have handed out two before, and not be made anew yet.
		if err := s.DeleteConsumer(t.Context(), "test"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
			require.NoError(t, err)
		}
	}
	job(t, p, 9)
	for receive(t, got) != "job 9" { // one whose ack the consumer did not live to see comes again
	}
}
