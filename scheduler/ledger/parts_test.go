package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// Windows of a second, replayed tens of times: their records are several messages,
// written by several folders at once and read meanwhile, and nothing is missing.
func TestReplayedManyTimes(t *testing.T) {
	p := pipetest.MustOpen(t)
	s := newStory("x")
	s.length = time.Second
	const first, windows, replays = 120, 600, maxReplays + 4 // one chunk
	for n := range windows {
		s.export(first + n)
	}
	for r := range replays {
		id := request(fmt.Sprintf("replay-query-%012d", r))
		for n := range windows {
			n += first
			rows, again := rows(3, 2), run(fmt.Sprintf("01J0000000%016d-%d", r, n))
			s.event(n, schemas.EventPlanned, 100+r, id).event(n, schemas.EventQueried, 100+r, id, rows, again).
				event(n, schemas.EventTransformed, 100+r, id, again, rows)
			if r%3 == 0 || n%7 == 0 {
				s.event(n, schemas.EventFailed, 101+r, id, again, because(schemas.Sender, "permanent", "the endpoint answered 400 Bad Request"))
			} else {
				s.event(n, schemas.EventExported, 101+r, id, again, batch(0, 1)).event(n, schemas.EventExported, 101+r, id, again, batch(1, 2))
			}
		}
	}
	want := &wire.LedgerChunk{}
	for _, e := range s.events {
		applyChunk(want, e)
	}
	data, err := encodeChunk(want)
	require.NoError(t, err)
	require.Greater(t, len(data), schemas.MaxMessageBytes)

	b, err := ensureBucket(t.Context(), p.JS, 1)
	require.NoError(t, err)
	var g, reading errgroup.Group
	ctx, stop := context.WithCancel(t.Context())
	batches := make(chan []*wire.Event)
	for range 2 {
		f, err := New(Config{Pipe: p, Logger: pipetest.Logger(t)})
		require.NoError(t, err)
		g.Go(func() error {
			for events := range batches {
				for {
					err := f.fold(t.Context(), b, events)
					if err == nil {
						break
					}
					if !errors.Is(err, errConflict) {
						return err
					}
				}
			}
			return nil
		})
	}
	reading.Go(func() error {
		for n := 0; ctx.Err() == nil && n < 50; n++ {
			if _, _, err := b.get(t.Context(), chunkOf(s.events[0]).key(), new(wire.LedgerChunk)); err != nil {
				return err
			}
		}
		return nil
	})
	for events := range slices.Chunk(s.events, 8*batchEvents) {
		batches <- events
	}
	close(batches)
	require.NoError(t, g.Wait())
	stop()
	require.NoError(t, reading.Wait())

	now := began.Add(time.Hour)
	got, sum := read(t, p, "x", now)
	require.Len(t, got, windows)
	for _, w := range got {
		require.Equal(t, StateExported, w.State)
		require.EqualValues(t, 9, w.Points, "what the schedule exported")
		require.Len(t, w.Replays, maxReplays)
	}
	require.EqualValues(t, windows, sum.States[StateExported])
	parts, err := b.keys(t.Context(), partPrefix+">")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(parts), 2)
	require.LessOrEqual(t, len(parts), 9, "what is in use, and little else")

	// The day is old: nothing of it is left.
	require.NoError(t, sweep(t.Context(), b, now.Add(24*time.Hour)))
	keys, err := b.keys(t.Context(), ">")
	require.NoError(t, err)
	require.Equal(t, []string{epochKey}, keys)
}

// A day whose windows fail in turns is larger than a message, and is read as a whole.
func TestLargeDay(t *testing.T) {
	p := pipetest.MustOpen(t)
	b, err := ensureBucket(t.Context(), p.JS, 1)
	require.NoError(t, err)
	day := &wire.LedgerDay{}
	id := chunkOf(newStory("x").export(0).events[0])
	for number := range int(24 * time.Hour / chunkSpan) {
		d := &wire.ChunkDigest{Number: uint32(number), States: map[string]uint64{string(StateFailed): 400}}
		for n := range 400 {
			at := began.Add(time.Duration(number)*chunkSpan + time.Duration(n)*time.Second).UnixNano()
			d.FailedRanges = append(d.FailedRanges, &wire.Span{StartUnixNano: at, EndUnixNano: at + 1})
		}
		day.Chunks = append(day.Chunks, d)
	}
	data, err := encode(day)
	require.NoError(t, err)
	require.Greater(t, len(data), schemas.MaxMessageBytes)
	revision, err := b.put(t.Context(), id.dayID.key(), data, 0)
	require.NoError(t, err)
	_, err = b.put(t.Context(), id.dayID.key(), data, rand.Uint64N(revision))
	require.ErrorIs(t, err, errConflict)
	r, err := OpenReader(t.Context(), p)
	require.NoError(t, err)
	sum, err := r.Summary(t.Context(), "ns", "x", began)
	require.NoError(t, err)
	require.EqualValues(t, 400*144, sum.States[StateFailed])
	_, err = b.put(t.Context(), id.dayID.key(), data, revision)
	require.NoError(t, err)
	_, err = r.Summaries(t.Context(), began)
	require.NoError(t, err)
}
