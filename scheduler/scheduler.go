package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
)

const (
	// workers is how many MetricsExporters are worked on at a time: enough that a
	// few that wait for an ack do not hold up the rest.
	workers = 8

	// The backoff of a MetricsExporter whose step failed.
	minBackoff = 500 * time.Millisecond
	maxBackoff = 15 * time.Second
)

// Scheduler issues window jobs.
type Scheduler struct {
	cfg  Config
	jobs jobStore
	// probe, where set, is called between any two steps; its error ends the step
	// there, as a crash would. For tests.
	probe func(point) error
	// idle, where set, is told when nothing is left to do: the time it was then,
	// how many sets of resources were taken over, and how long the loop will sleep.
	// For tests.
	idle func(now time.Time, sets int, sleep time.Duration)

	backfills *backfills
	renewals  *renewals
	declared  *declarer

	// What follows belongs to the loop of Run.
	entries   map[string]*entry
	queue     queue
	states    map[string]string           // of resources, by key
	problems  map[string]resource.Problem // that were logged
	last      time.Time                   // the clock when the loop last looked
	confirmed time.Time                   // the last instant that was confirmed
	held      bool                        // because the time is not confirmed
}

// A point is a place between two steps.
type point string

const (
	pointRead     point = "before the cursor is read"
	pointSkip     point = "before skipped windows are reported"
	pointSkipped  point = "after skipped windows were reported"
	pointIssue    point = "before jobs are issued"
	pointIssued   point = "after jobs were issued"
	pointReport   point = "before planned windows are reported"
	pointReported point = "after planned windows were reported"

	pointLateRead     point = "before the cursor of reconciliation is read"
	pointLateIssue    point = "before windows are issued again"
	pointLateIssued   point = "after windows were issued again"
	pointLateReported point = "after windows issued again were reported"
)

func (s *Scheduler) at(p point) error {
	if s.probe == nil {
		return nil
	}
	return s.probe(p)
}

// New returns a Scheduler, which does nothing until Run.
func New(cfg Config) (*Scheduler, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Scheduler{
		cfg:       cfg,
		jobs:      jobStore{js: cfg.Pipe.JS, publish: jetstreamext.PublishMsgBatch},
		entries:   map[string]*entry{},
		backfills: newBackfills(cfg),
		renewals:  newRenewals(cfg),
		declared:  newDeclarer(cfg),
	}, nil
}

// A result is how the work on an entry ended.
type result struct {
	entry *entry
	next  time.Time // zero: never
	err   error
}

// Run schedules until ctx ends, then finishes the steps it has begun, which takes
// stepTimeout at most. It fails only if its source does.
func (s *Scheduler) Run(ctx context.Context) error {
	sets := make(chan resource.Set)
	source := make(chan error, 1)
	sourceCtx, stopSource := context.WithCancel(ctx)
	go func() {
		source <- s.cfg.Source.Run(sourceCtx, func(set resource.Set) {
			select {
			case sets <- set:
			case <-sourceCtx.Done():
			}
		})
	}()
	// Room for every worker, so that none waits for a loop that has ended.
	results := make(chan result, workers)
	busy, applied := 0, 0
	sourceDone := false
	s.backfills.start(ctx)
	defer s.backfills.stop()
	besidesCtx, stopBesides := context.WithCancel(ctx)
	var besides sync.WaitGroup
	besides.Go(func() { s.declared.run(besidesCtx) })
	besides.Go(func() { s.renewals.run(besidesCtx) })
	defer besides.Wait()
	defer stopBesides()
	defer func() {
		stopSource()
		for range busy {
			<-results
		}
		if !sourceDone {
			<-source //nolint:errcheck // it was told to stop
		}
	}()

	for {
		now := s.cfg.Clock.Now()
		if now.Before(s.last) {
			// Set back. What waited for a time that is far off again would wait for long.
			s.queue.wake(now)
		}
		s.last = now
		if ctx.Err() == nil && s.confirm(ctx, now) {
			s.backfills.tick(now)
			for busy < workers {
				e := s.queue.take(now)
				if e == nil {
					break
				}
				e.retarget()
				e.busy = true
				busy++
				go func() {
					next, err := s.step(ctx, e, now)
					results <- result{e, next, err}
				}()
			}
		}
		sleep := maxSleep
		if s.held {
			sleep = heldSleep
		} else if busy < workers {
			sleep = s.queue.wait(now, maxSleep)
		}
		timer, stop := s.cfg.Clock.At(now.Add(sleep))
		if s.idle != nil && busy == 0 && sleep > 0 {
			s.idle(now, applied, sleep)
		}
		select {
		case <-ctx.Done():
			stop()
			return nil
		case set := <-sets:
			s.apply(set, now)
			applied++
		case r := <-results:
			busy--
			s.finish(r)
		case err := <-source:
			sourceDone = true
			if err != nil && !errors.Is(err, context.Canceled) {
				stop()
				return fmt.Errorf("watch resources: %w", err)
			}
			source = nil
		case <-timer:
		}
		stop()
	}
}

// finish puts an entry back into the queue after the work on it.
func (s *Scheduler) finish(r result) {
	e := r.entry
	e.busy = false
	log := s.cfg.Logger.With("metrics_exporter", e.key)
	now := s.cfg.Clock.Now()
	next := r.next
	if r.err != nil {
		e.failures++
		next = now.Add(backoff(e.failures))
		// A conflict that repeats itself is contention, and likely over soon.
		quiet := errors.Is(r.err, errConflict)
		if e.failures == 1 && !quiet || e.failures == attempts && quiet {
			log.Warn("windows could not be issued, trying again", "error", r.err)
		}
	} else if e.failures > 0 {
		e.failures = 0
		log.Info("windows are issued again")
	}
	if r.err == nil && e.want == e.target && bytes.Equal(e.cursor.hash, e.target.hash) {
		s.renewals.set(e.key, e.target, e.cursor.generation)
	}
	switch {
	case e.want == nil:
		delete(s.entries, e.key)
	case e.want != e.target:
		s.queue.put(e, now)
	case !next.IsZero():
		// Not when it was due: one that catches up would leave the others no turn.
		if next.Before(now) {
			next = now
		}
		s.queue.put(e, next)
	}
}

// backoff returns how long to wait after a number of failures in a row, with
// jitter: schedulers that collide must not do so in step.
func backoff(failures uint64) time.Duration {
	d := min(minBackoff<<min(failures-1, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}
