package sender

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// inFlight is how many requests to one exporter a process has under way in each
	// lane.
	inFlight = 4

	// maxAckPending is how many batches of one exporter and lane may be unacked, over
	// all processes. Those that one MetricsExporter has waiting for a retry, or set
	// aside meanwhile, count, and they must not keep those of others from being tried;
	// at the server each is a few bytes. What is fetched is bounded by inFlight.
	maxAckPending = 50_000
)

// Config is what a sender needs.
type Config struct {
	Pipe      *pipe.Pipe
	Exporters []config.Exporter
	// Version is the program's, for the User-Agent.
	Version string
	// ReplayRetention is how long delivered batches are kept while space allows.
	ReplayRetention time.Duration

	Logger  *slog.Logger
	Metrics *telemetry.Metrics
	Now     func() time.Time // nil: time.Now
}

// Stage is the sender of one process.
type Stage struct {
	Config
	endpoints []*endpoint
}

// endpoint is an exporter as both lanes share it.
type endpoint struct {
	config.Exporter
	client  client
	breaker *breaker
	watch   *watch
	// delivered is what this process delivered, and the stream still has.
	delivered *pipe.Delivered
}

// client sends one batch to an endpoint and says how many of its points it
// rejected, and why. Errors are sorted by pipe.KindOf.
type client interface {
	Send(ctx context.Context, body []byte, encoding string) (rejected int64, why string, err error)
	Close()
}

// New returns a sender; an error names the exporter whose settings cannot work.
func New(cfg Config) (*Stage, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	host, _ := os.Hostname() // only for people to read
	self := host + "-" + rand.Text()[:8]
	s := &Stage{Config: cfg}
	for _, e := range cfg.Exporters {
		c, err := newHTTPClient(e, cfg.Version)
		if err != nil {
			return nil, fmt.Errorf("exporter %q: %w", e.Name, err)
		}
		w := newWatch(s, e, self)
		w.breaker = newBreaker(e.MaxBackoff, cfg.Now, w.changed)
		s.endpoints = append(s.endpoints, &endpoint{Exporter: e, client: c, watch: w, breaker: w.breaker,
			delivered: &pipe.Delivered{}})
	}
	return s, nil
}

// Run sends until ctx ends and what was under way is finished.
func (s *Stage) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, e := range s.endpoints {
		defer e.client.Close()
		defer e.breaker.close()
		for _, lane := range schemas.Lanes {
			g.Go(func() error {
				return s.Pipe.Consume(ctx, pipe.ConsumerConfig{
					Stage:         schemas.Sender,
					Stream:        schemas.OTLPStream(e.Name),
					Durable:       schemas.SenderDurable(e.Name, lane),
					Filter:        schemas.OTLPFilter(e.Name, lane),
					Concurrency:   inFlight,
					MaxAckPending: maxAckPending,
					MaxBackoff:    e.MaxBackoff,
					Gate:          e.breaker.fetchable,
					Handle: func(work context.Context, m *pipe.Message) error {
						return s.handle(work, ctx, e, lane, m)
					},
				})
			})
		}
		g.Go(func() error { e.watch.run(ctx); return nil })
		g.Go(func() error { s.trim(ctx, e); return nil })
	}
	return g.Wait()
}

// stopDelay is after how long what a process that ends gives back is delivered
// again. At once it could go to a request of its own that it is withdrawing.
const stopDelay = 100 * time.Millisecond

// errStopping gives back a batch that waited for its turn when the process was
// told to stop: another process, or the next, has its turn.
var errStopping = pipe.Later(errors.New("the process is stopping"), stopDelay)

// errAside gives back a batch that waits for others of its MetricsExporter.
var errAside = errors.New("others of the metrics exporter are tried first")

// handle delivers one batch, when the exporter's breaker lets it, and reports it.
func (s *Stage) handle(work, running context.Context, e *endpoint, lane schemas.Lane, m *pipe.Message) error {
	b, err := parseBatch(m)
	if err != nil {
		return pipe.Permanent(err)
	}
	t := &turn{lane: lane, key: b.key(), sequence: m.Sequence, size: uint64(len(m.Data)), stored: m.Stored, recall: m.Recall()}
	for {
		switch e.breaker.acquire(running, t) {
		case verdictStop:
			return errStopping
		case verdictAside:
			return pipe.Later(errAside, t.delay)
		}
		rejected, why, err := e.client.Send(work, m.Data, m.Header.Get(schemas.HeaderEncoding))
		if err == nil {
			e.breaker.done(t, nil)
			m.AfterAck(func(context.Context) { e.delivered.Add(m) })
			return s.report(work, e, b, m, rejected, why)
		}
		err = fmt.Errorf("exporter %q: %w", e.Name, err)
		if work.Err() != nil {
			e.breaker.abandon(t)
			return err
		}
		if !e.breaker.done(t, err) {
			if t.poison {
				return pipe.Permanent(fmt.Errorf("%w (again and again, while the endpoint took others)", err))
			}
			return err
		}
		m.Retried(work, err)
	}
}

