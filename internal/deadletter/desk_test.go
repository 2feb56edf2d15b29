package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }

const exporter = "data.dog"

var start = time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC)

func windowID(n int) schemas.WindowID {
	at := start.Add(time.Duration(n) * time.Minute)
	return schemas.WindowID{Namespace: "ns", Name: "a.b", Window: schemas.Window{Start: at, End: at.Add(time.Minute)}, Generation: 2}
}

func job(n int) *wire.WindowJob {
	id := windowID(n)
	return &wire.WindowJob{Window: id.String(), Namespace: id.Namespace, Name: id.Name, Generation: 2,
		StartUnixNano: id.Window.Start.UnixNano(), EndUnixNano: id.Window.End.UnixNano(),
		Lane: "live", Cluster: "kusto", Spec: []byte(`{"body":"T\n| take 1"}`)}
}

func mustMarshal(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	data, err := proto.Marshal(m)
	require.NoError(tb, err)
	return data
}

// The three kinds of messages that a stage can fail over, for window n.
var kinds = map[schemas.Stage]struct {
	stream, filter string
	message        func(tb testing.TB, n int) pipe.Outgoing
}{
	schemas.Querier: {schemas.JobsStream, "k2o.job.>", func(tb testing.TB, n int) pipe.Outgoing {
		return pipe.Outgoing{Subject: schemas.JobSubject("kusto", exporter, schemas.LaneLive, "ns", "a.b", windowID(n).Window.Start, ""),
			Header: schemas.JobHeader(job(n), exporter), Data: mustMarshal(tb, job(n))}
	}},
	schemas.Transformer: {schemas.RowsStream, "k2o.rows.>", func(tb testing.TB, n int) pipe.Outgoing {
		return pipe.Outgoing{Subject: schemas.RowsSubject(exporter, schemas.LaneLive, "ns", "a.b", windowID(n).Window.Start, "RUN"),
			ID: windowID(n).String(), Header: schemas.JobHeader(job(n), exporter),
			Data: mustMarshal(tb, &wire.WindowRows{Job: job(n), Run: "RUN", Rows: 3, Parts: 1,
				Last: &wire.RowBatch{Rows: 1, Columns: []*wire.Column{{Name: "v", Type: "real"}}}})}
	}},
	schemas.Sender: {schemas.OTLPStream(exporter), "k2o.otlp.>", func(tb testing.TB, n int) pipe.Outgoing {
		h := schemas.JobHeader(job(n), exporter)
		h.Set(schemas.HeaderRun, "RUN")
		h.Set(schemas.HeaderBatch, "4")
		h.Set(schemas.HeaderPoints, "2")
		h.Set(schemas.HeaderEncoding, "gzip")
		return pipe.Outgoing{Subject: schemas.OTLPSubject(exporter, schemas.LaneLive, "ns", "a.b", windowID(n).Window.Start, "RUN", 4),
			ID: fmt.Sprintf("RUN/4/%d", n), Header: h, Data: otlpBatch(tb)}
	}},
}

func otlpBatch(tb testing.TB) []byte {
	tb.Helper()
	points := make([]*metrics.NumberDataPoint, 8)
	for i := range points {
		points[i] = &metrics.NumberDataPoint{TimeUnixNano: uint64(start.UnixNano()), Value: &metrics.NumberDataPoint_AsDouble{AsDouble: 1.5},
			Attributes: []*common.KeyValue{{Key: "Service", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "web"}}}}}
	}
	data := mustMarshal(tb, &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{
			{Name: "rt", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: points}}},
			{Name: "n", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: points}}},
		}}}}}})
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, z.Close())
	return b.Bytes()
}

// consume handles the messages of a stage until the returned function is called.
func consume(tb testing.TB, p *pipe.Pipe, stage schemas.Stage, handle func(m *pipe.Message) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() {
		done <- p.Consume(ctx, pipe.ConsumerConfig{Stage: stage, Stream: kinds[stage].stream, Durable: "test", Filter: kinds[stage].filter,
			Handle: func(_ context.Context, m *pipe.Message) error { return handle(m) }})
	}()
	return func() { cancel(); require.NoError(tb, <-done) }
}

