package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }

const (
	exporter = "data.dog"
	windows  = 12
)

var start = time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC)

func config(p *pipe.Pipe, from From) Config {
	return Config{
		Pipe: p, Grid: grid.Every(time.Minute), From: from, Rate: maxRate, Hash: []byte("hash"),
		Target: request.Target{Namespace: "ns", Name: "a", Cluster: "kusto", Exporter: exporter, Spec: []byte("{}")},
		Range:  schemas.Window{Start: start, End: start.Add(windows * time.Minute)},
	}
}

func windowID(n int) schemas.WindowID {
	at := start.Add(time.Duration(n) * time.Minute)
	return schemas.WindowID{Namespace: "ns", Name: "a", Window: schemas.Window{Start: at, End: at.Add(time.Minute)}, Generation: 1}
}

var errKilled = errors.New("killed")

// issue runs a replay until its n-th step, or to its end for 0.
func issue(t *testing.T, cfg Config, n int) (*Replay, error) {
	t.Helper()
	if n > 0 {
		cfg.probe = func() error {
			if n--; n == 0 {
				return errKilled
			}
			return nil
		}
	}
	r, err := New(cfg)
	require.NoError(t, err)
	if _, err = r.Open(t.Context()); err != nil {
		return r, err
	}
	return r, r.Issue(t.Context(), func(Progress) {})
}

// published counts the messages that are published on a subject from now on.
func published(t *testing.T, p *pipe.Pipe, subject string) func() map[string]int {
	t.Helper()
	sub, err := p.JS.Conn().SubscribeSync(subject)
	require.NoError(t, err)
	return func() map[string]int {
		require.NoError(t, p.JS.Conn().Flush())
		seen := map[string]int{}
		for {
			m, err := sub.NextMsg(time.Millisecond)
			if errors.Is(err, nats.ErrTimeout) {
				return seen
			}
			require.NoError(t, err)
			seen[m.Subject]++
		}
	}
}

// A replay that is killed at any step, and whoever goes on with it, issue each window
// once.
func TestQueryKilledAnywhere(t *testing.T) {
	for n := 1; n <= 7; n++ {
		t.Run(fmt.Sprintf("OK at step %d", n), func(t *testing.T) {
			p := pipetest.MustOpen(t, exporter)
			jobs := published(t, p, "k2o.job.>")
			planned := published(t, p, schemas.EventSubject("ns", "a", schemas.EventPlanned))
			cfg := config(p, FromQuery)
			cfg.Rate = 40 // four windows a step
			_, err := issue(t, cfg, n)
			if n <= 6 { // two a step
				require.ErrorIs(t, err, errKilled)
			}
			r, err := issue(t, cfg, 0)
			require.NoError(t, err)
			_, done := r.Done()
			require.True(t, done)
			seen := jobs()
			require.Len(t, seen, windows)
			for subject, times := range seen {
				require.Equal(t, 1, times, subject)
				require.Contains(t, subject, "k2o.job.kusto.data=2Edog.backfill.ns.a.20250625T10")
				require.True(t, strings.HasSuffix(subject, "."+r.Request()))
			}
			for _, times := range planned() {
				require.GreaterOrEqual(t, times, windows)
			}
			_, err = issue(t, cfg, 0)
			require.NoError(t, err)
			require.Empty(t, jobs(), "done is done")
		})
	}
}

