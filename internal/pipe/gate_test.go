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
	g := &Gate{log: slog.New(slog.DiscardHandler), now: func() time.Time { return now },
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
}