// mustBury makes dead letters of messages about n windows.
func mustBury(tb testing.TB, p *pipe.Pipe, stage schemas.Stage, n int) {
	tb.Helper()
	seen := make(chan struct{}, n)
	for i := range n {
		_, err := p.Publish(tb.Context(), kinds[stage].message(tb, i))
		require.NoError(tb, err)
	}
	stop := consume(tb, p, stage, func(*pipe.Message) error {
		seen <- struct{}{}
		return pipe.Permanent(errors.New("it cannot\nwork"))
	})
	for range n {
		<-seen
	}
	stop()
}

func events(tb testing.TB, p *pipe.Pipe, kind schemas.EventType) []*wire.Event {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	// A mark at the end, so that what is there is known to be all.
	require.NoError(tb, p.Event(ctx, &wire.Event{Type: "mark", Namespace: "x", Name: rand()}))
	var list []*wire.Event
	require.NoError(tb, p.Watch(ctx, func(e *wire.Event) {
		switch e.Type {
		case "mark":
			if e.Name == last {
				cancel()
			}
		case string(kind):
			list = append(list, e)
		}
	}))
	return list
}

var last string

func rand() string { last = nats.NewInbox(); return last }

func TestList(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	d := &Desk{Pipe: p}
	empty, err := d.List(t.Context(), Filter{})
	require.NoError(t, err)
	require.NotNil(t, empty)
	require.Empty(t, empty)

	mustBury(t, p, schemas.Querier, 2)
	mustBury(t, p, schemas.Sender, 1)
	for name, tt := range map[string]struct {
		filter Filter
		want   []uint64
	}{
		"OKAll":      {Filter{}, []uint64{1, 2, 3}},
		"OKStage":    {Filter{Stage: schemas.Sender}, []uint64{3}},
		"OKExporter": {Filter{Namespace: "ns", Name: "a.b"}, []uint64{1, 2, 3}},
		"OKOther":    {Filter{Namespace: "ns", Name: "a"}, nil},
		"OKBoth":     {Filter{Namespace: "ns", Name: "a.b", Stage: schemas.Querier}, []uint64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			letters, err := d.List(t.Context(), tt.filter)
			require.NoError(t, err)
			var ids []uint64
			for _, l := range letters {
				ids = append(ids, l.ID)
			}
			require.Equal(t, tt.want, ids)
		})
	}
	letters, err := d.List(t.Context(), Filter{Stage: schemas.Sender})
	require.NoError(t, err)
	l := letters[0]
	require.Equal(t, schemas.Sender, l.Stage)
	require.Equal(t, pipe.KindPermanent, l.Kind)
	require.Equal(t, "it cannot work", l.Reason)
	require.EqualValues(t, 1, l.Attempts)
	require.Equal(t, "ns/a.b", l.MetricsExporter())
	require.Equal(t, windowID(0).String(), l.Window)
	require.Equal(t, exporter, l.Exporter)
	require.Equal(t, len(otlpBatch(t)), l.Bytes)
	require.WithinDuration(t, time.Now(), l.At, time.Minute)
	require.Nil(t, l.Data)

	_, err = d.Get(t.Context(), 9)
	require.ErrorIs(t, err, ErrNoLetter)
	require.EqualError(t, err, "no such dead letter: 9")
	_, err = d.Get(t.Context(), 0)
	require.ErrorIs(t, err, ErrNoLetter)
}

