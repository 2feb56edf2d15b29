package transformer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const patience = 20 * time.Second // no test waits that long unless it fails

// harness is a Stage on a real JetStream.
type harness struct {
	testing.TB
	pipe  *pipe.Pipe
	stage *Stage
	run   int
}

func newHarness(tb testing.TB) *harness {
	h := &harness{TB: tb, pipe: pipetest.MustOpen(tb, "prom.one", "other")}
	s, err := New(Config{
		Pipe: h.pipe, Metrics: telemetry.NewMetrics(), Logger: pipetest.Logger(tb),
		Exporters: []Exporter{{Name: "prom.one", Output: Output{ServiceVersion: "1.0.0"}}, {Name: "other"}},
		Now:       func() time.Time { return epoch.Add(6 * time.Minute) },
	})
	require.NoError(tb, err)
	h.stage = s
	return h
}

// start runs the stage until the test ends.
func (h *harness) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.stage.Run(ctx) }()
	h.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.Errorf("run: %v", err)
		}
	})
}

// worker returns the worker of prom.one's live lane.
func (h *harness) worker() *worker { return h.stage.workers[0] }

// rows returns the message that makes batches visible, whose parts are stored.
func (h *harness) rows(spec *schemas.MetricsExporterSpec, batches ...answer) *wire.WindowRows {
	h.Helper()
	h.run++
	spec.Exporter = "prom.one"
	text, err := json.Marshal(spec)
	require.NoError(h, err)
	window := schemas.Window{Start: epoch, End: epoch.Add(5 * time.Minute)}
	rows := &wire.WindowRows{
		Run: fmt.Sprintf("RUN%d", h.run),
		Job: &wire.WindowJob{
			Window:    schemas.WindowID{Namespace: "monitoring", Name: "rt", Window: window, Generation: 3}.String(),
			Namespace: "monitoring", Name: "rt", Generation: 3, Lane: "live", Cluster: "telemetry", Spec: text,
			StartUnixNano: window.Start.UnixNano(), EndUnixNano: window.End.UnixNano(),
		},
	}
	for i, a := range batches {
		rows.Rows += uint64(len(a.rows))
		if i == len(batches)-1 {
			rows.Last = a.batch()
			continue
		}
		_, err := h.pipe.Publish(h.Context(), pipe.Outgoing{Subject: schemas.PartSubject(rows.Run, i), Data: a.bytes(h)})
		require.NoError(h, err)
		rows.Parts++
	}
	return rows
}

// message returns rows as the consumer gets them.
func (h *harness) message(rows *wire.WindowRows, attempt uint64) *pipe.Message {
	h.Helper()
	data, err := proto.Marshal(rows)
	require.NoError(h, err)
	header := nats.Header{}
	if rows.Job != nil {
		header = schemas.JobHeader(rows.Job, "prom.one")
	}
	return &pipe.Message{Subject: rowsSubject(rows.Run), Header: header, Data: data, Attempt: attempt}
}

func rowsSubject(run string) string {
	return schemas.RowsSubject("prom.one", schemas.LaneLive, "monitoring", "rt", epoch, run)
}

// publish makes rows visible.
func (h *harness) publish(rows *wire.WindowRows) {
	h.Helper()
	m := h.message(rows, 1)
	_, err := h.pipe.Publish(h.Context(), pipe.Outgoing{Subject: m.Subject, Header: m.Header, Data: m.Data})
	require.NoError(h, err)
}

// stored returns all messages of a stream.
func (h *harness) stored(stream string) (msgs []jetstream.Msg) {
	h.Helper()
	s, err := h.pipe.JS.Stream(h.Context(), stream)
	require.NoError(h, err)
	info, err := s.Info(h.Context())
	require.NoError(h, err)
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		raw, err := s.GetMsg(h.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		require.NoError(h, err)
		msgs = append(msgs, rawMsg{raw})
	}
	return msgs
}

// rawMsg makes a message read by its sequence one of the usual kind.
type rawMsg struct{ raw *jetstream.RawStreamMsg }

func (m rawMsg) Subject() string                           { return m.raw.Subject }
func (m rawMsg) Data() []byte                              { return m.raw.Data }
func (m rawMsg) Headers() nats.Header                      { return m.raw.Header }
func (m rawMsg) Metadata() (*jetstream.MsgMetadata, error) { return nil, errors.ErrUnsupported }
func (m rawMsg) Reply() string                             { return "" }
func (m rawMsg) Ack() error                                { return nil }
func (m rawMsg) DoubleAck(context.Context) error           { return nil }
func (m rawMsg) Nak() error                                { return nil }
func (m rawMsg) NakWithDelay(time.Duration) error          { return nil }
func (m rawMsg) InProgress() error                         { return nil }
func (m rawMsg) Term() error                               { return nil }
func (m rawMsg) TermWithReason(string) error               { return nil }