// Of two who run the same replay at once, each window is issued by one.
func TestQueryTwoAtOnce(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	var mu sync.Mutex
	seen := map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	consumed := make(chan error, 1)
	go func() {
		consumed <- p.Consume(ctx, pipe.ConsumerConfig{Stage: schemas.Querier, Stream: schemas.JobsStream, Durable: "test", Filter: "k2o.job.>",
			Handle: func(_ context.Context, m *pipe.Message) error {
				mu.Lock()
				defer mu.Unlock()
				seen[m.Subject]++
				return nil
			}})
	}()
	cfg := config(p, FromQuery)
	cfg.Rate = 20
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			r, err := New(cfg)
			if err == nil {
				_, err = r.Open(t.Context())
			}
			if err == nil {
				err = r.Issue(t.Context(), func(Progress) {})
			}
			errs <- err
		}()
	}
	require.NoError(t, errors.Join(<-errs, <-errs))
	// A last job tells when all before it have come.
	_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: "k2o.job.last"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return seen["k2o.job.last"] == 1 || len(seen) == windows+1
	}, time.Minute, time.Millisecond)
	cancel()
	require.NoError(t, <-consumed)
	delete(seen, "k2o.job.last")
	require.Len(t, seen, windows)
	for subject, times := range seen {
		require.Equal(t, 1, times, subject)
	}
	states, err := (&request.Store{JS: p.JS}).List(t.Context(), "ns", "a")
	require.NoError(t, err)
	require.Len(t, states, 1)
	require.EqualValues(t, windows, states[0].Issued)
	all, err := (&request.Store{JS: p.JS}).List(t.Context(), "", "")
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func TestQueryErrors(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	_, err := issue(t, config(p, FromQuery), 1)
	require.ErrorIs(t, err, errKilled)
	cfg := config(p, FromQuery)
	cfg.Rate = 40
	_, err = issue(t, cfg, 3)
	require.ErrorIs(t, err, errKilled)
	cfg.Hash = []byte("other")
	_, err = issue(t, cfg, 0)
	require.ErrorContains(t, err, "the spec has changed since request")
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"ErrRate":   {func(c *Config) { c.Rate = 5000 }, "rate must be between 0.001 and 1000 windows a second, got 5000"},
		"ErrFrom":   {func(c *Config) { c.From = "x" }, `from must be query or send, got "x"`},
		"ErrNone":   {func(c *Config) { c.Range.End = c.Range.Start.Add(time.Second) }, "no whole window lies within 2025-06-25T10:00:00Z/2025-06-25T10:00:01Z; the one at its start is 2025-06-25T10:00:00Z/2025-06-25T10:01:00Z"},
		"ErrDelay":  {func(c *Config) { c.Delay = time.Minute; c.Now = func() time.Time { return c.Range.End } }, "end: windows up to 2025-06-25T10:11:00Z are complete, got 2025-06-25T10:12:00Z: the schedule has not come to the later ones yet"},
		"ErrHandle": {func(c *Config) { c.Request = "~x" }, `request must not have a "~", got "~x"`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(p, FromQuery)
			tt.change(&cfg)
			_, err := New(cfg)
			require.EqualError(t, err, tt.want)
		})
	}
}

// keep stores a run's batches as the transformer does, and reports them.
func keep(t *testing.T, p *pipe.Pipe, n int, run string, batches ...int) {
	t.Helper()
	id := windowID(n)
	for _, b := range batches {
		h := nats.Header{schemas.HeaderWindow: {id.String()}, schemas.HeaderLane: {"live"}, schemas.HeaderExporter: {exporter},
			schemas.HeaderRun: {run}, schemas.HeaderBatch: {strconv.Itoa(b)}, schemas.HeaderPoints: {"1"}}
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.OTLPSubject(exporter, schemas.LaneLive, "ns", "a", id.Window.Start, run, b),
			ID: fmt.Sprintf("%s/%d/0", run, b), Header: h, Data: []byte(fmt.Sprint(n, run, b))})
		require.NoError(t, err)
	}
}

func transformed(t *testing.T, p *pipe.Pipe, n int, run string, batches uint64) {
	t.Helper()
	id := windowID(n)
	require.NoError(t, p.Event(t.Context(), &wire.Event{Type: "transformed", Window: id.String(), Namespace: "ns", Name: "a", Run: run, Batches: batches, Rows: 1,
		StartUnixNano: id.Window.Start.UnixNano(), EndUnixNano: id.Window.End.UnixNano()}))
}

// copies returns the bodies that a request sent again, in order.
func copies(t *testing.T, p *pipe.Pipe, id string) (bodies []string) {
	t.Helper()
	require.NoError(t, p.Each(t.Context(), schemas.OTLPStream(exporter), pipe.Selection{}, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		if m.Headers().Get(schemas.HeaderRequest) == id {
			require.True(t, strings.HasPrefix(m.Subject(), "k2o.otlp.data=2Edog.backfill.ns.a."))
			require.Equal(t, "backfill", m.Headers().Get(schemas.HeaderLane))
			bodies = append(bodies, string(m.Data()))
		}
		return nil
	}))
	return bodies
}

