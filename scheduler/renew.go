package scheduler

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
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

	// renewMost is how many letters of a MetricsExporter are looked into at a time: others
	// have a turn in between.
	renewMost = 256

	// renewLook is how often it is looked for new dead letters and for room for more jobs,
	// renewWait the same after there was some.
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

// A failedWindow is a dead letter.
type failedWindow struct {
	letter     uint64
	generation uint64 // of its window
	same       uint64 // a generation that has the same spec; 0: none is known
}

// stale says whether the letter's spec may be a former one. What has a later one is for
// whoever has that.
func (f failedWindow) stale(generation uint64) bool {
	return f.same != generation && f.generation <= generation
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
		some, err := r.look(ctx)
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
			if some {
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

// look puts back what there is room for, and says whether there was anything. What goes
// wrong with one MetricsExporter keeps no other waiting.
func (r *renewals) look(ctx context.Context) (some bool, err error) {
	if err := r.list(ctx); err != nil {
		return false, err
	}
	var errs []error
	for key := range r.letters {
		looked, err := r.renew(ctx, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		some = some || looked
	}
	return some, errors.Join(errs...)
}

// list adds the letters that are new, and forgets the oldest of those that are gone.
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
	for key, list := range r.letters {
		n, _ := slices.BinarySearchFunc(list, info.State.FirstSeq, func(f failedWindow, first uint64) int { return cmp.Compare(f.letter, first) })
		if r.letters[key] = list[n:]; n == len(list) {
			delete(r.letters, key)
		}
	}
	if info.State.LastSeq == r.last {
		return nil
	}
	return r.desk.Each(ctx, deadletter.Filter{After: r.last}, func(l *deadletter.Letter) {
		// What was seen, and not what the stream is said to have: a replica may lag.
		r.last = max(r.last, l.ID)
		id, ok := l.WindowID()
		// An endpoint's refusal is not about the spec, and a second look is at what the
		// spec of its time gave.
		request := l.Header.Get(schemas.HeaderRequest)
		if !ok || l.Stage == schemas.Sender || schemas.IsReconcile(request) {
			return
		}
		f := failedWindow{letter: l.ID, generation: id.Generation}
		if request == "" {
			f.same = id.Generation // a replay's may be a guess
		}
		key := l.MetricsExporter()
		r.letters[key] = append(r.letters[key], f)
	})
}

// renew puts back those windows of a MetricsExporter that failed with a former spec, the
// oldest first, and says whether it looked into any.
func (r *renewals) renew(ctx context.Context, key string) (some bool, err error) {
	now := r.of(key)
	if now.target == nil || !slices.ContainsFunc(r.letters[key], func(f failedWindow) bool { return f.stale(now.generation) }) {
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
	renewed, looked := 0, 0
	var kept []failedWindow
	for i, f := range r.letters[key] {
		if !f.stale(now.generation) {
			kept = append(kept, f)
			continue
		}
		if err != nil || renewed >= room || looked >= renewMost || ctx.Err() != nil {
			kept = append(kept, r.letters[key][i:]...)
			break
		}
		looked++
		var became outcome
		switch became, err = r.again(ctx, key, f.letter, now); became {
		case renewedIt:
			renewed++
		case sameSpec:
			f.same = now.generation
			kept = append(kept, f)
		case undone:
			kept = append(kept, f)
		}
	}
	if r.letters[key] = kept; len(kept) == 0 {
		delete(r.letters, key)
	}
	if renewed > 0 {
		r.log.Info("windows that failed with a former spec are queried again", "metrics_exporter", key, "windows", renewed, "generation", now.generation)
	}
	return looked > 0, err
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

// outcome is what became of a letter that was looked into.
type outcome int

const (
	undone    outcome = iota // something went wrong
	renewedIt                // its window is queried again
	sameSpec                 // nothing: its job has the spec of now, or nobody can tell
	gone                     // somebody else has decided about it
)

// again has the window of a letter queried again, unless that has the same spec.
func (r *renewals) again(ctx context.Context, key string, letter uint64, now present) (outcome, error) {
	// What has begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	l, err := r.desk.Get(ctx, letter)
	switch {
	case errors.Is(err, deadletter.ErrNoLetter):
		return gone, nil
	case err != nil:
		return undone, err
	case l.MetricsExporter() != key:
		return gone, nil // the stream is another
	}
	job, err := l.Job()
	if err != nil || job == nil {
		return sameSpec, nil // it waits for a decision
	}
	if spec, err := schemas.JobSpec(job); err == nil {
		hash, err := spec.Hash()
		if err != nil {
			return undone, err
		}
		if bytes.Equal(hash, now.target.hash) {
			return sameSpec, nil
		}
	}
	if err := r.desk.Renew(ctx, l, now.job(job, letter), now.target.exporter); err != nil {
		return undone, err
	}
	return renewedIt, nil
}

// job returns the job of a window that failed, with the spec of now. It is late already,
// and delays no live window.
//
// It is for the request that it was for, marked with the letter: rows of the same window,
// generation and request would be taken for a duplicate of those that failed.
func (p present) job(failed *wire.WindowJob, letter uint64) *wire.WindowJob {
	t := p.target
	job := proto.CloneOf(failed)
	id := schemas.WindowID{Namespace: t.namespace, Name: t.name, Window: schemas.JobWindow(failed), Generation: p.generation}
	job.Window, job.Namespace, job.Name, job.Generation = id.String(), t.namespace, t.name, p.generation
	job.Lane, job.Cluster, job.Spec = string(schemas.LaneBackfill), t.cluster, t.spec
	request, _, _ := strings.Cut(failed.Request, schemas.AgainMark)
	job.Request = request + schemas.AgainMark + strconv.FormatUint(letter, 10)
	return job
}
