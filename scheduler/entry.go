package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// stepTimeout bounds one step, also after a stop was asked for: what has begun
	// is finished within the shutdown timeout.
	stepTimeout = 8 * time.Second

	// ackTimeout bounds the wait for a message that is read and for the ack of a
	// batch's first message. A leader change takes about a second.
	ackTimeout = 3 * time.Second

	// attempts is how often a step starts over at once when another scheduler has
	// moved the cursor.
	attempts = 3

	// giveWay is how long a scheduler leaves windows to those who claimed the
	// cursor for another spec after it did.
	giveWay = 30 * time.Second

	// maxSkew is how far a cursor may be ahead of the clock without comment:
	// schedulers' clocks differ a little.
	maxSkew = time.Minute
)

// An entry is a MetricsExporter that is scheduled here, and what this process
// knows of it. While it is busy it belongs to the goroutine that works on it,
// except for want.
type entry struct {
	key string
	// want is the version to schedule next; nil when the resource is gone.
	want *target
	// at is when to look at it next, index its place in the queue; -1: none.
	at    time.Time
	index int
	busy  bool

	// target is the version scheduled now.
	target *target
	// cursor is the last one read or written, unless known is false.
	cursor cursor
	known  bool
	// claimed says that the cursor has had this target's hash since it is the target.
	claimed bool
	// unreported are planned events that must be stored before the cursor moves on.
	unreported []*wire.Event

	failures   uint64 // in a row
	ahead      bool   // the cursor is ahead of the clock
	catchingUp bool

	late late
}

// retarget takes over the version that is wanted.
func (e *entry) retarget() {
	if e.target == nil || !bytes.Equal(e.target.hash, e.want.hash) {
		e.claimed = false
	}
	e.target = e.want
}

// step issues what is due at an instant and returns when to look again; zero:
// never.
func (s *Scheduler) step(ctx context.Context, e *entry, now time.Time) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	for range attempts {
		if at, err = s.try(ctx, e, now); !errors.Is(err, errConflict) {
			break
		}
	}
	if err != nil {
		return at, err
	}
	return earlier(at, s.lookAgain(ctx, e, now)), nil
}

func (s *Scheduler) try(ctx context.Context, e *entry, now time.Time) (time.Time, error) {
	log := s.cfg.Logger.With("metrics_exporter", e.key)
	superseded := e.claimed && !bytes.Equal(e.cursor.hash, e.target.hash)
	if !e.known || superseded {
		if err := s.load(ctx, e); err != nil {
			return time.Time{}, err
		}
	}
	if err := s.flush(ctx, e); err != nil {
		return time.Time{}, err
	}
	e.warnAhead(log, now)

	t, from := e.target, e.cursor
	differs := !bytes.Equal(from.hash, t.hash)
	if !differs {
		e.claimed = true
	}
	asOf := now
	if superseded = differs && e.claimed; superseded {
		asOf = now.Add(-giveWay)
	}
	plan := Position{Next: from.next, Grid: t.grid, Delay: t.delay, CatchUp: s.cfg.CatchUp}.At(asOf, t.stepWindows())
	next := plan.Due
	if superseded && !next.IsZero() {
		next = next.Add(giveWay)
	}
	idle := len(plan.Windows) == 0 && plan.Skipped.Count == 0
	if plan.Next.IsZero() || idle && (superseded || !differs) {
		e.settle(log, plan, now)
		return next, nil
	}

	to := cursor{next: plan.Next, generation: from.generation, hash: t.hash, began: from.began, skipped: from.skipped}
	if s := plan.Skipped; s.Count > 0 {
		to.skipped = append(slices.Clip(to.skipped), s.Window)
	}
	if differs {
		to.generation++
		if to.began = from.next; from.next.IsZero() {
			to.began = plan.Next
			if len(plan.Windows) > 0 {
				to.began = plan.Windows[0].Start
			}
		}
	}
	if s := plan.Skipped; s.Count > 0 {
		log.Warn("windows are skipped: they were due too long ago", "start", s.Start, "end", s.End, "windows", s.Count)
	}
	if err := s.skip(ctx, t, plan.Skipped, to.generation, now); err != nil {
		return time.Time{}, err
	}
	jobs := make([]*wire.WindowJob, len(plan.Windows))
	for i, w := range plan.Windows {
		jobs[i] = t.job(w, to.generation)
	}
	to, err := s.advance(ctx, t, from, to, jobs)
	if err != nil {
		// Whether it was stored or not, the stream knows.
		e.known = false
		return time.Time{}, err
	}
	e.cursor, e.claimed = to, true
	for _, job := range jobs {
		e.unreported = append(e.unreported, plannedEvent(job, t.exporter, now))
		s.cfg.Metrics.Windows(e.key, schemas.Lane(job.Lane), schemas.EventPlanned, 1)
		log.Debug("window issued", "window", job.Window, "lane", job.Lane)
	}
	if plan.Skipped.Count > 0 {
		s.cfg.Metrics.Windows(e.key, schemas.LaneBackfill, schemas.EventSkipped, plan.Skipped.Count)
	}
	if differs && from.generation > 0 {
		log.Info("the spec has changed, windows go on from where they were", "generation", to.generation, "next", from.next, "took_over", superseded)
	}
	e.settle(log, plan, now)
	if superseded {
		next = plan.Due
	}
	return next, s.flush(ctx, e)
}

