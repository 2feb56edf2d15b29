package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

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
	messages := make([]*nats.Msg, 0, len(jobs)+1)
	for _, job := range jobs {
		data, err := proto.Marshal(job)
		if err != nil {
			return from, fmt.Errorf("encode window job %s: %w", job.Window, err)
		}
		w := schemas.JobWindow(job)
		m := &nats.Msg{
			Subject: schemas.JobSubject(job.Cluster, t.exporter, schemas.Lane(job.Lane), job.Namespace, job.Name, w.Start, job.Request),
			Header:  schemas.JobHeader(job, t.exporter),
			Data:    data,
		}
		m.Header.Set(schemas.HeaderVersion, strconv.Itoa(schemas.Version))
		messages = append(messages, m)
	}
	data, err := proto.Marshal(&wire.Cursor{NextUnixNano: to.next.UnixNano(), Generation: to.generation, SpecHash: to.hash})
	if err != nil {
		return from, fmt.Errorf("encode cursor: %w", err)
	}
	// Last, so that the batch's ack tells its sequence, and its place in the batch
	// how many jobs come before it.
	messages = append(messages, &nats.Msg{
		Subject: schemas.CursorSubject(t.namespace, t.name),
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
	subject := schemas.CursorSubject(t.namespace, t.name)
	m, err := s.get(ctx, getRequest{LastBySubject: subject})
	if err != nil || m == nil {
		return cursor{}, nil, err
	}
	if err := m.checkVersion(); err != nil {
		return cursor{}, nil, err
	}
	var c wire.Cursor
	if err := proto.Unmarshal(m.data, &c); err != nil {
		return cursor{}, nil, fmt.Errorf("decode the cursor on %s: %w", subject, err)
	}
	if c.Generation == 0 || c.NextUnixNano == 0 {
		return cursor{}, nil, fmt.Errorf("decode the cursor on %s: it has no position", subject)
	}
	jobs, err := s.batch(ctx, m)
	if err != nil {
		return cursor{}, nil, err
	}
	return cursor{m.seq, time.Unix(0, c.NextUnixNano).UTC(), c.Generation, c.SpecHash}, jobs, nil
}

// A storedJob is a window job and when the stream took it.
type storedJob struct {
	job      *wire.WindowJob
	exporter string
	at       time.Time
}

// batch returns the jobs that are left of a cursor's batch. The stream keeps the
// headers by which the batch was published, and a batch is stored in one piece.
func (s *jobStore) batch(ctx context.Context, last *storedMessage) ([]storedJob, error) {
	id := last.header.Get(jetstreamext.BatchIDHeader)
	place, _ := strconv.ParseUint(last.header.Get(jetstreamext.BatchSeqHeader), 10, 64)
	if id == "" || place < 2 || place > last.seq {
		return nil, nil
	}
	found := make([]*storedJob, place-1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range found {
		group.Go(func() error {
			m, err := s.get(ctx, getRequest{Seq: last.seq - place + 1 + uint64(i)})
			if err != nil || m == nil || m.header.Get(jetstreamext.BatchIDHeader) != id {
				return err
			}
			job := new(wire.WindowJob)
			if err := proto.Unmarshal(m.data, job); err != nil {
				return fmt.Errorf("decode the window job on %s: %w", m.subject, err)
			}
			found[i] = &storedJob{job, m.header.Get(schemas.HeaderExporter), m.time}
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

type getRequest struct {
	Seq           uint64 `json:"seq,omitempty"`
	LastBySubject string `json:"last_by_subj,omitempty"`
}

type storedMessage struct {
	subject string
	seq     uint64
	header  nats.Header
	data    []byte
	time    time.Time
}

func (m *storedMessage) checkVersion() error {
	v, err := strconv.Atoi(m.header.Get(schemas.HeaderVersion))
	if err != nil || v > schemas.Version {
		return fmt.Errorf("the message on %s has version %q and this process reads up to %d",
			m.subject, m.header.Get(schemas.HeaderVersion), schemas.Version)
	}
	return nil
}

// get returns a message, nil if there is none. It asks the stream's leader: a
// direct get may be answered by a replica that lags behind, to which a job just
// issued looks like one that was handled.
func (s *jobStore) get(ctx context.Context, request getRequest) (*storedMessage, error) {
	fail := func(err error) (*storedMessage, error) {
		if request.LastBySubject != "" {
			return nil, fmt.Errorf("get %s: %w", request.LastBySubject, err)
		}
		return nil, fmt.Errorf("get message %d of stream %s: %w", request.Seq, schemas.JobsStream, err)
	}
	body, err := json.Marshal(request)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	answer, err := s.js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+schemas.JobsStream, body)
	if err != nil {
		return fail(err)
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &response); err != nil {
		return fail(err)
	}
	if e := response.Error; e != nil {
		if e.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, nil
		}
		return fail(e)
	}
	if response.Message == nil {
		return fail(errors.New("the answer has no message"))
	}
	m := &storedMessage{subject: response.Message.Subject, seq: response.Message.Seq, data: response.Message.Data, time: response.Message.Time}
	if len(response.Message.Header) > 0 {
		if m.header, err = nats.DecodeHeadersMsg(response.Message.Header); err != nil {
			return fail(err)
		}
	}
	return m, nil
}