func TestSend(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	keep(t, p, 0, "A", 0, 1, 2)
	transformed(t, p, 0, "A", 3)
	keep(t, p, 1, "B", 0)    // of two runs
	keep(t, p, 1, "C", 0, 1) // the later
	keep(t, p, 2, "D", 1, 2) // the oldest is gone
	keep(t, p, 3, "E", 0, 1) // the last is not there
	transformed(t, p, 3, "E", 3)
	transformed(t, p, 4, "F", 0) // had no points
	keep(t, p, 5, "G", 0)
	keep(t, p, 5, "H", 0) // the later, and not whole
	transformed(t, p, 5, "H", 2)
	for n := 6; n < windows; n++ {
		keep(t, p, n, "R"+strconv.Itoa(n), 0)
	}
	keep(t, p, windows, "outside", 0)
	want := []string{"0A0", "0A1", "0A2", "1C0", "1C1", "5G0", "6R60", "7R70", "8R80", "9R90", "10R100", "11R110"}
	for n := range 30 {
		cfg := config(p, FromSend)
		cfg.Request = fmt.Sprintf("r%d", n)
		_, err := issue(t, cfg, n)
		if n > 0 && err != nil {
			require.ErrorIs(t, err, errKilled)
		}
		r, err := issue(t, cfg, 0)
		require.NoError(t, err)
		got := copies(t, p, cfg.Request)
		require.Equal(t, want, got, "killed at step %d", n)
		require.Equal(t, []schemas.Window{windowID(2).Window, windowID(3).Window}, r.Missing())
		progress := r.Progress()
		require.Equal(t, windows, progress.Windows)
		require.Equal(t, 2, progress.Missing)
		require.Equal(t, 1, progress.Empty)
		require.Equal(t, windows, progress.Issued)
		require.False(t, progress.Ended())
	}
}

// Windows of which nothing is kept are passed many at a time, wherever it is killed.
func TestSendPassesMissing(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	for _, n := range []int{1500, 1501, 2999} {
		keep(t, p, n, "R"+strconv.Itoa(n), 0)
	}
	for n := range 6 {
		cfg := config(p, FromSend)
		cfg.Range.End = start.Add(4200 * time.Minute)
		cfg.Request = fmt.Sprintf("r%d", n)
		states := published(t, p, schemas.RequestSubject("ns", "a", cfg.Request))
		if _, err := issue(t, cfg, n); n > 0 {
			require.ErrorIs(t, err, errKilled)
		}
		r, err := issue(t, cfg, 0)
		require.NoError(t, err)
		// 0 to 999, to 1500, 1501, to 2501, to 2999, to 3999, to 4199.
		for _, times := range states() {
			require.Equal(t, 7, times)
		}
		require.Equal(t, []string{"1500R15000", "1501R15010", "2999R29990"}, copies(t, p, cfg.Request))
		progress := r.Progress()
		require.Equal(t, []int{4200, 4200, 4197}, []int{progress.Windows, progress.Issued, progress.Missing})
		require.EqualValues(t, 4197, r.state.Failed)
	}
}

// A copy that is in the stream already is not made again, though the stream has
// forgotten its id.
func TestSendFindsItsCopies(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	for n := range windows {
		keep(t, p, n, "R"+strconv.Itoa(n), 0)
	}
	cfg := config(p, FromSend)
	id := windowID(3)
	_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.OTLPSubject(exporter, schemas.LaneBackfill, "ns", "a", id.Window.Start, "R3", 0),
		Header: nats.Header{schemas.HeaderWindow: {id.String()}, schemas.HeaderLane: {"backfill"}, schemas.HeaderRun: {"R3"},
			schemas.HeaderBatch: {"0"}, schemas.HeaderRequest: {"again"}}, Data: []byte("3 R3 0")})
	require.NoError(t, err)
	cfg.Request = "again"
	_, err = issue(t, cfg, 0)
	require.NoError(t, err)
	require.Len(t, copies(t, p, "again"), windows)
}