// load reads the cursor, and what its batch has not reported for sure.
func (s *Scheduler) load(ctx context.Context, e *entry) error {
	if err := s.at(pointRead); err != nil {
		return err
	}
	c, jobs, err := s.jobs.read(ctx, e.target)
	if err != nil {
		return err
	}
	if c.seq == 0 && e.cursor.generation > 0 {
		// Somebody deleted the stream, or purged it. What was issued is not issued
		// again for that.
		c = e.cursor
		c.seq = 0
	}
	if c.seq != e.cursor.seq {
		for _, j := range jobs {
			e.unreported = append(e.unreported, plannedEvent(j.job, j.exporter, j.at))
		}
	}
	e.cursor, e.known = c, true
	return nil
}

// flush reports what was issued.
func (s *Scheduler) flush(ctx context.Context, e *entry) error {
	if len(e.unreported) == 0 {
		return nil
	}
	if err := s.at(pointReport); err != nil {
		return err
	}
	if err := report(ctx, s.cfg.Pipe, e.unreported); err != nil {
		return fmt.Errorf("report %d planned windows: %w", len(e.unreported), err)
	}
	e.unreported = nil
	return s.at(pointReported)
}

// skip reports what is about to be passed over.
func (s *Scheduler) skip(ctx context.Context, t *target, skip Skip, generation uint64, now time.Time) error {
	if skip.Count == 0 {
		return nil
	}
	if err := s.at(pointSkip); err != nil {
		return err
	}
	e := skippedEvent(t, skip, generation, s.cfg.CatchUp, now)
	if err := report(ctx, s.cfg.Pipe, []*wire.Event{e}); err != nil {
		return fmt.Errorf("report skipped windows: %w", err)
	}
	return s.at(pointSkipped)
}

// advance issues jobs and moves the cursor.
func (s *Scheduler) advance(ctx context.Context, t *target, from, to cursor, jobs []*wire.WindowJob) (cursor, error) {
	if err := s.at(pointIssue); err != nil {
		return from, err
	}
	to, err := s.jobs.advance(ctx, t, from, to, jobs)
	if err != nil {
		return from, err
	}
	return to, s.at(pointIssued)
}

// warnAhead tells when windows were issued that have not ended by this clock.
func (e *entry) warnAhead(log *slog.Logger, now time.Time) {
	ahead := e.cursor.next.After(now.Add(maxSkew))
	if ahead && !e.ahead {
		log.Warn("windows were issued that have not ended yet, by this clock: it was set back, or another scheduler's is ahead; the next one waits, and these may lack rows",
			"next", e.cursor.next, "now", now)
	} else if !ahead && e.ahead {
		log.Info("the clock has passed the windows that were issued")
	}
	e.ahead = ahead
}

// settle tells when catching up begins and ends.
func (e *entry) settle(log *slog.Logger, plan Plan, now time.Time) {
	behind := !plan.Due.IsZero() && !plan.Due.After(now)
	if behind && !e.catchingUp {
		log.Info("catching up with windows of the past", "next", plan.Next)
	} else if !behind && e.catchingUp {
		log.Info("caught up", "next", plan.Next)
	}
	e.catchingUp = behind
}
