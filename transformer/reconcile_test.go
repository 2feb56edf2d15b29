package transformer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kusto2otlp/kusto2otlp/internal/otlpbody"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// reconciled is a spec that reconciles.
func reconciled() *schemas.MetricsExporterSpec {
	s := gauge("L")
	s.Reconcile = &schemas.Reconcile{After: metav1.Duration{Duration: time.Hour}, Lookback: metav1.Duration{Duration: 2 * time.Hour}}
	return s
}

// lateRows are the rows of the window when it is looked at again.
func (h *harness) lateRows(batches ...answer) *wire.WindowRows {
	rows := h.rows(reconciled(), batches...)
	rows.Job.Request, rows.Job.Lane = schemas.ReconcileRequest, string(schemas.LaneBackfill)
	return rows
}

// late is the worker of prom.one's backfill lane.
func (h *harness) late() *worker { return h.stage.workers[1] }

// transform handles rows in their lane and returns the points that were published,
// and the event.
func (h *harness) transform(rows *wire.WindowRows) ([]string, *wire.Event) {
	h.Helper()
	w := h.worker()
	if rows.Job.Lane == string(schemas.LaneBackfill) {
		w = h.late()
	}
	before := len(h.batches())
	m := h.message(rows, 1)
	require.NoError(h, w.handle(h.Context(), m))
	m.Acked(h.Context())
	events := h.stored(schemas.EventsStream)
	e := decodeEvent(h, events[len(events)-1])
	return points(h, h.batches()[before:]), e
}

// deliver acks what waits for the sender, as the sender does.
func (h *harness) deliver() {
	h.Helper()
	for _, lane := range schemas.Lanes {
		c, err := h.pipe.JS.CreateOrUpdateConsumer(h.Context(), schemas.OTLPStream("prom.one"), jetstream.ConsumerConfig{
			Durable: schemas.SenderDurable("prom.one", lane), FilterSubject: schemas.OTLPFilter("prom.one", lane), AckPolicy: jetstream.AckExplicitPolicy,
		})
		require.NoError(h, err)
		batch, err := c.FetchNoWait(1000)
		require.NoError(h, err)
		for m := range batch.Messages() {
			require.NoError(h, m.DoubleAck(h.Context()))
		}
		require.NoError(h, batch.Error())
	}
}

// bury makes a dead letter of a batch, as the sender does.
func (h *harness) bury(m jetstream.Msg) {
	h.Helper()
	header := nats.Header{}
	for k, v := range m.Headers() {
		if k != nats.MsgIdHdr {
			header[k] = v
		}
	}
	_, err := h.pipe.Publish(h.Context(), pipe.Outgoing{Subject: schemas.DeadSubject(schemas.Sender, "monitoring", "rt"), Header: header, Data: m.Data()})
	require.NoError(h, err)
}

func found(e *wire.Event) string {
	return fmt.Sprintf("%d revisions, %d unchanged, %d vanished", e.Points, e.Unchanged, e.Vanished)
}

// changed is parts() with a value that changed, a row that came late, and one gone.
func changed() []answer {
	batches := parts()
	batches[1].rows[3][2] = 999
	batches[4].rows = append(batches[4].rows[:9:9], []any{"m", at(7), 5, "late"})
	return batches
}

var revisions = []string{"m{L=l13}@13=999", "m{L=late}@7=5"}

