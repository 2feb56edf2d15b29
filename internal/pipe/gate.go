package pipe

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// gateAge is how long an answer about a backlog is good for.
	gateAge = time.Second

	// gateReopen is the share of the high-water mark a backlog must have come down
	// to before its exporter's windows are queried again, in percent: queries that
	// start and stop with every batch sent help nobody.
	gateReopen = 80
)

// Gate says whether an exporter has room for another window. Beyond its
// high-water mark the exporter's windows wait as jobs, which are small and have
// cost Kusto nothing.
type Gate struct {
	backlog func(ctx context.Context, exporter string) (Backlog, error)
	log     *slog.Logger
	now     func() time.Time

	mu    sync.Mutex
	gates map[string]*gate
}

type gate struct {
	mark   uint64
	closed bool
	asked  time.Time
}

// NewGate returns a Gate over the high-water marks of exporters, in bytes.
func (p *Pipe) NewGate(exporters []ExporterStream) *Gate {
	g := &Gate{backlog: p.Backlog, log: p.log, now: time.Now, gates: map[string]*gate{}}
	for _, e := range exporters {
		g.gates[e.Name] = &gate{mark: uint64(max(e.MaxBacklogBytes, 0))}
	}
	return g
}

// Open says whether the exporter has room. When the backlog cannot be known the
// last answer stands.
func (g *Gate) Open(ctx context.Context, exporter string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.gates[exporter]
	if !ok {
		return true
	}
	if now := g.now(); now.Sub(e.asked) >= gateAge {
		b, err := g.backlog(ctx, exporter)
		if err != nil {
			return !e.closed
		}
		e.asked = now
		if closed := b.Bytes >= e.mark || e.closed && b.Bytes > e.mark/100*gateReopen; closed != e.closed {
			e.closed = closed
			if closed {
				g.log.Warn("backlog is beyond its high-water mark, windows wait as jobs", "exporter", exporter, "bytes", b.Bytes, "mark", e.mark)
			} else {
				g.log.Info("backlog has come down, windows are queried again", "exporter", exporter, "bytes", b.Bytes, "mark", e.mark)
			}
		}
	}
	return !e.closed
}
