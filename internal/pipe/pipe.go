package pipe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// publishTimeout bounds the wait for a stream's ack of one message. A leader
// change in a cluster stalls publishing for about a second.
const publishTimeout = 10 * time.Second

// maxOutstanding bounds the messages published and not yet acked by PublishAll.
// With messages of up to 1 MiB it bounds memory too.
const maxOutstanding = 16

// Pipe is a process's connection to JetStream.
type Pipe struct {
	// JS is for what Pipe has no method for.
	JS jetstream.JetStream

	nc      *nats.Conn
	log     *slog.Logger
	metrics *telemetry.Metrics
	server  *Server // nil when the server is somebody else's
	done    sync.Once
}

// Publish publishes one message and waits until its stream has stored it.
// Duplicate is true, and the message's being there already is a success, when
// the stream had seen its ID.
func (p *Pipe) Publish(ctx context.Context, o Outgoing) (duplicate bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ack, err := p.JS.PublishMsg(ctx, o.msg())
	if err != nil {
		return false, fmt.Errorf("publish %s: %w", o.Subject, err)
	}
	return ack.Duplicate, nil
}

// Publisher publishes many messages with several on their way at a time.
// Nothing it was given is known to be stored before Flush returns nil.
type Publisher struct {
	p        *Pipe
	subjects []string
	acks     []jetstream.PubAckFuture
}

// Publisher returns a Publisher with nothing outstanding.
func (p *Pipe) Publisher() *Publisher { return &Publisher{p: p} }

// Add publishes o, after waiting for the oldest outstanding ack when there are
// many. The publisher keeps o's data until it is acked.
func (b *Publisher) Add(ctx context.Context, o Outgoing) error {
	if len(b.acks) >= maxOutstanding {
		if err := b.await(ctx, 1); err != nil {
			return err
		}
	}
	ack, err := b.p.JS.PublishMsgAsync(o.msg())
	if err != nil {
		return fmt.Errorf("publish %s: %w", o.Subject, err)
	}
	b.acks = append(b.acks, ack)
	b.subjects = append(b.subjects, o.Subject)
	return nil
}

// Flush waits until everything that was added is stored.
func (b *Publisher) Flush(ctx context.Context) error { return b.await(ctx, len(b.acks)) }

func (b *Publisher) await(ctx context.Context, n int) error {
	for range n {
		select {
		case <-b.acks[0].Ok():
		case err := <-b.acks[0].Err():
			return fmt.Errorf("publish %s: %w", b.subjects[0], err)
		case <-ctx.Done():
			return fmt.Errorf("publish %s: %w", b.subjects[0], context.Cause(ctx))
		}
		b.acks, b.subjects = b.acks[1:], b.subjects[1:]
	}
	return nil
}

// Get returns the last message on a subject of a stream; ErrNoMessage if there is
// none.
func (p *Pipe) Get(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	s, err := p.JS.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", subject, err)
	}
	msg, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("get %s: %w", subject, ErrNoMessage)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", subject, err)
	}
	return msg, nil
}

// ErrNoMessage says that a subject has no message.
var ErrNoMessage = errors.New("no message")

// Purge removes every message on the subjects that filter selects.
func (p *Pipe) Purge(ctx context.Context, stream, filter string) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	s, err := p.JS.Stream(ctx, stream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(filter))
	}
	if err != nil {
		return fmt.Errorf("purge %s: %w", filter, err)
	}
	return nil
}

// Event reports what became of a window. It is published before the message that
// it is about is acked, so that a report may come twice but is never missing.
func (p *Pipe) Event(ctx context.Context, e *wire.Event) error {
	data, err := proto.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode %s event: %w", e.Type, err)
	}
	_, err = p.Publish(ctx, Outgoing{
		Subject: schemas.EventSubject(e.Namespace, e.Name, schemas.EventType(e.Type)),
		Header:  nats.Header{schemas.HeaderWindow: {e.Window}},
		Data:    data,
	})
	return err
}
