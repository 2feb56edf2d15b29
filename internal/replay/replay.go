package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// From is where a replay takes the windows from.
type From string

// The sources of a replay.
const (
	FromQuery From = request.KindQuery // Kusto is asked again
	FromSend  From = request.KindSend  // what was kept is sent again
)

// DefaultRate is how many windows a second are issued where nobody says.
const DefaultRate = 5.0

const (
	// maxRate bounds the rate: beyond it a window costs more to issue than to wait for.
	maxRate = 1000

	// stepTime is how much of the rate goes into one step: at 1000 windows a second,
	// 100 jobs are one batch.
	stepTime = 100 * time.Millisecond

	// conflicts is how often in a row the state may be another's before giving up.
	conflicts = 20

	// eventSlack is how much the clocks of this process and the server may differ.
	eventSlack = time.Hour

	// eventsKept is how long what happened to a window is surely still told.
	eventsKept = 6 * 24 * time.Hour
)

// Config is a replay. Rate, Request and Now have defaults.
type Config struct {
	Pipe   *pipe.Pipe
	Target request.Target
	// Hash of the target's spec.
	Hash []byte
	Grid grid.Grid
	// Delay is the MetricsExporter's ingestionDelay.
	Delay time.Duration
	// Range to replay: the windows that lie wholly within it.
	Range schemas.Window
	From  From
	// Request is the id; made of everything above but the spec when it is empty.
	Request string
	// Rate is how many windows a second are issued. 0: DefaultRate.
	Rate float64
	Now  func() time.Time // nil: time.Now

	// probe, where set, is called between two steps; its error ends it there, as a
	// crash would. For tests.
	probe func() error
}

// Replay is a request that is being issued or waited for.
type Replay struct {
	cfg     Config
	store   *request.Store
	tracker *request.Tracker
	aligned schemas.Window
	state   request.State
	resumed bool
	kept    *kept // of FromSend
}

// New checks a replay. Nothing is connected to, and nothing happens until Issue.
func New(cfg Config) (*Replay, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rate == 0 {
		cfg.Rate = DefaultRate
	}
	if cfg.From != FromQuery && cfg.From != FromSend {
		return nil, fmt.Errorf("from must be %s or %s, got %q", FromQuery, FromSend, cfg.From)
	}
	if cfg.Rate < 0.001 || cfg.Rate > maxRate {
		return nil, fmt.Errorf("rate must be between 0.001 and %d windows a second, got %g", maxRate, cfg.Rate)
	}
	if err := cfg.Grid.CheckRange(cfg.Range); err != nil {
		return nil, err
	}
	r := &Replay{cfg: cfg, aligned: cfg.Grid.Align(cfg.Range)}
	now := cfg.Now()
	if due := r.aligned.End.Add(cfg.Delay); due.After(now) {
		return nil, fmt.Errorf("end: windows up to %s are complete, got %s: the schedule has not come to the later ones yet",
			cfg.Grid.Last(now.Add(-cfg.Delay)).Format(time.RFC3339Nano), cfg.Range.End.UTC().Format(time.RFC3339Nano))
	}
	if r.cfg.Request == "" {
		sum := sha256.Sum256([]byte(strings.Join([]string{cfg.Target.Namespace, cfg.Target.Name, r.aligned.String(), string(cfg.From)}, "\x00")))
		r.cfg.Request = fmt.Sprintf("replay-%s-%s", cfg.From, hex.EncodeToString(sum[:6]))
	}
	if err := schemas.CheckRequest(r.cfg.Request); err != nil {
		return nil, fmt.Errorf("request %w", err)
	}
	if cfg.Pipe != nil {
		r.store = &request.Store{JS: cfg.Pipe.JS}
	}
	r.tracker = request.NewTracker(r.cfg.Request)
	return r, nil
}

// Request returns the request's id.
func (r *Replay) Request() string { return r.cfg.Request }

