package transformer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// batchKey is what a batch and the events about it have in common.
type batchKey struct {
	run, lane, request string
	number             uint64
}

// sentBatch is a batch that the sender was given.
type sentBatch struct {
	batchKey
	sequence uint64
	at       time.Time // when the stream took it
}

func newSentBatch(m *jetstream.RawStreamMsg) sentBatch {
	n, _ := strconv.ParseUint(m.Header.Get(schemas.HeaderBatch), 10, 64) // 0 in events too
	h := m.Header
	return sentBatch{batchKey{h.Get(schemas.HeaderRun), h.Get(schemas.HeaderLane), h.Get(schemas.HeaderRequest), n}, m.Sequence, m.Time}
}

// delivered puts the window off until the sender has delivered these batches of a
// lane: what comes after them could overtake them. That the sender is at older ones,
// of other windows, makes no difference: one that the endpoint never takes would hold
// up every window that comes after it.
func (w *worker) delivered(ctx context.Context, job *wire.WindowJob, lane schemas.Lane, sent []sentBatch) error {
	if len(sent) == 0 {
		return nil
	}
	c, err := w.cfg.Pipe.JS.Consumer(ctx, schemas.OTLPStream(w.exporter), schemas.SenderDurable(w.exporter, lane))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return pipe.Later(errSettle, settleDelay)
	}
	if err != nil {
		return fmt.Errorf("look at what exporter %q was sent: %w", w.exporter, err)
	}
	info := c.CachedInfo()
	if info.NumPending == 0 && info.NumAckPending == 0 {
		return nil
	}
	open := map[batchKey]time.Time{}
	for _, b := range sent {
		if b.sequence > info.Delivered.Stream {
			return pipe.Later(errSettle, settleDelay) // its turn has not come
		}
		if b.sequence > info.AckFloor.Stream {
			open[b.batchKey] = b.at
		}
	}
	if len(open) == 0 {
		return nil
	}
	return w.told(ctx, job, open)
}

// told puts the window off until a sender has told what became of these batches, each
// of which one was given. By key they have the time at which they were stored.
func (w *worker) told(ctx context.Context, job *wire.WindowJob, open map[batchKey]time.Time) error {
	s, err := w.cfg.Pipe.JS.Stream(ctx, schemas.EventsStream)
	if err != nil {
		return fmt.Errorf("look at what exporter %q was sent: %w", w.exporter, err)
	}
	// Of a batch that is older than the oldest event nothing may be told any more: it is
	// taken for delivered, as it was given to a sender that long ago.
	kept := s.CachedInfo().State
	maps.DeleteFunc(open, func(_ batchKey, at time.Time) bool {
		return kept.Msgs == 0 || at.Before(kept.FirstTime)
	})
	if len(open) == 0 {
		return nil
	}
	what := pipe.Selection{
		Subjects: []string{
			schemas.EventSubject(job.Namespace, job.Name, schemas.EventExported),
			schemas.EventSubject(job.Namespace, job.Name, schemas.EventFailed),
		},
		Since: slices.MinFunc(slices.Collect(maps.Values(open)), time.Time.Compare).Add(-eventSkew),
	}
	now := w.cfg.Now()
	err = w.cfg.Pipe.Each(ctx, schemas.EventsStream, what, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		e := new(wire.Event)
		if proto.Unmarshal(m.Data(), e) != nil || e.Stage != string(schemas.Sender) || e.Exporter != w.exporter {
			return nil
		}
		key := batchKey{e.Run, e.Lane, e.Request, e.Batch}
		at, ok := open[key]
		// What was told before is about the same batch before it was put back.
		if ok && !meta.Timestamp.Before(at.Add(-eventSkew)) && now.Sub(meta.Timestamp) >= ackDoubt {
			delete(open, key)
		}
		return nil
	})
	if err == nil && len(open) > 0 {
		err = pipe.Later(errSettle, settleDelay)
	}
	return err
}

// refused returns the runs of the window of which the endpoint refused a batch: those
// that have a dead letter, and those of which one was given up, for as long as events
// are kept.
func (w *worker) refused(ctx context.Context, v *visible) (map[string]bool, error) {
	runs := map[string]bool{}
	// They are few, or there is more amiss than this.
	filter := schemas.DeadSubject(schemas.Sender, v.Job.Namespace, v.Job.Name)
	err := w.all(ctx, schemas.DeadStream, pipe.Selection{Subjects: []string{filter}, HeadersOnly: true}, func(m jetstream.Msg) {
		id, err := schemas.ParseWindowID(m.Headers().Get(schemas.HeaderWindow))
		if err == nil && id.Window == schemas.JobWindow(v.Job) && m.Headers().Get(schemas.HeaderExporter) == w.exporter {
			runs[m.Headers().Get(schemas.HeaderRun)] = true
		}
	})
	if err != nil {
		return nil, err
	}
	dropped := schemas.EventSubject(v.Job.Namespace, v.Job.Name, schemas.EventDropped)
	err = w.all(ctx, schemas.EventsStream, pipe.Selection{Subjects: []string{dropped}}, func(m jetstream.Msg) {
		e := new(wire.Event)
		if proto.Unmarshal(m.Data(), e) == nil && e.Stage == string(schemas.Sender) && e.Exporter == w.exporter &&
			e.StartUnixNano == v.Job.StartUnixNano && e.EndUnixNano == v.Job.EndUnixNano {
			runs[e.Run] = true
		}
	})
	return runs, err
}

// all calls see with every message of one subject, and puts the window off if the
// replica that was asked did not have the last of them yet.
func (w *worker) all(ctx context.Context, stream string, what pipe.Selection, see func(jetstream.Msg)) error {
	var last uint64
	err := w.cfg.Pipe.Each(ctx, stream, what, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		last = meta.Sequence.Stream
		see(m)
		return nil
	})
	if err != nil {
		return err
	}
	m, err := pipe.GetFromLeader(ctx, w.cfg.Pipe.JS, stream, pipe.GetRequest{LastBySubject: what.Subjects[0]})
	if errors.Is(err, pipe.ErrNoMessage) {
		return nil
	}
	if err == nil && m.Sequence > last {
		err = pipe.Later(errSettle, settleDelay)
	}
	return err
}
