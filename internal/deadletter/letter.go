package deadletter

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// deadPrefix begins the headers that a letter has beyond those of its message.
const deadPrefix = "K2o-Dead-"

// A Letter is a message that can never succeed, and why.
type Letter struct {
	// ID is the letter's sequence in its stream: it stays the same and is never
	// given again.
	ID uint64
	// Stage is where it failed, Kind whether for good or by a panic, Reason the
	// error, Attempts how often it was delivered, At when it failed.
	Stage    schemas.Stage
	Kind     pipe.Kind
	Reason   string
	Attempts uint64
	At       time.Time
	// Subject is where the message was.
	Subject string
	// Window is its window's id; empty where the message does not tell.
	Window   string
	Exporter string
	// Bytes is the size of the message's body.
	Bytes int
	// Stored is when the stream took the letter.
	Stored time.Time
	Header nats.Header
	// Data is the message's body; nil in a list.
	Data []byte
}

// MetricsExporter returns namespace/name; empty where the message does not tell.
func (l *Letter) MetricsExporter() string {
	if id, ok := l.WindowID(); ok {
		return id.Namespace + "/" + id.Name
	}
	return ""
}

// WindowID returns the window that the message is about, if it tells.
func (l *Letter) WindowID() (schemas.WindowID, bool) {
	id, err := schemas.ParseWindowID(l.Window)
	return id, err == nil
}

// newLetter reads the headers of a letter. One that lacks some is still a letter.
func newLetter(id uint64, stored time.Time, header nats.Header, bytes int) *Letter {
	l := &Letter{
		ID: id, Stored: stored, Header: header, Bytes: bytes,
		Stage:    schemas.Stage(header.Get(schemas.HeaderDeadStage)),
		Kind:     pipe.Kind(header.Get(schemas.HeaderDeadKind)),
		Reason:   header.Get(schemas.HeaderDeadReason),
		Subject:  header.Get(schemas.HeaderDeadSubject),
		Window:   header.Get(schemas.HeaderWindow),
		Exporter: header.Get(schemas.HeaderExporter),
	}
	l.Attempts, _ = strconv.ParseUint(header.Get(schemas.HeaderDeadAttempts), 10, 64)
	var err error
	if l.At, err = time.Parse(time.RFC3339Nano, header.Get(schemas.HeaderDeadAt)); err != nil {
		l.At = stored.UTC()
	}
	return l
}

// message returns the message as it was, for the subject where it failed. Its id is
// the letter's: the one it had may still be known to the stream, which would take
// the message for the one that failed.
func (l *Letter) message() (*nats.Msg, error) {
	stream, err := l.stream()
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: l.Subject, Header: nats.Header{}, Data: l.Data}
	for k, v := range l.Header {
		// What NATS made of the letter is not the message's.
		if !strings.HasPrefix(k, deadPrefix) && !strings.HasPrefix(k, "Nats-") {
			m.Header[k] = v
		}
	}
	l.mark(m, stream)
	return m, nil
}

// mark makes m the message that goes on where the letter ended.
func (l *Letter) mark(m *nats.Msg, stream string) {
	m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("retry/%d/%s", l.ID, l.Stored.UTC().Format(time.RFC3339Nano)))
	m.Header.Set(nats.ExpectedStreamHdr, stream)
	m.Header.Set(schemas.HeaderPutBack, l.At.UTC().Format(time.RFC3339Nano))
}

// Job returns the window job of a job or of rows, which the letter must have its body
// for; nil for an OTLP batch.
func (l *Letter) Job() (*wire.WindowJob, error) {
	stream, err := l.stream()
	switch {
	case err != nil:
		return nil, err
	case stream == schemas.JobsStream:
		job := new(wire.WindowJob)
		if err := proto.Unmarshal(l.Data, job); err != nil {
			return nil, fmt.Errorf("decode window job: %w", err)
		}
		return job, nil
	case stream == schemas.RowsStream:
		w := new(wire.WindowRows)
		if err := proto.Unmarshal(l.Data, w); err != nil {
			return nil, fmt.Errorf("decode window rows: %w", err)
		}
		return w.Job, nil
	}
	return nil, nil
}

// stream returns the stream that the message was in.
func (l *Letter) stream() (string, error) {
	tokens := strings.Split(l.Subject, ".")
	if len(tokens) > 3 && tokens[0] == "k2o" {
		switch tokens[1] {
		case "job":
			return schemas.JobsStream, nil
		case "rows":
			return schemas.RowsStream, nil
		case "otlp":
			return schemas.OTLPStream("") + tokens[2], nil // a token already
		}
	}
	return "", fmt.Errorf("dead letter %d: header %s is %q, want the subject of a job, of rows or of an OTLP batch",
		l.ID, schemas.HeaderDeadSubject, l.Subject)
}
