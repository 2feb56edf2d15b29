package request_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// A window that failed and is exported with the next spec is one window, exported.
func TestTracker(t *testing.T) {
	const window = "ns/a@2026-01-01T00:00:00Z/2026-01-01T00:01:00Z"
	tracker := request.NewTracker("r")
	tracker.See(&wire.Event{Type: string(schemas.EventFailed), Window: window + "#1", Request: "r", Message: "no such column"})
	require.Equal(t, request.Failed, tracker.Outcome(window+"#1"))
	tracker.See(&wire.Event{Type: string(schemas.EventExported), Window: window + "#2", Request: "r" + schemas.AgainMark + "7", Run: "b", Points: 3})
	tracker.See(&wire.Event{Type: string(schemas.EventTransformed), Window: window + "#2", Request: "r" + schemas.AgainMark + "7", Run: "b", Batches: 1})
	require.Equal(t, request.Exported, tracker.Outcome(window+"#1"))
	exported, failed, points, _ := tracker.Sum()
	require.Equal(t, []any{1, 0, uint64(3)}, []any{exported, failed, points})
	tracker.Forget(window + "#1")
	require.Equal(t, request.Pending, tracker.Outcome(window+"#2"))
}
