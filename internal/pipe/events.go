package pipe

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

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

// Watch calls see with every event there is and then with every new one, in
// order, until ctx ends. Each watcher sees all of them.
func (p *Pipe) Watch(ctx context.Context, see func(*wire.Event)) error {
	cons, err := p.JS.OrderedConsumer(ctx, schemas.EventsStream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	msgs, err := cons.Messages()
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	defer context.AfterFunc(ctx, msgs.Stop)()
	defer msgs.Stop()
	for {
		msg, err := msgs.Next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch events: %w", err)
		}
		var e wire.Event
		if err := proto.Unmarshal(msg.Data(), &e); err != nil {
			p.log.Warn("skipped an event that cannot be read", "subject", msg.Subject(), "error", err)
			continue
		}
		see(&e)
	}
}
