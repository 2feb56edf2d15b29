package transformer

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// heldBytes is how much of a window's parts is kept from the first pass for the
// second, in place of a second look at the stream: some 300,000 rows.
const heldBytes = 8 << 20

// largeRows is the number of rows from which windows are worked on one by one.
const largeRows = 16 * schemas.RowBatchRows

// worker handles the rows of one exporter and lane.
type worker struct {
	cfg         *Config
	exporter    string
	lane        schemas.Lane
	transformer *Transformer
	large       chan struct{} // held while a large window is worked on
	memory      *memory
	log         *slog.Logger
}

// handle transforms one window.
func (w *worker) handle(ctx context.Context, m *pipe.Message) error {
	v, err := decodeVisible(m.Data, w.exporter, w.lane)
	if err != nil {
		return pipe.Permanent(err)
	}
	if v.Rows > largeRows {
		select {
		case w.large <- struct{}{}:
			defer func() { <-w.large }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	result, err := w.transform(ctx, v)
	if errors.Is(err, pipe.ErrNoMessage) {
		return w.again(ctx, m, v, err)
	}
	if err != nil {
		return fmt.Errorf("transform window %s: %w", v.Job.Window, err)
	}
	if err := w.report(ctx, m, v, result); err != nil {
		return err
	}
	// Not before the ack: whoever gets the message again needs the parts.
	m.AfterAck(func(ctx context.Context) { w.purge(ctx, v) })
	return nil
}

// transform publishes a window's OTLP batches and returns when all are stored.
func (w *worker) transform(ctx context.Context, v *visible) (*Result, error) {
	reconciliation, err := w.reconcile(ctx, v)
	if err != nil {
		return nil, err
	}
	publisher := w.cfg.Pipe.Publisher()
	window := Window{
		Spec: v.spec, Start: schemas.JobWindow(v.Job).Start,
		Rows: v.Rows, Batches: v.batches, Batch: w.source(ctx, v),
	}
	if reconciliation != nil {
		window.keep = reconciliation.keep
	}
	result, err := w.transformer.Window(window, func(b Batch) error { return publisher.Add(ctx, w.outgoing(v, b)) })
	if err == nil {
		err = publisher.Flush(ctx)
	}
	if err != nil || reconciliation == nil {
		return result, err
	}
	result.Unchanged = reconciliation.unchanged
	result.Vanished = uint64(len(reconciliation.known)) - reconciliation.found
	// Not before the batches are stored: what is remembered was exported, or will be.
	w.remember(ctx, v, reconciliation)
	return result, nil
}

// source returns the function that reads a window's row batches.
func (w *worker) source(ctx context.Context, v *visible) func(n int) ([]byte, error) {
	var held [][]byte
	bytes := 0
	return func(n int) ([]byte, error) {
		switch {
		case n >= int(v.Parts):
			return v.last, nil
		case n < len(held):
			return held[n], nil
		}
		msg, err := w.cfg.Pipe.Get(ctx, schemas.RowsStream, schemas.PartSubject(v.Run, n))
		if err != nil {
			return nil, fmt.Errorf("row batch %d of run %s: %w", n, v.Run, err)
		}
		if bytes += len(msg.Data); n == len(held) && bytes <= heldBytes {
			held = append(held, msg.Data)
		}
		return msg.Data, nil
	}
}

// outgoing returns an OTLP batch as a message. Its id has the content's checksum
// too: should the compression be changed while a window is half published, its
// batches are cut elsewhere, and batch 7 is not the batch 7 that was.
func (w *worker) outgoing(v *visible, b Batch) pipe.Outgoing {
	n := strconv.Itoa(b.N)
	header := schemas.JobHeader(v.Job, w.exporter)
	header.Set(schemas.HeaderRun, v.Run)
	header.Set(schemas.HeaderBatch, n)
	header.Set(schemas.HeaderPoints, strconv.Itoa(b.Points))
	if schemas.IsReconcile(v.Job.Request) {
		header.Set(schemas.HeaderRevision, "1")
	}
	if b.Encoding != "" {
		header.Set(schemas.HeaderEncoding, b.Encoding)
	}
	return pipe.Outgoing{
		Subject: schemas.OTLPSubject(w.exporter, w.lane, v.Job.Namespace, v.Job.Name, schemas.JobWindow(v.Job).Start, v.Run, b.N),
		ID:      fmt.Sprintf("%s/%s/%08x", v.Run, n, crc32.Checksum(b.Data, castagnoli)),
		Header:  header,
		Data:    b.Data,
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// report tells what became of a window's rows: the event, the metrics, and one log
// line when there is something wrong with them.
func (w *worker) report(ctx context.Context, m *pipe.Message, v *visible, r *Result) error {
	e := schemas.JobEvent(v.Job, schemas.Transformer, schemas.EventTransformed, w.cfg.Now())
	e.Run, e.Exporter, e.Attempt = v.Run, w.exporter, m.Attempt
	e.Rows, e.Batches, e.Points = r.Rows, uint64(r.Batches), r.Points
	e.Rejected, e.Samples = r.Rejected.Counts(), r.Rejected.Samples()
	if e.Reconciled = schemas.IsReconcile(v.Job.Request); e.Reconciled {
		e.Unchanged, e.Vanished = r.Unchanged, r.Vanished
	}
	if err := w.cfg.Pipe.Event(ctx, e); err != nil {
		return fmt.Errorf("report window %s: %w", v.Job.Window, err)
	}
	if e.Reconciled {
		w.reportRevisions(v, r)
	}
	log := w.log.With("window", v.Job.Window, "metrics_exporter", v.Job.Namespace+"/"+v.Job.Name, "attempt", m.Attempt,
		"rows", r.Rows, "points", r.Points, "batches", r.Batches)
	if r.Batches == 0 && w.lane == schemas.LaneLive {
		// There is nothing to wait for.
		w.cfg.Metrics.Exported(v.Job.Namespace+"/"+v.Job.Name, w.exporter, 0, schemas.JobWindow(v.Job).End)
	}
	for why, n := range e.Rejected {
		w.cfg.Metrics.Rejected(schemas.Transformer, v.Job.Namespace+"/"+v.Job.Name, why, int64(n))
	}
	if len(e.Rejected) > 0 {
		log.Warn("rows gave no point", "rejected", e.Rejected, "samples", e.Samples)
	} else {
		log.Debug("window transformed")
	}
	return nil
}

// reportRevisions tells what a reconciliation found.
func (w *worker) reportRevisions(v *visible, r *Result) {
	w.cfg.Metrics.Reconciled(v.Job.Namespace+"/"+v.Job.Name, int64(r.Points), int64(r.Vanished))
	log := w.log.With("window", v.Job.Window, "metrics_exporter", v.Job.Namespace+"/"+v.Job.Name,
		"revisions", r.Points, "unchanged", r.Unchanged, "vanished", r.Vanished)
	if r.Points > 0 || r.Vanished > 0 {
		log.Info("a closed window is not what it was")
	} else {
		log.Debug("a closed window is what it was")
	}
}

// purge removes a run's parts, which nobody needs any more. What it leaves a
// querier's sweep removes.
func (w *worker) purge(ctx context.Context, v *visible) {
	if v.Parts == 0 {
		return
	}
	if err := w.cfg.Pipe.Purge(ctx, schemas.RowsStream, schemas.PartFilter(v.Run)); err != nil {
		w.log.Warn("could not remove the row batches of a window, a later sweep will", "window", v.Job.Window, "error", err)
	}
}

// again has the window queried again, since parts of it are gone: whoever had the
// message while this process was frozen is done with them, or somebody else removed
// them. What was published of the window stays right; a point that is
// sent twice is the same point.
//
// The job gets a request of its own, made of the lost run: the rows of the same
// request would be taken for a duplicate of those that this message made visible.
func (w *worker) again(ctx context.Context, m *pipe.Message, v *visible, cause error) error {
	job := proto.CloneOf(v.Job)
	request, _, _ := strings.Cut(job.Request, schemas.AgainMark)
	job.Request = request + schemas.AgainMark + v.Run
	data, err := proto.Marshal(job)
	if err != nil {
		return fmt.Errorf("encode the job of window %s: %w", job.Window, err)
	}
	if _, err := w.cfg.Pipe.Publish(ctx, pipe.Outgoing{
		Subject: schemas.JobSubject(job.Cluster, w.exporter, w.lane, job.Namespace, job.Name, schemas.JobWindow(job).Start, job.Request),
		ID:      job.Window + "!" + job.Request,
		Header:  schemas.JobHeader(job, w.exporter),
		Data:    data,
	}); err != nil {
		return fmt.Errorf("issue window %s again: %w", job.Window, err)
	}
	e := schemas.JobEvent(v.Job, schemas.Transformer, schemas.EventRetrying, w.cfg.Now())
	e.Run, e.Exporter, e.Attempt = v.Run, w.exporter, m.Attempt
	e.Kind, e.Message = string(pipe.KindRetry), cause.Error()+"; the window is queried again"
	if err := w.cfg.Pipe.Event(ctx, e); err != nil {
		return fmt.Errorf("report window %s: %w", job.Window, err)
	}
	w.log.Warn("parts of a window's rows are gone, it is queried again", "window", job.Window,
		"metrics_exporter", job.Namespace+"/"+job.Name, "attempt", m.Attempt, "request", job.Request, "error", cause)
	m.AfterAck(func(ctx context.Context) { w.purge(ctx, v) })
	return nil
}
