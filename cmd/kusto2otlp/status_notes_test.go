package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestStatusNotes(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	require.NoError(t, statusNotes{}.write(&b))
	require.Empty(t, b.String(), "nothing to say is no line")

	n := statusNotes{
		unready: []string{"ns/a: no scheduler is running"},
		exporters: []schemas.ExporterState{{Exporter: "prom", Sender: "host-1", State: "down", Since: at, Reason: "connection refused"},
			{Exporter: "prom", Sender: "host-2", State: "up", Stuck: []schemas.Stuck{
				{MetricsExporter: "ns/a", Batches: 31, Bytes: 6138775, Since: at, Reason: "429 Too Many Requests"}}},
			{Exporter: "prom", Sender: "host-3", State: "up", Stuck: []schemas.Stuck{{MetricsExporter: "ns/b"}}}},
		requests: []request.State{
			{Request: &wire.Request{Namespace: "ns", Name: "a", Id: "may", Kind: request.KindBackfill, StartUnixNano: at.UnixNano(),
				EndUnixNano: at.Add(time.Hour).UnixNano(), Windows: 60, Issued: 7, Exported: 5, Failed: 1, CreatedUnixNano: at.UnixNano()}},
			{Request: &wire.Request{Namespace: "ns", Name: "a", Id: "r", Kind: request.KindSend, StartUnixNano: at.UnixNano(),
				EndUnixNano: at.Add(time.Hour).UnixNano(), Windows: 60, Issued: 8, CreatedUnixNano: at.UnixNano()}},
			{Request: &wire.Request{Namespace: "ns", Name: "b", Id: "june", Kind: request.KindBackfill, StartUnixNano: at.UnixNano(),
				EndUnixNano: at.Add(time.Hour).UnixNano(), Windows: 60, Issued: 60, Exported: 57, Failed: 2, Unreported: 1, DoneUnixNano: at.Add(time.Minute).UnixNano()}},
			{Request: &wire.Request{Namespace: "ns", Name: "c", Id: "july", Kind: request.KindBackfill, StartUnixNano: at.UnixNano(),
				EndUnixNano: at.Add(time.Hour).UnixNano(), Windows: 60, Issued: 3, Failed: 3, CreatedUnixNano: at.UnixNano(), Paused: "3 windows in a row failed"}},
		},
	}
	require.NoError(t, n.write(&b))
	require.Equal(t, `
not ready: ns/a: no scheduler is running
exporter prom is down since 2026-01-01 00:00:00, by host-1: connection refused
exporter prom does not take the batches of ns/a since 2026-01-01 00:00:00, by host-2: 31 wait, 5.9 MiB: 429 Too Many Requests
exporter prom did not take the batches of ns/b, by host-3, which has ended
ns/a: backfill may, 2026-01-01T00:00:00Z/2026-01-01T01:00:00Z: 7 of 60 windows issued, 5 exported, 1 failed, since 2026-01-01 00:00:00
ns/a: replay from send r, 2026-01-01T00:00:00Z/2026-01-01T01:00:00Z: 8 of 60 windows issued, since 2026-01-01 00:00:00
ns/b: backfill june, 2026-01-01T00:00:00Z/2026-01-01T01:00:00Z: 60 of 60 windows issued, 57 exported, 2 failed, 1 without a report, done at 2026-01-01 00:01:00
ns/c: backfill july, 2026-01-01T00:00:00Z/2026-01-01T01:00:00Z: 3 of 60 windows issued, 0 exported, 3 failed, since 2026-01-01 00:00:00; paused until the spec is changed: 3 windows in a row failed
`, b.String())
}
