package scheduler

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What the scheduler takes for granted of the server, on the stream as it is
// really made.
func TestAtomicBatch(t *testing.T) {
	p := pipetest.MustOpen(t)
	stream, err := p.JS.Stream(t.Context(), schemas.JobsStream)
	require.NoError(t, err)
	batch := func(cursorSubject string, expected uint64, jobs ...string) (*jetstreamext.BatchAck, error) {
		var messages []*nats.Msg
		for _, j := range jobs {
			messages = append(messages, &nats.Msg{Subject: j, Header: nats.Header{}, Data: []byte(j)})
		}
		messages = append(messages, &nats.Msg{Subject: cursorSubject, Data: []byte(fmt.Sprint(expected)), Header: nats.Header{
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(expected, 10)}}})
		return jetstreamext.PublishMsgBatch(t.Context(), p.JS, messages)
	}
	state := func() jetstream.StreamState {
		info, err := stream.Info(t.Context())
		require.NoError(t, err)
		return info.State
	}
	store := jobStore{js: p.JS}

	t.Run("OK it is a work queue of one message a subject", func(t *testing.T) {
		cfg := stream.CachedInfo().Config
		require.Equal(t, jetstream.WorkQueuePolicy, cfg.Retention)
		require.EqualValues(t, 1, cfg.MaxMsgsPerSubject)
		require.Equal(t, jetstream.DiscardOld, cfg.Discard)
		require.True(t, cfg.AllowAtomicPublish)
	})

	const subject = "k2o.cursor.ns.a"
	var first, second uint64
	t.Run("OK zero expects that there is no message", func(t *testing.T) {
		ack, err := batch(subject, 0, "k2o.job.a.1", "k2o.job.a.2")
		require.NoError(t, err)
		first = ack.Sequence
		require.EqualValues(t, 3, first, "the ack has the sequence of the last message")
		require.EqualValues(t, 3, state().Msgs)
	})

	t.Run("OK the last sequence is expected and the cursor replaced", func(t *testing.T) {
		ack, err := batch(subject, first, "k2o.job.a.3")
		require.NoError(t, err)
		second = ack.Sequence
		require.EqualValues(t, first+2, second)
		require.EqualValues(t, 4, state().Msgs, "three jobs and one cursor")
		_, err = stream.GetMsg(t.Context(), first)
		require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
	})

	t.Run("OK the batch's headers are stored", func(t *testing.T) {
		m, err := store.get(t.Context(), pipe.GetRequest{LastBySubject: subject})
		require.NoError(t, err)
		require.Equal(t, second, m.Sequence)
		require.Equal(t, "2", m.Header.Get(jetstreamext.BatchSeqHeader))
		job, err := store.get(t.Context(), pipe.GetRequest{Seq: second - 1})
		require.NoError(t, err)
		require.Equal(t, "k2o.job.a.3", job.Subject)
		require.Equal(t, m.Header.Get(jetstreamext.BatchIDHeader), job.Header.Get(jetstreamext.BatchIDHeader))
	})

	for name, expected := range map[string]func() uint64{
		"Err zero where there is a message": func() uint64 { return 0 },
		"Err a sequence that was replaced":  func() uint64 { return first },
		"Err a sequence never given":        func() uint64 { return second + 100 },
	} {
		t.Run(name, func(t *testing.T) {
			before := state()
			_, err := batch(subject, expected(), "k2o.job.a.4", "k2o.job.a.5")
			require.ErrorIs(t, conflict(err), errConflict)
			require.Equal(t, before.LastSeq, state().LastSeq, "the whole batch is refused")
			require.Equal(t, before.Msgs, state().Msgs)
		})
	}

	t.Run("OK a batch that is never committed leaves nothing", func(t *testing.T) {
		before := state()
		b, err := jetstreamext.NewBatchPublisher(p.JS)
		require.NoError(t, err)
		require.NoError(t, b.Add("k2o.job.a.6", nil))
		require.NoError(t, b.Add("k2o.job.a.7", nil))
		require.NoError(t, b.Discard())
		require.Equal(t, before.LastSeq, state().LastSeq)
		ack, err := batch(subject, second)
		require.NoError(t, err, "and blocks nobody; a cursor alone is a batch too")
		second = ack.Sequence
	})

	t.Run("OK of many at once with the same expectation one wins", func(t *testing.T) {
		expected := second
		for round := range 20 {
			var wg sync.WaitGroup
			acks := make([]*jetstreamext.BatchAck, 6)
			for i := range acks {
				wg.Go(func() {
					acks[i], _ = batch(subject, expected, fmt.Sprintf("k2o.job.r.%d.%d", round, i), fmt.Sprintf("k2o.job.r.%d.%d.x", round, i))
				})
			}
			wg.Wait()
			won := 0
			for _, ack := range acks {
				if ack != nil {
					won++
					expected = ack.Sequence
				}
			}
			require.Equal(t, 1, won)
		}
	})

	t.Run("OK the sequence survives a restart", func(t *testing.T) {
		dir := t.TempDir()
		server, err := pipe.StartServer(dir, pipetest.Logger(t))
		require.NoError(t, err)
		func() {
			defer server.Close()
			p := pipetest.MustConnect(t, server)
			defer p.Close()
			s := jobStore{js: p.JS, publish: jetstreamext.PublishMsgBatch}
			_, err := s.advance(t.Context(), &target{namespace: "ns", name: "a"}, cursor{}, cursor{next: time.Unix(1, 0), generation: 1}, nil)
			require.NoError(t, err)
		}()
		p := pipetest.MustConnect(t, pipetest.MustStart(t, dir))
		s := jobStore{js: p.JS, publish: jetstreamext.PublishMsgBatch}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c, _, err := s.read(ctx, &target{namespace: "ns", name: "a"})
		require.NoError(t, err)
		_, err = s.advance(ctx, &target{namespace: "ns", name: "a"}, cursor{}, c, nil)
		require.ErrorIs(t, err, errConflict)
		_, err = s.advance(ctx, &target{namespace: "ns", name: "a"}, c, c, nil)
		require.NoError(t, err)
	})
}
