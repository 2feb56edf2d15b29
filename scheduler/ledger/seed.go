package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// seed folds what a new bucket could not learn from the events, which are kept for a
// few days only: all that is on its way, and the dead letters. Whoever finds the
// bucket new does it, before the consumer is made that stands for the bucket being
// whole.
func (f *Folder) seed(ctx context.Context, b *bucket) error {
	for _, s := range []struct {
		stream, filter string
		event          func(*jetstream.RawStreamMsg) *wire.Event
	}{
		{schemas.JobsStream, "k2o.job.>", waitingJob},
		{schemas.RowsStream, "k2o.rows.>", waitingRows},
		{schemas.DeadStream, "k2o.dead.>", deadLetter},
	} {
		seeding := seeding{f: f, bucket: b}
		err := eachMessage(ctx, f.cfg.Pipe.JS, s.stream, s.filter, func(m *jetstream.RawStreamMsg) error {
			return seeding.add(ctx, s.event(m))
		})
		if err == nil {
			err = seeding.flush(ctx)
		}
		if err != nil {
			return fmt.Errorf("fold what is in stream %s: %w", s.stream, err)
		}
	}
	return f.seedBatches(ctx, b)
}

// seeding folds events, many at a time.
type seeding struct {
	f      *Folder
	bucket *bucket
	events []*wire.Event
}

func (s *seeding) add(ctx context.Context, e *wire.Event) error {
	if e == nil || validate(e) != nil {
		return nil
	}
	s.events = append(s.events, e)
	if len(s.events) < batchEvents {
		return nil
	}
	return s.flush(ctx)
}

func (s *seeding) flush(ctx context.Context) error {
	err := s.f.fold(ctx, s.bucket, s.events)
	s.events = s.events[:0]
	return err
}

// eachMessage calls see with the messages of a stream that the filter selects, those
// that were there at the start. A consumer of one's own a work queue does not allow.
func eachMessage(ctx context.Context, js jetstream.JetStream, name, filter string, see func(*jetstream.RawStreamMsg) error) error {
	s, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		op, cancel := context.WithTimeout(ctx, opTimeout)
		m, err := s.GetMsg(op, seq, jetstream.WithGetMsgSubject(filter))
		cancel()
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			// A replica that lags behind has not got it yet.
			m, err = pipe.GetFromLeader(ctx, js, name, pipe.GetRequest{Seq: seq, NextBySubject: filter})
		}
		if errors.Is(err, pipe.ErrNoMessage) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := see(m); err != nil {
			return err
		}
		seq = m.Sequence
	}
	return nil
}

// waitingJob is the planned event of a job; nil of what is none.
func waitingJob(m *jetstream.RawStreamMsg) *wire.Event {
	return eventOf(m, schemas.Scheduler, schemas.EventPlanned, m.Time)
}

// waitingRows is the queried event of a window's rows; nil of what is none.
func waitingRows(m *jetstream.RawStreamMsg) *wire.Event {
	e := eventOf(m, schemas.Querier, schemas.EventQueried, m.Time)
	rows := new(wire.WindowRows)
	if e == nil || proto.Unmarshal(m.Data, rows) != nil {
		return nil
	}
	e.Rows, e.Batches = rows.Rows, uint64(rows.Parts)
	if rows.Last != nil {
		e.Batches++
	}
	return e
}

// deadLetter is the failed event of a dead letter.
func deadLetter(m *jetstream.RawStreamMsg) *wire.Event {
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(schemas.HeaderDeadAt))
	if err != nil {
		at = m.Time
	}
	e := eventOf(m, schemas.Stage(m.Header.Get(schemas.HeaderDeadStage)), schemas.EventFailed, at)
	if e != nil {
		e.Kind, e.Message = m.Header.Get(schemas.HeaderDeadKind), m.Header.Get(schemas.HeaderDeadReason)
	}
	return e
}

func eventOf(m *jetstream.RawStreamMsg, stage schemas.Stage, kind schemas.EventType, at time.Time) *wire.Event {
	return headerEvent(m.Header, stage, kind, at)
}

// headerEvent is an event about the window of a message with these headers; nil where
// there is none.
func headerEvent(h nats.Header, stage schemas.Stage, kind schemas.EventType, at time.Time) *wire.Event {
	id, err := schemas.ParseWindowID(h.Get(schemas.HeaderWindow))
	if err != nil {
		return nil
	}
	batch, _ := strconv.ParseUint(h.Get(schemas.HeaderBatch), 10, 64) // 0 where it is no OTLP batch
	return &wire.Event{
		Batch: batch,
		Type:  string(kind), Stage: string(stage), AtUnixNano: at.UnixNano(),
		Window: id.String(), Namespace: id.Namespace, Name: id.Name, Generation: id.Generation,
		StartUnixNano: id.Window.Start.UnixNano(), EndUnixNano: id.Window.End.UnixNano(),
		Lane: h.Get(schemas.HeaderLane), Request: h.Get(schemas.HeaderRequest),
		Run: h.Get(schemas.HeaderRun), Exporter: h.Get(schemas.HeaderExporter),
	}
}
