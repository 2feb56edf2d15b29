package pipe

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// gateAge is how long an answer about a backlog is good for when it has come, and with
	// that about how long windows are still queried when the mark is passed: what small ones make in
	// a second would fill the rest of a stream of a few MiB.
	gateAge = 250 * time.Millisecond

	// gateReopen is the share of the high-water mark a backlog must have come down
	// to before its exporter's windows are queried again, in percent: queries that
	// start and stop with every batch sent help nobody.
	gateReopen = 80

	// gateMost is the share of the high-water mark, in percent, that a backlog may have
	// with what is stuck, which counts for nothing below that: the rest of the stream is
	// for the windows that are under way.
	gateMost = 175

	// How many windows of an exporter may wait for their transform: gateWindows when
	// the rows of all take more room than its mark, and maxWindows in any case. More
	// come only where no transformer works.
	gateWindows = 16
	maxWindows  = 1000
)

// Gate says whether an exporter has room for another window of a lane. Beyond its
// high-water mark the exporter's windows wait as jobs, which are small and have
// cost Kusto nothing. Rows of backfills that wait for their transform hold up
// backfills only, and batches that the endpoint does not take while it takes those of
// other MetricsExporters hold up the windows of their own.
type Gate struct {
	backlog func(ctx context.Context, exporter string) (Backlog, error)
	states  func(ctx context.Context, exporter string) ([]schemas.ExporterState, error)
	log     *slog.Logger
	now     func() time.Time
	space   *space
	gates   map[gateKey]*gate
}

// gateKey names a gate.
type gateKey struct {
	exporter string
	lane     schemas.Lane
}

// gate is that of one exporter and lane. Each has a lock of its own, since it is held over
// a request: a stream that gives no answer must hold up nobody else.
type gate struct {
	mark uint64
	// held are the MetricsExporters whose windows wait though the gate is open. It is
	// apart from the lock: a job that was fetched is not to wait for a request.
	held atomic.Pointer[map[string]bool]

	mu       sync.Mutex
	closed   bool
	answered time.Time
	stuck    stuck
}

// NewGate returns a Gate over the high-water marks of exporters, in bytes.
func (p *Pipe) NewGate(exporters []ExporterStream) *Gate {
	g := &Gate{backlog: p.Backlog, states: p.ExporterStatesOf, log: p.log, now: time.Now, space: p.space, gates: map[gateKey]*gate{}}
	for _, e := range exporters {
		for _, lane := range schemas.Lanes {
			g.gates[gateKey{e.Name, lane}] = &gate{mark: uint64(max(e.MaxBacklogBytes, 0))}
		}
	}
	return g
}

// Takes says whether there is room for another window of one MetricsExporter, given as
// namespace/name, as of when Open was last answered about the exporter and lane.
func (g *Gate) Takes(exporter string, lane schemas.Lane, metricsExporter string) bool {
	e, ok := g.gates[gateKey{exporter, lane}]
	if !ok {
		return true
	}
	held := e.held.Load()
	return held == nil || !(*held)[metricsExporter]
}

// Open says whether the exporter has room for a window of the lane, and the disk. When the backlog cannot be
// known the last answer stands.
func (g *Gate) Open(ctx context.Context, exporter string, lane schemas.Lane) bool {
	if g.space.err() != nil {
		return false
	}
	e, ok := g.gates[gateKey{exporter, lane}]
	if !ok {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if g.now().Sub(e.answered) < gateAge {
		return !e.closed
	}
	b, err := g.backlog(ctx, exporter)
	if err == nil {
		e.learn(ctx, g, exporter, b)
	}
	e.answered = g.now() // those who waited for it need not ask again, however long it took
	if err != nil {
		return !e.closed
	}
	share := uint64(100)
	if e.closed {
		share = gateReopen
	}
	windows := b.Windows
	if lane == schemas.LaneLive {
		windows = b.LiveWindows
	}
	bytes := e.stuck.without(b)
	closed := bytes*100 > e.mark*share || bytes >= e.mark || b.Bytes*100 > e.mark*gateMost ||
		windows*100 > maxWindows*share || windows > gateWindows && b.RowBytes*100 > e.mark*share
	if closed != e.closed {
		e.closed = closed
		if closed {
			g.log.Warn("backlog is beyond its high-water mark, windows wait as jobs", "exporter", exporter, "lane", lane,
				"bytes", b.Bytes, "of_which_stuck", b.Bytes-bytes, "mark", e.mark, "windows_without_transform", windows, "row_bytes", b.RowBytes)
		} else {
			g.log.Info("backlog has come down, windows are queried again", "exporter", exporter, "lane", lane, "bytes", b.Bytes, "mark", e.mark)
		}
	}
	return !e.closed
}

// learn finds out what of a backlog is stuck, and with that whose windows wait. When it
// cannot be known the last answer stands.
func (e *gate) learn(ctx context.Context, g *Gate, exporter string, b Backlog) {
	if !stuckMatters(b.Messages, e.mark) {
		e.stuck = stuck{}
	} else if states, err := g.states(ctx, exporter); err == nil {
		e.stuck = sumStuck(states)
	}
	if b.Bytes >= e.mark || e.stuck.full(e.mark) {
		held := e.stuck.whose
		e.held.Store(&held)
	} else {
		e.held.Store(nil)
	}
}
