package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// A cursor is how far a MetricsExporter's windows have been issued.
type cursor struct {
	// seq is the message's sequence in the stream; 0: there is none.
	seq        uint64
	next       time.Time // zero: no window was ever issued
	generation uint64
	hash       []byte
	began      time.Time        // start of the generation's first window; zero: not known
	skipped    []schemas.Window // the last ranges that were passed over
}

// maxSkipped bounds the ranges that a cursor names.
const maxSkipped = 16

// encode returns the cursor as it is stored.
func (c cursor) encode() ([]byte, error) {
	m := &wire.Cursor{NextUnixNano: c.next.UnixNano(), Generation: c.generation, SpecHash: c.hash}
	if !c.began.IsZero() {
		m.BeganUnixNano = c.began.UnixNano()
	}
	for _, s := range c.skipped[max(0, len(c.skipped)-maxSkipped):] {
		m.Skipped = append(m.Skipped, &wire.TimeRange{StartUnixNano: s.Start.UnixNano(), EndUnixNano: s.End.UnixNano()})
	}
	data, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode cursor: %w", err)
	}
	return data, nil
}

func newCursor(seq uint64, m *wire.Cursor) cursor {
	at := func(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }
	c := cursor{seq: seq, next: at(m.NextUnixNano), generation: m.Generation, hash: m.SpecHash}
	if m.BeganUnixNano != 0 {
		c.began = at(m.BeganUnixNano)
	}
	for _, s := range m.Skipped {
		c.skipped = append(c.skipped, schemas.Window{Start: at(s.StartUnixNano), End: at(s.EndUnixNano)})
	}
	return c
}

// errConflict says that the cursor is not the one that was read: another
// scheduler has moved it.
var errConflict = errors.New("another scheduler has moved the cursor")

// A jobStore is the stream of window jobs and cursors.
type jobStore struct {
	js jetstream.JetStream
	// publish is replaced by tests that lose a request or its ack.
	publish func(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error)
}

// advance moves the cursor on and issues the jobs of the windows it passes, all
// or nothing, provided that the cursor is still the one given. The error is
// errConflict if it is not. After any other error the batch may be stored, or
// may come to be.
func (s *jobStore) advance(ctx context.Context, t *target, from, to cursor, jobs []*wire.WindowJob) (cursor, error) {
	return s.advanceOn(ctx, schemas.CursorSubject(t.namespace, t.name), t, from, to, jobs)
}

// advanceOn is advance, of the cursor on a subject.
func (s *jobStore) advanceOn(ctx context.Context, subject string, t *target, from, to cursor, jobs []*wire.WindowJob) (cursor, error) {
	messages := make([]*nats.Msg, 0, len(jobs)+1)
	for _, job := range jobs {
		m, err := schemas.JobMessage(job, t.exporter)
		if err != nil {
			return from, err
		}
		messages = append(messages, m)
	}
	data, err := to.encode()
	if err != nil {
		return from, err
	}
	// Last, so that the batch's ack tells its sequence, and its place in the batch
	// how many jobs come before it.
	messages = append(messages, &nats.Msg{
		Subject: subject,
		Header: nats.Header{
			schemas.HeaderVersion:               {strconv.Itoa(schemas.Version)},
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(from.seq, 10)},
		},
		Data: data,
	})
	ack, err := s.publish(ctx, s.js, messages, jetstreamext.BatchFlowControl{AckFirst: true, AckTimeout: ackTimeout})
	if err != nil {
		return from, fmt.Errorf("issue %d windows: %w", len(jobs), conflict(err))
	}
	to.seq = ack.Sequence
	return to, nil
}

// conflict recognizes the server's refusal of an expected sequence. It has two
// codes: one tells the sequence there is, the other is of a batch under way.
func conflict(err error) error {
	const wrongLastSequenceConstant = 10164
	var refused *jetstream.APIError
	if errors.As(err, &refused) && (refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == wrongLastSequenceConstant) {
		return errConflict
	}
	return err
}

// read returns the cursor, its zero value when there is none, and those jobs
// issued together with it that nobody has handled yet.
func (s *jobStore) read(ctx context.Context, t *target) (cursor, []storedJob, error) {
	return s.readOn(ctx, schemas.CursorSubject(t.namespace, t.name))
}

// readOn is read, of the cursor on a subject.
func (s *jobStore) readOn(ctx context.Context, subject string) (cursor, []storedJob, error) {
	m, err := s.get(ctx, pipe.GetRequest{LastBySubject: subject})
	if err != nil || m == nil {
		return cursor{}, nil, err
	}
	if err := checkVersion(m); err != nil {
		return cursor{}, nil, err
	}
	var c wire.Cursor
	if err := proto.Unmarshal(m.Data, &c); err != nil {
		return cursor{}, nil, fmt.Errorf("decode the cursor on %s: %w", subject, err)
	}
	if c.Generation == 0 || c.NextUnixNano == 0 {
		return cursor{}, nil, fmt.Errorf("decode the cursor on %s: it has no position", subject)
	}
	jobs, err := s.batch(ctx, m)
	if err != nil {
		return cursor{}, nil, err
	}
	return newCursor(m.Sequence, &c), jobs, nil
}

// A storedJob is a window job and when the stream took it.
type storedJob struct {
	job      *wire.WindowJob
	exporter string
	at       time.Time
}

// batch returns the jobs that are left of a cursor's batch. The stream keeps the
// headers by which the batch was published, and a batch is stored in one piece.
func (s *jobStore) batch(ctx context.Context, last *jetstream.RawStreamMsg) ([]storedJob, error) {
	id := last.Header.Get(jetstreamext.BatchIDHeader)
	place, _ := strconv.ParseUint(last.Header.Get(jetstreamext.BatchSeqHeader), 10, 64)
	if id == "" || place < 2 || place > last.Sequence {
		return nil, nil
	}
	found := make([]*storedJob, place-1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range found {
		group.Go(func() error {
			m, err := s.get(ctx, pipe.GetRequest{Seq: last.Sequence - place + 1 + uint64(i)})
			if err != nil || m == nil || m.Header.Get(jetstreamext.BatchIDHeader) != id {
				return err
			}
			job := new(wire.WindowJob)
			if err := proto.Unmarshal(m.Data, job); err != nil {
				return fmt.Errorf("decode the window job on %s: %w", m.Subject, err)
			}
			found[i] = &storedJob{job, m.Header.Get(schemas.HeaderExporter), m.Time}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var jobs []storedJob
	for _, j := range found {
		if j != nil {
			jobs = append(jobs, *j)
		}
	}
	return jobs, nil
}

func checkVersion(m *jetstream.RawStreamMsg) error {
	v, err := strconv.Atoi(m.Header.Get(schemas.HeaderVersion))
	if err != nil || v > schemas.Version {
		return fmt.Errorf("the message on %s has version %q and this process reads up to %d",
			m.Subject, m.Header.Get(schemas.HeaderVersion), schemas.Version)
	}
	return nil
}

// get returns a message, nil if there is none. To a replica that lags behind, a job
// just issued would look like one that was handled.
func (s *jobStore) get(ctx context.Context, request pipe.GetRequest) (*jetstream.RawStreamMsg, error) {
	m, err := pipe.GetFromLeader(ctx, s.js, schemas.JobsStream, request)
	if errors.Is(err, pipe.ErrNoMessage) {
		return nil, nil
	}
	return m, err
}