func TestReconcile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		lose []string // streams that are emptied before the window is looked at again
		all  bool     // then everything is sent again
	}{
		{"OKBoth", nil, false},
		{"OKKeptBatches", []string{schemas.PointsStream}, false},
		{"OKHashes", []string{schemas.OTLPStream("prom.one")}, false},
		{"OKNothingKnown", []string{schemas.PointsStream, schemas.OTLPStream("prom.one")}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			exported, e := h.transform(h.rows(reconciled(), parts()...))
			require.Len(t, exported, 50)
			require.False(t, e.Reconciled)
			h.deliver()
			for _, stream := range tt.lose {
				require.NoError(t, h.pipe.Purge(t.Context(), stream, ">"))
			}
			got, e := h.transform(h.lateRows(changed()...))
			require.True(t, e.Reconciled)
			if tt.all {
				require.Len(t, got, 50)
				require.Equal(t, "50 revisions, 0 unchanged, 0 vanished", found(e))
				return
			}
			require.Equal(t, revisions, got)
			require.Equal(t, "2 revisions, 48 unchanged, 1 vanished", found(e))
			require.EqualValues(t, 2, e.Batches)
			msgs := h.stored(schemas.OTLPStream("prom.one"))
			require.Equal(t, "1", msgs[len(msgs)-1].Headers().Get(schemas.HeaderRevision))
			require.Equal(t, schemas.ReconcileRequest, msgs[len(msgs)-1].Headers().Get(schemas.HeaderRequest))

			// Of several runs the last that had a point counts, and what was not sent
			// again is still known.
			h.deliver()
			got, e = h.transform(h.lateRows(changed()...))
			require.Empty(t, got)
			require.EqualValues(t, 0, e.Batches)
			require.Equal(t, "0 revisions, 50 unchanged, 1 vanished", found(e))
			got, _ = h.transform(h.lateRows(parts()...))
			require.Equal(t, []string{"m{L=l13}@13=13"}, got, "back to the first value; the row that was gone is known")
		})
	}
}

// TestReconcileAgain has the message come again, after any number of batches that were
// published before, and after everything was.
func TestReconcileAgain(t *testing.T) {
	t.Parallel()
	for _, lose := range []string{"", schemas.PointsStream, schemas.OTLPStream("prom.one")} {
		h := newHarness(t)
		h.transform(h.rows(reconciled(), parts()...))
		h.deliver()
		if lose != "" {
			require.NoError(t, h.pipe.Purge(t.Context(), lose, ">"))
		}
		rows := h.lateRows(changed()...)
		w := h.late()
		v, err := decodeVisible(h.message(rows, 1).Data, "prom.one", schemas.LaneBackfill)
		require.NoError(t, err)
		r, err := w.reconcile(t.Context(), v)
		require.NoError(t, err)
		first := true
		_, err = w.transformer.Window(Window{Spec: v.spec, Start: epoch, Rows: v.Rows, Batches: v.batches, Batch: w.source(t.Context(), v), keep: r.keep},
			func(b Batch) error {
				if !first {
					return context.Canceled
				}
				first = false
				_, err := h.pipe.Publish(t.Context(), w.outgoing(v, b))
				return err
			})
		require.ErrorIs(t, err, context.Canceled)
		before := h.batches()
		var events []string
		for attempt := range uint64(3) {
			require.NoError(t, w.handle(t.Context(), h.message(rows, attempt+2)))
			all := h.stored(schemas.EventsStream)
			events = append(events, found(decodeEvent(t, all[len(all)-1])))
		}
		require.Equal(t, slices.Repeat([]string{"2 revisions, 48 unchanged, 1 vanished"}, 3), events)
		require.Len(t, h.batches(), len(before)+1)
		all := h.batches()
		require.Equal(t, revisions, points(t, all[len(all)-2:]))
	}
}

// TestReconcileWaits has something of the window under way.
func TestReconcileWaits(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	later := func(rows *wire.WindowRows) {
		t.Helper()
		err := h.late().handle(t.Context(), h.message(rows, 1))
		kind, delay := pipe.KindOf(err)
		require.Equal(t, pipe.KindLater, kind, "%v", err)
		require.Equal(t, settleDelay, delay)
	}
	rows := h.rows(reconciled(), parts()...)
	h.publish(rows)
	late := h.lateRows(changed()...)
	later(late) // rows wait for their transform
	require.NoError(t, h.pipe.Purge(t.Context(), schemas.RowsStream, rowsSubject(rows.Run)))
	h.transform(rows)
	later(late) // no sender has run
	h.deliver()
	h.transform(h.rows(reconciled(), parts()...))
	later(late) // batches of a second run are not delivered
	h.deliver()
	got, _ := h.transform(late)
	require.Equal(t, revisions, got)

	// Of two that are late, one goes first.
	a, b := h.lateRows(parts()...), h.lateRows(parts()...)
	h.deliver()
	for _, rows := range []*wire.WindowRows{a, b} {
		m := h.message(rows, 1)
		_, err := h.pipe.Publish(t.Context(), pipe.Outgoing{Subject: schemas.RowsSubject("prom.one", schemas.LaneBackfill, "monitoring", "rt", epoch, rows.Run),
			Header: headerWithRun(m.Header, rows.Run), Data: m.Data})
		require.NoError(t, err)
	}
	later(b)
	h.transform(a)
}

