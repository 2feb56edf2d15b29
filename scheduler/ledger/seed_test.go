package ledger

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// A bucket that is built again knows of rows and OTLP batches that are on their way,
// of which every event is gone.
func TestSeedBacklog(t *testing.T) {
	p := pipetest.MustOpen(t, "data.dog")
	id := func(n int) schemas.WindowID {
		at := began.Add(time.Duration(n) * time.Minute)
		return schemas.WindowID{Namespace: "ns", Name: "x", Window: schemas.Window{Start: at, End: at.Add(time.Minute)}, Generation: 1}
	}
	header := func(n int, run string) nats.Header {
		return nats.Header{schemas.HeaderWindow: {id(n).String()}, schemas.HeaderLane: {"live"}, schemas.HeaderExporter: {"data.dog"}, schemas.HeaderRun: {run}}
	}
	batch := func(n int, run string, batch, points int) pipe.Outgoing {
		h := header(n, run)
		h.Set(schemas.HeaderBatch, strconv.Itoa(batch))
		h.Set(schemas.HeaderPoints, strconv.Itoa(points))
		return pipe.Outgoing{Subject: schemas.OTLPSubject("data.dog", schemas.LaneLive, "ns", "x", id(n).Window.Start, run, batch), Header: h}
	}
	send := func(o pipe.Outgoing) {
		_, err := p.Publish(t.Context(), o)
		require.NoError(t, err)
	}
	rows, err := proto.Marshal(&wire.WindowRows{Run: "r0", Rows: 7, Parts: 2, Last: &wire.RowBatch{}})
	require.NoError(t, err)
	send(pipe.Outgoing{Subject: schemas.RowsSubject("data.dog", schemas.LaneLive, "ns", "x", id(0).Window.Start, "r0"), Header: header(0, "r0"), Data: rows})

	// Of the first run all is delivered. Of the second the first batch is, and no longer
	// there; the next became a dead letter; the last two wait.
	send(batch(1, "r1", 0, 5))
	send(batch(2, "r2", 1, 6))
	send(batch(2, "r2", 2, 7))
	stop := consume(t, p, 3, func(m *pipe.Message) error {
		if m.Header.Get(schemas.HeaderBatch) == "1" {
			return pipe.Permanent(errors.New("refused"))
		}
		return nil
	})
	stop()
	send(batch(2, "r2", 3, 8))
	send(batch(2, "r2", 4, 9))
	events, err := p.JS.Stream(t.Context(), schemas.EventsStream)
	require.NoError(t, err)
	require.NoError(t, events.Purge(t.Context()))

	start(t, Config{Pipe: p}, nil)
	settle(t, p)
	windows, _ := read(t, p, "x", began.Add(10*time.Minute))
	require.Len(t, windows, 2, "what is done left no trace")
	require.Equal(t, StateQueried, windows[0].State)
	require.EqualValues(t, 7, windows[0].Rows)
	require.EqualValues(t, 3, windows[0].RowBatches)
	require.Equal(t, StateFailed, windows[1].State)
	require.Equal(t, "sender: refused", windows[1].Error.String())
	require.EqualValues(t, 5, windows[1].Batches)
	require.EqualValues(t, 2, windows[1].Accepted)
	require.EqualValues(t, 7, windows[1].Points)

	// Once all of it is there, it is exported: nothing that is unknown holds it up.
	for _, n := range []uint64{1, 3, 4} {
		publish(t, p, newStory("x").event(2, schemas.EventExported, 90, run("r2"), func(e *wire.Event) { e.Batch = n }).events)
	}
	settle(t, p)
	windows, sum := read(t, p, "x", began.Add(10*time.Minute))
	require.Equal(t, StateExported, windows[1].State)
	require.Equal(t, map[State]uint64{StateQueried: 1, StateExported: 1, StateSkipped: 0}, sum.States)
}

// consume handles a number of OTLP batches as the sender does.
func consume(t *testing.T, p *pipe.Pipe, n int, handle func(*pipe.Message) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- p.Consume(ctx, pipe.ConsumerConfig{Stage: schemas.Sender, Stream: schemas.OTLPStream("data.dog"),
			Durable: schemas.SenderDurable("data.dog", schemas.LaneLive), Filter: schemas.OTLPFilter("data.dog", schemas.LaneLive),
			Handle: func(_ context.Context, m *pipe.Message) error { return handle(m) }})
	}()
	require.Eventually(t, func() bool {
		c, err := p.JS.Consumer(t.Context(), schemas.OTLPStream("data.dog"), schemas.SenderDurable("data.dog", schemas.LaneLive))
		return err == nil && int(c.CachedInfo().AckFloor.Stream) == n
	}, time.Minute, 5*time.Millisecond)
	return func() { cancel(); require.NoError(t, <-done) }
}

// A bucket that is built again knows of jobs and dead letters whose events are gone.
func TestSeed(t *testing.T) {
	p := pipetest.MustOpen(t)
	at := func(n int) schemas.WindowID {
		start := began.Add(time.Duration(n) * time.Minute)
		return schemas.WindowID{Namespace: "ns", Name: "x", Window: schemas.Window{Start: start, End: start.Add(time.Minute)}, Generation: 1}
	}
	send := func(o pipe.Outgoing) {
		_, err := p.Publish(t.Context(), o)
		require.NoError(t, err)
	}
	header := func(id schemas.WindowID, more ...string) nats.Header {
		h := nats.Header{schemas.HeaderWindow: {id.String()}, schemas.HeaderLane: {"live"}, schemas.HeaderExporter: {"prom"}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	send(pipe.Outgoing{Subject: schemas.DeadSubject(schemas.Querier, "ns", "x"), Header: header(at(0), schemas.HeaderDeadStage, "querier",
		schemas.HeaderDeadKind, "permanent", schemas.HeaderDeadReason, "no such table", schemas.HeaderDeadAt, "2025-06-25T10:00:00Z")})
	send(pipe.Outgoing{Subject: schemas.DeadSubject(schemas.Querier, "", ""), Header: nats.Header{}})
	for n := 1; n < 4; n++ {
		send(pipe.Outgoing{Subject: schemas.CursorSubject("ns", "x")})
		send(pipe.Outgoing{Subject: schemas.JobSubject("c", "prom", schemas.LaneLive, "ns", "x", at(n).Window.Start, ""), Header: header(at(n))})
	}
	start(t, Config{Pipe: p}, nil)
	settle(t, p)
	windows, sum := read(t, p, "x", began.Add(10*time.Minute))
	require.Len(t, windows, 4)
	require.Equal(t, &Error{schemas.Querier, "permanent", "no such table", began.Add(2 * time.Minute)}, windows[0].Error)
	require.Equal(t, map[State]uint64{StateFailed: 1, StatePlanned: 3, StateSkipped: 0}, sum.States)
}
