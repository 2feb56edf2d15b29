package pipe

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestGate(t *testing.T) {
	now := time.Unix(0, 0)
	var backlog Backlog
	var failure error
	asked := 0
	var states []schemas.ExporterState
	var unknown error
	clock := func() time.Time { return now }
	g := &Gate{log: slog.New(slog.DiscardHandler), now: clock,
		stuck: &stuck{now: clock, states: func(context.Context) ([]schemas.ExporterState, error) { return states, unknown }},
		gates: map[gateKey]*gate{{"prom", schemas.LaneLive}: {mark: 1000}, {"prom", schemas.LaneBackfill}: {mark: 1000}},
		backlog: func(context.Context, string) (Backlog, error) {
			asked++
			return backlog, failure
		}}
	open := func(bytes uint64) bool {
		now = now.Add(gateAge)
		backlog.Bytes = bytes
		return g.Open(t.Context(), "prom", schemas.LaneLive)
	}
	require.True(t, open(999))
	require.False(t, open(1000), "at the mark it closes")
	require.False(t, open(801), "and stays closed until the backlog has come well below")
	require.True(t, open(800))
	require.True(t, open(999))

	before := asked
	backlog.Bytes = 5000
	require.True(t, g.Open(t.Context(), "prom", schemas.LaneLive), "an answer is good for a while")
	require.Equal(t, before, asked)

	require.False(t, open(5000))
	failure = errors.New("no answer")
	require.False(t, open(0), "without an answer the last one stands")
	require.True(t, g.Open(t.Context(), "unknown", schemas.LaneLive))

	failure, backlog = nil, Backlog{}
	require.True(t, open(0))
	backlog.LiveWindows, backlog.RowBytes = 17, 1001
	require.False(t, open(0), "no transformer keeps up: the rows would fill the disk")
	backlog.RowBytes = 500
	require.True(t, open(0))
	backlog.LiveWindows, backlog.RowBytes = 16, 1<<40
	require.True(t, open(0), "rows of others close nobody's gate")
	backlog.LiveWindows, backlog.RowBytes = 1001, 0
	require.False(t, open(0))

	backlog.Windows, backlog.LiveWindows, backlog.RowBytes = 5000, 5, 1<<40
	require.True(t, open(0), "rows of backfills hold up no live window")
	require.False(t, g.Open(t.Context(), "prom", schemas.LaneBackfill))

	// What the endpoint does not take of one MetricsExporter is nobody else's affair.
	backlog = Backlog{Messages: 100}
	held := func(batches int, bytes uint64, key string) {
		states = []schemas.ExporterState{{Exporter: "prom", Stuck: []schemas.Stuck{{MetricsExporter: key, Batches: batches, Bytes: bytes}}},
			{Exporter: "other", Stuck: []schemas.Stuck{{MetricsExporter: "test/good", Batches: 1, Bytes: 1 << 40}}}}
		now = now.Add(stuckAge)
	}
	takes := func(key string) bool { return g.Takes("prom", schemas.LaneLive, key) }
	held(60, 499, "test/bad")
	require.True(t, open(999))
	require.True(t, takes("test/bad"))
	require.True(t, open(1001))
	require.False(t, takes("test/bad"), "beyond the mark it is")
	held(60, 500, "test/bad")
	require.True(t, open(1000), "of which 600 are stuck")
	require.False(t, takes("test/bad"), "half of the mark is what it may have")
	require.True(t, takes("test/good"))
	require.True(t, g.Takes("unknown", schemas.LaneLive, "test/bad"))
	require.True(t, open(1749))
	require.False(t, open(1751), "the stream must not run over")
	require.True(t, open(1749), "what is stuck does not drain")
	require.False(t, open(2500), "others' are at the mark")
	held(maxStuckBatches, 1, "test/bad")
	require.True(t, open(1000))
	require.False(t, takes("test/bad"), "a lane has only so many places")
	unknown = errors.New("no answer")
	held(0, 0, "test/good")
	require.True(t, open(0))
	require.False(t, takes("test/bad"), "without an answer the last one stands")
	failure, states, unknown = nil, nil, nil
	now = now.Add(stuckAge)
	require.True(t, open(0))
	require.True(t, takes("test/bad"))
}

// While one asks what is stuck, others have the last answer.
func TestStuckAsks(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s := &stuck{now: time.Now, states: func(context.Context) ([]schemas.ExporterState, error) {
		close(asked)
		<-answer
		return []schemas.ExporterState{{Exporter: "prom", Stuck: []schemas.Stuck{{MetricsExporter: "test/bad", Batches: 1}}}}, nil
	}}
	done := make(chan stuckOf)
	go func() { done <- s.get(t.Context(), "prom") }()
	<-asked
	require.Zero(t, s.get(t.Context(), "prom").batches)
	close(answer)
	require.EqualValues(t, 1, (<-done).batches)
	require.EqualValues(t, 1, s.get(t.Context(), "prom").batches)
}
