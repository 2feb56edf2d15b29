package request

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// Outcome is what became of a window of a request.
type Outcome int

// The outcomes.
const (
	Pending  Outcome = iota
	Exported         // the endpoint accepted every batch of one of its runs
	Failed           // a message of it is a dead letter, and no run was exported
)

// Tracker adds up what the stages report of one request's windows. Its methods may
// be called from several goroutines.
type Tracker struct {
	id      string
	changed chan struct{}

	mu      sync.Mutex
	windows map[string]*tracked // by id, without generation
	message string
	points  uint64
}

type tracked struct {
	outcome Outcome
	runs    map[string]*trackedRun
}

// trackedRun is one run of a window's query.
type trackedRun struct {
	accepted map[uint64]bool // batches
	want     uint64
	known    bool // want is
}

// NewTracker returns a Tracker of a request.
func NewTracker(id string) *Tracker {
	return &Tracker{id: id, changed: make(chan struct{}, 1), windows: map[string]*tracked{}}
}

// Changed has something to receive whenever something was added since the last
// time.
func (t *Tracker) Changed() <-chan struct{} { return t.changed }

// Outcome returns what became of a window, by its id.
func (t *Tracker) Outcome(window string) Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.windows[withoutGeneration(window)]; w != nil {
		return w.outcome
	}
	return Pending
}

// Sum returns how many windows were exported and failed, how many points were
// accepted, and what the last failure said.
func (t *Tracker) Sum() (exported, failed int, points uint64, message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.windows {
		switch w.outcome {
		case Exported:
			exported++
		case Failed:
			failed++
		}
	}
	return exported, failed, t.points, t.message
}

// Forget drops what is known of a window.
func (t *Tracker) Forget(window string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.windows, withoutGeneration(window))
}

// Expect says that the run of a window has so many batches: nobody reports it of
// those that are sent again.
func (t *Tracker) Expect(window, run string, batches uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, r := t.run(window, run)
	r.want, r.known = batches, true
	w.settle(run)
	t.signal()
}

// See adds an event.
func (t *Tracker) See(e *wire.Event) {
	// Rows whose parts were lost are asked for again under a request made of it.
	id, _, _ := strings.Cut(e.Request, schemas.AgainMark)
	if id != t.id || e.Window == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch schemas.EventType(e.Type) {
	case schemas.EventQueried:
		// A repetition that found its rows transformed long ago has no run to tell.
		if e.Batches == 0 && e.Rows == 0 {
			w, r := t.run(e.Window, e.Run)
			r.known = true
			w.settle(e.Run)
		}
	case schemas.EventTransformed:
		w, r := t.run(e.Window, e.Run)
		r.want, r.known = e.Batches, true
		w.settle(e.Run)
	case schemas.EventExported:
		w, r := t.run(e.Window, e.Run)
		if !r.accepted[e.Batch] {
			r.accepted[e.Batch] = true
			t.points += e.Points
		}
		w.settle(e.Run)
	case schemas.EventFailed:
		w, _ := t.run(e.Window, e.Run)
		if w.outcome == Pending {
			w.outcome = Failed
		}
		t.message = e.Message
	case schemas.EventRetrying:
		t.message = e.Message
	default:
		return
	}
	t.signal()
}

func (t *Tracker) run(window, run string) (*tracked, *trackedRun) {
	window = withoutGeneration(window)
	w := t.windows[window]
	if w == nil {
		w = &tracked{runs: map[string]*trackedRun{}}
		t.windows[window] = w
	}
	r := w.runs[run]
	if r == nil {
		r = &trackedRun{accepted: map[uint64]bool{}}
		w.runs[run] = r
	}
	return w, r
}

// withoutGeneration is a window's id but for its generation: what failed with one spec may be
// exported with the next, and is one window.
func withoutGeneration(window string) string {
	id, _, _ := strings.Cut(window, "#")
	return id
}

func (w *tracked) settle(run string) {
	if r := w.runs[run]; r.known && uint64(len(r.accepted)) >= r.want {
		w.outcome = Exported
	}
}

func (t *Tracker) signal() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Watch calls see with the events about a MetricsExporter that were stored since a
// time, and with every new one, in order, until ctx ends.
func Watch(ctx context.Context, p *pipe.Pipe, namespace, name string, since time.Time, see func(*wire.Event)) error {
	fail := func(err error) error {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("watch events of %s/%s: %w", namespace, name, err)
	}
	cons, err := p.JS.OrderedConsumer(ctx, schemas.EventsStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{schemas.EventFilter(namespace, name)},
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
	if err != nil {
		return fail(err)
	}
	msgs, err := cons.Messages()
	if err != nil {
		return fail(err)
	}
	defer context.AfterFunc(ctx, msgs.Stop)()
	defer msgs.Stop()
	for {
		msg, err := msgs.Next()
		if err != nil || ctx.Err() != nil {
			return fail(err)
		}
		e := new(wire.Event)
		if err := proto.Unmarshal(msg.Data(), e); err == nil {
			see(e)
		}
	}
}

// ReportPlanned reports that windows were issued. It is done after they were, so
// that there is no report of a window that was not, and again by whoever takes over.
func ReportPlanned(ctx context.Context, p *pipe.Pipe, exporter string, jobs []*wire.WindowJob, at time.Time) error {
	b := p.Publisher()
	for _, job := range jobs {
		e := schemas.JobEvent(job, schemas.Scheduler, schemas.EventPlanned, at)
		e.Exporter = exporter
		data, err := proto.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode %s event: %w", e.Type, err)
		}
		if err := b.Add(ctx, pipe.Outgoing{
			Subject: schemas.EventSubject(job.Namespace, job.Name, schemas.EventPlanned),
			ID:      e.Type + " " + job.Window + "!" + job.Request,
			Header:  nats.Header{schemas.HeaderWindow: {job.Window}},
			Data:    data,
		}); err != nil {
			return err
		}
	}
	return b.Flush(ctx)
}