// Range returns the range that the windows cover.
func (r *Replay) Range() schemas.Window { return r.aligned }

// Windows returns the windows, the oldest first.
func (r *Replay) Windows() []schemas.Window {
	var list []schemas.Window
	for w := range r.cfg.Grid.Windows(r.aligned.Start, r.aligned.End) {
		list = append(list, w)
	}
	return list
}

// Progress is how far a replay is.
type Progress struct {
	Windows, Issued  int
	Exported, Failed int
	// Missing windows have nothing kept to send again; Empty ones had no points.
	Missing, Empty int
	Points         uint64
	// Message is what the last failure, or the last attempt that failed, said.
	Message string
}

// Ended says whether nothing more is to be waited for.
func (p Progress) Ended() bool { return p.Exported+p.Failed+p.Missing+p.Empty >= p.Windows }

// Open reads how far the request is, or begins it. It says whether it was begun
// before.
func (r *Replay) Open(ctx context.Context) (resumed bool, err error) {
	t := r.cfg.Target
	if r.state, err = r.store.Read(ctx, t.Namespace, t.Name, r.cfg.Request); err != nil {
		return false, err
	}
	if r.cfg.From == FromSend {
		if r.kept, err = r.findKept(ctx); err != nil {
			return false, err
		}
	}
	if r.state.Seq != 0 {
		r.resumed = true
		return true, r.same()
	}
	generation, hash, err := r.store.Cursor(ctx, t.Namespace, t.Name)
	if err != nil {
		return false, err
	}
	if generation == 0 || string(hash) != string(r.cfg.Hash) {
		generation++ // what the scheduler will count this spec as
	}
	r.state = request.State{Request: &wire.Request{
		Id: r.cfg.Request, Namespace: t.Namespace, Name: t.Name, Kind: string(r.cfg.From),
		StartUnixNano: r.aligned.Start.UnixNano(), EndUnixNano: r.aligned.End.UnixNano(), NextUnixNano: r.aligned.Start.UnixNano(),
		Windows:  uint64(r.cfg.Grid.Count(r.aligned.Start, r.aligned.End)),
		SpecHash: r.cfg.Hash, Generation: generation, CreatedUnixNano: r.cfg.Now().UnixNano(),
	}}
	return false, nil
}

// same refuses to go on with a request that was something else.
func (r *Replay) same() error {
	s := r.state
	switch {
	case s.Kind != string(r.cfg.From):
		return fmt.Errorf("request %q is another one: it is of kind %s; name this one with --request", s.Id, s.Kind)
	case s.Range() != r.aligned:
		return fmt.Errorf("request %q is another one: it is for %s; name this one with --request", s.Id, s.Range())
	case r.cfg.From == FromQuery && !s.Done() && string(s.SpecHash) != string(r.cfg.Hash):
		return fmt.Errorf("the spec has changed since request %q was begun, after %d of %d windows; begin anew with --request", s.Id, s.Issued, s.Windows)
	}
	return nil
}

// Done says whether all windows were issued, and when.
func (r *Replay) Done() (at time.Time, done bool) {
	return time.Unix(0, r.state.DoneUnixNano).UTC(), r.state.Done()
}

// Watch follows what becomes of the windows until ctx ends.
func (r *Replay) Watch(ctx context.Context) error {
	since := time.Unix(0, r.state.CreatedUnixNano).Add(-eventSlack)
	return request.Watch(ctx, r.cfg.Pipe, r.state.Namespace, r.state.Name, since, r.tracker.See)
}

// Changed has something to receive when Progress may be another.
func (r *Replay) Changed() <-chan struct{} { return r.tracker.Changed() }

// Told says whether what became of the windows is still told.
func (r *Replay) Told() bool {
	return r.cfg.Now().Sub(time.Unix(0, r.state.CreatedUnixNano)) < eventsKept
}