// stuckAt has a sender take all that lies in prom.one's live lane and tell of what it
// delivered: all but the batch of a sequence, which is never acked.
func (h *harness) stuckAt(sequence uint64, tell func(*wire.Event)) {
	h.Helper()
	c, err := h.pipe.JS.CreateOrUpdateConsumer(h.Context(), schemas.OTLPStream("prom.one"), jetstream.ConsumerConfig{
		Durable: schemas.SenderDurable("prom.one", schemas.LaneLive), FilterSubject: schemas.OTLPFilter("prom.one", schemas.LaneLive),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour,
	})
	require.NoError(h, err)
	batch, err := c.FetchNoWait(1000)
	require.NoError(h, err)
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		require.NoError(h, err)
		if meta.Sequence.Stream == sequence {
			continue
		}
		id, err := schemas.ParseWindowID(m.Headers().Get(schemas.HeaderWindow))
		require.NoError(h, err)
		n, err := strconv.ParseUint(m.Headers().Get(schemas.HeaderBatch), 10, 64)
		require.NoError(h, err)
		e := &wire.Event{
			Type: string(schemas.EventExported), Stage: string(schemas.Sender), Namespace: id.Namespace, Name: id.Name,
			Lane: m.Headers().Get(schemas.HeaderLane), Request: m.Headers().Get(schemas.HeaderRequest),
			Run: m.Headers().Get(schemas.HeaderRun), Exporter: "prom.one", Batch: n,
		}
		if tell != nil {
			tell(e)
		}
		require.NoError(h, h.pipe.Event(h.Context(), e))
		require.NoError(h, m.DoubleAck(h.Context()))
	}
	require.NoError(h, batch.Error())
}

// TestReconcileStuck has the endpoint never take a batch: it holds up no window but its
// own.
func TestReconcileStuck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		stuck  uint64 // sequence: 1 is another window's
		passed time.Duration
		tell   func(*wire.Event)
		lose   bool // the events
		later  bool
	}{
		{name: "OK", stuck: 1, passed: time.Hour},
		{name: "OKFailed", stuck: 1, passed: time.Hour, tell: func(e *wire.Event) { e.Type = string(schemas.EventFailed) }},
		{name: "OKEventsLost", stuck: 1, passed: time.Hour, lose: true},
		{name: "ErrOwn", stuck: 3, passed: time.Hour, later: true},
		{name: "ErrJustNow", stuck: 1, passed: ackDoubt / 2, later: true},
		{name: "ErrOtherExporter", stuck: 1, passed: time.Hour, tell: func(e *wire.Event) { e.Exporter = "other" }, later: true},
		{name: "ErrOtherRun", stuck: 1, passed: time.Hour, tell: func(e *wire.Event) { e.Run = "RUN9" }, later: true},
		{name: "ErrOtherBatch", stuck: 1, passed: time.Hour, tell: func(e *wire.Event) { e.Batch += 100 }, later: true},
		{name: "ErrOtherRequest", stuck: 1, passed: time.Hour, tell: func(e *wire.Event) { e.Request = "again" }, later: true},
		{name: "ErrOtherStage", stuck: 1, passed: time.Hour, tell: func(e *wire.Event) { e.Stage = string(schemas.Querier) }, later: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			planned := func() {
				require.NoError(t, h.pipe.Event(t.Context(), &wire.Event{Type: string(schemas.EventPlanned), Namespace: "a", Name: "b"}))
			}
			planned()
			id := schemas.WindowID{Namespace: "monitoring", Name: "other", Window: schemas.Window{Start: epoch, End: epoch.Add(time.Minute)}, Generation: 1}
			_, err := h.pipe.Publish(t.Context(), pipe.Outgoing{
				Subject: schemas.OTLPSubject("prom.one", schemas.LaneLive, "monitoring", "other", epoch, "RUN0", 0),
				Header:  nats.Header{schemas.HeaderWindow: {id.String()}, schemas.HeaderRun: {"RUN0"}, schemas.HeaderBatch: {"0"}, schemas.HeaderPoints: {"0"}}})
			require.NoError(t, err)
			h.transform(h.rows(reconciled(), parts()...))
			h.stuckAt(tt.stuck, tt.tell)
			if tt.lose {
				require.NoError(t, h.pipe.Purge(t.Context(), schemas.EventsStream, ">"))
				planned()
			}
			h.stage.cfg.Now = func() time.Time { return time.Now().Add(tt.passed) }
			rows := h.lateRows(changed()...)
			if !tt.later {
				got, _ := h.transform(rows)
				require.Equal(t, revisions, got)
				return
			}
			kind, delay := pipe.KindOf(h.late().handle(t.Context(), h.message(rows, 1)))
			require.Equal(t, pipe.KindLater, kind)
			require.Equal(t, settleDelay, delay)
		})
	}
}

