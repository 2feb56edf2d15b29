package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }

var began = time.Date(2025, 6, 25, 9, 58, 0, 0, time.UTC)

// story makes the events of windows of one MetricsExporter.
type story struct {
	name   string
	length time.Duration
	events []*wire.Event
}

func newStory(name string) *story { return &story{name: name, length: time.Minute} }

// event adds an event of window n, a number of seconds after the window's end.
func (s *story) event(n int, kind schemas.EventType, after int, change ...func(*wire.Event)) *story {
	stage := map[schemas.EventType]schemas.Stage{
		schemas.EventPlanned: schemas.Scheduler, schemas.EventSkipped: schemas.Scheduler,
		schemas.EventTransformed: schemas.Transformer, schemas.EventExported: schemas.Sender,
	}[kind]
	if stage == "" {
		stage = schemas.Querier
	}
	w := schemas.Window{Start: began.Add(time.Duration(n) * s.length)}
	w.End = w.Start.Add(s.length)
	id := schemas.WindowID{Namespace: "ns", Name: s.name, Window: w, Generation: 1}
	e := &wire.Event{
		Type: string(kind), Stage: string(stage), AtUnixNano: w.End.Add(time.Duration(after) * time.Second).UnixNano(),
		Window: id.String(), Namespace: "ns", Name: s.name, Generation: 1,
		StartUnixNano: w.Start.UnixNano(), EndUnixNano: w.End.UnixNano(), Lane: string(schemas.LaneLive), Exporter: "prom",
	}
	if kind != schemas.EventPlanned && kind != schemas.EventSkipped {
		e.Attempt = 1
	}
	for _, c := range change {
		c(e)
	}
	s.events = append(s.events, e)
	return s
}

func run(id string) func(*wire.Event)     { return func(e *wire.Event) { e.Run = id } }
func request(id string) func(*wire.Event) { return func(e *wire.Event) { e.Request = id } }
func rows(n, batches uint64) func(*wire.Event) {
	return func(e *wire.Event) { e.Rows, e.Batches = n, batches }
}
func batch(n, points uint64) func(*wire.Event) {
	return func(e *wire.Event) { e.Batch, e.Points = n, points }
}

// letter makes a decision of an event: about what failed a number of seconds after the
// end of the first window.
func letter(after int) func(*wire.Event) {
	return func(e *wire.Event) {
		e.LetterUnixNano = began.Add(time.Minute + time.Duration(after)*time.Second).UnixNano()
	}
}
func attempt(n uint64) func(*wire.Event) { return func(e *wire.Event) { e.Attempt = n } }
func rejected(reason string, n uint64) func(*wire.Event) {
	return func(e *wire.Event) { e.Rejected = map[string]uint64{reason: n} }
}
func because(stage schemas.Stage, kind, message string) func(*wire.Event) {
	return func(e *wire.Event) { e.Stage, e.Kind, e.Message = string(stage), kind, message }
}

// export adds the events of a window that is exported in one batch.
func (s *story) export(n int) *story {
	id := run(fmt.Sprintf("run-%s-%d", s.name, n))
	return s.event(n, schemas.EventPlanned, 1).event(n, schemas.EventRunning, 2).
		event(n, schemas.EventQueried, 3, id, rows(10, 1)).
		event(n, schemas.EventTransformed, 4, id, rows(10, 1), func(e *wire.Event) { e.Points = 9 }, rejected("null_value", 1)).
		event(n, schemas.EventExported, 5, id, batch(0, 9))
}

