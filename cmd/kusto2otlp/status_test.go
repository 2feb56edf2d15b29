package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/scheduler/ledger"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestStatusCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "x"}, `the argument must be NAMESPACE/NAME, got "x"`},
		{[]string{"status", "a/b", "c/d"}, `kusto2otlp status takes one NAMESPACE/NAME, got ["a/b" "c/d"]`},
		{[]string{"status", "-o", "yaml"}, `-o must be table or json, got "yaml"`},
		{[]string{"status", "--max-lag", "10m"}, `--max-lag is for --check`},
		{[]string{"status", "--check", "--max-lag=-1s"}, `--max-lag must not be negative, got -1s`},
		{[]string{"windows"}, `kusto2otlp windows needs the NAMESPACE/NAME of a MetricsExporter`},
		{[]string{"windows", "x"}, `the argument must be NAMESPACE/NAME, got "x"`},
		{[]string{"windows", "a/b", "--state", "lost"}, `--state must be of planned, running, queried, transformed, exported, failed, skipped, got "lost"`},
		{[]string{"windows", "a/b", "--start", "soon"}, `--start must be a time such as 2026-05-01T00:00:00Z or a date, got "soon"`},
		{[]string{"windows", "a/b", "--start", "2026-05-01", "--end", "2026-05-01"}, `--start 2026-05-01 is not before --end 2026-05-01`},
		{[]string{"windows", "a/b", "--limit=-1"}, `--limit must not be negative, got -1`},
	} {
		t.Run("ErrUsage", func(t *testing.T) {
			code, out, errs := run(t, tt.args...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.Equal(t, fmt.Sprintf("kusto2otlp: %s\nkusto2otlp: run 'kusto2otlp %s --help' for how it is used\n", tt.want, tt.args[0]), errs)
		})
	}

	t.Run("ErrNotRunning", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "pipeline.yaml")
		write(t, path, "dataDir: "+dir+`/data
kusto:
  - {name: telemetry, endpoint: "http://127.0.0.1:1", databases: [TelemetryDB], auth: {type: none}}
exporters:
  - {name: prom, endpoint: "http://127.0.0.1:1/v1/metrics"}
`)
		for _, args := range [][]string{{"status"}, {"windows", "a/b"}} {
			code, out, errs := run(t, append(args, "--config", path)...)
			require.Equal(t, exitFailure, code)
			require.Empty(t, out)
			require.Equal(t, fmt.Sprintf("kusto2otlp: no pipeline runs on data directory %q: there is no nats.json in it (and nats.url is not set)\n", dir+"/data"), errs)
		}
	})
}

func statusOf(t *testing.T, l *life, args ...string) []statusJSON {
	t.Helper()
	code, out, errs := run(t, append([]string{"status", "-o", "json", "--config", l.path}, args...)...)
	require.Zero(t, code, errs)
	var list []statusJSON
	require.NoError(t, json.Unmarshal([]byte(out), &list), out)
	return list
}

func windowsOf(t *testing.T, l *life, args ...string) []windowJSON {
	t.Helper()
	code, out, errs := run(t, append([]string{"windows", "-o", "json", "--config", l.path}, args...)...)
	require.Zero(t, code, errs)
	var list []windowJSON
	require.NoError(t, json.Unmarshal([]byte(out), &list), out)
	return list
}

