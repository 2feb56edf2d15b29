package pipe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// gateAge is how long an answer about a backlog is good for, and with that how
	// long windows are still queried when the mark is passed: what small ones make in
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
	stuck   *stuck
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

	mu     sync.Mutex
	closed bool
	asked  time.Time
	stuck  stuckOf
	full   bool // what waits, stuck or not, is beyond the mark
}

// NewGate returns a Gate over the high-water marks of exporters, in bytes.
func (p *Pipe) NewGate(exporters []ExporterStream) *Gate {
	g := &Gate{backlog: p.Backlog, log: p.log, now: time.Now, space: p.space, gates: map[gateKey]*gate{},
		stuck: &stuck{states: p.ExporterStates, now: time.Now}}
	for _, e := range exporters {
		for _, lane := range schemas.Lanes {
			g.gates[gateKey{e.Name, lane}] = &gate{mark: uint64(max(e.MaxBacklogBytes, 0))}
		}
	}
	return g
}

// Takes says whether there is room for another window of one MetricsExporter, given as
// namespace/name, as of when Open was last asked about the exporter and lane.
func (g *Gate) Takes(exporter string, lane schemas.Lane, metricsExporter string) bool {
	e, ok := g.gates[gateKey{exporter, lane}]
	if !ok {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.stuck.whose[metricsExporter] || !e.full && !e.stuck.full(e.mark)
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
	now := g.now()
	if now.Sub(e.asked) < gateAge {
		return !e.closed
	}
	b, err := g.backlog(ctx, exporter)
	e.asked = now
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
	e.stuck, e.full = stuckOf{}, b.Bytes >= e.mark
	if b.Messages > 0 {
		e.stuck = g.stuck.get(ctx, exporter)
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
