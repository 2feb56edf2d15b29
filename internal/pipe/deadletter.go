package pipe

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// maxReason bounds the error text kept with a dead letter and in an event, in
// bytes: an endpoint's answer can be any length.
const maxReason = 1024

// bury keeps m as a dead letter, with why, and reports its window as failed.
func (p *Pipe) bury(ctx context.Context, stage schemas.Stage, m *Message, kind Kind, cause error) error {
	h := nats.Header{}
	for k, v := range m.Header {
		// What NATS itself made of the message is not for its next stream.
		if !strings.HasPrefix(k, "Nats-") {
			h[k] = v
		}
	}
	h.Set(schemas.HeaderDeadStage, string(stage))
	h.Set(schemas.HeaderDeadKind, string(kind))
	h.Set(schemas.HeaderDeadReason, oneLine(cause))
	h.Set(schemas.HeaderDeadAttempts, formatUint(m.Attempt))
	h.Set(schemas.HeaderDeadSubject, m.Subject)
	at := instant(m)
	h.Set(schemas.HeaderDeadAt, at.Format(time.RFC3339Nano))

	id, _ := schemas.ParseWindowID(m.Window()) // the zero id where there is none
	// A second burial of the same message, after a lost ack, is the same letter.
	o := Outgoing{Subject: schemas.DeadSubject(stage, id.Namespace, id.Name), Header: h, Data: m.Data,
		ID: m.Subject + "!" + m.Stored.Format(time.RFC3339Nano)}
	if _, err := p.Publish(ctx, o); err != nil {
		return err
	}
	// Without the event the ledger would wait for this window for ever, so the message
	// comes again; its letter is then a duplicate.
	return p.report(ctx, stage, m, schemas.EventFailed, kind, cause, at)
}

// instant is the time of what is to be reported of m: later than when it failed, if it
// was put back since.
func instant(m *Message) time.Time {
	now := time.Now().UTC()
	if failed, err := time.Parse(time.RFC3339Nano, m.Header.Get(schemas.HeaderPutBack)); err == nil && !now.After(failed) {
		return failed.Add(1)
	}
	return now
}

// report publishes an event about m's window; there is none about a message
// without a window.
func (p *Pipe) report(ctx context.Context, stage schemas.Stage, m *Message, event schemas.EventType, kind Kind, cause error, at time.Time) error {
	id, err := schemas.ParseWindowID(m.Window())
	if err != nil {
		return nil
	}
	batch, _ := strconv.ParseUint(m.Header.Get(schemas.HeaderBatch), 10, 64) // 0 where it is no OTLP batch
	return p.Event(ctx, &wire.Event{
		Type: string(event), Stage: string(stage), AtUnixNano: at.UnixNano(),
		Window: m.Window(), Namespace: id.Namespace, Name: id.Name, Generation: id.Generation,
		StartUnixNano: id.Window.Start.UnixNano(), EndUnixNano: id.Window.End.UnixNano(),
		Lane: m.Header.Get(schemas.HeaderLane), Request: m.Header.Get(schemas.HeaderRequest),
		Run: m.Header.Get(schemas.HeaderRun), Exporter: m.Header.Get(schemas.HeaderExporter),
		Attempt: m.Attempt, Batch: batch, Kind: string(kind), Message: oneLine(cause),
	})
}

// oneLine returns an error's text, bounded and without line breaks, which a
// header cannot hold.
func oneLine(err error) string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "?")), " ")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