// One MetricsExporter works, one has a query that Kusto refuses: status and windows
// say what the endpoint has, through every real stage.
func TestStatus(t *testing.T) {
	l := mustLive(t, sandbox.Config{}, map[string]string{
		"good": "  interval: 1s" + productionRT,
		"bad":  "  interval: 1s\n  body: NoSuchTable | where Timestamp between (_startTime .. _endTime)",
	})
	// Both have had five windows. Before the first there is an error.
	count := func(name, state string) (n int) {
		_, out, _ := run(t, "windows", name, "--state", state, "-o", "json", "--config", l.path)
		var list []windowJSON
		_ = json.Unmarshal([]byte(out), &list)
		return len(list)
	}
	require.Eventually(t, func() bool { return count("test/good", "exported") >= 5 && count("test/bad", "failed") >= 5 }, time.Minute, 50*time.Millisecond)

	t.Run("OK", func(t *testing.T) {
		list := statusOf(t, l)
		require.Len(t, list, 2)
		bad, good := list[0], list[1]
		require.Equal(t, "test", good.Namespace)
		require.Equal(t, "good", good.Name)
		require.Equal(t, "prom", good.Exporter)
		require.True(t, good.Ready)
		require.Nil(t, good.LastError)
		require.WithinDuration(t, time.Now(), *good.Watermark, 30*time.Second)
		require.Less(t, good.LagSeconds, 30.0)

		require.Equal(t, "bad", bad.Name)
		require.False(t, bad.Ready)
		require.Nil(t, bad.Watermark)
		require.Equal(t, "querier", bad.LastError.Stage)
		require.Equal(t, "permanent", bad.LastError.Kind)
		require.Contains(t, bad.LastError.Message, "NoSuchTable")
	})

	t.Run("OKKeys", func(t *testing.T) {
		_, out, _ := run(t, "status", "test/bad", "-o", "json", "--config", l.path)
		var list []map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &list))
		require.ElementsMatch(t, []string{"namespace", "name", "exporter", "ready", "watermark", "lagSeconds", "backlogWindows", "backlogBytes", "lastError"}, keysOf(list[0]))
		require.ElementsMatch(t, []string{"stage", "kind", "message", "at"}, keysOf(list[0]["lastError"].(map[string]any)))
		list = nil
		_, out, _ = run(t, "windows", "test/good", "-o", "json", "--limit", "1", "--config", l.path)
		require.NoError(t, json.Unmarshal([]byte(out), &list))
		require.Len(t, list, 1)
		require.ElementsMatch(t, []string{"id", "start", "end", "lane", "state", "rows", "points", "rejected", "attempts", "error"}, keysOf(list[0]))
	})

	t.Run("OKTable", func(t *testing.T) {
		code, out, errs := run(t, "status", "--config", l.path)
		require.Zero(t, code, errs)
		lines := strings.Split(out, "\n")
		require.Regexp(t, `^METRICS EXPORTER +EXPORTER +STATE +WATERMARK \(UTC\) +LAG +BACKLOG +BYTES +GAPS +LAST ERROR$`, lines[0])
		require.Regexp(t, `^test/bad +prom +failing +- .* querier: .*NoSuchTable`, lines[1])
		require.Regexp(t, `^test/good +prom +ready +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d +\d`, lines[2])
		code, out, errs = run(t, "windows", "test/good", "--limit", "2", "--config", l.path)
		require.Zero(t, code, errs)
		require.Regexp(t, `(?m)^START \(UTC\) +END \(UTC\) +LANE +STATE +ROWS +POINTS +REJECTED +ATTEMPTS +WHY$`, out)
		require.Len(t, strings.Split(out, "\n"), 4)
	})

	t.Run("OKWindows", func(t *testing.T) {
		// The ledger agrees with the endpoint: to the point, of every exported window.
		for i, w := range windowsOf(t, l, "test/good", "--state", "exported") {
			got := l.endpoint.between(w.Start, w.End)
			good := 0
			for p := range got {
				if strings.HasPrefix(p.series, "good") {
					good++
				}
			}
			require.Len(t, got, good)
			require.EqualValues(t, good, w.Points, w.ID)
			require.LessOrEqual(t, w.Points, w.Rows)
			require.Equal(t, "exported", w.State)
			require.Empty(t, w.Error)
			require.NotNil(t, w.Rejected)
			if i == 0 {
				id, err := schemas.ParseWindowID(w.ID)
				require.NoError(t, err)
				require.Equal(t, w.Start, id.Window.Start)
			}
		}
	})

	t.Run("OKCheck", func(t *testing.T) {
		code, _, errs := run(t, "status", "test/good", "--check", "--max-lag", "10m", "--config", l.path)
		require.Zero(t, code, errs)
	})

	t.Run("ErrCheck", func(t *testing.T) {
		code, out, errs := run(t, "status", "--check", "--config", l.path)
		require.Equal(t, exitFailure, code)
		require.Contains(t, out, "test/good")
		require.Regexp(t, `^kusto2otlp: test/bad is failing: \d+ windows in a row failed, the last error is "querier: .*NoSuchTable.*\n$`, errs)
		code, _, errs = run(t, "status", "test/good", "--check", "--max-lag", "1ms", "--config", l.path)
		require.Equal(t, exitFailure, code)
		require.Regexp(t, `^kusto2otlp: test/good lags by .*s, more than --max-lag 0s\n$`, errs)
	})

	t.Run("ErrUnknown", func(t *testing.T) {
		for _, command := range []string{"status", "windows"} {
			code, out, errs := run(t, command, "test/other", "--config", l.path)
			require.Equal(t, exitFailure, code)
			require.Empty(t, out)
			require.Equal(t, "kusto2otlp: no window of test/other was issued; there are those of test/bad, test/good\n", errs)
		}
	})

	t.Run("OKGivenUp", func(t *testing.T) {
		first := windowsOf(t, l, "test/bad", "--state", "failed")[0]
		code, _, errs := run(t, "dead", "drop", "--metrics-exporter", "test/bad", "--reason", "never was such a table", "--config", l.path)
		require.Zero(t, code, errs)
		require.Eventually(t, func() bool {
			return windowsOf(t, l, "test/bad", "--state", "failed")[0].Error == "querier: given up: never was such a table"
		}, time.Minute, 50*time.Millisecond)
		require.Equal(t, first.ID, windowsOf(t, l, "test/bad", "--state", "failed")[0].ID)
	})
}

