package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestReplayCommandLine(t *testing.T) {
	ok := []string{"replay", "test/a", "--start", "2026-05-01", "--end", "2026-05-02"}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"replay"}, `kusto2otlp replay needs one NAMESPACE/NAME, got []`},
		{[]string{"replay", "a", "--start", "2026-05-01", "--end", "2026-05-02"}, `the MetricsExporter must be NAMESPACE/NAME, got "a"`},
		{[]string{"replay", "test/a"}, "--start is needed"},
		{[]string{"replay", "test/a", "--start", "May"}, `--start must be a time such as 2026-05-01T00:00:00Z or a date, got "May"`},
		{[]string{"replay", "test/a", "--start", "2026-05-02", "--end", "2026-05-01"}, "--start must be before --end, got 2026-05-02 and 2026-05-01"},
		{append(ok, "--from", "memory"), `--from must be query or send, got "memory"`},
		{append(ok, "--rate", "0/s"), `--rate must be between 0.001/s and 1000/s, got "0/s"`},
		{append(ok, "--rate", "5/m"), `--rate must be between 0.001/s and 1000/s, got "5/m"`},
		{append(ok, "--request", "a b"), `--request must be printable ASCII without spaces, got "a b"`},
	} {
		t.Run("Err "+strings.Join(tt.args, " "), func(t *testing.T) {
			code, out, errs := run(t, tt.args...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.True(t, strings.HasPrefix(errs, "kusto2otlp: "+tt.want+"\n"), errs)
		})
	}
}

// replayArgs replays windows of "each" from start on.
func (l *life) replayArgs(start time.Time, length time.Duration, more ...string) []string {
	return append([]string{"replay", "test/each", "--config", l.path, "--rate", "100/s",
		"--start", start.Format(time.RFC3339), "--end", start.Add(length).Format(time.RFC3339)}, more...)
}

// pointsOf are those of "each" among all of a range.
func pointsOf(all map[point]float64) map[point]float64 {
	found := map[point]float64{}
	for p, v := range all {
		if strings.HasPrefix(p.series, "each") {
			found[p] = v
		}
	}
	return found
}

func TestReplay(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	l := mustLive(t, sandbox.Config{Fault: func(r *sandbox.Request) *sandbox.Fault {
		id, _, _ := strings.Cut(r.ClientRequestID, ";")
		mu.Lock()
		defer mu.Unlock()
		asked[id]++
		return nil
	}}, map[string]string{"each": "  interval: 1s" + productionRT})
	start := time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Minute)
	const windows = 30
	length := windows * time.Second
	want := pointsOf(directly(t, start, start.Add(length)))
	require.NotEmpty(t, want)

	t.Run("OKDryRun", func(t *testing.T) {
		code, out, errs := run(t, l.replayArgs(start.Add(500*time.Millisecond).Truncate(time.Second), 3*time.Second, "--dry-run")...)
		require.Zero(t, code, errs)
		require.Equal(t, 4, strings.Count(out, "\n"))
		require.Contains(t, out, "3 windows of test/each, from query, as request replay-query-")
		require.Empty(t, l.endpoint.between(start, start.Add(length)))
	})

	t.Run("ErrNothingKept", func(t *testing.T) {
		code, _, errs := run(t, l.replayArgs(start, length, "--from", "send", "--request", "early")...)
		require.Equal(t, exitFailure, code)
		require.Contains(t, errs, "of 30 windows nothing, or not everything, is kept any more ("+
			start.Format(time.RFC3339)+"/"+start.Add(time.Second).Format(time.RFC3339))
		require.Contains(t, errs, "--from query asks Kusto for them")
	})

	t.Run("OKInterrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		done := make(chan int, 1)
		go func() { done <- execute(ctx, append(l.replayArgs(start, length), "--rate", "10/s"), &out, &errs) }()
		l.wait(t, "some windows of the replay", func(events []*wire.Event) bool {
			return slices.ContainsFunc(events, func(e *wire.Event) bool { return strings.HasPrefix(e.Request, "replay-query-") })
		})
		cancel()
		require.Equal(t, exitFailure, <-done)
		require.Contains(t, errs.String(), "kusto2otlp: interrupted; the same command goes on from here (request replay-query-")
		require.Less(t, len(l.endpoint.between(start, start.Add(length))), len(want))
	})

	t.Run("OKQuery", func(t *testing.T) {
		code, out, errs := run(t, l.replayArgs(start, length, "--wait")...)
		require.Zero(t, code, errs)
		require.Contains(t, out, "going on to replay 30 windows of test/each")
		require.Contains(t, out, fmt.Sprintf("done: 30 windows exported, %d points\n", len(want)))
		require.Equal(t, want, l.endpoint.between(start, start.Add(length)))
	})

	once := func(t *testing.T) {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for id, times := range asked {
			w, err := schemas.ParseWindowID(id)
			require.NoError(t, err)
			if w.Window.Start.Before(start.Add(length)) {
				require.Equal(t, 1, times, id)
				n++
			}
		}
		require.Equal(t, windows, n)
	}
	t.Run("OKQueryAgain", func(t *testing.T) {
		once(t)
		code, out, errs := run(t, l.replayArgs(start, length)...)
		require.Zero(t, code, errs)
		require.Contains(t, out, "nothing to do: all was issued by ")
		code, out, errs = run(t, l.replayArgs(start, length, "--wait")...)
		require.Zero(t, code, errs)
		require.Contains(t, out, "done: 30 windows exported")
		once(t)
	})

	t.Run("OKSend", func(t *testing.T) {
		before := l.endpoint.sum()
		code, out, errs := run(t, l.replayArgs(start, length, "--from", "send", "--wait")...)
		require.Zero(t, code, errs)
		require.Contains(t, out, "done: 30 windows exported")
		require.Equal(t, want, l.endpoint.between(start, start.Add(length)))
		require.Empty(t, l.endpoint.wrongNow())
		require.GreaterOrEqual(t, l.endpoint.sum()-before, len(want))
		repeats := l.endpoint.repeatsNow()
		code, _, errs = run(t, l.replayArgs(start, length, "--from", "send", "--wait")...)
		require.Zero(t, code, errs)
		require.Equal(t, repeats, l.endpoint.repeatsNow(), "the same request sends nothing twice")
		once(t)
	})

	t.Run("ErrFuture", func(t *testing.T) {
		code, _, errs := run(t, l.replayArgs(time.Now().UTC().Truncate(time.Second), time.Hour)...)
		require.Equal(t, exitFailure, code)
		require.Contains(t, errs, "end: windows up to ")
	})
	t.Run("ErrUnknown", func(t *testing.T) {
		args := l.replayArgs(start, length)
		args[1] = "test/none"
		code, _, errs := run(t, args...)
		require.Equal(t, exitFailure, code)
		require.Contains(t, errs, "no file of resources.files declares a valid MetricsExporter test/none")
	})
	t.Run("ErrOtherRange", func(t *testing.T) {
		code, _, errs := run(t, l.replayArgs(start, length+time.Second, "--from", "send", "--request", "early")...)
		require.Equal(t, exitFailure, code)
		require.Contains(t, errs, `request "early" is another one: it is for `)
	})
}

