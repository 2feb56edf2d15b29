package scheduler

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// declareEvery is how often what is declared is said again: three times before it
	// counts no more.
	declareEvery = schemas.DeclaredTTL / 3

	// maxProblems bounds the problems that are told, and maxProblem the bytes of one.
	maxProblems = 50
	maxProblem  = 500
)

// declarer tells those who ask how far MetricsExporters are which there are: one that
// never had a window nobody would miss otherwise.
type declarer struct {
	cfg     Config
	changed chan struct{} // what is declared is other than what was told

	mu          sync.Mutex
	declaration schemas.Declaration
	known       bool // the source has declared something
}

func newDeclarer(cfg Config) *declarer {
	host, _ := os.Hostname() // only for people to read
	return &declarer{
		cfg: cfg, changed: make(chan struct{}, 1),
		declaration: schemas.Declaration{Scheduler: host + "-" + rand.Text()[:8]},
	}
}

// set takes over what the source declares; states are those of its documents.
func (d *declarer) set(set resource.Set, states map[string]string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := schemas.Declaration{Scheduler: d.declaration.Scheduler}
	for _, doc := range set.Documents {
		m := schemas.Declared{
			Namespace: doc.MetricsExporter.Namespace, Name: doc.MetricsExporter.Name,
			Exporter: doc.MetricsExporter.Spec.Exporter, Since: now.UTC(),
			Interval: doc.MetricsExporter.Spec.Interval, Schedule: doc.MetricsExporter.Spec.Schedule,
			TimeZone: doc.MetricsExporter.Spec.TimeZone, IngestionDelay: doc.MetricsExporter.Spec.IngestionDelay,
		}
		if b := doc.MetricsExporter.Spec.Backfill; b != nil {
			m.Backfill = b.RequestID
		}
		switch state := states[doc.Key()]; state {
		case stateScheduled:
			m.State = schemas.DeclaredScheduled
		case stateSuspended:
			m.State = schemas.DeclaredSuspended
		case stateElsewhere:
			m.State = schemas.DeclaredElsewhere
		default:
			m.State, m.Reason = schemas.DeclaredInvalid, bounded(state)
		}
		next.MetricsExporters = append(next.MetricsExporters, m)
	}
	for _, p := range set.Problems[:min(len(set.Problems), maxProblems)] {
		next.Problems = append(next.Problems, bounded(p.Error()))
	}
	keepSince(next.MetricsExporters, d.declaration.MetricsExporters)
	d.declaration, d.known = next, true
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// keepSince leaves the time at which a state began where it was the same before.
func keepSince(list, before []schemas.Declared) {
	old := make(map[string]schemas.Declared, len(before))
	for _, m := range before {
		old[m.Key()] = m
	}
	for i, m := range list {
		if was := old[m.Key()]; was.State == m.State && was.Since.Before(m.Since) {
			list[i].Since = was.Since
		}
	}
}

// run tells until ctx ends. What was told then counts for a while: until the next
// process tells it.
func (d *declarer) run(ctx context.Context) {
	t := time.NewTicker(declareEvery)
	defer t.Stop()
	pages, inherited, failed := 0, false, false
	for {
		select {
		case <-d.changed:
		case <-t.C:
		case <-ctx.Done():
			return
		}
		declaration, err := d.current(ctx, &inherited)
		if err == nil && declaration != nil {
			pages, err = d.cfg.Pipe.Declare(ctx, *declaration, pages)
		}
		if err != nil && !failed && ctx.Err() == nil {
			d.cfg.Logger.Warn("could not tell which MetricsExporters there are, trying again", "error", err)
		}
		failed = err != nil
	}
}

// current returns what is to be told; nil: nothing yet. The first time it takes over
// since when other schedulers, the process before this one among them, know it.
func (d *declarer) current(ctx context.Context, inherited *bool) (*schemas.Declaration, error) {
	var before []schemas.Declared
	if !*inherited {
		var err error
		if before, _, _, err = d.cfg.Pipe.Declared(ctx); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return nil, nil
	}
	*inherited = true
	keepSince(d.declaration.MetricsExporters, before)
	declaration := d.declaration
	return &declaration, nil
}

func bounded(text string) string {
	if len(text) > maxProblem {
		return strings.ToValidUTF8(text[:maxProblem], "")
	}
	return text
}
