package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Reasons for which an answer ends before its rows do.
var (
	errCut   = errors.New("connection cut by a fault")
	errEnded = errors.New("answer ended early")
)

// answer is one query on its way to the client.
type answer struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	req   *Request
	fault *Fault // never nil

	body   *body
	stream stream
	out    encoder
	limits Limits
	tables int
	total  int64 // rows over all tables
	bytes  int64 // of rows, as JSON
	fired  bool  // the fault's After has come
	done   bool  // the client has a whole answer
	failed *Error
	stats  []datasetStatistics
}

// run answers one query: waits as the fault says, asks the engine, and streams what it gives. It
// returns what to log; errCut after flushing what a cut connection is to have shown.
func (a *answer) run(ctx context.Context) error {
	started := time.Now()
	if err := a.fault.wait(ctx); err != nil {
		return a.refuse(err)
	}
	if a.fault.Error != nil {
		return a.refuse(a.fault.Error)
	}
	if a.fault.Status != 0 {
		return a.other(a.fault)
	}
	if c := a.s.cfg.Catalog; c != nil && c.Database(a.req.Cluster, a.req.Database) == nil {
		return a.refuse(DatabaseNotFound(a.req.Database))
	}
	result, err := a.s.cfg.Engine.Query(ctx, a.req)
	if err != nil {
		return a.refuse(err)
	}
	if a.req.Options.GetSchema {
		if result, err = schemas(result); err != nil {
			return a.refuse(err)
		}
	}
	a.tables = len(result.Tables)
	a.limits = Limits{a.req.Options.MaxRecords, a.req.Options.MaxBytes}
	if result.Limits != nil {
		a.limits = *result.Limits
	}
	for i, t := range result.Tables {
		if err := a.table(ctx, t, i == len(result.Tables)-1); err != nil {
			return err
		}
		if a.failed != nil {
			break
		}
	}
	return a.complete(time.Since(started))
}

// schemas is a result's columns, table for table.
func schemas(r *Result) (*Result, error) {
	var tables []*table.Table
	for _, t := range r.Tables {
		s, err := getSchema(t.Schema)
		if err != nil {
			return nil, err
		}
		tables = append(tables, s)
	}
	out := Tables(tables...)
	out.Limits = &Limits{} // which are about rows
	return out, nil
}

// table streams one table. Nothing is sent before its first rows are there, so that a query which
// fails at once still gets an HTTP status.
func (a *answer) table(ctx context.Context, t ResultTable, last bool) error {
	open, rows, bytes := false, a.total, a.bytes
	begin := func() {
		a.begin()
		if !open {
			a.out.table(t.Schema)
			open = true
		}
	}
	err := t.Scan(ctx, func(batch *table.Table) error {
		if batch.Rows() == 0 {
			return nil
		}
		begin()
		return a.batch(ctx, batch)
	})
	switch {
	case errors.Is(err, errEnded): // enough was seen: not a failure
	case errors.Is(err, errCut):
		return err
	case err != nil && a.body == nil:
		return a.refuse(reason(err, a.req))
	case err != nil && a.r.Context().Err() != nil:
		return err
	case err != nil:
		begin()
		a.failed = reason(err, a.req)
	}
	begin()
	if last && a.failed == nil {
		// A fault that waits for more rows than there are acts at the end.
		if err := a.fire(ctx); errors.Is(err, errCut) || err != nil && a.r.Context().Err() != nil {
			return err
		} else if err != nil && !errors.Is(err, errEnded) {
			a.failed = reason(err, a.req)
		}
	}
	a.stats = append(a.stats, datasetStatistics{Rows: a.total - rows, Bytes: a.bytes - bytes})
	a.out.endTable(a.failed, a.fault)
	return a.stream.err
}

