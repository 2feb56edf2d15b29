package sender

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// refresh is how often a state is written anew though it has not changed.
	refresh = schemas.ExporterStateTTL / 3

	// lookEvery is how often the breaker is asked whose batches are stuck: what they
	// have waiting may grow fast.
	lookEvery = 500 * time.Millisecond

	// publicTime bounds each attempt to make a state known; nothing waits for it.
	publicTime = 2 * time.Second
)

// watch makes known what one exporter's breaker does: in the log once for each
// outage and its end, in the metrics, and for `status` and the queriers in the bucket
// of exporters' states. It is apart from the breaker, which must not wait for it.
type watch struct {
	s        *Stage
	exporter string
	sender   string
	breaker  *breaker

	mu     sync.Mutex
	latest transition
	began  bool // an outage began since the last look
	ended  bool // and one ended
	news   chan struct{}

	told   schemas.ExporterState // what is known of it, if anything is
	toldAt time.Time
}

func newWatch(s *Stage, e config.Exporter, sender string) *watch {
	s.Metrics.ExporterUp(e.Name, 1)
	return &watch{s: s, exporter: e.Name, sender: sender, news: make(chan struct{}, 1)}
}

// changed takes a breaker's transition; it does not block.
func (w *watch) changed(t transition) {
	w.mu.Lock()
	switch {
	case t.phase == phaseDown && t.first:
		w.began = true
		w.s.Metrics.Outage(w.exporter)
	case t.phase == phaseUp:
		w.ended = true
	}
	w.latest = t
	w.mu.Unlock()
	w.s.Metrics.ExporterUp(w.exporter, map[phase]float64{phaseUp: 1, phaseRecovering: 0.5}[t.phase])
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// run makes transitions known until ctx ends.
func (w *watch) run(ctx context.Context) {
	// What is said before is forgotten after that time.
	learned, until := w.takeOver(ctx), time.Now().Add(schemas.ExporterStateTTL)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.withdraw(context.WithoutCancel(ctx))
			return
		case <-w.news:
		case <-tick.C:
			if !learned && time.Now().Before(until) {
				learned = w.takeOver(ctx)
			}
		}
		w.tell(ctx)
	}
}

func (w *watch) tell(ctx context.Context) {
	w.mu.Lock()
	t, began, ended := w.latest, w.began, w.ended
	w.began, w.ended = false, false
	w.mu.Unlock()
	log := w.s.Logger.With("stage", string(schemas.Sender), "exporter", w.exporter)
	if began {
		log.Warn("endpoint is down: its batches wait, and one request at a time tries it", "error", t.reason, "since", t.since)
	}
	if ended {
		attrs := []any{"down", t.at.Sub(t.since).Round(time.Millisecond)}
		if b, err := w.s.Pipe.Backlog(ctx, w.exporter); err == nil {
			attrs = append(attrs, "waiting", b.Messages, "bytes", b.Bytes)
		}
		log.Info("endpoint takes batches again", attrs...)
	}
	w.publish(ctx, w.state(t), log)
}

// state returns what is to be known; zero when there is nothing to tell.
func (w *watch) state(t transition) schemas.ExporterState {
	s := schemas.ExporterState{Exporter: w.exporter, Sender: w.sender, State: schemas.ExporterUp, Stuck: w.breaker.stuck()}
	switch {
	case t.phase == phaseDown || t.phase == phaseRecovering:
		s.State, s.Since, s.Reason, s.Next = string(t.phase), t.since, t.reason, t.next
	case len(s.Stuck) == 0:
		return schemas.ExporterState{}
	}
	return s
}

// publish makes a state known, if it is not or is about to be forgotten.
func (w *watch) publish(ctx context.Context, s schemas.ExporterState, log *slog.Logger) {
	if reflect.DeepEqual(s, w.told) && (s.State == "" || time.Since(w.toldAt) < refresh) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publicTime)
	defer cancel()
	var err error
	if s.State == "" {
		err = w.s.Pipe.ClearExporterState(ctx, w.exporter, w.sender)
	} else {
		err = w.s.Pipe.SetExporterState(ctx, s)
	}
	if err != nil {
		log.Debug("could not make the exporter's state known", "error", err)
		w.told = schemas.ExporterState{State: "unknown"} // it may be known all the same
		return
	}
	w.told, w.toldAt = s, time.Now()
}

// takeOver learns from what other processes say, and the one before said. It returns
// whether that could be known.
func (w *watch) takeOver(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, publicTime)
	defer cancel()
	states, err := w.s.Pipe.ExporterStatesOf(ctx, w.exporter)
	for _, s := range states {
		for _, stuck := range s.Stuck {
			w.breaker.inherit(stuck.MetricsExporter)
		}
	}
	return err == nil
}

// withdraw takes back what this process said: it knows nothing any more, but whose
// batches the next process will find stuck.
func (w *watch) withdraw(ctx context.Context) {
	last := schemas.ExporterState{Exporter: w.exporter, Sender: w.sender, State: schemas.ExporterUp, Stuck: w.breaker.bequeath()}
	if len(last.Stuck) == 0 {
		last = schemas.ExporterState{}
	}
	w.publish(ctx, last, w.s.Logger)
}
