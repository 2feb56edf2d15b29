package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/deadletter"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// renewAhead is how many jobs of a MetricsExporter wait on the backfill lane at most
	// when another is put to them. A mend that mends nothing is so found out, and changed
	// again, before all that failed has been queried in vain.
	renewAhead = 16

	// renewLook is how often it is looked for new dead letters, renewWait whether there is
	// room for more jobs.
	renewLook = 5 * time.Second
	renewWait = time.Second
)

// renewals have the windows queried again that failed for good with a former spec of
// their MetricsExporter: it is the query, or the transform, that could not work, and now
// it is another.
type renewals struct {
	log   *slog.Logger
	js    jetstream.JetStream
	desk  *deadletter.Desk
	store *request.Store
	wake  chan struct{}
	looks atomic.Int64 // how often it was looked, for tests

	mu sync.Mutex
	// present is what windows are issued with here, by MetricsExporter: those of which the
	// cursor has the spec that is declared.
	present map[string]present

	// What follows belongs to run: the letters that there are, up to the id of the last, in
	// the stream that was created then.
	letters map[string][]failedWindow // the oldest first, by MetricsExporter
	last    uint64
	created time.Time
}

type present struct {
	target     *target
	generation uint64
}

// A failedWindow is a dead letter. Its generation is one that has the same spec; 0: none is
// known.
type failedWindow struct {
	letter     uint64
	generation uint64
}

func newRenewals(cfg Config) *renewals {
	return &renewals{
		log: cfg.Logger, js: cfg.Pipe.JS, desk: &deadletter.Desk{Pipe: cfg.Pipe}, store: &request.Store{JS: cfg.Pipe.JS},
		wake: make(chan struct{}, 1), present: map[string]present{}, letters: map[string][]failedWindow{},
	}
}

