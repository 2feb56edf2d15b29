package querier

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// windowRowsLast is the field last of wire.WindowRows.
const windowRowsLast = 5

// discardTime bounds how long a failed run waits to clean up behind itself.
const discardTime = 10 * time.Second

// run stores the rows of one run of a window's query. Its states, in order: take
// (parts are stored, nothing is visible), commit (all is), discard.
type run struct {
	p        *pipe.Pipe
	log      *slog.Logger
	job      *wire.WindowJob
	exporter string
	id       string

	publisher *pipe.Publisher
	pending   *frames.Batch // not stored yet: it may be the last
	stored    bool          // parts are, or may be
	keep      bool          // and belong to a window that is, or may be, visible
	refused   bool          // the stream refused one of them
}

func newRun(p *pipe.Pipe, job *wire.WindowJob, exporter string, log *slog.Logger) *run {
	return &run{p: p, log: log, job: job, exporter: exporter, id: rand.Text(), publisher: p.Publisher()}
}

// take stores the batch before b, and keeps b. Storing a part again replaces it:
// readers take the last message of its subject.
func (r *run) take(ctx context.Context, b frames.Batch) error {
	if r.pending != nil && r.pending.Number < b.Number {
		if err := r.store(ctx, r.pending); err != nil {
			return err
		}
	}
	r.pending = &b
	return nil
}

func (r *run) store(ctx context.Context, b *frames.Batch) error {
	r.stored = true
	err := r.publisher.Add(ctx, pipe.Outgoing{
		Subject: schemas.PartSubject(r.id, b.Number),
		Header:  nats.Header{schemas.HeaderWindow: {r.job.Window}, schemas.HeaderRun: {r.id}},
		Data:    b.Data,
	})
	r.refused = r.refused || err != nil && ctx.Err() == nil
	return err
}

// commit makes the window's rows visible, all at once, and fills in the event
// that says so.
func (r *run) commit(ctx context.Context, result frames.Result, event *wire.Event) error {
	event.Run, event.Rows, event.Batches = r.id, uint64(result.Rows), uint64(result.Batches)
	if result.Rows == 0 {
		return nil
	}
	data, err := r.windowRows(ctx, result)
	if err != nil {
		return err
	}
	if err := r.publisher.Flush(ctx); err != nil {
		r.refused = ctx.Err() == nil
		return err
	}
	if ctx.Err() != nil {
		// Too late: its parts may be swept any time now.
		return context.Cause(ctx)
	}
	header := schemas.JobHeader(r.job, r.exporter)
	header.Set(schemas.HeaderRun, r.id)
	r.keep = true // from here on the rows may be visible, even if no ack arrives
	duplicate, err := r.p.Publish(ctx, pipe.Outgoing{Subject: r.subject(r.id), ID: messageID(r.job), Header: header, Data: data})
	if err != nil {
		return err
	}
	if duplicate {
		r.keep = false
		return r.seen(ctx, event)
	}
	return nil
}

// windowRows encodes the message WindowRows with the last batch in it, or stores
// that one as well when the two do not fit a message.
func (r *run) windowRows(ctx context.Context, result frames.Result) ([]byte, error) {
	last := r.pending
	parts := result.Batches
	if last != nil && last.Number == result.Batches-1 {
		parts--
	} else {
		last = nil // it was replaced by nothing, and all others are stored
	}
	for {
		data, err := proto.Marshal(&wire.WindowRows{Job: r.job, Run: r.id, Parts: uint32(parts), Rows: uint64(result.Rows)})
		if err != nil {
			return nil, fmt.Errorf("encode window rows: %w", err)
		}
		if last != nil {
			data = protowire.AppendTag(data, windowRowsLast, protowire.BytesType)
			data = protowire.AppendBytes(data, last.Data)
		}
		switch {
		case len(data) <= schemas.MaxMessageBytes:
			return data, nil
		case last == nil:
			return nil, pipe.Permanent(fmt.Errorf("the job of %d bytes does not fit a message", proto.Size(r.job)))
		}
		if err := r.store(ctx, last); err != nil {
			return nil, err
		}
		parts, last = parts+1, nil
	}
}

// visible says whether the rows of a job became visible before: they wait for the
// transform, or OTLP batches were made of them that the stream still has.
func (w *worker) visible(ctx context.Context, m *pipe.Message, job *wire.WindowJob) (bool, error) {
	p := w.stage.cfg.Pipe
	r := newRun(p, job, w.exporter, w.stage.cfg.Logger)
	event := schemas.JobEvent(job, schemas.Querier, schemas.EventQueried, w.stage.cfg.Now())
	event.Exporter, event.Attempt = w.exporter, m.Attempt
	if err := r.seen(ctx, event); err != nil {
		return false, err
	}
	if event.Run != "" {
		return true, p.Event(ctx, event)
	}
	filter := schemas.OTLPWindowFilter(w.exporter, w.lane, job.Namespace, job.Name, schemas.JobWindow(job).Start)
	msg, err := p.Get(ctx, schemas.OTLPStream(w.exporter), filter)
	if errors.Is(err, pipe.ErrNoMessage) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// What was made of them has been reported by the transformer.
	return msg.Header.Get(schemas.HeaderWindow) == job.Window && msg.Header.Get(schemas.HeaderRequest) == job.Request, nil
}

// seen makes event tell of the run that was visible before this one. Once that is
// transformed its message is gone; then the window's rows are all there is to say.
func (r *run) seen(ctx context.Context, event *wire.Event) error {
	event.Run = ""
	msg, err := r.p.Get(ctx, schemas.RowsStream, strings.TrimSuffix(r.subject(r.id), r.id)+"*")
	if errors.Is(err, pipe.ErrNoMessage) {
		return nil
	}
	if err != nil {
		return err
	}
	first := new(wire.WindowRows)
	if err := proto.Unmarshal(msg.Data, first); err != nil || first.Job.GetWindow() != r.job.Window || first.Job.GetRequest() != r.job.Request {
		return nil
	}
	event.Run, event.Rows, event.Batches = first.Run, first.Rows, uint64(first.Parts)
	if first.Last.GetRows() > 0 {
		event.Batches++
	}
	return nil
}

// discard removes the parts of a run that did not become visible.
func (r *run) discard(ctx context.Context) {
	if !r.stored || r.keep {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	if !r.refused {
		// What is still on its way would arrive behind the purge. It is left to a sweep
		// where that is not known: a publisher whose stream refused one waits in vain.
		_ = r.publisher.Flush(ctx)
	}
	if err := r.p.Purge(ctx, schemas.RowsStream, schemas.PartFilter(r.id)); err != nil {
		r.log.Warn("could not remove the row batches of a failed run, a later sweep will",
			"window", r.job.Window, "run", r.id, "error", err)
	}
}

func (r *run) subject(run string) string {
	return schemas.RowsSubject(r.exporter, schemas.Lane(r.job.Lane), r.job.Namespace, r.job.Name, schemas.JobWindow(r.job).Start, run)
}

// messageID is the same for every run of a job: the first to commit is the one.
func messageID(job *wire.WindowJob) string {
	if job.Request == "" {
		return job.Window
	}
	return job.Window + "!" + job.Request
}