// A message that is put back is the one that failed, on the subject where it did,
// though the stream still knows its id; a crash half way loses and doubles nothing.
func TestRetry(t *testing.T) {
	for stage, kind := range kinds {
		for crash := range 3 { // after so many steps; 0: not
			t.Run(fmt.Sprintf("OK %s crash=%d", stage, crash), func(t *testing.T) {
				p := pipetest.MustOpen(t, exporter)
				mustBury(t, p, stage, 1)
				d := &Desk{Pipe: p}
				if crash > 0 {
					killed := errors.New("killed")
					steps := 0
					d.between = func() error {
						if steps++; steps == crash {
							return killed
						}
						return nil
					}
					_, err := d.Retry(t.Context(), 1)
					require.ErrorIs(t, err, killed)
					_, err = d.Get(t.Context(), 1)
					require.NoError(t, err, "the letter is kept")
					d.between = nil
				}
				l, err := d.Retry(t.Context(), 1)
				require.NoError(t, err)
				require.EqualValues(t, 1, l.ID)
				_, err = d.Retry(t.Context(), 1)
				require.ErrorIs(t, err, ErrNoLetter)

				// A last message tells when all before it have come.
				_, err = p.Publish(t.Context(), kind.message(t, 7))
				require.NoError(t, err)
				var got []*pipe.Message
				done := make(chan struct{})
				stop := consume(t, p, stage, func(m *pipe.Message) error {
					if m.Window() == windowID(7).String() {
						close(done)
					} else {
						got = append(got, m)
					}
					return nil
				})
				<-done
				stop()
				require.Len(t, got, 1)
				want := kind.message(t, 0)
				require.Equal(t, want.Subject, got[0].Subject)
				require.Equal(t, want.Data, got[0].Data)
				for k, v := range want.Header {
					require.Equal(t, v, got[0].Header[k], k)
				}
				require.Equal(t, "1", got[0].Header.Get(schemas.HeaderVersion))
				require.Equal(t, l.At.Format(time.RFC3339Nano), got[0].Header.Get(schemas.HeaderPutBack))
				for k := range got[0].Header {
					require.NotContains(t, k, "K2o-Dead-")
				}
				retrying := events(t, p, schemas.EventRetrying)
				require.NotEmpty(t, retrying)
				require.Equal(t, "dead letter 1 was put back where it failed", retrying[0].Message)
				for _, e := range retrying {
					require.Equal(t, windowID(0).String(), e.Window)
					require.Equal(t, l.At.UnixNano(), e.LetterUnixNano, "whenever it is said, it is about the same failure")
				}
				require.Equal(t, l.At.UnixNano(), events(t, p, schemas.EventFailed)[0].AtUnixNano)
			})
		}
	}

	t.Run("OK two at once", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		mustBury(t, p, schemas.Sender, 1)
		// Both have put it back before either goes on.
		var g errgroup.Group
		var both sync.WaitGroup
		both.Add(2)
		for range 2 {
			d, steps := &Desk{Pipe: p}, 0
			d.between = func() error {
				if steps++; steps == 1 {
					both.Done()
					both.Wait()
				}
				return nil
			}
			g.Go(func() error {
				_, err := d.Retry(t.Context(), 1)
				return err
			})
		}
		require.NoError(t, g.Wait())
		s, err := p.JS.Stream(t.Context(), schemas.OTLPStream(exporter))
		require.NoError(t, err)
		require.EqualValues(t, 2, s.CachedInfo().State.Msgs, "the one that failed and the one that was put back")
	})

	t.Run("OK it fails again by a clock that is behind", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		h := kinds[schemas.Querier].message(t, 0)
		failed := time.Now().Add(time.Hour).UTC()
		letter := &Letter{ID: 1, Subject: h.Subject, Header: h.Header, Data: h.Data, At: failed}
		m, err := letter.message()
		require.NoError(t, err)
		_, err = p.JS.PublishMsg(t.Context(), m)
		require.NoError(t, err)
		stop := consume(t, p, schemas.Querier, func(*pipe.Message) error { return pipe.Permanent(errors.New("again")) })
		defer stop()
		require.Eventually(t, func() bool {
			e := events(t, p, schemas.EventFailed)
			return len(e) == 1 && e[0].AtUnixNano == failed.UnixNano()+1
		}, time.Minute, 10*time.Millisecond)
	})

	t.Run("OK it fails again", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		mustBury(t, p, schemas.Querier, 1)
		d := &Desk{Pipe: p}
		for id := range uint64(3) {
			_, err := d.Retry(t.Context(), id+1)
			require.NoError(t, err)
			seen := make(chan struct{}, 1)
			stop := consume(t, p, schemas.Querier, func(*pipe.Message) error {
				seen <- struct{}{}
				return pipe.Permanent(errors.New("again"))
			})
			<-seen
			stop()
			letters, err := d.List(t.Context(), Filter{})
			require.NoError(t, err)
			require.Len(t, letters, 1)
			require.Equal(t, id+2, letters[0].ID)
		}
	})

	t.Run("ErrNoStream", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		mustBury(t, p, schemas.Sender, 1)
		require.NoError(t, p.JS.DeleteStream(t.Context(), schemas.OTLPStream(exporter)))
		_, err := (&Desk{Pipe: p}).Retry(t.Context(), 1)
		require.ErrorContains(t, err, "retry dead letter 1: no stream takes k2o.otlp.data=2Edog.live.ns.a=2Eb.20250625T100000Z.RUN.4: ")
		require.ErrorContains(t, err, "; it is kept")
		_, err = (&Desk{Pipe: p}).Get(t.Context(), 1)
		require.NoError(t, err)
		require.Empty(t, events(t, p, schemas.EventRetrying), "nobody is told that it is under way")
	})

	t.Run("ErrFull", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		mustBury(t, p, schemas.Sender, 1)
		s, err := p.JS.Stream(t.Context(), schemas.OTLPStream(exporter))
		require.NoError(t, err)
		cfg := s.CachedInfo().Config
		cfg.MaxMsgs = 1
		_, err = p.JS.UpdateStream(t.Context(), cfg)
		require.NoError(t, err)
		_, err = (&Desk{Pipe: p}).Retry(t.Context(), 1)
		require.ErrorContains(t, err, "maximum messages exceeded")
		require.ErrorContains(t, err, "; it is kept")
		require.Empty(t, events(t, p, schemas.EventRetrying), "nobody is told that it is under way")
		cfg.MaxMsgs = -1
		_, err = p.JS.UpdateStream(t.Context(), cfg)
		require.NoError(t, err)
		_, err = (&Desk{Pipe: p}).Retry(t.Context(), 1)
		require.NoError(t, err)
	})

	t.Run("ErrSubject", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: "k2o.dead.sender._._", Header: nats.Header{schemas.HeaderDeadSubject: {"other.subject"}}})
		require.NoError(t, err)
		_, err = (&Desk{Pipe: p}).Retry(t.Context(), 1)
		require.EqualError(t, err, `retry dead letter 1: dead letter 1: header K2o-Dead-Subject is "other.subject", want the subject of a job, of rows or of an OTLP batch; it is kept`)
	})
}

