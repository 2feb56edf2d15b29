package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// runKey tells runs apart, and the times that the batches of one were sent again.
type runKey struct{ window, request, run string }

// seenRun is what an exporter's stream has of the batches of a run.
type seenRun struct {
	event   *wire.Event // of the run; without batches
	points  map[uint64]uint64
	waiting map[uint64]bool
	last    uint64
}

// seedBatches folds the OTLP batches that wait for their endpoint. What else there was
// of their runs has been delivered, or is a dead letter: batches are removed from an
// exporter's stream for no other reason.
//
// A batch counts as waiting beyond the first one of its lane that does. So one that
// was delivered after a later one seems to wait if that is longer ago than events are
// kept.
func (f *Folder) seedBatches(ctx context.Context, b *bucket) error {
	dead := map[runKey]map[uint64]bool{}
	err := f.cfg.Pipe.Each(ctx, schemas.DeadStream, pipe.Selection{Subjects: []string{"k2o.dead." + string(schemas.Sender) + ".>"}, HeadersOnly: true},
		func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
			key, batch := batchOf(m)
			if dead[key] == nil {
				dead[key] = map[uint64]bool{}
			}
			dead[key][batch] = true
			return nil
		})
	if err != nil {
		return err
	}
	names := f.cfg.Pipe.JS.StreamNames(ctx, jetstream.WithStreamListSubject("k2o.otlp.>"))
	for name := range names.Name() {
		for _, lane := range schemas.Lanes {
			if err := f.seedLane(ctx, b, name, lane, dead); err != nil {
				return fmt.Errorf("fold what is in stream %s: %w", name, err)
			}
		}
	}
	return names.Err()
}

func (f *Folder) seedLane(ctx context.Context, b *bucket, stream string, lane schemas.Lane, dead map[runKey]map[uint64]bool) error {
	exporter, err := schemas.ParseToken(strings.TrimPrefix(stream, schemas.OTLPStream("")))
	if err != nil {
		return nil // no stream of ours
	}
	floor := uint64(0)
	c, err := f.cfg.Pipe.JS.Consumer(ctx, stream, schemas.SenderDurable(exporter, lane))
	if err == nil {
		floor = c.CachedInfo().AckFloor.Stream
	} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	runs := map[runKey]*seenRun{}
	err = f.cfg.Pipe.Each(ctx, stream, pipe.Selection{Subjects: []string{schemas.OTLPFilter(exporter, lane)}, HeadersOnly: true},
		func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
			key, batch := batchOf(m)
			r := runs[key]
			if r == nil {
				r = &seenRun{points: map[uint64]uint64{}, waiting: map[uint64]bool{},
					event: headerEvent(m.Headers(), schemas.Transformer, schemas.EventTransformed, meta.Timestamp)}
				runs[key] = r
			}
			if batch >= maxBatches {
				return nil
			}
			r.last = max(r.last, batch)
			r.points[batch], _ = strconv.ParseUint(m.Headers().Get(schemas.HeaderPoints), 10, 64)
			if meta.Sequence.Stream > floor {
				r.waiting[batch] = true
			}
			return nil
		})
	if err != nil {
		return err
	}
	seeding := seeding{f: f, bucket: b}
	for key, r := range runs {
		if len(r.waiting) == 0 || r.event == nil {
			continue
		}
		for _, e := range r.events(dead[key]) {
			if err := seeding.add(ctx, e); err != nil {
				return err
			}
		}
	}
	return seeding.flush(ctx)
}

// events are those that a run must have had: how many batches it has at least, and
// that those that neither wait nor are dead were accepted.
func (r *seenRun) events(dead map[uint64]bool) []*wire.Event {
	transformed := r.event
	transformed.Batch, transformed.Batches = 0, r.last+1
	events := []*wire.Event{transformed}
	for batch := range transformed.Batches {
		if r.waiting[batch] || dead[batch] {
			continue
		}
		events = append(events, &wire.Event{
			Type: string(schemas.EventExported), Stage: string(schemas.Sender), AtUnixNano: transformed.AtUnixNano,
			Window: transformed.Window, Namespace: transformed.Namespace, Name: transformed.Name, Generation: transformed.Generation,
			StartUnixNano: transformed.StartUnixNano, EndUnixNano: transformed.EndUnixNano,
			Lane: transformed.Lane, Request: transformed.Request, Run: transformed.Run, Exporter: transformed.Exporter,
			Batch: batch, Points: r.points[batch],
		})
	}
	return events
}

// batchOf returns the run and the number of an OTLP batch.
func batchOf(m jetstream.Msg) (runKey, uint64) {
	h := m.Headers()
	batch, err := strconv.ParseUint(h.Get(schemas.HeaderBatch), 10, 64)
	if err != nil {
		batch = maxBatches
	}
	return runKey{h.Get(schemas.HeaderWindow), h.Get(schemas.HeaderRequest), h.Get(schemas.HeaderRun)}, batch
}
