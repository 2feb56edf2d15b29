package transformer

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// parts is a window of five row batches.
func parts() (batches []answer) {
	for i := range 5 {
		batches = append(batches, stageAnswer(10*i, 10))
	}
	return batches
}

// TestStopHalfWay ends the worker after any number of its OTLP batches, and has the
// message delivered again.
func TestStopHalfWay(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	w := h.worker()
	seen := 0
	for stop := range 6 {
		rows := h.rows(gauge("L"), parts()...)
		v, err := decodeVisible(h.message(rows, 1).Data, "prom.one", schemas.LaneLive)
		require.NoError(t, err)
		killed := errors.New("killed")
		publisher, n := h.pipe.Publisher(), 0
		_, err = w.transformer.Window(Window{Spec: v.spec, Start: epoch, Rows: v.Rows, Batches: v.batches, Batch: w.source(t.Context(), v)},
			func(b Batch) error {
				if n++; n > stop {
					return killed
				}
				return publisher.Add(t.Context(), w.outgoing(v, b))
			})
		require.True(t, err == nil || errors.Is(err, killed))
		require.NoError(t, publisher.Flush(t.Context()))

		m := h.message(rows, 2)
		require.NoError(t, w.handle(t.Context(), m))
		m.Acked(t.Context())
		batches := h.batches()
		require.Len(t, batches, seen+5, "stopped after %d", stop)
		require.Len(t, points(t, batches[seen:]), 50)
		seen += 5
		require.Empty(t, h.stored(schemas.RowsStream))
	}
}

// TestStopBeforeAck ends the process after everything is published; once with the
// parts gone all the same.
func TestStopBeforeAck(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	w := h.worker()
	t.Run("OK/InOneMessage", func(t *testing.T) {
		rows := h.rows(gauge("L"), stageAnswer(0, 10))
		for attempt := range uint64(3) {
			require.NoError(t, w.handle(t.Context(), h.message(rows, attempt+1)))
		}
		require.Len(t, h.batches(), 1)
		require.Empty(t, h.stored(schemas.JobsStream))
	})
	t.Run("OK/PartsThere", func(t *testing.T) {
		rows := h.rows(gauge("L"), parts()...)
		v, err := decodeVisible(h.message(rows, 1).Data, "prom.one", schemas.LaneLive)
		require.NoError(t, err)
		_, err = w.transform(t.Context(), v)
		require.NoError(t, err)
		m := h.message(rows, 2)
		require.NoError(t, w.handle(t.Context(), m))
		m.Acked(t.Context())
		require.Len(t, h.batches(), 6)
		require.Empty(t, h.stored(schemas.JobsStream))
	})
	t.Run("OK/PartsGone", func(t *testing.T) {
		rows := h.rows(gauge("L"), parts()...)
		m := h.message(rows, 1)
		require.NoError(t, w.handle(t.Context(), m))
		require.NotEmpty(t, h.stored(schemas.RowsStream), "without the ack the parts stay")
		m.Acked(t.Context())
		require.Empty(t, h.stored(schemas.RowsStream))
		require.Len(t, h.batches(), 11)
		// However often it comes back, the window is queried once more.
		for attempt := range uint64(3) {
			require.NoError(t, w.handle(t.Context(), h.message(rows, attempt+2)))
		}
		require.Len(t, h.stored(schemas.JobsStream), 1)
		require.Len(t, h.batches(), 11)
	})
}

// TestLostPart has a part vanish: the window is queried again, under a request of
// its own, and the rest of its parts goes.
func TestLostPart(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.start()
	event := h.events()
	for _, tt := range []struct{ request, want string }{
		{"", "~again-"}, {"may", "may~again-"}, {"may~again-RUN0", "may~again-"},
	} {
		rows := h.rows(gauge("L"), parts()...)
		rows.Job.Request = tt.request
		require.NoError(t, h.pipe.Purge(t.Context(), schemas.RowsStream, schemas.PartSubject(rows.Run, 2)))
		h.publish(rows)

		e := event(schemas.EventRetrying)
		require.Equal(t, fmt.Sprintf("row batch 2 of run %s: get k2o.part.%s.2: no message; the window is queried again", rows.Run, rows.Run), e.Message)
		require.Equal(t, tt.request, e.Request)
		request := tt.want + rows.Run
		msg, err := h.pipe.Get(t.Context(), schemas.JobsStream,
			schemas.JobSubject("telemetry", "prom.one", schemas.LaneLive, "monitoring", "rt", epoch, request))
		require.NoError(t, err)
		require.Equal(t, request, msg.Header.Get(schemas.HeaderRequest))
		require.Equal(t, rows.Job.Window, msg.Header.Get(schemas.HeaderWindow))
		job, want := new(wire.WindowJob), proto.CloneOf(rows.Job)
		require.NoError(t, proto.Unmarshal(msg.Data, job))
		want.Request = request
		require.True(t, proto.Equal(want, job))
	}
	require.Eventually(t, func() bool { return len(h.stored(schemas.RowsStream)) == 0 }, patience, 1e6)
	require.Empty(t, h.batches())
	require.Empty(t, h.stored(schemas.DeadStream))
}

// TestFullStream has the exporter's stream refuse batches: the window fails, to be
// tried again, and says nothing of having been transformed.
func TestFullStream(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	name := schemas.OTLPStream("prom.one")
	limit := func(n int64) {
		s, err := h.pipe.JS.Stream(t.Context(), name)
		require.NoError(t, err)
		cfg := s.CachedInfo().Config
		cfg.MaxMsgs = n
		_, err = h.pipe.JS.UpdateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
	limit(2)
	rows := h.rows(gauge("L"), parts()...)
	err := h.worker().handle(t.Context(), h.message(rows, 1))
	require.ErrorContains(t, err, "transform window "+rows.Job.Window+": publish k2o.otlp.prom=2Eone.live.monitoring.rt.20250625T100000Z.RUN1.2: ")
	kind, _ := pipe.KindOf(err)
	require.Equal(t, pipe.KindRetry, kind)
	require.Empty(t, h.stored(schemas.EventsStream))
	require.Len(t, h.stored(schemas.RowsStream), 4)

	limit(-1)
	m := h.message(rows, 2)
	require.NoError(t, h.worker().handle(t.Context(), m))
	m.Acked(t.Context())
	require.Len(t, points(t, h.batches()), 50)
	require.Len(t, h.stored(schemas.EventsStream), 1)
	require.Empty(t, h.stored(schemas.RowsStream))
}

// TestErrStop shows what a handler says whose time is up: an error that is none of
// the message's.
func TestErrStop(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, rows := range []*wire.WindowRows{h.rows(gauge("L"), stageAnswer(0, 10)), h.rows(gauge("L"), parts()...)} {
		err := h.worker().handle(ctx, h.message(rows, 1))
		require.ErrorIs(t, err, context.Canceled)
		kind, _ := pipe.KindOf(err)
		require.Equal(t, pipe.KindRetry, kind)
		require.NoError(t, h.worker().handle(t.Context(), h.message(rows, 2)))
	}
}