// asking runs something before it is looked where a consumer is.
type asking struct {
	jetstream.JetStream
	before func()
}

func (a *asking) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	if a.before != nil {
		before := a.before
		a.before = nil
		before()
	}
	return a.JetStream.Consumer(ctx, stream, name)
}

// TestReconcileRefusedMeanwhile has the endpoint refuse a batch while it is looked what
// was exported.
func TestReconcileRefusedMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.transform(h.rows(reconciled(), parts()...))
	h.pipe.JS = &asking{h.pipe.JS, func() {
		h.bury(h.stored(schemas.OTLPStream("prom.one"))[2])
		h.deliver()
	}}
	got, _ := h.transform(h.lateRows(parts()...))
	require.Len(t, got, 50)
}

// TestReconcileRefused has the endpoint refuse a batch: nothing of its run is taken
// for exported.
func TestReconcileRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.transform(h.rows(reconciled(), parts()...))
	h.deliver()
	h.bury(h.stored(schemas.OTLPStream("prom.one"))[2])
	got, _ := h.transform(h.lateRows(parts()...))
	require.Len(t, got, 50)
}

// TestReconcileDropped has somebody give up a batch that the endpoint refused: its
// points are still not there.
func TestReconcileDropped(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*wire.Event)
		want   int
	}{
		"OK":              {func(*wire.Event) {}, 50},
		"OKOtherExporter": {func(e *wire.Event) { e.Exporter = "prom.two" }, 0},
		"OKOtherWindow":   {func(e *wire.Event) { e.EndUnixNano++ }, 0},
		"OKQuery":         {func(e *wire.Event) { e.Stage = string(schemas.Querier) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			rows := h.rows(reconciled(), parts()...)
			h.transform(rows)
			h.deliver()
			e := schemas.JobEvent(rows.Job, schemas.Sender, schemas.EventDropped, time.Now())
			e.Exporter, e.Run = "prom.one", rows.Run
			tt.change(e)
			require.NoError(t, h.pipe.Event(t.Context(), e))
			got, _ := h.transform(h.lateRows(parts()...))
			require.Len(t, got, tt.want)
		})
	}
}

// TestReconcileOther has another window begin at the same time, and one of a
// MetricsExporter that does not reconcile.
func TestReconcileOther(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	rows := h.rows(reconciled(), parts()...)
	window := schemas.Window{Start: epoch, End: epoch.Add(time.Minute)}
	rows.Job.EndUnixNano = window.End.UnixNano()
	rows.Job.Window = schemas.WindowID{Namespace: "monitoring", Name: "rt", Window: window, Generation: 3}.String()
	h.transform(rows)
	h.deliver()
	got, _ := h.transform(h.lateRows(parts()...))
	require.Len(t, got, 50)

	h = newHarness(t)
	h.transform(h.rows(gauge("L"), parts()...))
	_, err := h.pipe.JS.Stream(t.Context(), schemas.PointsStream)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound, "nothing is set aside for those who do not reconcile")
	h.deliver()
	got, _ = h.transform(h.lateRows(changed()...))
	require.Equal(t, revisions, got, "reconcile came into the spec later")
}