// The bucket is deleted while all runs: what was known comes back.
func TestStatusRebuilt(t *testing.T) {
	l := mustLive(t, sandbox.Config{}, map[string]string{"good": "  interval: 1s" + productionRT})
	require.Eventually(t, func() bool {
		list := statusOf(t, l)
		return len(list) == 1 && list[0].Ready
	}, time.Minute, 50*time.Millisecond)

	before := windowsOf(t, l, "test/good", "--state", "exported")
	require.NoError(t, l.pipe.JS.DeleteKeyValue(t.Context(), schemas.LedgerBucket))
	require.Eventually(t, func() bool {
		r, err := ledger.OpenReader(t.Context(), l.pipe)
		require.NoError(t, err)
		s, err := r.Summary(t.Context(), "test", "good", time.Now())
		return err == nil && s.Watermark.After(before[len(before)-1].End)
	}, time.Minute, 50*time.Millisecond)
	after := windowsOf(t, l, "test/good", "--state", "exported")
	for _, w := range before { // between them are those that were exported late
		require.Contains(t, after, w)
	}
}

func TestCheckStatus(t *testing.T) {
	late := ledger.Summary{Namespace: "ns", Name: "late", Lag: time.Hour}
	never := status{Summary: ledger.Summary{Namespace: "ns", Name: "never", Lag: time.Hour}, never: true}
	invalid := status{Summary: ledger.Summary{Namespace: "ns", Name: "invalid"}, never: true, invalid: "no such database"}
	failing := ledger.Summary{Namespace: "ns", Name: "failing", Failing: true, FailedInARow: 4,
		LastError: &ledger.Error{Stage: schemas.Querier, Message: "no such table"}}
	const tooLate = "ns/late lags by 1h, more than --max-lag 10m"
	const fails = `ns/failing is failing: 4 windows in a row failed, the last error is "querier: no such table"`
	for name, tt := range map[string]struct {
		list   []status
		name   string
		maxLag time.Duration
		want   string
	}{
		"OKNone":      {},
		"ErrNone":     {maxLag: time.Hour, want: "no window of any MetricsExporter was issued yet: is a scheduler running?"},
		"OKNoMaxLag":  {list: []status{{Summary: late}}},
		"OKSuspended": {list: []status{{Summary: late, suspended: true}}, maxLag: 10 * time.Minute},
		"OKGone":      {list: []status{{Summary: late, gone: true}, {Summary: failing, gone: true}}, maxLag: 10 * time.Minute},
		"ErrGone":     {list: []status{{Summary: failing, gone: true}}, name: "ns/failing", want: fails},
		"ErrBoth":     {list: []status{{Summary: late}, {Summary: failing}}, maxLag: 10 * time.Minute, want: tooLate + "\n" + fails},
		"OKNever":     {list: []status{never}},
		"OKNeverYet":  {list: []status{never}, maxLag: time.Hour},
		"ErrNever":    {list: []status{never}, maxLag: time.Minute, want: "ns/never was never issued a window since it was declared 1h ago, longer than --max-lag 1m"},
		"ErrInvalid":  {list: []status{invalid}, want: "ns/invalid is not scheduled: no such database"},
		"OKJust":      {list: []status{{Summary: late}}, maxLag: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkStatus(tt.list, tt.name, tt.maxLag)
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, tt.want)
			}
		})
	}
}

