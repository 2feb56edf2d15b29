package pipe

import (
	"context"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Handler handles one message. When it returns nil, everything that follows from
// the message is stored downstream and the message is acked; an error is sorted
// by KindOf. Its context ends when the process gives up waiting for it, not when
// it is asked to stop: what has begun is finished within the shutdown timeout.
type Handler func(ctx context.Context, m *Message) error

// ConsumerConfig describes a durable consumer and how its messages are handled.
type ConsumerConfig struct {
	Stage  schemas.Stage
	Stream string
	// Durable is the consumer's name; processes with the same share its messages.
	Durable string
	// Filter selects subjects of the stream.
	Filter string
	// Concurrency is how many messages this process handles at a time.
	Concurrency int
	// MaxAckPending is how many messages may be unacked over all processes, those
	// that wait for a retry included. 0: 1000.
	MaxAckPending int
	// MaxBackoff bounds the exponential backoff between retries. 0: 15 s.
	MaxBackoff time.Duration
	// Gate, where set, is asked before a message is fetched; while it returns false
	// the messages stay in the stream.
	Gate func(ctx context.Context) bool
	// Handle handles one message.
	Handle Handler
}

// Consume handles messages until ctx ends, then finishes what it has begun.
func (p *Pipe) Consume(ctx context.Context, cfg ConsumerConfig) error { panic("being written") }
