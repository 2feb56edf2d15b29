package sender_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/sender"
)

// bad are the values of the MetricsExporter whose batches a test's endpoint refuses.
const bad = 1000

func refuseBad(status int) func(int64) int {
	return func(v int64) int {
		if v >= bad {
			return status
		}
		return 0
	}
}

// One MetricsExporter's batches are refused for ever, more of them than there are
// workers, retries and what not; those behind them arrive all the same, and in time.
func TestOneMetricsExporterIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  int
		after   string
		senders int
		hangs   bool
	}{
		{name: "OK504", status: http.StatusGatewayTimeout, senders: 1},
		{name: "OK403OfTwoSenders", status: http.StatusForbidden, senders: 2},
		{name: "OK429RetryAfter", status: http.StatusTooManyRequests, after: "3600", senders: 1},
		{name: "OKHangs", status: http.StatusGatewayTimeout, senders: 1, hangs: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const nBad, nGood = 200, 50
			p := pipetest.MustOpen(t, "prom")
			f := mustStartFlaky(t)
			f.refuse(refuseBad(tt.status))
			f.hangs = tt.hangs
			f.after.Store(tt.after)
			for i := range nBad {
				publishOf(t, p, "prom", "bad", bad+i, "gzip")
			}
			for i := range nGood {
				publishOf(t, p, "prom", "times", i, "gzip")
			}
			m := telemetry.NewMetrics()
			for range tt.senders {
				e := config.Exporter{Name: "prom", Endpoint: config.Address(f.url), Timeout: 5 * time.Second, MaxBackoff: time.Second, MaxBacklogBytes: 1 << 20}
				if tt.hangs {
					e.Timeout = time.Second
				}
				start(t, sender.Config{Pipe: p, Exporters: []config.Exporter{e}, Version: "1", ReplayRetention: time.Hour,
					Logger: pipetest.Logger(t), Metrics: m})
			}
			require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted >= nGood }, 60*time.Second, time.Millisecond)
			// From now on it is known: no more of it goes before those that come now.
			for i := range 20 {
				_, before := f.tries(bad)
				publishOf(t, p, "prom", "times", nGood+i, "gzip")
				require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted > nGood+i }, time.Minute, time.Millisecond)
				_, attempts := f.tries(bad)
				require.LessOrEqual(t, attempts-before, 40, "while one was delivered")
			}
			values, attempts := f.tries(bad)
			require.LessOrEqual(t, values, 24*tt.senders, "%d attempts: the others of it have used none", attempts)
			require.EqualValues(t, 1, up(t, m), "it is not the endpoint that is down")
			accepted, _, _ := f.counts()
			slices.Sort(accepted)
			require.Len(t, slices.Compact(accepted), nGood+20, "each once")

			require.Eventually(t, func() bool {
				b, err := p.Backlog(t.Context(), "prom")
				return err == nil && b.Messages == nBad
			}, time.Minute, time.Millisecond, "and nothing is lost")
			if tt.senders > 1 || tt.after != "" {
				return
			}
			// Somebody mends it: all arrive, those that were set aside in their order.
			f.refuse(nil)
			waitDelivered(t, p, "prom")
			accepted, _, most := f.counts()
			require.LessOrEqual(t, most, 8)
			require.Len(t, accepted, nBad)
			late := slices.DeleteFunc(slices.Clone(accepted), func(v int64) bool { return v < bad+24 })
			for i, v := range late {
				require.InDelta(t, bad+24+i, v, 16, "%v", accepted)
			}
		})
	}
}

// A batch of which the endpoint says 500 for ever becomes a dead letter once it is
// plain that it is the batch.
func TestPoisonBatch(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	f := mustStartFlaky(t)
	f.refuse(refuseBad(http.StatusInternalServerError))
	var late atomic.Int64 // the clock's
	now := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	publish(t, p, "prom", bad, "gzip")
	e := config.Exporter{Name: "prom", Endpoint: config.Address(f.url), Timeout: 5 * time.Second, MaxBackoff: 20 * time.Millisecond, MaxBacklogBytes: 1 << 20}
	start(t, sender.Config{Pipe: p, Exporters: []config.Exporter{e}, Version: "1", ReplayRetention: time.Hour,
		Logger: pipetest.Logger(t), Metrics: telemetry.NewMetrics(), Now: now})
	dead := func() bool {
		_, err := p.Get(t.Context(), schemas.DeadStream, schemas.DeadSubject(schemas.Sender, "monitoring", "times"))
		return err == nil
	}
	tries := func(n int) {
		_, before := f.tries(bad)
		require.Eventually(t, func() bool { _, now := f.tries(bad); return now >= before+n }, time.Minute, time.Millisecond)
	}
	tries(20)
	late.Add(int64(time.Hour))
	tries(20)
	require.False(t, dead(), "nothing else was accepted: it may be the endpoint")
	for i := range 10 {
		publish(t, p, "prom", i, "gzip")
	}
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted == 10 }, time.Minute, time.Millisecond)
	tries(20)
	require.False(t, dead(), "and not at once")
	for i := range 10 {
		publish(t, p, "prom", 10+i, "gzip")
	}
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted == 20 }, time.Minute, time.Millisecond)
	late.Add(int64(10 * time.Minute))
	require.Eventually(t, dead, time.Minute, time.Millisecond)
	letter, err := p.Get(t.Context(), schemas.DeadStream, schemas.DeadSubject(schemas.Sender, "monitoring", "times"))
	require.NoError(t, err)
	require.Equal(t, string(pipe.KindPermanent), letter.Header.Get(schemas.HeaderDeadKind))
	require.Equal(t, `exporter "prom": the endpoint answered 500 Internal Server Error: (no message) (again and again, while the endpoint took others)`,
		letter.Header.Get(schemas.HeaderDeadReason))
	waitDelivered(t, p, "prom")
}

// A batch that is tried for ever does not keep what was delivered after it in the
// stream, which would be full some day.
func TestStuckBatchLeavesRoom(t *testing.T) {
	const n, mark = 300, 64 << 10
	p := pipetest.MustOpen(t, "prom")
	f := mustStartFlaky(t)
	f.refuse(refuseBad(http.StatusForbidden))
	publishOf(t, p, "prom", "bad", bad, "gzip")
	for i := range n {
		publish(t, p, "prom", i, "gzip")
	}
	s, err := p.JS.Stream(t.Context(), schemas.OTLPStream("prom"))
	require.NoError(t, err)
	require.Greater(t, s.CachedInfo().State.Bytes, uint64(mark))
	e := config.Exporter{Name: "prom", Endpoint: config.Address(f.url), Timeout: 5 * time.Second, MaxBackoff: 20 * time.Millisecond, MaxBacklogBytes: mark}
	start(t, sender.Config{Pipe: p, Exporters: []config.Exporter{e}, Version: "1", ReplayRetention: time.Hour,
		Logger: pipetest.Logger(t), Metrics: telemetry.NewMetrics()})
	require.Eventually(t, func() bool { accepted, _ := f.sofar(); return accepted >= n }, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Bytes <= mark
	}, time.Minute, 10*time.Millisecond)
	accepted, _, _ := f.counts()
	require.Len(t, accepted, n)
	f.refuse(nil)
	waitDelivered(t, p, "prom")
	accepted, _, _ = f.counts()
	require.Equal(t, []int64{bad}, accepted)
}