// batches returns the OTLP batches of prom.one as the sender gets them.
func (h *harness) batches() (batches []Batch) {
	h.Helper()
	for _, m := range h.stored(schemas.OTLPStream("prom.one")) {
		b := Batch{Encoding: m.Headers().Get(schemas.HeaderEncoding), Data: m.Data()}
		_, err := fmt.Sscan(m.Headers().Get(schemas.HeaderBatch)+" "+m.Headers().Get(schemas.HeaderPoints), &b.N, &b.Points)
		require.NoError(h, err)
		batches = append(batches, b)
	}
	return batches
}

// next waits for the next event of a type.
func (h *harness) events() func(kind schemas.EventType) *wire.Event {
	c, err := h.pipe.JS.OrderedConsumer(h.Context(), schemas.EventsStream, jetstream.OrderedConsumerConfig{})
	require.NoError(h, err)
	return func(kind schemas.EventType) *wire.Event {
		h.Helper()
		for {
			msg, err := c.Next(jetstream.FetchMaxWait(patience))
			require.NoError(h, err, "no %s event", kind)
			e := new(wire.Event)
			require.NoError(h, proto.Unmarshal(msg.Data(), e))
			if e.Type == string(kind) {
				return e
			}
		}
	}
}

var stageColumns = columns("name:string at:datetime v:long L:string")

// stageAnswer returns rows from, from+1, … of one series each.
func stageAnswer(from, n int) answer {
	a := answer{columns: stageColumns}
	for i := from; i < from+n; i++ {
		a.rows = append(a.rows, []any{"m", at(float64(i % 300)), i, fmt.Sprint("l", i)})
	}
	return a
}

func TestStage(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.start()
	event := h.events()

	one := stageAnswer(0, 3)
	one.rows = append(one.rows, []any{"m", nil, 9, "x"}, []any{"m", at(0), nil, "x"})
	h.publish(h.rows(gauge("L"), one))
	e := event(schemas.EventTransformed)
	require.Equal(t, uint64(epoch.Add(6*time.Minute).UnixNano()), uint64(e.AtUnixNano))
	e.AtUnixNano = 0
	want := &wire.Event{
		Type: "transformed", Stage: "transformer", Window: "monitoring/rt@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#3",
		Namespace: "monitoring", Name: "rt", Generation: 3, StartUnixNano: epoch.UnixNano(), EndUnixNano: epoch.Add(5 * time.Minute).UnixNano(),
		Lane: "live", Run: "RUN1", Exporter: "prom.one", Attempt: 1, Rows: 5, Batches: 1, Points: 3,
		Rejected: map[string]uint64{"no_timestamp": 1, "null_value": 1},
		Samples:  map[string]string{"no_timestamp": `row 4: column "at" is null`, "null_value": `row 5: column "v" is null`},
	}
	require.True(t, proto.Equal(want, e), "%v\n%v", want, e)
	require.Equal(t, []string{"m{L=l0}@0=0", "m{L=l1}@1=1", "m{L=l2}@2=2"}, points(t, h.batches()))

	msg := h.stored(schemas.OTLPStream("prom.one"))[0]
	require.Equal(t, "k2o.otlp.prom=2Eone.live.monitoring.rt.20250625T100000Z.RUN1.0", msg.Subject())
	header := msg.Headers()
	require.Regexp(t, `^RUN1/0/[0-9a-f]{8}$`, header.Get(nats.MsgIdHdr))
	for k, want := range map[string]string{
		schemas.HeaderVersion: "1", schemas.HeaderWindow: want.Window, schemas.HeaderEncoding: "gzip", schemas.HeaderPoints: "3",
		schemas.HeaderRun: "RUN1", schemas.HeaderBatch: "0", schemas.HeaderExporter: "prom.one", schemas.HeaderLane: "live", schemas.HeaderRequest: "",
	} {
		require.Equal(t, want, header.Get(k), k)
	}

	// A window of parts, one of which has a row that a later part supersedes.
	two := stageAnswer(0, 10)
	two.rows = append(two.rows, []any{"m", at(1), 77, "l1"})
	h.publish(h.rows(gauge("L"), stageAnswer(0, 5), stageAnswer(5, 5), two))
	e = event(schemas.EventTransformed)
	require.Equal(t, uint64(21), e.Rows)
	require.Equal(t, uint64(10), e.Points)
	require.Equal(t, uint64(1), e.Batches, "the first two parts have no row that is not in the third as well")
	require.Equal(t, map[string]uint64{"duplicate": 11}, e.Rejected)

	// Nothing but rejected rows, and no rows at all.
	h.publish(h.rows(gauge("L"), answer{stageColumns, [][]any{{"", at(1), 1, "a"}}}))
	e = event(schemas.EventTransformed)
	require.Equal(t, "0 batches, 0 points, 1 rows", fmt.Sprintf("%d batches, %d points, %d rows", e.Batches, e.Points, e.Rows))
	h.publish(h.rows(gauge("L")))
	require.Zero(t, event(schemas.EventTransformed).Rows)

	require.Len(t, h.batches(), 2)
	require.Eventually(t, func() bool { return len(h.stored(schemas.RowsStream)) == 0 }, patience, time.Millisecond,
		"rows or parts stay in the stream")
	require.Empty(t, h.stored(schemas.DeadStream))
}

