package request

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// ackTimeout bounds the wait for the ack of a batch's first message, timeout that
	// for the whole.
	ackTimeout = 3 * time.Second
	timeout    = 8 * time.Second
)

// The kinds of requests.
const (
	KindQuery    = "query"    // a replay that asks Kusto again
	KindSend     = "send"     // a replay that sends again what was kept
	KindBackfill = "backfill" // spec.backfill
)

// ErrConflict says that the state is not the one that was read: somebody else works
// on the same request.
var ErrConflict = errors.New("somebody else works on the same request")

// State is how far a request is.
type State struct {
	*wire.Request
	// Seq is the message's sequence in the stream; 0: it is not in there yet.
	Seq uint64
}

// Next returns the start of the first window not yet issued.
func (s State) Next() time.Time { return time.Unix(0, s.NextUnixNano).UTC() }

// Range returns what was asked for.
func (s State) Range() schemas.Window {
	return schemas.Window{Start: time.Unix(0, s.StartUnixNano).UTC(), End: time.Unix(0, s.EndUnixNano).UTC()}
}

// Done says whether nothing is left to do.
func (s State) Done() bool { return s.DoneUnixNano != 0 }

// Store keeps the states of requests in the stream of jobs.
type Store struct {
	JS jetstream.JetStream
	// Publish is jetstreamext.PublishMsgBatch when nil. For tests.
	Publish func(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error)
}

// Read returns the state of a request; one without a Seq and a Request when there
// is none.
func (s *Store) Read(ctx context.Context, namespace, name, id string) (State, error) {
	subject := schemas.RequestSubject(namespace, name, id)
	m, err := pipe.GetFromLeader(ctx, s.JS, schemas.JobsStream, pipe.GetRequest{LastBySubject: subject})
	if errors.Is(err, pipe.ErrNoMessage) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	return decode(subject, m.Header, m.Data, m.Sequence)
}

func decode(subject string, header nats.Header, data []byte, seq uint64) (State, error) {
	if v, err := strconv.Atoi(header.Get(schemas.HeaderVersion)); err != nil || v > schemas.Version {
		return State{}, fmt.Errorf("the message on %s has version %q and this process reads up to %d",
			subject, header.Get(schemas.HeaderVersion), schemas.Version)
	}
	r := new(wire.Request)
	if err := proto.Unmarshal(data, r); err != nil {
		return State{}, fmt.Errorf("decode the request on %s: %w", subject, err)
	}
	if r.Id == "" || r.NextUnixNano == 0 {
		return State{}, fmt.Errorf("decode the request on %s: it has no position", subject)
	}
	return State{r, seq}, nil
}

// List returns the requests about a MetricsExporter, the oldest first; about all of
// them when namespace is empty.
func (s *Store) List(ctx context.Context, namespace, name string) ([]State, error) {
	filter := schemas.AllRequests
	if namespace != "" {
		filter = schemas.RequestFilter(namespace, name)
	}
	stream, err := s.JS.Stream(ctx, schemas.JobsStream)
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	// No other consumer than those that take the jobs may read a work queue.
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	var states []State
	for subject := range info.State.Subjects {
		m, err := pipe.GetFromLeader(ctx, s.JS, schemas.JobsStream, pipe.GetRequest{LastBySubject: subject})
		if err != nil {
			return nil, err
		}
		state, err := decode(subject, m.Header, m.Data, m.Sequence)
		if err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.CreatedUnixNano, b.CreatedUnixNano), cmp.Compare(a.Id, b.Id))
	})
	return states, nil
}

// Prune removes the requests that were done before a time, and of each MetricsExporter
// those beyond so many done since, the oldest first. Its newest backfill stays: as long
// as it is declared it must not run again.
func (s *Store) Prune(ctx context.Context, before time.Time, most int) error {
	states, err := s.List(ctx, "", "")
	if err != nil {
		return err
	}
	stream, err := s.JS.Stream(ctx, schemas.JobsStream)
	if err != nil {
		return fmt.Errorf("remove old requests: %w", err)
	}
	type key struct{ namespace, name string }
	done, backfill := map[key]int{}, map[key]bool{}
	for _, r := range slices.Backward(states) {
		of := key{r.Namespace, r.Name}
		newest := r.Kind == KindBackfill && !backfill[of]
		if r.Kind == KindBackfill {
			backfill[of] = true
		}
		if !r.Done() {
			continue
		}
		if done[of]++; newest || done[of] <= most && !time.Unix(0, r.DoneUnixNano).Before(before) {
			continue
		}
		// By its sequence: one that was written anew meanwhile stays.
		if err := stream.DeleteMsg(ctx, r.Seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return fmt.Errorf("remove request %q of %s/%s: %w", r.Id, r.Namespace, r.Name, err)
		}
	}
	return nil
}

// Cursor returns the generation of a MetricsExporter's scheduled windows and the
// hash of their spec; zero when none was ever issued.
func (s *Store) Cursor(ctx context.Context, namespace, name string) (generation uint64, hash []byte, err error) {
	subject := schemas.CursorSubject(namespace, name)
	m, err := pipe.GetFromLeader(ctx, s.JS, schemas.JobsStream, pipe.GetRequest{LastBySubject: subject})
	if errors.Is(err, pipe.ErrNoMessage) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	var c wire.Cursor
	if err := proto.Unmarshal(m.Data, &c); err != nil {
		return 0, nil, fmt.Errorf("decode the cursor on %s: %w", subject, err)
	}
	return c.Generation, c.SpecHash, nil
}

// Advance stores the next state and issues jobs for an exporter, all or nothing,
// provided that the state is still the one given. The error is ErrConflict if it is
// not. After any other error the batch may be stored, or may come to be.
func (s *Store) Advance(ctx context.Context, from State, to *wire.Request, exporter string, jobs []*wire.WindowJob) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	messages := make([]*nats.Msg, 0, len(jobs)+1)
	for _, job := range jobs {
		m, err := schemas.JobMessage(job, exporter)
		if err != nil {
			return from, err
		}
		messages = append(messages, m)
	}
	data, err := proto.Marshal(to)
	if err != nil {
		return from, fmt.Errorf("encode request %q: %w", to.Id, err)
	}
	messages = append(messages, &nats.Msg{
		Subject: schemas.RequestSubject(to.Namespace, to.Name, to.Id),
		Header: nats.Header{
			schemas.HeaderVersion:               {strconv.Itoa(schemas.Version)},
			schemas.HeaderRequest:               {to.Id},
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(from.Seq, 10)},
		},
		Data: data,
	})
	publish := s.Publish
	if publish == nil {
		publish = jetstreamext.PublishMsgBatch
	}
	ack, err := publish(ctx, s.JS, messages, jetstreamext.BatchFlowControl{AckFirst: true, AckTimeout: ackTimeout})
	if err != nil {
		return from, fmt.Errorf("issue %d windows of request %q: %w", len(jobs), to.Id, conflict(err))
	}
	return State{to, ack.Sequence}, nil
}

// conflict recognizes the server's refusal of an expected sequence. It has two
// codes: one tells the sequence there is, the other is of a batch under way.
func conflict(err error) error {
	const wrongLastSequenceConstant = 10164
	var refused *jetstream.APIError
	if errors.As(err, &refused) && (refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == wrongLastSequenceConstant) {
		return ErrConflict
	}
	return err
}