// Progress returns how far the replay is. It must not be called while Issue runs.
func (r *Replay) Progress() Progress {
	p := Progress{Windows: int(r.state.Windows), Issued: int(r.state.Issued)}
	p.Exported, p.Failed, p.Points, p.Message = r.tracker.Sum()
	if r.kept != nil {
		p.Windows = len(r.kept.windows)
		p.Missing, p.Empty = r.kept.missing, r.kept.empty
		p.Exported += r.kept.delivered
	}
	return p
}

// Issue issues the windows that were not, at the replay's rate, and calls told after
// each step.
func (r *Replay) Issue(ctx context.Context, told func(Progress)) error {
	if r.resumed && r.cfg.From == FromQuery {
		// Who began it may have ended before the report.
		if err := r.report(ctx, r.state.InFlight); err != nil {
			return err
		}
	}
	failures := 0
	for !r.state.Done() {
		if err := r.probe(); err != nil {
			return err
		}
		n, err := r.step(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if failures++; failures > conflicts || !errors.Is(err, request.ErrConflict) {
				return err
			}
			again, rerr := r.store.Read(ctx, r.state.Namespace, r.state.Name, r.state.Id)
			if rerr != nil {
				return rerr
			}
			if again.Seq != 0 {
				r.state, r.resumed = again, true
				if err := r.same(); err != nil {
					return err
				}
			}
			continue
		}
		failures = 0
		told(r.Progress())
		if !r.state.Done() && n > 0 {
			if err := pause(ctx, time.Duration(float64(n)/r.cfg.Rate*float64(time.Second))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Replay) probe() error {
	if r.cfg.probe == nil {
		return nil
	}
	return r.cfg.probe()
}

// step issues the next windows and returns how many.
func (r *Replay) step(ctx context.Context) (int, error) {
	if r.cfg.From == FromSend {
		return r.stepSend(ctx)
	}
	return r.stepQuery(ctx)
}

func (r *Replay) stepQuery(ctx context.Context) (int, error) {
	to := proto.CloneOf(r.state.Request)
	to.InFlight = nil
	now := r.cfg.Now()
	most := max(1, int(r.cfg.Rate*stepTime.Seconds()))
	var jobs []*wire.WindowJob
	for w := range r.cfg.Grid.Windows(r.state.Next(), r.aligned.End) {
		if len(jobs) == most {
			break
		}
		job := r.cfg.Target.Job(w, to.Generation, to.Id)
		jobs = append(jobs, job)
		to.InFlight = append(to.InFlight, &wire.IssuedWindow{Window: job.Window, IssuedUnixNano: now.UnixNano()})
		to.NextUnixNano = job.EndUnixNano
	}
	to.Issued += uint64(len(jobs))
	if to.NextUnixNano >= to.EndUnixNano || len(jobs) == 0 {
		to.DoneUnixNano = now.UnixNano()
	}
	state, err := r.store.Advance(ctx, r.state, to, r.cfg.Target.Exporter, jobs)
	if err != nil {
		return 0, err
	}
	r.state = state
	if err := r.probe(); err != nil {
		return 0, err
	}
	return len(jobs), request.ReportPlanned(ctx, r.cfg.Pipe, r.cfg.Target.Exporter, jobs, now)
}

// report reports windows that somebody else issued.
func (r *Replay) report(ctx context.Context, issued []*wire.IssuedWindow) error {
	var jobs []*wire.WindowJob
	for _, i := range issued {
		id, err := schemas.ParseWindowID(i.Window)
		if err != nil {
			return fmt.Errorf("request %q: %w", r.state.Id, err)
		}
		jobs = append(jobs, r.cfg.Target.Job(id.Window, id.Generation, r.state.Id))
	}
	return request.ReportPlanned(ctx, r.cfg.Pipe, r.cfg.Target.Exporter, jobs, r.cfg.Now())
}

// pause waits, or returns early with the cause of ctx's end.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