// What is declared, and what the ledger knows, from the nine combinations.
func TestMerge(t *testing.T) {
	now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	summary := func(name string) ledger.Summary { return ledger.Summary{Namespace: "ns", Name: name, Ready: true} }
	declared := func(name string, state schemas.DeclaredState) schemas.Declared {
		return schemas.Declared{Namespace: "ns", Name: name, Exporter: "prom", State: state, Since: now.Add(-time.Hour)}
	}
	list := merge([]ledger.Summary{summary("b"), summary("elsewhere"), summary("gone"), summary("invalid"), summary("suspended")}, nil, []schemas.Declared{
		declared("a-never", schemas.DeclaredScheduled), declared("b", schemas.DeclaredScheduled), declared("elsewhere", schemas.DeclaredElsewhere),
		declared("elsewhere-never", schemas.DeclaredElsewhere), declared("invalid", schemas.DeclaredInvalid), declared("invalid-never", schemas.DeclaredInvalid),
		declared("suspended", schemas.DeclaredSuspended), declared("suspended-never", schemas.DeclaredSuspended),
	}, told{running: true, all: true}, now)
	var got []string
	for _, s := range list {
		got = append(got, s.Name+" "+s.state())
	}
	require.Equal(t, []string{"a-never not ready", "b ready", "elsewhere gone", "gone gone", "invalid not ready", "invalid-never not ready", "suspended suspended"}, got)
	require.Equal(t, time.Hour, list[0].Lag)
	require.Equal(t, "prom", list[0].Exporter)
	require.Equal(t, "2026-01-01 00:00:00 scheduler: it was never issued a window since it was declared", list[0].lastError())
	ready := func(told told) string {
		s := merge([]ledger.Summary{summary("x")}, nil, nil, told, now)[0]
		require.False(t, s.Ready)
		return s.state() + ": " + s.unready
	}
	require.Equal(t, "not ready: no scheduler is running", ready(told{}))
	require.Equal(t, "not ready: no running scheduler has it", ready(told{running: true}))
}

// A MetricsExporter without windows, and a document that is wrong, are missed.
func TestStatusDeclared(t *testing.T) {
	l := mustLive(t, sandbox.Config{}, map[string]string{
		"good":      "  interval: 1s" + productionRT,
		"wrong":     "  interval: soon" + productionRT,
		"suspended": "  interval: 1s\n  suspend: true" + productionRT,
		"elsewhere": "  interval: 1s\n  criteria: {region: [mars]}" + productionRT,
	})
	// What a scheduler of another machine has, that cannot issue what it should.
	_, err := l.pipe.Declare(t.Context(), schemas.Declaration{Scheduler: "other", MetricsExporters: []schemas.Declared{
		{Namespace: "test", Name: "late", Exporter: "prom", State: schemas.DeclaredScheduled, Since: time.Now().Add(-time.Hour)},
	}}, 0)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		list := statusOf(t, l)
		return len(list) == 2 && list[0].Ready
	}, time.Minute, 50*time.Millisecond)
	list := statusOf(t, l, "test/late")
	require.Len(t, list, 1)
	require.Equal(t, "it was never issued a window since it was declared", list[0].LastError.Message)
	require.False(t, list[0].Ready)
	require.Nil(t, list[0].Watermark)

	code, out, errs := run(t, "status", "--check", "--config", l.path)
	require.Equal(t, exitFailure, code)
	require.Contains(t, out, "invalid: ")
	require.Regexp(t, `^kusto2otlp: invalid: .*wrong\.yaml:\d+:\d+: spec\.interval: .*\n$`, errs)
	code, _, errs = run(t, "status", "test/late", "--check", "--max-lag", "10m", "--config", l.path)
	require.Equal(t, exitFailure, code)
	require.Equal(t, "kusto2otlp: test/late was never issued a window since it was declared 1h ago, longer than --max-lag 10m\n", errs)
	code, _, errs = run(t, "status", "test/good", "--check", "--max-lag", "10m", "--config", l.path)
	require.Zero(t, code, errs)
}

