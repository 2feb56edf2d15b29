package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// lagging is a JetStream whose replicas, asked directly, have only the first messages
// of any stream.
type lagging struct {
	jetstream.JetStream
	has uint64
}

func (l lagging) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := l.JetStream.Stream(ctx, name)
	return laggingStream{s, l.has}, err
}

type laggingStream struct {
	jetstream.Stream
	has uint64
}

func (s laggingStream) GetMsg(ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	m, err := s.Stream.GetMsg(ctx, seq, opts...)
	if err == nil && m.Sequence > s.has {
		return nil, jetstream.ErrMsgNotFound
	}
	return m, err
}

// laggingKV is a bucket whose replicas have nothing.
type laggingKV struct{ jetstream.KeyValue }

func (laggingKV) Get(context.Context, string) (jetstream.KeyValueEntry, error) {
	return nil, jetstream.ErrKeyNotFound
}

// What a replica that lags behind has not got is not taken for what is not there.
func TestLagging(t *testing.T) {
	t.Run("OKEachMessage", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		for n := range 4 {
			_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.CursorSubject("ns", "x")})
			require.NoError(t, err)
			_, err = p.Publish(t.Context(), pipe.Outgoing{
				Subject: schemas.JobSubject("c", "prom", schemas.LaneLive, "ns", "x", began.Add(time.Duration(n)*time.Minute), ""), Header: nats.Header{}})
			require.NoError(t, err)
		}
		var got []uint64
		require.NoError(t, eachMessage(t.Context(), lagging{p.JS, 3}, schemas.JobsStream, "k2o.job.>", func(m *jetstream.RawStreamMsg) error {
			got = append(got, m.Sequence)
			return nil
		}))
		require.Equal(t, []uint64{2, 4, 6, 8}, got)
	})

	t.Run("OKBucket", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		start(t, Config{Pipe: p}, nil)
		s := newStory("x").export(0).export(20).withSkipped(30, 5)
		publish(t, p, s.events)
		epoch := settle(t, p)
		now := began.Add(time.Hour)
		windows, sum := read(t, p, "x", now)

		b, err := openBucket(t.Context(), p.JS)
		require.NoError(t, err)
		b.kv = laggingKV{b.kv}
		r := &Reader{b}
		got, err := r.Summary(t.Context(), "ns", "x", now)
		require.NoError(t, err)
		require.Equal(t, sum, got)
		var list []Window
		for w, err := range r.Windows(t.Context(), "ns", "x", Filter{}, false) {
			require.NoError(t, err)
			list = append(list, w)
		}
		require.Equal(t, windows, list)
		same, err := b.readEpoch(t.Context())
		require.NoError(t, err)
		require.Equal(t, epoch, same)

		// A value in parts, too; and what is really not there is not.
		large := make([]byte, schemas.MaxMessageBytes+1)
		large[0] = 1
		_, err = b.put(t.Context(), "large", large, 0)
		require.NoError(t, err)
		data, revision, err := b.read(t.Context(), "large")
		require.NoError(t, err)
		require.NotZero(t, revision)
		require.Equal(t, large, data)
		_, revision, err = b.read(t.Context(), "other")
		require.NoError(t, err)
		require.Zero(t, revision)
	})
}
