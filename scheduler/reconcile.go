package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// lateStep bounds the windows that are looked at again in one step, for each costs
	// two looks at the stream.
	lateStep = 16

	// lateWait is when it is looked again whether a window's first query is over.
	lateWait = 5 * time.Second
)

// late is how far a MetricsExporter's windows have been looked at again. It belongs
// to its entry.
type late struct {
	cursor     cursor
	known      bool
	unreported []*wire.WindowJob
	failures   uint64 // in a row
	at         time.Time
	waiting    bool // for a window's first query
}

// earlier returns the earlier of two times of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// lookAgain issues the windows that are to be looked at again at an instant, and
// returns when to do so next; zero: not before the schedule has something to do.
// What fails here holds up no window of the schedule.
func (s *Scheduler) lookAgain(ctx context.Context, e *entry, now time.Time) (next time.Time) {
	l := &e.late
	if e.target.reconcile.After.Duration <= 0 {
		*l = late{}
		return time.Time{}
	}
	if l.failures > 0 && now.Before(l.at) && !l.at.After(now.Add(maxBackoff)) {
		return l.at
	}
	var err error
	for range attempts {
		if next, err = s.tryAgain(ctx, e, now); !errors.Is(err, errConflict) {
			break
		}
	}
	log := s.cfg.Logger.With("metrics_exporter", e.key)
	if err == nil {
		if l.failures > 0 {
			log.Info("windows are looked at again, again")
		}
		l.failures = 0
		return next
	}
	l.failures++
	if quiet := errors.Is(err, errConflict); l.failures == 1 && !quiet || l.failures == attempts && quiet {
		log.Warn("windows could not be issued for reconciliation, trying again", "error", err)
	}
	l.at = now.Add(backoff(l.failures))
	return l.at
}

func (s *Scheduler) tryAgain(ctx context.Context, e *entry, now time.Time) (time.Time, error) {
	t, l := e.target, &e.late
	subject := schemas.ReconcileSubject(t.namespace, t.name)
	if !l.known {
		if err := s.at(pointLateRead); err != nil {
			return time.Time{}, err
		}
		c, jobs, err := s.jobs.readOn(ctx, subject)
		if err != nil {
			return time.Time{}, err
		}
		if c.seq != l.cursor.seq {
			for _, j := range jobs {
				l.unreported = append(l.unreported, j.job)
			}
		}
		l.cursor, l.known = c, true
	}
	if err := s.flushLate(ctx, e, now); err != nil {
		return time.Time{}, err
	}
	if !bytes.Equal(e.cursor.hash, t.hash) || e.cursor.generation < l.cursor.generation {
		// The schedule has not come to this spec, or has gone on to another's: whoever
		// has that one looks at its windows again.
		if e.cursor.generation < l.cursor.generation {
			e.known = false
		}
		return time.Time{}, nil
	}
	from := l.cursor
	to := cursor{next: from.next, generation: e.cursor.generation, hash: t.hash}
	if from.generation != e.cursor.generation {
		to.next = t.firstLate(e.cursor, from.next, now)
	}
	jobs, next, err := s.planLate(ctx, e, &to, now)
	if err != nil {
		return time.Time{}, err
	}
	if len(jobs) == 0 && to.next.Equal(from.next) && to.generation == from.generation {
		return next, nil
	}
	if err := s.at(pointLateIssue); err != nil {
		return time.Time{}, err
	}
	if to, err = s.jobs.advanceOn(ctx, subject, t, from, to, jobs); err != nil {
		// Whether it was stored or not, the stream knows.
		l.known = false
		return time.Time{}, err
	}
	l.cursor = to
	l.unreported = append(l.unreported, jobs...)
	s.cfg.Metrics.Windows(e.key, schemas.LaneBackfill, schemas.EventPlanned, int64(len(jobs)))
	if err := s.at(pointLateIssued); err != nil {
		return time.Time{}, err
	}
	return next, s.flushLate(ctx, e, now)
}

