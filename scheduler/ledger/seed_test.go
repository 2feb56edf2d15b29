package ledger

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// A bucket that is built again knows of jobs and dead letters whose events are gone.
func TestSeed(t *testing.T) {
	p := pipetest.MustOpen(t)
	at := func(n int) schemas.WindowID {
		start := began.Add(time.Duration(n) * time.Minute)
		return schemas.WindowID{Namespace: "ns", Name: "x", Window: schemas.Window{Start: start, End: start.Add(time.Minute)}, Generation: 1}
	}
	send := func(o pipe.Outgoing) {
		_, err := p.Publish(t.Context(), o)
		require.NoError(t, err)
	}
	header := func(id schemas.WindowID, more ...string) nats.Header {
		h := nats.Header{schemas.HeaderWindow: {id.String()}, schemas.HeaderLane: {"live"}, schemas.HeaderExporter: {"prom"}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	send(pipe.Outgoing{Subject: schemas.DeadSubject(schemas.Querier, "ns", "x"), Header: header(at(0), schemas.HeaderDeadStage, "querier",
		schemas.HeaderDeadKind, "permanent", schemas.HeaderDeadReason, "no such table", schemas.HeaderDeadAt, "2025-06-25T10:00:00Z")})
	send(pipe.Outgoing{Subject: schemas.DeadSubject(schemas.Querier, "", ""), Header: nats.Header{}})
	for n := 1; n < 4; n++ {
		send(pipe.Outgoing{Subject: schemas.CursorSubject("ns", "x")})
		send(pipe.Outgoing{Subject: schemas.JobSubject("c", "prom", schemas.LaneLive, "ns", "x", at(n).Window.Start, ""), Header: header(at(n))})
	}
	start(t, Config{Pipe: p}, nil)
	settle(t, p)
	windows, sum := read(t, p, "x", began.Add(10*time.Minute))
	require.Len(t, windows, 4)
	require.Equal(t, &Error{schemas.Querier, "permanent", "no such table", began.Add(2 * time.Minute)}, windows[0].Error)
	require.Equal(t, map[State]uint64{StateFailed: 1, StatePlanned: 3, StateSkipped: 0}, sum.States)
}
