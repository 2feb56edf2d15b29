package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// A backfill that is declared while the pipeline runs brings exactly the points of its
// range, beside the windows of the schedule, and says how far it is.
func TestBackfill(t *testing.T) {
	const spec = "  interval: 1s" + productionRT
	l := mustLive(t, sandbox.Config{}, map[string]string{"each": spec})
	l.wait(t, "live windows", func(events []*wire.Event) bool { return count(events, "each", schemas.EventExported, "") >= 2 })

	start := time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Minute)
	end := start.Add(time.Minute)
	l.declare(t, "each", spec+fmt.Sprintf("\n  backfill: {requestId: minute, startTime: %s, endTime: %s, maxInFlight: 4}",
		start.Format(time.RFC3339), end.Format(time.RFC3339)))
	store := &request.Store{JS: l.pipe.JS}
	var states []request.State
	require.Eventually(t, func() bool {
		var err error
		states, err = store.List(t.Context(), "test", "each")
		require.NoError(t, err)
		return len(states) == 1 && states[0].Done()
	}, time.Minute, 20*time.Millisecond)
	require.EqualValues(t, 60, states[0].Windows)
	require.EqualValues(t, 60, states[0].Issued)
	require.EqualValues(t, 60, states[0].Exported)
	require.Zero(t, states[0].Failed)
	require.Equal(t, pointsOf(directly(t, start, end)), l.endpoint.between(start, end))
	require.Eventually(t, func() bool {
		code, out, errs := run(t, "status", "--config", l.path)
		require.Zero(t, code, errs)
		return strings.Contains(out, ": 60 of 60 windows issued, 60 exported, 0 failed, done at ")
	}, time.Minute, 50*time.Millisecond, "as long as it is declared")
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Equal(t, 60, count(l.events, "each", schemas.EventPlanned, "minute"))
	for _, e := range l.events {
		if e.Request == "" {
			require.Equal(t, string(schemas.LaneLive), e.Lane, "the schedule's windows stay live")
		}
	}
}