// Late is by the schedule: neither a long window nor a long delay makes it so.
func TestLate(t *testing.T) {
	now := time.Date(2026, 1, 7, 12, 0, 30, 0, time.UTC) // a Wednesday
	every := func(interval, delay time.Duration) schemas.Declared {
		return schemas.Declared{State: schemas.DeclaredScheduled, Interval: metav1.Duration{Duration: interval}, IngestionDelay: metav1.Duration{Duration: delay}}
	}
	cron := schemas.Declared{State: schemas.DeclaredScheduled, Schedule: "0 9 * * 1", TimeZone: "UTC"}
	suspended := every(time.Minute, 0)
	suspended.State = schemas.DeclaredSuspended
	for name, tt := range map[string]struct {
		declared schemas.Declared
		lag      time.Duration
		late     bool
	}{
		"OKSecond":    {every(time.Second, 0), time.Minute, false},
		"ErrSecond":   {every(time.Second, 0), 62 * time.Second, true},
		"OKMinute":    {every(time.Minute, 0), 150 * time.Second, false},
		"ErrMinute":   {every(time.Minute, 0), 3*time.Minute + 30*time.Second, true},
		"OKDelay":     {every(time.Minute, time.Hour), time.Hour + 150*time.Second, false},
		"ErrDelay":    {every(time.Minute, time.Hour), time.Hour + 3*time.Minute + 30*time.Second, true},
		"OKDay":       {every(24*time.Hour, 0), 12*time.Hour + 30*time.Second, false},
		"OKDayDelay":  {every(24*time.Hour, 11*time.Hour+30*time.Minute), 36*time.Hour + 30*time.Second, false},
		"ErrDay":      {every(24*time.Hour, 0), 36*time.Hour + 30*time.Second, true},
		"OKWeek":      {cron, 51*time.Hour + 30*time.Second, false},
		"ErrWeek":     {cron, 51*time.Hour + time.Minute, true},
		"OKSuspended": {suspended, 1000 * time.Hour, false},
		"OKNoGrid":    {schemas.Declared{State: schemas.DeclaredScheduled}, 1000 * time.Hour, false},
		"OKAhead":     {every(time.Minute, 0), -time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			tt.declared.Namespace, tt.declared.Name = "ns", "x"
			s := ledger.Summary{Namespace: "ns", Name: "x", Ready: true, Watermark: now.Add(-tt.lag), Lag: tt.lag}
			nothing := s
			nothing.Watermark = time.Time{} // the first window of all is late
			for _, s := range []ledger.Summary{s, nothing} {
				require.Equal(t, !tt.late, merge([]ledger.Summary{s}, nil, []schemas.Declared{tt.declared}, told{running: true}, now)[0].Ready)
			}
		})
	}
	s := status{Summary: ledger.Summary{Watermark: now.Add(-16 * time.Minute)}}
	require.Equal(t, "it is late: the windows since 2026-01-07 11:44:30 are not exported, those until 2026-01-07 12:00:00 were due", s.late(every(time.Minute, 0), now))
}

func keysOf(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func TestText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 420 * time.Millisecond: "0.42s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", time.Hour: "1h",
		25*time.Hour + 3*time.Minute: "1d1h", 90 * 24 * time.Hour: "90d", time.Hour - time.Millisecond: "1h",
	} {
		require.Equal(t, want, duration(d))
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB"} {
		require.Equal(t, want, size(n))
	}
}
