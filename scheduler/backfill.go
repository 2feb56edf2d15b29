package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// reportKept is how long what became of a window is surely still told: events are
	// kept for seven days. After it, a window without a report holds up the others no
	// longer.
	reportKept = 6 * 24 * time.Hour

	// pauseAfter is how many windows in a row have to fail for a backfill to issue no
	// more with the same spec: a query that can never work would fail all of them.
	pauseAfter = 3

	// reportSlack is how much this clock and the server's may differ.
	reportSlack = time.Hour
)

// backfills runs the backfills that MetricsExporters ask for, each in a goroutine of
// its own: none waits for another's windows.
type backfills struct {
	cfg   Config
	store *request.Store
	// probe, where set, is called between any two steps of a backfill; its error ends
	// the step there, as a crash would. For tests.
	probe func() error

	now atomic.Int64 // the last instant that was confirmed; nanoseconds, 0: none yet

	// What follows belongs to the scheduler's loop.
	ctx     context.Context
	cancel  context.CancelFunc
	running map[string]*backfill
	wg      sync.WaitGroup
}

// backfill is one that is under way.
type backfill struct {
	*backfills
	target *target
	log    *slog.Logger
	wake   chan struct{} // the time, or what there is, may be another
	cancel context.CancelFunc
	done   chan struct{}

	state   request.State
	tracker *request.Tracker
}

func newBackfills(cfg Config) *backfills {
	return &backfills{cfg: cfg, store: &request.Store{JS: cfg.Pipe.JS}, running: map[string]*backfill{}}
}

func (b *backfills) start(ctx context.Context) { b.ctx, b.cancel = context.WithCancel(ctx) }

// stop ends all and waits for the steps they have begun.
func (b *backfills) stop() {
	b.cancel()
	b.wg.Wait()
}