func TestDrop(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	mustBury(t, p, schemas.Sender, 1)
	d := &Desk{Pipe: p}
	_, err := d.Drop(t.Context(), 1, " ")
	require.EqualError(t, err, "a reason is needed to drop a dead letter")
	killed := errors.New("killed")
	d.between = func() error { return killed }
	_, err = d.Drop(t.Context(), 1, "not needed")
	require.ErrorIs(t, err, killed)
	d.between = nil
	_, err = d.Drop(t.Context(), 1, "not needed")
	require.NoError(t, err)
	_, err = d.Drop(t.Context(), 1, "not needed")
	require.ErrorIs(t, err, ErrNoLetter)
	dropped := events(t, p, schemas.EventDropped)
	require.Len(t, dropped, 2, "before a crash and after it")
	for _, e := range dropped {
		require.Equal(t, "sender", e.Stage)
		require.Equal(t, windowID(0).String(), e.Window)
		require.Equal(t, "not needed", e.Message)
		require.Equal(t, "permanent", e.Kind)
		require.Equal(t, "RUN", e.Run)
		require.EqualValues(t, 4, e.Batch)
		require.GreaterOrEqual(t, e.LetterUnixNano, events(t, p, schemas.EventFailed)[0].AtUnixNano)
	}
}

func TestContent(t *testing.T) {
	letter := func(stage schemas.Stage, change func(o *pipe.Outgoing)) *Letter {
		o := kinds[stage].message(t, 0)
		if change != nil {
			change(&o)
		}
		return &Letter{ID: 1, Subject: o.Subject, Header: o.Header, Data: o.Data}
	}
	c := letter(schemas.Querier, nil).Content()
	require.Equal(t, windowID(0).String(), c.Job.Window)
	require.Equal(t, start, c.Job.Start)
	require.JSONEq(t, `{"body":"T\n| take 1"}`, string(c.Job.Spec))
	c = letter(schemas.Transformer, nil).Content()
	require.Equal(t, []string{"v (real)"}, c.Rows.Columns)
	require.EqualValues(t, 3, c.Rows.Rows)
	c = letter(schemas.Sender, nil).Content()
	require.Equal(t, 2, c.OTLP.Metrics)
	require.Equal(t, 16, c.OTLP.Points)
	require.Len(t, c.OTLP.Sample, samplePoints)
	require.Equal(t, `rt{Service="web"} 1.5 @2025-06-25T10:00:00Z`, c.OTLP.Sample[0])

	for _, stage := range []schemas.Stage{schemas.Querier, schemas.Transformer, schemas.Sender} {
		c := letter(stage, func(o *pipe.Outgoing) { o.Data = []byte("\xff\xff") }).Content()
		require.NotEmpty(t, c.Problem)
		_, err := json.Marshal(c)
		require.NoError(t, err)
	}
	c = letter(schemas.Transformer, func(o *pipe.Outgoing) { o.Data = nil }).Content()
	require.NotNil(t, c.Rows)
	_, err := json.Marshal(c)
	require.NoError(t, err)
	c = letter(schemas.Querier, func(o *pipe.Outgoing) { o.Data = mustMarshal(t, &wire.WindowJob{Spec: []byte("{")}) }).Content()
	_, err = json.Marshal(c)
	require.NoError(t, err)
}

