package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// parallel is how many days are written at a time.
	parallel = 8

	// conflicts is how often a value is read and written again when other folders
	// are faster. Each time one of them got on.
	conflicts = 50
)

// dayEvents are events of one day, those of windows by chunk.
type dayEvents struct {
	chunks  map[int][]*wire.Event
	skipped []*wire.Event
	// last is the latest error of them.
	last *wire.WindowError
}

// fold puts events into the bucket.
func (f *Folder) fold(ctx context.Context, b *bucket, events []*wire.Event) error {
	days := map[dayID]*dayEvents{}
	for _, e := range events {
		id := chunkOf(e)
		d := days[id.dayID]
		if d == nil {
			d = &dayEvents{chunks: map[int][]*wire.Event{}}
			days[id.dayID] = d
		}
		if schemas.EventType(e.Type) == schemas.EventSkipped {
			d.skipped = append(d.skipped, e)
			continue
		}
		d.last = later(d.last, wrong(e))
		d.chunks[id.number] = append(d.chunks[id.number], e)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for id, d := range days {
		g.Go(func() error {
			if err := f.foldDay(ctx, b, id, d); err != nil {
				return fmt.Errorf("ledger of %s/%s: %w", id.namespace, id.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// wrong returns what an event says went wrong; nil: nothing. That a dead letter was
// put back is a decision and no error.
func wrong(e *wire.Event) *wire.WindowError {
	switch schemas.EventType(e.Type) {
	case schemas.EventFailed, schemas.EventRetrying:
		if e.LetterUnixNano == 0 {
			return errorOf(e)
		}
	}
	return nil
}

// foldDay writes a day's chunks and then what they add up to. A folder that ends
// in between leaves events that were not acked: whoever gets them finds the chunks
// as they should be, and sums them up.
func (f *Folder) foldDay(ctx context.Context, b *bucket, id dayID, d *dayEvents) error {
	var digests []*wire.ChunkDigest
	for number, events := range d.chunks {
		digest, err := f.foldChunk(ctx, b, chunkID{id, number}, events)
		if err != nil {
			return err
		}
		digests = append(digests, digest)
		if err := f.at(pointChunk); err != nil {
			return err
		}
	}
	return retry(ctx, func() error {
		day := new(wire.LedgerDay)
		before, revision, err := b.get(ctx, id.key(), day)
		if err != nil {
			return err
		}
		for _, digest := range digests {
			applyDigest(day, digest)
		}
		for _, e := range d.skipped {
			applySkipped(day, e)
		}
		day.LastError = later(day.LastError, d.last)
		data, err := encode(day)
		if err != nil || revision != 0 && bytes.Equal(data, before) {
			return err
		}
		_, err = b.put(ctx, id.key(), data, revision)
		return err
	})
}

// foldChunk folds events into a chunk and returns its digest.
func (f *Folder) foldChunk(ctx context.Context, b *bucket, id chunkID, events []*wire.Event) (sum *wire.ChunkDigest, err error) {
	err = retry(ctx, func() error {
		chunk := new(wire.LedgerChunk)
		before, revision, err := b.get(ctx, id.key(), chunk)
		if err != nil {
			return err
		}
		for _, e := range events {
			applyChunk(chunk, e)
		}
		data, err := encodeChunk(chunk)
		if err != nil {
			return err
		}
		if revision == 0 || !bytes.Equal(data, before) {
			if revision, err = b.put(ctx, id.key(), data, revision); err != nil {
				return err
			}
		}
		sum = digest(chunk, id.number, revision)
		return nil
	})
	return sum, err
}

// retry repeats a read and write that another folder came in between of.
func retry(ctx context.Context, do func() error) error {
	var err error
	for n := range conflicts {
		if err = do(); !errors.Is(err, errConflict) {
			return err
		}
		wait(ctx, rand.N(time.Millisecond<<min(n, 6)))
	}
	return err
}