// firstLate returns from where the windows of a generation are looked at again. Those
// of the one before were made by another query and are left as they are.
func (t *target) firstLate(c cursor, from, now time.Time) time.Time {
	if c.began.IsZero() {
		return c.next // a former version issued what there is
	}
	if from.After(c.began) {
		return from
	}
	return c.began
}

// planLate returns jobs for the windows that are due to be looked at again, moves to
// on behind them, and tells when there is more to do.
func (s *Scheduler) planLate(ctx context.Context, e *entry, to *cursor, now time.Time) (jobs []*wire.WindowJob, next time.Time, err error) {
	t, l := e.target, &e.late
	after := t.reconcile.After.Duration
	log := s.cfg.Logger.With("metrics_exporter", e.key)
	// How far back it is looked: the start of the first window that ends within.
	bound := t.grid.Last(now.Add(-max(t.reconcile.Lookback.Duration, after)))
	if bound.After(to.next) {
		bound = earlier(bound, e.cursor.next)
		if bound.After(to.next) {
			// A first look is at what there is, and passes nothing over.
			if to.generation == l.cursor.generation {
				log.Warn("windows are not looked at again: they ended longer ago than reconcile.lookback", "start", to.next, "end", bound)
			}
			to.next = bound
		}
	}
	waiting := false
	for len(jobs) < min(lateStep, t.stepWindows()) {
		if end := skippedUntil(e.cursor.skipped, to.next); !end.IsZero() {
			to.next = end
			continue
		}
		end := t.grid.Next(to.next)
		if end.IsZero() || end.After(e.cursor.next) {
			// Not issued. Once it is, it is some time until it is looked at again, but where
			// the schedule is that late.
			if !end.IsZero() {
				next = end.Add(max(after, t.delay))
				if !next.After(now) {
					next = now.Add(lateWait)
				}
			}
			break
		}
		if next = end.Add(after); next.After(now) {
			break
		}
		next = now
		w := PlannedWindow{schemas.Window{Start: to.next, End: end}, schemas.LaneBackfill}
		if waiting, err = s.asked(ctx, t, w.Window); err != nil {
			return nil, time.Time{}, err
		}
		if waiting {
			// Its query would be older than this one's, or newer, as it happens.
			next = now.Add(lateWait)
			if !l.waiting {
				log.Info("the window's query has not been run yet, it is looked at again after that", "window", w.Window)
			}
			break
		}
		job := t.job(w, to.generation)
		job.Request = schemas.ReconcileRequest
		jobs = append(jobs, job)
		to.next = end
	}
	l.waiting = waiting
	return jobs, next, nil
}

// skippedUntil returns the end of the skipped range that a time is in; zero: none.
func skippedUntil(skipped []schemas.Window, at time.Time) time.Time {
	for _, s := range skipped {
		if !at.Before(s.Start) && at.Before(s.End) {
			return s.End
		}
	}
	return time.Time{}
}

// asked says whether a job for a window waits for its query, or is at it.
func (s *Scheduler) asked(ctx context.Context, t *target, w schemas.Window) (bool, error) {
	for _, filter := range schemas.JobWindowFilters(t.cluster, t.exporter, t.namespace, t.name, w.Start) {
		m, err := s.jobs.get(ctx, pipe.GetRequest{LastBySubject: filter})
		if err != nil || m != nil {
			return m != nil, err
		}
	}
	return false, nil
}

// flushLate reports what was issued to be looked at again.
func (s *Scheduler) flushLate(ctx context.Context, e *entry, now time.Time) error {
	l := &e.late
	if len(l.unreported) == 0 {
		return nil
	}
	if err := request.ReportPlanned(ctx, s.cfg.Pipe, e.target.exporter, l.unreported, now); err != nil {
		return fmt.Errorf("report %d planned windows: %w", len(l.unreported), err)
	}
	l.unreported = nil
	return s.at(pointLateReported)
}
