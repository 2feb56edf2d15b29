package request_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// What is done goes by age and by number, of each MetricsExporter for itself; what is
// not done and the newest backfill stay.
func TestPrune(t *testing.T) {
	p := pipetest.MustOpen(t)
	store := &request.Store{JS: p.JS}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	put := func(name, id, kind string, created, done int) {
		r := &wire.Request{Id: id, Namespace: "ns", Name: name, Kind: kind, NextUnixNano: 1, CreatedUnixNano: now.Add(time.Duration(created) * time.Hour).UnixNano()}
		if done != 0 {
			r.DoneUnixNano = now.Add(time.Duration(done) * time.Hour).UnixNano()
		}
		_, err := store.Advance(t.Context(), request.State{}, r, "prom", nil)
		require.NoError(t, err)
	}
	put("a", "backfill-older", request.KindBackfill, -9, -8)
	put("a", "backfill-newest", request.KindBackfill, -8, -7)
	put("a", "old", request.KindQuery, -7, -6)
	put("a", "never-done", request.KindQuery, -7, 0)
	put("a", "done-1", request.KindQuery, -4, -1)
	put("a", "done-2", request.KindSend, -3, -1)
	put("a", "done-3", request.KindQuery, -2, -1)
	put("b", "old", request.KindSend, -7, -6)
	put("b", "done", request.KindQuery, -2, -1)
	require.NoError(t, store.Prune(t.Context(), now.Add(-5*time.Hour), 2))
	ids := func(name string) []string {
		list, err := store.List(t.Context(), "ns", name)
		require.NoError(t, err)
		var ids []string
		for _, r := range list {
			ids = append(ids, r.Id)
		}
		return ids
	}
	require.Equal(t, []string{"backfill-newest", "never-done", "done-2", "done-3"}, ids("a"))
	require.Equal(t, []string{"done"}, ids("b"))
	require.NoError(t, store.Prune(t.Context(), now.Add(-5*time.Hour), 2))
	require.Len(t, ids("a"), 4)

	// One that was removed may begin anew.
	state, err := store.Read(t.Context(), "ns", "b", "old")
	require.NoError(t, err)
	require.Zero(t, state.Seq)
	put("b", "old", request.KindSend, 0, 0)
}