// shuffled returns the events in another order, most of them several times.
func shuffled(events []*wire.Event, r *rand.Rand) []*wire.Event {
	var list []*wire.Event
	for _, e := range events {
		for range 1 + r.IntN(3) {
			list = append(list, e)
		}
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// records folds events without a bucket and returns their windows, and what they
// add up to.
func records(t testing.TB, now time.Time, events []*wire.Event) ([]Window, Summary) {
	t.Helper()
	chunks := map[chunkID]*wire.LedgerChunk{}
	days := map[dayID]*wire.LedgerDay{}
	for _, e := range events {
		require.NoError(t, validate(e))
		id := chunkOf(e)
		day := days[id.dayID]
		if day == nil {
			day = &wire.LedgerDay{}
			days[id.dayID] = day
		}
		if schemas.EventType(e.Type) == schemas.EventSkipped {
			applySkipped(day, e)
			continue
		}
		day.LastError = later(day.LastError, wrong(e))
		if chunks[id] == nil {
			chunks[id] = &wire.LedgerChunk{}
		}
		applyChunk(chunks[id], e)
	}
	var windows []Window
	for id, c := range chunks {
		for _, r := range c.Windows {
			windows = append(windows, newWindow(id.namespace, id.name, r))
		}
		applyDigest(days[id.dayID], digest(c, id.number, 1))
	}
	slices.SortFunc(windows, func(a, b Window) int { return a.ID.Window.Start.Compare(b.ID.Window.Start) })
	var list []*wire.LedgerDay
	for _, d := range days {
		list = append(list, d)
	}
	return windows, summarize("ns", events[0].Name, list, now)
}

// publish stores events in order.
func publish(t testing.TB, p *pipe.Pipe, events []*wire.Event) {
	t.Helper()
	publisher := p.Publisher()
	for _, e := range events {
		data, err := proto.Marshal(e)
		require.NoError(t, err)
		require.NoError(t, publisher.Add(t.Context(), pipe.Outgoing{
			Subject: schemas.EventSubject(e.Namespace, e.Name, schemas.EventType(e.Type)),
			Header:  nats.Header{schemas.HeaderWindow: {e.Window}}, Data: data,
		}))
	}
	require.NoError(t, publisher.Flush(t.Context()))
}

// folding is a folder that runs.
type folding struct {
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
}

// start runs a folder until the test ends or it is stopped.
func start(t testing.TB, cfg Config, change func(*Folder)) *folding {
	t.Helper()
	cfg.Logger = pipetest.Logger(t)
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return began.Add(3 * time.Hour) } // or all is old, and swept
	}
	f, err := New(cfg)
	require.NoError(t, err)
	if change != nil {
		change(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &folding{cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- f.Run(ctx) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *folding) stop(t testing.TB) {
	r.once.Do(func() {
		r.cancel()
		require.NoError(t, <-r.done)
	})
}

// settle waits until every event is folded and acked by the consumer of the
// bucket's epoch, and returns the epoch.
func settle(t testing.TB, p *pipe.Pipe) string {
	t.Helper()
	var epoch string
	require.Eventually(t, func() bool {
		b, err := openBucket(t.Context(), p.JS)
		if err != nil {
			return false
		}
		if epoch, err = b.readEpoch(t.Context()); err != nil || epoch == "" {
			return false
		}
		c, err := p.JS.Consumer(t.Context(), schemas.EventsStream, durablePrefix+epoch)
		if err != nil {
			return false
		}
		events, err := p.JS.Stream(t.Context(), schemas.EventsStream)
		if err != nil {
			return false
		}
		// Not by what is pending: of a consumer that is just being created that is 0.
		return c.CachedInfo().AckFloor.Stream >= events.CachedInfo().State.LastSeq
	}, 50*time.Second, 20*time.Millisecond)
	return epoch
}

// read returns what the bucket says of a MetricsExporter.
func read(t testing.TB, p *pipe.Pipe, name string, now time.Time) ([]Window, Summary) {
	t.Helper()
	r, err := OpenReader(t.Context(), p)
	require.NoError(t, err)
	var windows []Window
	for w, err := range r.Windows(t.Context(), "ns", name, Filter{}, false) {
		require.NoError(t, err)
		windows = append(windows, w)
	}
	s, err := r.Summary(t.Context(), "ns", name, now)
	require.NoError(t, err)
	return windows, s
}

// deleteBucket takes the ledger away.
func deleteBucket(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	require.NoError(t, js.DeleteKeyValue(t.Context(), schemas.LedgerBucket))
}