// set tells what the windows of a MetricsExporter are issued with; a nil target: none are
// issued here.
func (r *renewals) set(key string, t *target, generation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.present[key]
	if t == nil {
		delete(r.present, key)
		return
	}
	r.present[key] = present{t, generation}
	if was.generation != generation {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *renewals) of(key string) present {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.present[key]
}

// run puts windows back until ctx ends.
func (r *renewals) run(ctx context.Context) {
	for failures := uint64(0); ctx.Err() == nil; {
		more, err := r.look(ctx)
		r.looks.Add(1)
		wait := renewLook
		switch {
		case err != nil && ctx.Err() == nil:
			if failures++; failures == 1 {
				r.log.Warn("windows that failed with a former spec could not be put back, trying again", "error", err)
			}
			wait = backoff(failures)
		case err == nil:
			failures = 0
			if more {
				wait = renewWait
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-r.wake:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// look puts back what there is room for, and says whether that was not all. What goes
// wrong with one MetricsExporter keeps no other waiting.
func (r *renewals) look(ctx context.Context) (more bool, err error) {
	if err := r.list(ctx); err != nil {
		return false, err
	}
	var errs []error
	for key := range r.letters {
		left, err := r.renew(ctx, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		more = more || left
	}
	return more, errors.Join(errs...)
}

// list adds the letters that are new.
func (r *renewals) list(ctx context.Context) error {
	stream, err := r.js.Stream(ctx, schemas.DeadStream)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.DeadStream, err)
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(r.created) {
		// Another stream, whose ids begin anew.
		r.created, r.last, r.letters = info.Created, 0, map[string][]failedWindow{}
	}
	last := info.State.LastSeq
	if last == r.last {
		return nil
	}
	letters, err := r.desk.List(ctx, deadletter.Filter{After: r.last})
	if err != nil {
		return err
	}
	for _, l := range letters {
		last = max(last, l.ID)
		id, ok := l.WindowID()
		// An endpoint's refusal is not about the spec, and a second look is at what the
		// spec of its time gave.
		if !ok || l.Stage == schemas.Sender || schemas.IsReconcile(l.Header.Get(schemas.HeaderRequest)) {
			continue
		}
		f := failedWindow{letter: l.ID}
		if l.Header.Get(schemas.HeaderRequest) == "" {
			f.generation = id.Generation // a replay's may be a guess
		}
		key := l.MetricsExporter()
		r.letters[key] = append(r.letters[key], f)
	}
	r.last = last
	return nil
}

// renew puts back those windows of a MetricsExporter that failed with a former spec, the
// oldest first, and says whether some are left for want of room.
func (r *renewals) renew(ctx context.Context, key string) (left bool, err error) {
	now := r.of(key)
	stale := func(f failedWindow) bool { return f.generation != now.generation }
	if now.target == nil || !slices.ContainsFunc(r.letters[key], stale) {
		return false, nil
	}
	t := now.target
	generation, hash, err := r.store.Cursor(ctx, t.namespace, t.name)
	if err != nil || generation != now.generation || !bytes.Equal(hash, t.hash) {
		return false, err // the schedule has gone on to another spec: whoever has that one works on them
	}
	room, err := r.room(ctx, t)
	if err != nil {
		return false, err
	}
	renewed := 0
	var kept []failedWindow
	for i, f := range r.letters[key] {
		if err != nil || !stale(f) {
			kept = append(kept, f)
			continue
		}
		if renewed >= room || ctx.Err() != nil {
			kept, left = append(kept, r.letters[key][i:]...), true
			break
		}
		var done, gone bool
		if done, gone, err = r.again(ctx, f.letter, now); done {
			renewed++
		} else if !gone {
			if err == nil {
				f.generation = now.generation
			}
			kept = append(kept, f)
		}
	}
	if r.letters[key] = kept; len(kept) == 0 {
		delete(r.letters, key)
	}
	if renewed > 0 {
		r.log.Info("windows that failed with a former spec are queried again", "metrics_exporter", key, "windows", renewed, "generation", now.generation)
	}
	return left, err
}

// room returns how many jobs of a MetricsExporter may be put to those that wait.
func (r *renewals) room(ctx context.Context, t *target) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	stream, err := r.js.Stream(ctx, schemas.JobsStream)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", schemas.JobsStream, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(schemas.JobsFilter(schemas.LaneBackfill, t.namespace, t.name)))
	if err != nil {
		return 0, fmt.Errorf("count the jobs of %s/%s: %w", t.namespace, t.name, err)
	}
	return renewAhead - len(info.State.Subjects), nil
}

// again has the window of a letter queried again, unless that has the same spec. Gone says
// that somebody else has decided about the letter.
func (r *renewals) again(ctx context.Context, letter uint64, now present) (done, gone bool, err error) {
	// What has begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	l, err := r.desk.Get(ctx, letter)
	if err != nil {
		gone = errors.Is(err, deadletter.ErrNoLetter)
		if gone {
			err = nil
		}
		return false, gone, err
	}
	job, err := l.Job()
	if err != nil || job == nil {
		return false, false, nil // nobody can tell what it was: it waits for a decision
	}
	if spec, err := schemas.JobSpec(job); err == nil {
		if hash, err := spec.Hash(); err != nil || bytes.Equal(hash, now.target.hash) {
			return false, false, err
		}
	}
	err = r.desk.Renew(ctx, l, now.job(job), now.target.exporter)
	return err == nil, false, err
}

// job returns the job of a window that failed, with the spec of now. It is late already,
// and delays no live window.
func (p present) job(failed *wire.WindowJob) *wire.WindowJob {
	t := p.target
	job := proto.CloneOf(failed)
	id := schemas.WindowID{Namespace: t.namespace, Name: t.name, Window: schemas.JobWindow(failed), Generation: p.generation}
	job.Window, job.Namespace, job.Name, job.Generation = id.String(), t.namespace, t.name, p.generation
	job.Lane, job.Cluster, job.Spec = string(schemas.LaneBackfill), t.cluster, t.spec
	job.Request, _, _ = strings.Cut(failed.Request, schemas.AgainMark)
	return job
}