// TestReconcileMany has a window whose hashes take several messages.
func TestReconcileMany(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var batches []answer
	for i := range 5 {
		batches = append(batches, stageAnswer(i*8000, 8000))
	}
	h.transform(h.rows(reconciled(), batches...))
	require.Len(t, h.stored(schemas.PointsStream), 2)
	h.deliver()
	require.NoError(t, h.pipe.Purge(t.Context(), schemas.OTLPStream("prom.one"), ">"))
	batches[4].rows[7999][2] = -1
	got, e := h.transform(h.lateRows(batches...))
	require.Equal(t, []string{"m{L=l39999}@99=-1"}, got)
	require.Equal(t, "1 revisions, 39999 unchanged, 0 vanished", found(e))
	ttl := h.stored(schemas.PointsStream)[0].Headers().Get("Nats-TTL")
	require.Equal(t, "3h0m0s", ttl)
	// One of them lost: what was in it is sent again.
	first := h.stored(schemas.PointsStream)[0]
	require.NoError(t, h.pipe.Purge(t.Context(), schemas.PointsStream, first.Subject()))
	h.deliver()
	got, _ = h.transform(h.lateRows(batches...))
	require.Len(t, got, chunkRecords)
}

// TestRecords shows that the rows and what was made of them give the same records,
// for every type and way in which labels are kept.
func TestRecords(t *testing.T) {
	t.Parallel()
	for _, arena := range []int{maxArena, 1} {
		for _, how := range []Compression{Gzip, Zstd, None} {
			tr, err := NewTransformer(Output{Compression: how, ResourceAttributes: map[string]string{"a": "b"}})
			require.NoError(t, err)
			tr.maxArena = arena
			a := answer{columns: columns("name:string at:datetime v:real i:long L:string M:long N:dynamic")}
			for i := range 300 {
				a.rows = append(a.rows, []any{fmt.Sprint("m", i%3), at(float64(i)), float64(i) / 3, i, fmt.Sprint("é", i%7), i % 5, fmt.Sprintf(`{"a":%d}`, i%2)})
			}
			spec := gauge("L", "M", "N")
			spec.Transform.ValueColumn, spec.Transform.ValueColumns = "", []string{"v", "i"}
			spec.Transform.Type, spec.Transform.Temporality = schemas.Sum, schemas.Cumulative
			var rows, made []pointRecord
			_, err = tr.Window(Window{Spec: spec, Start: epoch, Rows: 300, Batches: 1, Batch: func(int) ([]byte, error) { return a.bytes(t), nil },
				keep: func(p pointRecord) bool { rows = append(rows, p); return true }},
				func(b Batch) error {
					body, err := otlpbody.Unpack(b.Data, b.Encoding)
					require.NoError(t, err)
					return eachRecord(body, func(p pointRecord) { made = append(made, p) })
				})
			require.NoError(t, err)
			require.Len(t, rows, 600)
			require.ElementsMatch(t, rows, made)
		}
	}
	same := recordOf(partHash{1}, partHash{2}, 3, true, 4)
	require.NotEqual(t, same, recordOf(partHash{1}, partHash{2}, 3, false, 4))
	require.Equal(t, same.id, recordOf(partHash{1}, partHash{2}, 3, false, 4).id)
	require.Equal(t, goldenRecord, same, "records of other versions would not be understood")
}

var goldenRecord = pointRecord{0x7b242313c2432edc, 0x35a8712e95fb085f}

func decodeEvent(tb testing.TB, m jetstream.Msg) *wire.Event {
	tb.Helper()
	e := new(wire.Event)
	require.NoError(tb, proto.Unmarshal(m.Data(), e))
	return e
}

func headerWithRun(h nats.Header, run string) nats.Header {
	h.Set(schemas.HeaderRun, run)
	return h
}

func FuzzEachRecord(f *testing.F) {
	f.Add([]byte{0x0a, 0x04, 0x12, 0x02, 0x12, 0x00})
	f.Fuzz(func(_ *testing.T, data []byte) { _ = eachRecord(data, func(pointRecord) {}) })
}
