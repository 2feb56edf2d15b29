package pipe

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
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
		states: func(context.Context, string) ([]schemas.ExporterState, error) { return states, unknown },
		gates:  map[gateKey]*gate{{"prom", schemas.LaneLive}: {mark: 1000}, {"prom", schemas.LaneBackfill}: {mark: 1000}},
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
		states = []schemas.ExporterState{{Exporter: "prom", Stuck: []schemas.Stuck{{MetricsExporter: key, Batches: batches, Bytes: bytes}}}}
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
	require.True(t, open(300))
	require.False(t, takes("test/bad"), "without an answer the last one stands")
	backlog.Messages = 0
	require.True(t, open(0))
	require.True(t, takes("test/bad"), "nobody asks where nothing waits")

	// A bound, since what waits may be larger than the mean.
	require.False(t, stuckMatters(63, 64*schemas.MaxMessageBytes*4))
	require.True(t, stuckMatters(64, 64*schemas.MaxMessageBytes*4))
	require.True(t, stuckMatters(maxStuckBatches, 1<<50))
	require.Empty(t, sumStuck([]schemas.ExporterState{{Stuck: []schemas.Stuck{{MetricsExporter: "test/bad"}}}}).whose, "its sender has ended")
}

// An answer that is long in coming is one for all who waited, and fetched jobs do not wait.
func TestGateSlow(t *testing.T) {
	var now atomic.Int64
	var asked atomic.Int32
	answer := make(chan struct{})
	g := &Gate{log: slog.New(slog.DiscardHandler), now: func() time.Time { return time.Unix(0, now.Load()) },
		gates: map[gateKey]*gate{{"prom", schemas.LaneLive}: {mark: 1000}},
		states: func(context.Context, string) ([]schemas.ExporterState, error) {
			return []schemas.ExporterState{{Stuck: []schemas.Stuck{{MetricsExporter: "test/bad", Batches: 1, Bytes: 700}}}}, nil
		},
		backlog: func(context.Context, string) (Backlog, error) {
			asked.Add(1)
			<-answer
			now.Add(int64(2 * gateAge))
			return Backlog{Messages: 1, Bytes: 700}, nil
		}}
	takes := func() bool { return g.Takes("prom", schemas.LaneLive, "test/bad") }
	now.Store(int64(time.Hour))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { g.Open(t.Context(), "prom", schemas.LaneLive) })
	}
	require.Eventually(t, func() bool { return asked.Load() == 1 }, time.Minute, time.Millisecond)
	free := make(chan bool)
	go func() { free <- takes() }()
	select {
	case ok := <-free:
		require.True(t, ok, "nothing is known")
	case <-time.After(time.Minute):
		t.Fatal("a fetched job waits for the answer")
	}
	close(answer)
	all.Wait()
	require.EqualValues(t, 1, asked.Load())
	require.False(t, takes())
}
