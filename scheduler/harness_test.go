package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }

// A testClock stands still until it is set.
type testClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*testTimer]struct{}
}

type testTimer struct {
	at time.Time
	c  chan time.Time
}

func newTestClock(now string) *testClock {
	return &testClock{now: instant(now), timers: map[*testTimer]struct{}{}}
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) At(t time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &testTimer{t, make(chan time.Time, 1)}
	if !t.After(c.now) {
		timer.c <- c.now
		return timer.c, func() {}
	}
	c.timers[timer] = struct{}{}
	return timer.c, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, timer)
	}
}

// advance lets time pass, and step sets the clock; timers run by time passed, so
// after a step those that wait are late, but for their being bounded.
func (c *testClock) advance(d time.Duration) { c.set(c.Now().Add(d), false) }
func (c *testClock) step(t time.Time)        { c.set(t, true) }

func (c *testClock) set(t time.Time, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
	for timer := range c.timers {
		if all || !timer.at.After(t) {
			timer.c <- t
			delete(c.timers, timer)
		}
	}
}

// A testSource declares what a test tells it to.
type testSource chan resource.Set

func (s testSource) Run(ctx context.Context, apply func(resource.Set)) error {
	for {
		select {
		case set := <-s:
			apply(set)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// spec is a valid MetricsExporter document; lines are added to its spec.
func spec(name string, lines ...string) string {
	return "apiVersion: adx-mon.azure.com/v1\nkind: MetricsExporter\nmetadata: {name: " + name + ", namespace: ns}\nspec:\n" +
		"  database: DB\n  exporter: out\n  body: T\n  transform: {valueColumn: v, timestampColumn: t, defaultMetricName: m}\n  " +
		strings.Join(lines, "\n  ") + "\n"
}

func documents(tb testing.TB, specs ...string) []resource.Document {
	tb.Helper()
	docs, problems := resource.Parse("test.yaml", []byte(strings.Join(specs, "---\n")), resource.Context{})
	require.Empty(tb, problems)
	require.Len(tb, docs, len(specs))
	return docs
}

// A stage is the stream and the clock that any number of schedulers share, and
// what was issued to it.
type stage struct {
	tb    testing.TB
	pipe  *pipe.Pipe
	clock *testClock

	mu     sync.Mutex
	issued map[string]int // jobs by window id, in batches that the server acked
	lanes  map[string]string
	order  []string
	logged []string
}

func newStage(tb testing.TB, now string) *stage {
	return &stage{tb: tb, pipe: pipetest.MustOpen(tb), clock: newTestClock(now), issued: map[string]int{}, lanes: map[string]string{}}
}

// publish is the server's, and writes down what it acked.
func (s *stage) publish(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg, opts ...jetstreamext.PublishMsgBatchOpt) (*jetstreamext.BatchAck, error) {
	ack, err := jetstreamext.PublishMsgBatch(ctx, js, messages, opts...)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range messages {
			if id := m.Header.Get(schemas.HeaderWindow); id != "" {
				s.issued[id]++
				s.lanes[id] = m.Header.Get(schemas.HeaderLane)
				s.order = append(s.order, id)
			}
		}
	}
	return ack, err
}

// A running is a scheduler that runs.
type running struct {
	*Scheduler
	stage  *stage
	source testSource
	sent   int
	cancel context.CancelFunc
	done   chan error

	mu   sync.Mutex
	cond *sync.Cond
	seen struct {
		now   time.Time
		sets  int
		sleep time.Duration
	}
	ended bool
}

// start runs a scheduler until the test ends or it is stopped.
func (s *stage) start(change func(*Config), specs ...string) *running {
	s.tb.Helper()
	return s.startWith(change, nil, specs...)
}

// startWith is start, with something in the scheduler replaced.
func (s *stage) startWith(change func(*Config), replace func(*Scheduler), specs ...string) *running {
	s.tb.Helper()
	source := make(testSource)
	cfg := Config{
		Pipe: s.pipe, Source: source, Clock: s.clock, CatchUp: 24 * time.Hour,
		Labels:     map[string]string{"region": "eastus"},
		ClusterFor: func(database string) (string, bool) { return "kusto", database == "DB" },
		Logger:     slog.New(&logHandler{stage: s}),
	}
	if change != nil {
		change(&cfg)
	}
	scheduler, err := New(cfg)
	require.NoError(s.tb, err)
	scheduler.jobs.publish = s.publish
	if replace != nil {
		replace(scheduler)
	}
	r := &running{Scheduler: scheduler, stage: s, source: source, done: make(chan error, 1)}
	r.cond = sync.NewCond(&r.mu)
	scheduler.idle = func(now time.Time, sets int, sleep time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen.now, r.seen.sets, r.seen.sleep = now, sets, sleep
		r.cond.Broadcast()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		err := scheduler.Run(ctx)
		r.mu.Lock()
		r.ended = true
		r.cond.Broadcast()
		r.mu.Unlock()
		r.done <- err
	}()
	s.tb.Cleanup(r.stop)
	if specs != nil {
		r.declare(specs...)
	}
	return r
}

// declare tells the scheduler what there is.
func (r *running) declare(specs ...string) {
	r.stage.tb.Helper()
	r.send(resource.Set{Documents: documents(r.stage.tb, specs...)})
}

func (r *running) send(set resource.Set) {
	slices.SortFunc(set.Documents, func(a, b resource.Document) int { return cmp.Compare(a.Key(), b.Key()) })
	select {
	case r.source <- set:
		r.mu.Lock()
		r.sent++
		r.mu.Unlock()
	case err := <-r.done:
		r.done <- err
	}
}

// settle waits until nothing is left to do at the clock's time, and returns how
// long the scheduler then sleeps.
func (r *running) settle() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.ended && (!r.seen.now.Equal(r.stage.clock.Now()) || r.seen.sets < r.sent) {
		r.cond.Wait()
	}
	return r.seen.sleep
}

// stop ends the scheduler and waits for it.
func (r *running) stop() {
	r.cancel()
	err := <-r.done
	r.done <- err
	if err != nil && !errors.Is(err, context.Canceled) {
		r.stage.tb.Errorf("run: %v", err)
	}
}

// windows returns what was issued, in order, as "lane start/end#generation" with
// times of the day.
func (s *stage) windows(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, id := range s.order {
		w, err := schemas.ParseWindowID(id)
		require.NoError(s.tb, err)
		if w.Name == name {
			list = append(list, fmt.Sprintf("%s %s/%s#%d", s.lanes[id], clockTime(w.Window.Start), clockTime(w.Window.End), w.Generation))
		}
	}
	return list
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05") }

// requireOnce checks that the windows of a MetricsExporter cover [start, end)
// without gap, overlap or repetition, but for what was reported as skipped; and
// that exactly these were reported as planned, and are in the stream.
func (s *stage) requireOnce(name string, start, end time.Time) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var covered []schemas.Window
	planned := map[string]bool{}
	for _, e := range s.events(schemas.EventPlanned, name) {
		planned[e.Window] = true
	}
	for id, n := range s.issued {
		w, err := schemas.ParseWindowID(id)
		require.NoError(s.tb, err)
		if w.Name != name {
			continue
		}
		require.Equal(s.tb, 1, n, "%s was issued %d times", id, n)
		require.True(s.tb, planned[id], "%s was not reported", id)
		delete(planned, id)
		covered = append(covered, w.Window)
	}
	require.Empty(s.tb, planned, "reported but not issued")
	for _, e := range s.events(schemas.EventSkipped, name) {
		w := schemas.Window{Start: time.Unix(0, e.StartUnixNano).UTC(), End: time.Unix(0, e.EndUnixNano).UTC()}
		if !slices.Contains(covered, w) { // reported twice
			covered = append(covered, w)
		}
	}
	slices.SortFunc(covered, func(a, b schemas.Window) int { return a.Start.Compare(b.Start) })
	at := start
	for _, w := range covered {
		require.Equal(s.tb, at, w.Start, "gap or overlap")
		at = w.End
	}
	require.Equal(s.tb, end, at)
}

// events returns the events of a type about a MetricsExporter, in order.
func (s *stage) events(kind schemas.EventType, name string) []*wire.Event {
	s.tb.Helper()
	var events []*wire.Event
	s.each(schemas.EventsStream, func(m *jetstream.RawStreamMsg) {
		e := new(wire.Event)
		require.NoError(s.tb, proto.Unmarshal(m.Data, e))
		if e.Type == string(kind) && e.Name == name {
			events = append(events, e)
		}
	})
	return events
}

// jobs returns the jobs that wait in the stream, in order.
func (s *stage) jobs() []*wire.WindowJob {
	s.tb.Helper()
	var jobs []*wire.WindowJob
	s.each(schemas.JobsStream, func(m *jetstream.RawStreamMsg) {
		if !strings.HasPrefix(m.Subject, "k2o.job.") {
			return
		}
		job := new(wire.WindowJob)
		require.NoError(s.tb, proto.Unmarshal(m.Data, job))
		jobs = append(jobs, job)
	})
	return jobs
}

func (s *stage) each(name string, f func(*jetstream.RawStreamMsg)) {
	s.tb.Helper()
	stream, err := s.pipe.JS.Stream(s.tb.Context(), name)
	require.NoError(s.tb, err)
	state := stream.CachedInfo().State
	if state.Msgs == 0 { // its first sequence may be 0, which is none
		return
	}
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := stream.GetMsg(s.tb.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		require.NoError(s.tb, err)
		f(m)
	}
}

// logs returns the log's lines that contain text.
func (s *stage) logs(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, l := range s.logged {
		if strings.Contains(l, text) {
			lines = append(lines, l)
		}
	}
	return lines
}

// A logHandler keeps the lines that are logged: level, message and attributes.
type logHandler struct {
	stage *stage
	attrs []slog.Attr
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}
func (h *logHandler) WithGroup(string) slog.Handler { return h }
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.stage, append(slices.Clone(h.attrs), attrs...)}
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	for _, a := range h.attrs {
		line += " " + a.String()
	}
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	h.stage.mu.Lock()
	defer h.stage.mu.Unlock()
	h.stage.logged = append(h.stage.logged, line)
	return nil
}