// sum is how many points came, those that came again included.
func (e *endpoint) sum() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.points) + e.repeats
}

func (e *endpoint) wrongNow() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.wrong)
}

func (e *endpoint) repeatsNow() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.repeats
}

// While a replay runs as fast as it can, the windows of the schedule are exported
// as soon after their end as without it.
func TestReplayDelaysNothing(t *testing.T) {
	l := mustLive(t, sandbox.Config{}, map[string]string{"each": "  interval: 1s" + productionRT})
	lags := func(events []*wire.Event) []time.Duration {
		var lags []time.Duration
		for _, e := range events {
			if e.Type == string(schemas.EventExported) && e.Lane == string(schemas.LaneLive) {
				lags = append(lags, time.Duration(e.AtUnixNano-e.EndUnixNano))
			}
		}
		return lags
	}
	const each = 6
	l.wait(t, "live windows", func(events []*wire.Event) bool { return len(lags(events)) > each })
	l.mu.Lock()
	quiet := lags(l.events)[1:] // the first is of before the start
	n := len(l.events)
	l.mu.Unlock()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	var out, errs bytes.Buffer
	go func() {
		start := time.Now().UTC().Add(-24 * time.Hour).Truncate(time.Hour)
		done <- execute(ctx, append(l.replayArgs(start, time.Hour), "--rate", "1000/s"), &out, &errs)
	}()
	replayed := func(events []*wire.Event) (n int) {
		for _, e := range events {
			if e.Lane == string(schemas.LaneBackfill) && e.Type == string(schemas.EventExported) {
				n++
			}
		}
		return n
	}
	l.wait(t, "live windows beside a replay", func(events []*wire.Event) bool {
		return len(lags(events[n:])) > each && replayed(events[n:]) > 10*each
	})
	cancel()
	<-done
	l.mu.Lock()
	busy, beside := lags(l.events[n:]), replayed(l.events[n:])
	l.mu.Unlock()
	t.Logf("lag of live windows: %s alone, %s beside %d replayed windows", quiet, busy, beside)
	slices.Sort(quiet)
	slices.Sort(busy)
	require.Less(t, busy[len(busy)/2], quiet[len(quiet)/2]+500*time.Millisecond)
}
