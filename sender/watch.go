package sender

import (
	"context"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// refresh is how often the state of an exporter that is down is written anew.
	refresh = schemas.ExporterStateTTL / 3

	// publicTime bounds each attempt to make a state known; nothing waits for it.
	publicTime = 2 * time.Second
)

// watch makes known what one exporter's breaker does: in the log once for each
// outage and its end, in the metrics, and for `status` in the bucket of
// exporters' states. It is apart from the breaker, which must not wait for it.
type watch struct {
	s        *Stage
	exporter string
	sender   string

	mu      sync.Mutex
	latest  transition
	unheard bool // latest is news
	began   bool // an outage began since the last look
	ended   bool // and one ended
	news    chan struct{}
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
	w.latest, w.unheard = t, true
	w.mu.Unlock()
	w.s.Metrics.ExporterUp(w.exporter, map[phase]float64{phaseUp: 1, phaseRecovering: 0.5}[t.phase])
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// run makes transitions known until ctx ends.
func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.withdraw(context.WithoutCancel(ctx))
			return
		case <-w.news:
		case <-tick.C:
		}
		w.tell(ctx)
	}
}

func (w *watch) tell(ctx context.Context) {
	w.mu.Lock()
	t, began, ended, news := w.latest, w.began, w.ended, w.unheard
	w.began, w.ended, w.unheard = false, false, false
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
	ctx, cancel := context.WithTimeout(ctx, publicTime)
	defer cancel()
	var err error
	switch t.phase {
	case phaseDown, phaseRecovering:
		err = w.s.Pipe.SetExporterState(ctx, schemas.ExporterState{Exporter: w.exporter, Sender: w.sender,
			State: string(t.phase), Since: t.since, Reason: t.reason, Next: t.next})
	case phaseUp:
		if news {
			err = w.s.Pipe.ClearExporterState(ctx, w.exporter, w.sender)
		}
	}
	if err != nil {
		log.Debug("could not make the exporter's state known", "error", err)
	}
}

// withdraw takes back what this process said: it knows nothing any more.
func (w *watch) withdraw(ctx context.Context) {
	w.mu.Lock()
	down := w.latest.phase == phaseDown || w.latest.phase == phaseRecovering
	w.mu.Unlock()
	if !down {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publicTime)
	defer cancel()
	if err := w.s.Pipe.ClearExporterState(ctx, w.exporter, w.sender); err != nil {
		w.s.Logger.Debug("could not withdraw the exporter's state", "exporter", w.exporter, "error", err)
	}
}
