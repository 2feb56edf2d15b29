package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// timeout bounds one request to the streams.
const timeout = 10 * time.Second

// ErrNoLetter says that there is no letter of that id, or none any more.
var ErrNoLetter = errors.New("no such dead letter")

// Desk is where dead letters are decided about.
type Desk struct {
	Pipe *pipe.Pipe
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// between, where set, is called between any two steps of a decision; its error
	// ends it there, as a crash would. For tests.
	between func() error
}

// Filter selects letters. Its zero value selects all.
type Filter struct {
	Stage schemas.Stage
	// Namespace and Name of the MetricsExporter; both or none.
	Namespace, Name string
	// After leaves out the letter of this id, and those before it.
	After uint64
}

func (f Filter) subject() string {
	stage, namespace, name := "*", "*", "*"
	if f.Stage != "" {
		stage = string(f.Stage)
	}
	if f.Name != "" {
		namespace, name = schemas.Token(f.Namespace), schemas.Token(f.Name)
	}
	return "k2o.dead." + stage + "." + namespace + "." + name
}

// List returns the letters there are, the oldest first, without their bodies.
func (d *Desk) List(ctx context.Context, f Filter) ([]*Letter, error) {
	letters := []*Letter{}
	err := d.Each(ctx, f, func(l *Letter) { letters = append(letters, l) })
	return letters, err
}

// Each calls see with the letters there are, the oldest first, without their bodies. There
// may be more than fit in memory.
func (d *Desk) Each(ctx context.Context, f Filter, see func(*Letter)) error {
	return d.Pipe.Each(ctx, schemas.DeadStream, pipe.Selection{Subjects: []string{f.subject()}, After: f.After, HeadersOnly: true},
		func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
			size, _ := strconv.Atoi(m.Headers().Get(nats.MsgSize))
			see(newLetter(meta.Sequence.Stream, meta.Timestamp, m.Headers(), size))
			return nil
		})
}

// Get returns a letter with its body. The error is ErrNoLetter if there is none.
func (d *Desk) Get(ctx context.Context, id uint64) (*Letter, error) {
	m, err := (*jetstream.RawStreamMsg)(nil), pipe.ErrNoMessage
	if id > 0 { // which would ask for no message in particular
		m, err = pipe.GetFromLeader(ctx, d.Pipe.JS, schemas.DeadStream, pipe.GetRequest{Seq: id})
	}
	if errors.Is(err, pipe.ErrNoMessage) {
		return nil, fmt.Errorf("%w: %d", ErrNoLetter, id)
	}
	if err != nil {
		return nil, err
	}
	l := newLetter(id, m.Time, m.Header, len(m.Data))
	l.Data = m.Data
	return l, nil
}

// Retry puts the message back on the subject where it failed and removes the
// letter.
func (d *Desk) Retry(ctx context.Context, id uint64) (*Letter, error) {
	l, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := l.message()
	if err != nil {
		return l, fmt.Errorf("retry dead letter %d: %w; it is kept", id, err)
	}
	return l, d.resume(ctx, l, m, string(l.Kind), "was put back where it failed")
}

// Renew has the window of a letter queried again by another job, one with the spec that
// its MetricsExporter has by now, and removes the letter.
func (d *Desk) Renew(ctx context.Context, l *Letter, job *wire.WindowJob, exporter string) error {
	m, err := schemas.JobMessage(job, exporter)
	if err != nil {
		return fmt.Errorf("renew dead letter %d: %w; it is kept", l.ID, err)
	}
	l.mark(m, schemas.JobsStream)
	return d.resume(ctx, l, m, schemas.KindRenewed, "is queried again, with the changed spec")
}

// resume stores the message that goes on where a letter ended, reports it and removes
// the letter.
func (d *Desk) resume(ctx context.Context, l *Letter, m *nats.Msg, kind, how string) error {
	if err := d.putBack(ctx, m); err != nil {
		return fmt.Errorf("retry dead letter %d: %w; it is kept", l.ID, err)
	}
	again := func(err error) error {
		return fmt.Errorf("dead letter %d was put back, but %w; put it back again, which the stream takes for the same", l.ID, err)
	}
	if err := d.step(); err != nil {
		return again(err)
	}
	// Reported once it is back: of one that no stream took, the ledger says that it
	// failed. That its stage may have reported since what became of it makes no
	// difference, for this is about the failure of the letter, not of any later.
	if err := d.report(ctx, l, schemas.EventRetrying, kind, l.At, fmt.Sprintf("dead letter %d %s", l.ID, how)); err != nil {
		return again(err)
	}
	return d.remove(ctx, l)
}

// putBack stores a message on the subject where it failed.
func (d *Desk) putBack(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := d.Pipe.JS.PublishMsg(ctx, m)
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("no stream takes %s: %w", m.Subject, err)
	}
	return err
}

// Drop gives a message up: it records the decision and removes the letter.
func (d *Desk) Drop(ctx context.Context, id uint64, reason string) (*Letter, error) {
	if strings.TrimSpace(reason) == "" {
		return nil, errors.New("a reason is needed to drop a dead letter")
	}
	l, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	// About all that was reported of it until now: a letter may stand for two reports.
	about := d.now()
	if about.Before(l.At) {
		about = l.At
	}
	if err := d.report(ctx, l, schemas.EventDropped, string(l.Kind), about, reason); err != nil {
		return l, fmt.Errorf("drop dead letter %d: %w; it is kept", id, err)
	}
	return l, d.remove(ctx, l)
}

func (d *Desk) step() error {
	if d.between == nil {
		return nil
	}
	return d.between()
}

func (d *Desk) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// remove is the last step of each decision. A letter that somebody else has removed
// meanwhile is removed.
func (d *Desk) remove(ctx context.Context, l *Letter) error {
	if err := d.step(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := d.Pipe.JS.Stream(ctx, schemas.DeadStream)
	if err == nil {
		err = s.DeleteMsg(ctx, l.ID)
	}
	if err == nil {
		return nil
	}
	if _, gone := d.Get(ctx, l.ID); errors.Is(gone, ErrNoLetter) {
		return nil
	}
	return fmt.Errorf("remove dead letter %d: %w; decide about it again", l.ID, err)
}

// report publishes an event about a letter's window: a decision about what failed of
// its message until a time. A letter that does not tell its window has none in the
// ledger either.
func (d *Desk) report(ctx context.Context, l *Letter, event schemas.EventType, kind string, about time.Time, message string) error {
	id, ok := l.WindowID()
	if !ok {
		return nil
	}
	batch, _ := strconv.ParseUint(l.Header.Get(schemas.HeaderBatch), 10, 64)
	return d.Pipe.Event(ctx, &wire.Event{
		Type: string(event), Stage: string(l.Stage), AtUnixNano: d.now().UnixNano(),
		Window: l.Window, Namespace: id.Namespace, Name: id.Name, Generation: id.Generation,
		StartUnixNano: id.Window.Start.UnixNano(), EndUnixNano: id.Window.End.UnixNano(),
		Lane: l.Header.Get(schemas.HeaderLane), Request: l.Header.Get(schemas.HeaderRequest),
		Run: l.Header.Get(schemas.HeaderRun), Exporter: l.Exporter, Batch: batch,
		Attempt: l.Attempts, Kind: kind, Message: message, LetterUnixNano: about.UnixNano(),
	})
}