// report tells the ledger and the metrics of a batch that the endpoint accepted.
func (s *Stage) report(ctx context.Context, e *endpoint, b batch, m *pipe.Message, rejected int64, why string) error {
	now := s.Now()
	accepted := max(b.points-rejected, 0)
	event := &wire.Event{
		Type: string(schemas.EventExported), Stage: string(schemas.Sender), AtUnixNano: now.UnixNano(),
		Window: m.Window(), Namespace: b.id.Namespace, Name: b.id.Name, Generation: b.id.Generation,
		StartUnixNano: b.id.Window.Start.UnixNano(), EndUnixNano: b.id.Window.End.UnixNano(),
		Lane: b.lane, Request: m.Header.Get(schemas.HeaderRequest), Run: m.Header.Get(schemas.HeaderRun),
		Exporter: e.Name, Attempt: m.Attempt, Batch: b.number, Points: uint64(accepted),
	}
	key := b.key()
	if rejected > 0 {
		event.Rejected = map[string]uint64{ReasonEndpoint: uint64(rejected)}
		event.Samples = map[string]string{ReasonEndpoint: why}
		s.Metrics.Rejected(schemas.Sender, key, ReasonEndpoint, rejected)
		s.Logger.Warn("the endpoint took the batch but rejected points of it",
			"window", m.Window(), "metrics_exporter", key, "exporter", e.Name, "attempt", m.Attempt,
			"rejected", rejected, "points", b.points, "message", why)
	}
	var end time.Time
	if b.lane == string(schemas.LaneLive) {
		end = b.id.Window.End
	}
	if err := s.Pipe.Event(ctx, event); err != nil {
		return err // sent again: better twice at the endpoint than missing in the ledger
	}
	s.Metrics.Exported(key, e.Name, accepted, end)
	return nil
}

// ReasonEndpoint is the reason of points that the endpoint rejected out of a batch
// it otherwise accepted (OTLP's partial success).
const ReasonEndpoint = "endpoint"

// batch is what an OTLP batch's headers say of it.
type batch struct {
	id     schemas.WindowID
	lane   string
	points int64
	number uint64
}

// key is the batch's MetricsExporter, as namespace/name.
func (b batch) key() string { return b.id.Namespace + "/" + b.id.Name }

func parseBatch(m *pipe.Message) (batch, error) {
	b := batch{lane: m.Header.Get(schemas.HeaderLane)}
	var err error
	if b.id, err = schemas.ParseWindowID(m.Window()); err != nil {
		return b, fmt.Errorf("OTLP batch: %w", err)
	}
	if b.points, err = strconv.ParseInt(m.Header.Get(schemas.HeaderPoints), 10, 64); err != nil || b.points < 0 {
		return b, fmt.Errorf("OTLP batch of window %s: header %s is %q, want a number of points",
			b.id, schemas.HeaderPoints, m.Header.Get(schemas.HeaderPoints))
	}
	if b.number, err = strconv.ParseUint(m.Header.Get(schemas.HeaderBatch), 10, 64); err != nil {
		return b, fmt.Errorf("OTLP batch of window %s: header %s is %q, want the batch's number",
			b.id, schemas.HeaderBatch, m.Header.Get(schemas.HeaderBatch))
	}
	return b, nil
}

// trimEvery is how often delivered batches are looked at.
const trimEvery = 5 * time.Second

// trim makes room, until ctx ends, by removing delivered batches that are too old
// or in the way.
func (s *Stage) trim(ctx context.Context, e *endpoint) {
	t := time.NewTicker(trimEvery)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := s.Pipe.Trim(ctx, e.Name, s.Now().Add(-s.ReplayRetention), int64(e.MaxBacklogBytes), e.delivered)
		if err != nil && ctx.Err() == nil && !failing {
			s.Logger.Warn("could not remove delivered batches, trying again", "exporter", e.Name, "error", err)
		}
		failing = err != nil
	}
}