// batch writes rows up to the next limit, and says errEnded when one ended the answer.
func (a *answer) batch(ctx context.Context, batch *table.Table) error {
	for from, rows := 0, batch.Rows(); from < rows; {
		to := rows
		if limit := a.limits.MaxRecords; limit > 0 {
			to = min(to, from+int(min(limit-a.total, int64(rows))))
		}
		if f := a.fault; !a.fired && f.acts() {
			to = min(to, from+int(min(f.After-a.total, int64(rows))))
		}
		// A slice at a time, so that the size of what was written is known soon enough.
		to = min(to, from+a.s.cfg.FragmentRows)
		size := a.stream.written()
		a.out.batch(batch, from, to)
		a.total += int64(to - from)
		a.bytes += a.stream.written() - size
		from = to
		if a.stream.err != nil {
			return a.stream.err
		}
		if f := a.fault; f.acts() && a.total >= f.After {
			if err := a.fire(ctx); err != nil {
				return err
			}
		}
		if limit := a.limits.MaxRecords; limit > 0 && a.total >= limit && from < rows {
			a.failed = LimitsExceeded(fmt.Sprintf("%d records", limit))
			return errEnded
		}
		if limit := a.limits.MaxBytes; limit > 0 && a.bytes > limit {
			a.failed = LimitsExceeded(fmt.Sprintf("%d bytes", limit))
			return errEnded
		}
	}
	return a.flush()
}

// begin sends the status and what comes before the first table, once.
func (a *answer) begin() {
	if a.body != nil {
		return
	}
	a.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	a.body = newBody(a.w, a.r, http.StatusOK)
	a.stream.w = a.body
	a.out.begin(a.tables)
}

// complete writes what follows the tables and ends the answer.
func (a *answer) complete(took time.Duration) error {
	a.begin()
	if a.failed == nil {
		a.out.information(resourceUsage{ExecutionTime: took.Seconds(), Datasets: a.stats})
	}
	if a.fault.CutBeforeCompletion {
		return errors.Join(a.flush(), errCut)
	}
	failure := a.failed
	if a.fault.CompletionError != nil {
		failure = a.fault.CompletionError
	}
	a.out.end(failure, a.fault)
	if err := a.flush(); err != nil {
		return err
	}
	if err := a.body.Close(); err != nil {
		return err
	}
	a.done = true
	if a.failed != nil {
		return a.failed
	}
	return nil
}

// fire does what the fault planned for its number of rows.
func (a *answer) fire(ctx context.Context) error {
	f := a.fault
	if a.fired || !f.acts() {
		return nil
	}
	a.fired = true
	if f.Stall != nil {
		if err := a.flush(); err != nil {
			return err
		}
		if err := hold(ctx, f.Stall); err != nil {
			return err
		}
	}
	if f.InBand != nil {
		a.failed = f.InBand
		return errEnded
	}
	if f.Cut {
		return errors.Join(a.flush(), errCut)
	}
	return nil
}

func (f *Fault) acts() bool { return f.Stall != nil || f.InBand != nil || f.Cut }

// wait is the part of a fault that comes before any answer.
func (f *Fault) wait(ctx context.Context) error {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.Hold != nil {
		return hold(ctx, f.Hold)
	}
	return nil
}

func hold(ctx context.Context, until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *answer) flush() error {
	a.begin()
	a.stream.write()
	if a.stream.err != nil {
		return a.stream.err
	}
	return a.body.Flush()
}

// refuse answers with an HTTP status, unless nobody is there to read it.
func (a *answer) refuse(err error) error {
	if a.r.Context().Err() != nil {
		return err
	}
	e := reason(err, a.req)
	a.done = true
	writeError(a.w, a.r, a.req, e)
	return e
}

// reason turns any failure of a query into the error that Kusto would report.
func reason(err error, req *Request) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut(req.Options.Timeout)
	}
	return Internal(err)
}

// other answers with a fault's own status and body.
func (a *answer) other(f *Fault) error {
	for k, v := range f.Header {
		a.w.Header()[k] = v
	}
	a.done = true
	a.body = newBody(a.w, a.r, f.Status)
	if _, err := a.body.Write([]byte(f.Body)); err != nil {
		return err
	}
	return errors.Join(a.body.Close(), fmt.Errorf("status %d by a fault", f.Status))
}