// A replay ends when every window is exported, has failed, or is not kept.
func TestProgress(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	r, err := issue(t, config(p, FromQuery), 0)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- r.Watch(ctx) }()
	event := func(n int, kind schemas.EventType, change func(*wire.Event)) {
		id := windowID(n)
		e := &wire.Event{Type: string(kind), Window: id.String(), Namespace: "ns", Name: "a", Run: fmt.Sprint(n), Request: r.Request(),
			StartUnixNano: id.Window.Start.UnixNano(), EndUnixNano: id.Window.End.UnixNano()}
		if change != nil {
			change(e)
		}
		require.NoError(t, p.Event(t.Context(), e))
	}
	event(0, schemas.EventQueried, nil) // no rows
	event(1, schemas.EventTransformed, nil)
	event(2, schemas.EventExported, func(e *wire.Event) { e.Points = 7 }) // before it is known how many
	event(2, schemas.EventTransformed, func(e *wire.Event) { e.Batches = 2 })
	event(2, schemas.EventExported, func(e *wire.Event) { e.Points = 7 }) // twice
	event(3, schemas.EventTransformed, func(e *wire.Event) { e.Batches = 1; e.Request += schemas.AgainMark + "X" })
	event(3, schemas.EventExported, func(e *wire.Event) { e.Request += schemas.AgainMark + "X" })
	event(4, schemas.EventFailed, func(e *wire.Event) { e.Message = "no" })
	event(5, schemas.EventQueried, func(e *wire.Event) { e.Request = "" }) // the schedule's
	event(6, schemas.EventFailed, nil)
	event(6, schemas.EventQueried, nil) // put back
	require.Eventually(t, func() bool { return r.Progress().Exported == 4 && r.Progress().Failed == 1 }, time.Minute, time.Millisecond)
	require.False(t, r.Progress().Ended())
	event(2, schemas.EventExported, func(e *wire.Event) { e.Batch, e.Points = 1, 3 })
	for _, n := range []int{5, 7, 8, 9, 10, 11} {
		event(n, schemas.EventQueried, nil)
	}
	require.Eventually(t, func() bool { return r.Progress().Ended() }, time.Minute, time.Millisecond)
	require.Equal(t, Progress{Windows: windows, Issued: windows, Exported: 11, Failed: 1, Points: 10, Message: ""}, r.Progress())
	cancel()
	require.NoError(t, <-watched)
}

// TestSendRevisions has a window of which points were found to be other: they are sent
// after it, and the newest last.
func TestSendRevisions(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	revise := func(n int, run string) {
		id := windowID(n)
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: schemas.OTLPSubject(exporter, schemas.LaneBackfill, "ns", "a", id.Window.Start, run, 0),
			Header: nats.Header{schemas.HeaderWindow: {id.String()}, schemas.HeaderRun: {run}, schemas.HeaderBatch: {"0"},
				schemas.HeaderRequest: {schemas.ReconcileRequest}, schemas.HeaderRevision: {"1"}}, Data: []byte(fmt.Sprint(n, run))})
		require.NoError(t, err)
	}
	keep(t, p, 0, "A", 0, 1)
	revise(0, "R")
	revise(0, "S")
	keep(t, p, 1, "B", 0)
	revise(1, "T")
	keep(t, p, 1, "C", 0) // a replay, with everything in it
	revise(2, "U")        // of a window that is gone
	for n := 3; n < windows; n++ {
		keep(t, p, n, "W"+strconv.Itoa(n), 0)
	}
	require.NoError(t, p.Event(t.Context(), &wire.Event{Type: "transformed", Namespace: "ns", Name: "a", Run: "V", Request: schemas.ReconcileRequest, Rows: 1,
		Window: windowID(2).String(), StartUnixNano: windowID(2).Window.Start.UnixNano(), EndUnixNano: windowID(2).Window.End.UnixNano()}))
	for n, id := range []string{"r1", "r2"} { // the second finds the copies of the first
		cfg := config(p, FromSend)
		cfg.Request = id
		r, err := issue(t, cfg, 0)
		require.NoError(t, err, n)
		require.Equal(t, []string{"0A0", "0A1", "0R", "0S", "1C0"}, copies(t, p, id)[:5])
		require.Len(t, copies(t, p, id), 5+windows-3)
		require.Equal(t, []schemas.Window{windowID(2).Window}, r.Missing())
	}
}