// The window of a letter is queried by another job, once, whenever whoever has it done is
// killed, and nothing of the letter's message comes back.
func TestRenew(t *testing.T) {
	for _, stage := range []schemas.Stage{schemas.Querier, schemas.Transformer} {
		for crash := range 3 { // after so many steps; 0: not
			t.Run(fmt.Sprintf("OK %s crash=%d", stage, crash), func(t *testing.T) {
				p := pipetest.MustOpen(t, exporter)
				mustBury(t, p, stage, 1)
				d := &Desk{Pipe: p}
				l, err := d.Get(t.Context(), 1)
				require.NoError(t, err)
				failed, err := l.Job()
				require.NoError(t, err)
				require.True(t, proto.Equal(job(0), failed))
				mended := proto.CloneOf(failed)
				id := windowID(0)
				id.Generation++
				mended.Window, mended.Generation, mended.Lane, mended.Spec = id.String(), id.Generation, "backfill", []byte(`{"body":"T2"}`)
				if crash > 0 {
					killed := errors.New("killed")
					steps := 0
					d.between = func() error {
						if steps++; steps == crash {
							return killed
						}
						return nil
					}
					require.ErrorIs(t, d.Renew(t.Context(), l, mended, "other"), killed)
					_, err = d.Get(t.Context(), 1)
					require.NoError(t, err, "the letter is kept")
					d.between = nil
				}
				require.NoError(t, d.Renew(t.Context(), l, mended, "other"))
				_, err = d.Get(t.Context(), 1)
				require.ErrorIs(t, err, ErrNoLetter)

				s, err := p.JS.Stream(t.Context(), schemas.JobsStream)
				require.NoError(t, err)
				require.EqualValues(t, 1, s.CachedInfo().State.Msgs)
				require.EqualValues(t, s.CachedInfo().State.FirstSeq, s.CachedInfo().State.LastSeq, "it was stored once")
				m, err := p.Get(t.Context(), schemas.JobsStream, schemas.JobSubject("kusto", "other", schemas.LaneBackfill, "ns", "a.b", start, ""))
				require.NoError(t, err)
				got := new(wire.WindowJob)
				require.NoError(t, proto.Unmarshal(m.Data, got))
				require.True(t, proto.Equal(mended, got))
				require.Equal(t, id.String(), m.Header.Get(schemas.HeaderWindow))
				require.Equal(t, "other", m.Header.Get(schemas.HeaderExporter))
				require.Equal(t, "1", m.Header.Get(schemas.HeaderVersion))
				require.Equal(t, l.At.Format(time.RFC3339Nano), m.Header.Get(schemas.HeaderPutBack))
				for _, e := range events(t, p, schemas.EventRetrying) {
					require.Equal(t, "dead letter 1 is queried again, with the changed spec", e.Message)
					require.Equal(t, schemas.KindRenewed, e.Kind)
					require.Equal(t, windowID(0).String(), e.Window)
					require.Equal(t, string(stage), e.Stage)
					require.Equal(t, l.At.UnixNano(), e.LetterUnixNano)
				}
			})
		}
	}

	t.Run("ErrNoStream", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		mustBury(t, p, schemas.Transformer, 1)
		require.NoError(t, p.JS.DeleteStream(t.Context(), schemas.JobsStream))
		d := &Desk{Pipe: p}
		l, err := d.Get(t.Context(), 1)
		require.NoError(t, err)
		err = d.Renew(t.Context(), l, job(0), exporter)
		require.ErrorContains(t, err, "retry dead letter 1: no stream takes k2o.job.kusto.data=2Edog.live.ns.a=2Eb.20250625T100000Z: ")
		_, err = d.Get(t.Context(), 1)
		require.NoError(t, err)
		require.Empty(t, events(t, p, schemas.EventRetrying))
	})

	t.Run("OK no job in an OTLP batch", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		mustBury(t, p, schemas.Sender, 1)
		l, err := (&Desk{Pipe: p}).Get(t.Context(), 1)
		require.NoError(t, err)
		job, err := l.Job()
		require.NoError(t, err)
		require.Nil(t, job)
	})
}
