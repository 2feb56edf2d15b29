package pipe

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Message is a message as a handler gets it.
type Message struct {
	Subject string
	Header  nats.Header
	Data    []byte
	// Attempt counts deliveries, from 1.
	Attempt uint64
	// Stored is when the stream took the message.
	Stored time.Time
	// Sequence is its place in the stream.
	Sequence uint64

	retried func(ctx context.Context, cause error)
	recall  func(after time.Duration)
	after   func(ctx context.Context)
}

// AfterAck makes f run once the message is acked; not when it is not. It is for
// cleaning up what the message needs for as long as it may come again.
func (m *Message) AfterAck(f func(ctx context.Context)) { m.after = f }

// Acked runs what AfterAck was given.
func (m *Message) Acked(ctx context.Context) {
	if m.after != nil {
		m.after(ctx)
	}
}

// Retried says that an attempt failed and that the handler is going to make
// another itself, instead of giving the message back: it stays where it is in the
// order of things. It is counted and reported like one that was given back.
func (m *Message) Retried(ctx context.Context, cause error) {
	if m.retried != nil {
		m.retried(ctx, cause)
	}
	m.Attempt++
}

// Recall returns a function that has the message delivered again after another
// delay, to whoever asks first, once it was given back with one (Later). It does not
// hold the message, and may be called before the handler has returned.
func (m *Message) Recall() func(after time.Duration) { return m.recall }

// Window returns the window id of the message's header; empty where it has none.
func (m *Message) Window() string { return m.Header.Get(schemas.HeaderWindow) }

// checkVersion refuses a message that only a newer reader understands.
func (m *Message) checkVersion() error {
	v, err := strconv.Atoi(m.Header.Get(schemas.HeaderVersion))
	if err != nil {
		return Permanent(fmt.Errorf("header %s of the message on %s is %q, want a number",
			schemas.HeaderVersion, m.Subject, m.Header.Get(schemas.HeaderVersion)))
	}
	if v > schemas.Version {
		return Refuse(fmt.Errorf("the message on %s has version %d and this process reads up to %d: upgrade it; the message is kept",
			m.Subject, v, schemas.Version))
	}
	return nil
}

// Outgoing is a message to publish.
type Outgoing struct {
	Subject string
	// ID makes a publish idempotent: the stream takes a second message of the same
	// id, within its duplicates window, for the first. Empty: always a new message.
	ID string
	// Header is sent along with the version, which Publish adds; nil is none.
	Header nats.Header
	Data   []byte
}

func (o *Outgoing) msg() *nats.Msg {
	h := o.Header
	if h == nil {
		h = nats.Header{}
	}
	h.Set(schemas.HeaderVersion, strconv.Itoa(schemas.Version))
	if o.ID != "" {
		h.Set(nats.MsgIdHdr, o.ID)
	}
	return &nats.Msg{Subject: o.Subject, Header: h, Data: o.Data}
}