// tick tells the time, which was confirmed.
func (b *backfills) tick(now time.Time) {
	b.now.Store(now.UnixNano())
	for _, f := range b.running {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// want runs the backfill of a MetricsExporter's version; nil: none.
func (b *backfills) want(key string, t *target) {
	before := b.running[key]
	if before != nil && before.target.same(t) {
		return
	}
	var ended <-chan struct{}
	if before != nil {
		before.cancel()
		ended = before.done
		delete(b.running, key)
	}
	if t == nil || t.backfill == nil {
		return
	}
	f := &backfill{
		backfills: b, target: t, wake: make(chan struct{}, 1), done: make(chan struct{}),
		log: b.cfg.Logger.With("metrics_exporter", key, "request", t.backfill.RequestID),
	}
	ctx, cancel := context.WithCancel(b.ctx)
	f.cancel = cancel
	b.running[key] = f
	b.wg.Go(func() {
		defer close(f.done)
		defer cancel()
		if ended != nil {
			<-ended // of the same MetricsExporter, one at a time
		}
		f.run(ctx)
	})
}

// run works on the backfill until it is done or ctx ends.
func (f *backfill) run(ctx context.Context) {
	for failures := uint64(0); ctx.Err() == nil; {
		before := f.state.Seq
		err := f.work(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if f.state.Seq != before {
			failures = 0 // it goes on, by whomever: of several schedulers all but one meet a conflict
		}
		failures++
		// A conflict that repeats itself while nothing goes on is contention.
		if quiet := errors.Is(err, request.ErrConflict); failures == 1 && !quiet || failures == attempts && quiet {
			f.log.Warn("the backfill failed, trying again", "error", err)
		}
		t := time.NewTimer(backoff(failures))
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// work goes on from where the backfill is. It returns nil when it is done.
func (f *backfill) work(ctx context.Context) error {
	if !f.wait(ctx, func() bool { return f.now.Load() != 0 }) {
		return nil
	}
	if err := f.load(ctx); err != nil || f.state.Done() {
		return err
	}
	f.tracker = request.NewTracker(f.state.Id)
	watchCtx, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() {
		watched <- request.Watch(watchCtx, f.cfg.Pipe, f.target.namespace, f.target.name, f.since(), f.tracker.See)
	}()
	var err error
	ended := false
	for err == nil && !ended && !f.state.Done() && ctx.Err() == nil {
		var moved bool
		if moved, err = f.step(ctx); err != nil || moved {
			continue
		}
		select {
		case <-f.tracker.Changed():
		case <-f.wake:
		case err = <-watched:
			ended = true
			if err == nil && ctx.Err() == nil {
				err = errors.New("the events ended")
			}
		case <-ctx.Done():
		}
	}
	stop()
	if !ended {
		if werr := <-watched; err == nil && !f.state.Done() {
			err = werr
		}
	}
	return err
}

// wait waits until ready says so, and returns false if ctx ends before.
func (f *backfill) wait(ctx context.Context, ready func() bool) bool {
	for !ready() {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// load reads how far the backfill is, or prepares to begin it, and reports the windows
// that somebody else issued and may not have reported.
func (f *backfill) load(ctx context.Context) error {
	t, want := f.target, f.target.backfill
	state, err := f.store.Read(ctx, t.namespace, t.name, want.RequestID)
	if err != nil {
		return err
	}
	asked := schemas.Window{Start: want.StartTime.UTC(), End: want.EndTime.UTC()}
	first := f.state.Request == nil
	f.state = state
	if state.Seq == 0 {
		aligned := t.grid.Align(asked)
		f.state.Request = &wire.Request{
			Id: want.RequestID, Namespace: t.namespace, Name: t.name, Kind: request.KindBackfill,
			StartUnixNano: asked.Start.UnixNano(), EndUnixNano: asked.End.UnixNano(), NextUnixNano: aligned.Start.UnixNano(),
			Windows: uint64(t.grid.Count(aligned.Start, aligned.End)), CreatedUnixNano: f.now.Load(),
		}
		f.log.Info("backfill begins", "start", asked.Start, "end", asked.End, "windows", f.state.Windows)
		return nil
	}
	if state.Kind != request.KindBackfill {
		f.log.Error("the backfill's requestId is that of a replay: it is not run", "kind", state.Kind)
		f.state.DoneUnixNano = f.now.Load()
		return nil
	}
	if first && state.Range() != asked {
		f.log.Warn("a backfill runs once: with this requestId it is for another range; choose a new one", "start", state.Range().Start, "end", state.Range().End)
	}
	if first && !state.Done() {
		f.log.Info("backfill goes on", "next", state.Next(), "issued", state.Issued, "windows", state.Windows)
	}
	var jobs []*wire.WindowJob
	for _, w := range state.InFlight {
		id, err := schemas.ParseWindowID(w.Window)
		if err != nil {
			return fmt.Errorf("backfill %q: %w", state.Id, err)
		}
		jobs = append(jobs, f.job(id.Window, id.Generation))
	}
	return request.ReportPlanned(ctx, f.cfg.Pipe, t.exporter, jobs, f.cfg.Clock.Now())
}

// since is from when on something may be told of the windows in flight.
func (f *backfill) since() time.Time {
	oldest := f.now.Load()
	for _, w := range f.state.InFlight {
		oldest = min(oldest, w.IssuedUnixNano)
	}
	return time.Unix(0, oldest).Add(-reportSlack)
}

func (f *backfill) job(w schemas.Window, generation uint64) *wire.WindowJob {
	t := f.target
	return request.Target{Namespace: t.namespace, Name: t.name, Cluster: t.cluster, Exporter: t.exporter, Spec: t.spec}.
		Job(w, generation, f.target.backfill.RequestID)
}

// step counts the windows that have ended and issues as many others. It says whether
// there was anything to do.
func (f *backfill) step(ctx context.Context) (moved bool, err error) {
	// What has begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	to := proto.CloneOf(f.state.Request)
	now := time.Unix(0, f.now.Load()).UTC()
	ended := f.settle(to, now)
	jobs, left, err := f.plan(ctx, to, now)
	if err != nil {
		return false, err
	}
	if !left && len(to.InFlight) == 0 {
		to.DoneUnixNano, to.Paused = now.UnixNano(), ""
	}
	if len(ended) == 0 && len(jobs) == 0 && to.DoneUnixNano == 0 {
		return false, nil
	}
	if err := f.at(); err != nil {
		return false, err
	}
	state, err := f.store.Advance(ctx, f.state, to, f.target.exporter, jobs)
	if err != nil {
		return false, err
	}
	f.state = state
	for _, w := range ended {
		f.tracker.Forget(w)
	}
	f.cfg.Metrics.Windows(f.target.namespace+"/"+f.target.name, schemas.LaneBackfill, schemas.EventPlanned, int64(len(jobs)))
	if err := f.at(); err != nil {
		return false, err
	}
	if err := request.ReportPlanned(ctx, f.cfg.Pipe, f.target.exporter, jobs, now); err != nil {
		return false, err
	}
	if state.Done() {
		f.log.Info("backfill is done", "windows", state.Issued, "exported", state.Exported, "failed", state.Failed, "unreported", state.Unreported)
	}
	return true, nil
}

// settle takes the windows that have ended off those in flight.
func (f *backfill) settle(to *wire.Request, now time.Time) (ended []string) {
	var flying []*wire.IssuedWindow
	for _, w := range to.InFlight {
		switch outcome := f.tracker.Outcome(w.Window); {
		case outcome == request.Exported:
			to.Exported++
			to.FailedInARow = 0
		case outcome == request.Failed:
			to.Failed++
			to.FailedInARow++
		case now.Sub(time.Unix(0, w.IssuedUnixNano)) > reportKept:
			to.Unreported++
		default:
			flying = append(flying, w)
			continue
		}
		ended = append(ended, w.Window)
	}
	to.InFlight = flying
	if to.FailedInARow >= pauseAfter && to.Paused == "" {
		_, _, _, message := f.tracker.Sum()
		to.Paused = fmt.Sprintf("%d windows in a row failed, the last error is %q", to.FailedInARow, message)
		f.log.Warn("the backfill is paused until the spec is changed", "reason", to.Paused)
	}
	return ended
}

// plan returns jobs for as many windows as there is room for, and whether there are
// more after those that were issued before.
func (f *backfill) plan(ctx context.Context, to *wire.Request, now time.Time) (jobs []*wire.WindowJob, left bool, err error) {
	t := f.target
	free := min(t.backfill.MaxInFlight-len(to.InFlight), t.stepWindows())
	var generation uint64
	for w := range t.grid.Windows(f.state.Next(), f.state.Range().End) {
		left = true
		if to.Paused != "" && bytes.Equal(to.SpecHash, t.hash) {
			break
		}
		if len(jobs) >= free || w.End.Add(t.delay).After(now) {
			break
		}
		if generation == 0 {
			var hash []byte
			if generation, hash, err = f.store.Cursor(ctx, t.namespace, t.name); err != nil {
				return nil, left, err
			}
			if generation == 0 || !bytes.Equal(hash, t.hash) {
				// The schedule has not come to this spec, or has gone on to another's: whoever
				// has that one works on the backfill.
				return nil, left, nil
			}
			if !bytes.Equal(to.SpecHash, t.hash) {
				if to.Paused != "" {
					f.log.Info("the backfill goes on with another spec")
				}
				to.SpecHash, to.FailedInARow, to.Paused = t.hash, 0, ""
			}
		}
		job := f.job(w, generation)
		jobs = append(jobs, job)
		to.InFlight = append(to.InFlight, &wire.IssuedWindow{Window: job.Window, IssuedUnixNano: now.UnixNano()})
		to.NextUnixNano = job.EndUnixNano
	}
	to.Issued += uint64(len(jobs))
	return jobs, left, nil
}

func (f *backfill) at() error {
	if f.probe == nil {
		return nil
	}
	return f.probe()
}