func TestStageDeadLetters(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.start()
	event := h.events()
	null := answer{stageColumns, [][]any{{"m", at(1), nil, "a"}}}
	for _, tt := range []struct {
		name string
		rows func() *wire.WindowRows
		want string
	}{
		{"ErrMissingColumn", func() *wire.WindowRows { return h.rows(gauge("Lost"), stageAnswer(0, 1)) },
			`transform window monitoring/rt@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#3: row batch 0: transform.labelColumns[0]: the answer has no column "Lost"; it has name (string), at (datetime), v (long), L (string)`},
		{"ErrNullInLastBatch", func() *wire.WindowRows {
			spec := gauge("L")
			spec.Transform.NullValue = schemas.NullFail
			return h.rows(spec, stageAnswer(0, 9), null)
		}, `transform window monitoring/rt@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#3: row 10: column "v" is null (nullValue is fail)`},
		{"ErrRowBatch", func() *wire.WindowRows {
			r := h.rows(gauge("L"), stageAnswer(0, 2))
			r.Last.Columns[0].Indexes[1] = 7
			return r
		}, `transform window monitoring/rt@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#3: row batch 0: decode row batch: column "name": index 7 in a dictionary of 1`},
		{"ErrExporter", func() *wire.WindowRows {
			r := h.rows(gauge("L"), stageAnswer(0, 2))
			r.Job.Spec = []byte(`{"exporter":"x"}`)
			return r
		}, `rows of window monitoring/rt@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#3: spec.exporter is "x", and the subject says "prom.one"`},
		{"ErrLane", func() *wire.WindowRows {
			r := h.rows(gauge("L"), stageAnswer(0, 2))
			r.Job.Lane = "backfill"
			return r
		}, `rows of window monitoring/rt@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#3: lane is "backfill", and the subject says "live"`},
		{"ErrWindow", func() *wire.WindowRows {
			r := h.rows(gauge("L"), stageAnswer(0, 2))
			r.Job.Name = "x"
			return r
		}, `rows of window monitoring/rt@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#3: they are for monitoring/x 2025-06-25T10:00:00Z/2025-06-25T10:05:00Z`},
	} {
		h.publish(tt.rows())
		e := event(schemas.EventFailed)
		require.Equal(t, tt.want, e.Message, tt.name)
		require.Equal(t, "permanent", e.Kind, tt.name)
	}
	require.Empty(t, h.batches(), "something of a failed window was published")
	require.Eventually(t, func() bool { return len(h.stored(schemas.RowsStream)) == 1 }, patience, time.Millisecond,
		"the part of a dead letter is what stays: a retry needs it")
}

// TestDecodeVisible has messages that are none.
func TestDecodeVisible(t *testing.T) {
	t.Parallel()
	marshal := func(m *wire.WindowRows) []byte {
		data, err := proto.Marshal(m)
		require.NoError(t, err)
		return data
	}
	job := &wire.WindowJob{Window: "a/b@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#1", Namespace: "a", Name: "b", Lane: "live",
		StartUnixNano: epoch.UnixNano(), EndUnixNano: epoch.Add(5 * time.Minute).UnixNano(), Spec: []byte(`{"exporter":"e"}`)}
	good := &wire.WindowRows{Job: job, Run: "R", Parts: 3, Rows: 10, Last: &wire.RowBatch{Rows: 0}}
	t.Run("OK", func(t *testing.T) {
		v, err := decodeVisible(marshal(good), "e", "live")
		require.NoError(t, err)
		require.Equal(t, 4, v.batches)
		require.Equal(t, uint64(10), v.Rows)
		noLast := proto.CloneOf(good)
		noLast.Last = nil
		v, err = decodeVisible(marshal(noLast), "e", "live")
		require.NoError(t, err)
		require.Equal(t, 3, v.batches)
	})
	noRun, badSpec := proto.CloneOf(good), proto.CloneOf(good)
	noRun.Run, badSpec.Job.Spec = "", []byte("{")
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"ErrGarbage", []byte("\xff\xff"), "decode window rows: the message is cut or garbled"},
		{"ErrEmpty", nil, `decode window rows: window id "": no @; want <namespace>/<name>@<start>/<end>#<generation>`},
		{"ErrTwoLast", slices.Concat(marshal(good), marshal(good)), "decode window rows: two last row batches"},
		{"ErrNoRun", marshal(noRun), "rows of window a/b@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#1: they have no run"},
		{"ErrSpec", marshal(badSpec), "spec of window job a/b@2025-06-25T10:00:00Z/2025-06-25T10:05:00Z#1: unexpected end of JSON input"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeVisible(tt.data, "e", "live")
			require.EqualError(t, err, tt.want)
		})
	}
}
