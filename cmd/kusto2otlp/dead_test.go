package main

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

func TestDeadCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"dead", "show"}, "kusto2otlp dead show needs the id of a dead letter; 'kusto2otlp dead list' has them"},
		{[]string{"dead", "show", "x"}, `the id of a dead letter is a number from 1, got "x"`},
		{[]string{"dead", "retry"}, "name dead letters by their ids, or select them with --stage, --metrics-exporter or --all"},
		{[]string{"dead", "retry", "1", "--all"}, "ids and --stage, --metrics-exporter or --all exclude each other"},
		{[]string{"dead", "drop", "1"}, "--reason is needed: the ledger keeps why a message was given up"},
		{[]string{"dead", "list", "--stage", "x"}, `--stage must be querier, transformer or sender, got "x"`},
		{[]string{"dead", "list", "--metrics-exporter", "x"}, `--metrics-exporter must be NAMESPACE/NAME, got "x"`},
		{[]string{"dead", "list", "-o", "xml"}, `-o must be table or json, got "xml"`},
		{[]string{"dead", "list", "1"}, `kusto2otlp dead list takes no arguments, got ["1"]`},
	} {
		t.Run("Err "+strings.Join(tt.args, " "), func(t *testing.T) {
			code, out, errs := run(t, tt.args...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, out)
			require.True(t, strings.HasPrefix(errs, "kusto2otlp: "+tt.want+"\n"), errs)
		})
	}
	t.Run("ErrNothingRuns", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir+"/pipeline.yaml", "dataDir: "+dir+`
kusto: [{name: a, endpoint: "http://127.0.0.1:1", databases: [D], auth: {type: none}}]
exporters: [{name: e, endpoint: "http://127.0.0.1:1/v1/metrics"}]
`)
		code, _, errs := run(t, "dead", "list", "--config", dir+"/pipeline.yaml")
		require.Equal(t, exitFailure, code)
		require.Equal(t, `kusto2otlp: no pipeline runs on data directory "`+dir+`": there is no nats.json in it (and nats.url is not set)`+"\n", errs)
	})
}

// A query that can never succeed is asked once for each window, and each window
// says so; the next windows are asked, and another MetricsExporter notices
// nothing. What is put back after the cause is gone is exported.
func TestPoison(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	var cured atomic.Bool
	l := mustLive(t, sandbox.Config{Fault: func(r *sandbox.Request) *sandbox.Fault {
		if !strings.Contains(r.Query, "bad = 1") {
			return nil
		}
		id, _, _ := strings.Cut(r.ClientRequestID, ";")
		mu.Lock()
		asked[id]++
		mu.Unlock()
		if cured.Load() {
			return nil
		}
		return &sandbox.Fault{Error: sandbox.SemanticError("the name 'Nonsense' does not refer to any known column")}
	}}, map[string]string{
		"good": "  interval: 1s" + productionRT,
		"bad":  "  interval: 1s" + productionRT + ", bad = 1",
	})
	l.wait(t, "4 windows that failed and 4 that did not", func(events []*wire.Event) bool {
		return count(events, "bad", schemas.EventFailed, "") >= 4 && count(events, "good", schemas.EventExported, "") >= 4
	})
	events, _ := l.seen()
	require.Zero(t, count(events, "good", schemas.EventFailed, ""))
	mu.Lock()
	require.GreaterOrEqual(t, len(asked), 4)
	for id, n := range asked {
		require.Equal(t, 1, n, id)
	}
	mu.Unlock()

	code, out, errs := run(t, "dead", "list", "-o", "json", "--metrics-exporter", "test/bad", "--config", l.path)
	require.Zero(t, code, errs)
	var rows []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &rows))
	require.GreaterOrEqual(t, len(rows), 4)
	require.Equal(t, "querier", rows[0]["stage"])
	require.Equal(t, "permanent", rows[0]["kind"])
	require.Equal(t, "test/bad", rows[0]["metricsExporter"])
	require.Equal(t, "prom", rows[0]["exporter"])
	require.Contains(t, rows[0]["reason"], "HTTP 400")
	require.Contains(t, rows[0]["reason"], "the name 'Nonsense' does not refer to any known column")
	require.EqualValues(t, 1, rows[0]["attempts"])
	for _, key := range []string{"id", "window", "at", "bytes"} {
		require.NotEmpty(t, rows[0][key], key)
	}
	first, second := rows[0]["id"].(string), rows[1]["id"].(string)

	code, out, _ = run(t, "dead", "list", "--config", l.path)
	require.Zero(t, code)
	require.Contains(t, out, "ID  STAGE    KIND       AT ")
	code, _, errs = run(t, "dead", "list", "--check", "--config", l.path)
	require.Equal(t, exitFailure, code)
	require.Contains(t, errs, "dead letters")
	code, out, _ = run(t, "dead", "list", "--stage", "sender", "-o", "json", "--config", l.path)
	require.Zero(t, code)
	require.Equal(t, "[]\n", out)

	code, out, _ = run(t, "dead", "show", first, "--config", l.path)
	require.Zero(t, code)
	require.Contains(t, out, "        body: |\n")
	require.Contains(t, out, "            | extend at = Timestamp")
	require.Contains(t, out, "  K2o-Dead-Subject   k2o.job.sandbox.prom.live.test.bad.")
	code, out, errs = run(t, "dead", "show", first, "99999", "-o", "json", "--config", l.path)
	require.Equal(t, exitFailure, code)
	require.Equal(t, "kusto2otlp: no such dead letter: 99999\n", errs)
	require.NoError(t, json.Unmarshal([]byte(out), &rows))
	require.Len(t, rows, 1)

	// One is given up, the others are put back once the cause is gone.
	code, out, errs = run(t, "dead", "drop", first, "--reason", "a test", "--config", l.path)
	require.Zero(t, code, errs)
	require.Contains(t, out, "dropped "+first+": querier, test/bad@")
	l.wait(t, "the event of the decision", func(events []*wire.Event) bool {
		return count(events, "bad", schemas.EventDropped, "") == 1
	})
	code, _, errs = run(t, "dead", "retry", first, "--config", l.path)
	require.Equal(t, exitFailure, code)
	require.Equal(t, "kusto2otlp: no such dead letter: "+first+"\n", errs)
	cured.Store(true)
	code, out, errs = run(t, "dead", "retry", "--metrics-exporter", "test/bad", "--config", l.path)
	require.Zero(t, code, errs)
	require.Contains(t, out, "put back "+second+": querier, test/bad@")
	l.wait(t, "the export of what was put back", func(events []*wire.Event) bool {
		failed, exported := map[string]bool{}, map[string]bool{}
		for _, e := range events {
			switch {
			case e.Name != "bad":
			case e.Type == string(schemas.EventFailed):
				failed[e.Window] = true
			case e.Type == string(schemas.EventExported), e.Type == string(schemas.EventQueried) && e.Rows == 0:
				exported[e.Window] = true
			}
		}
		n := 0
		for w := range failed {
			if !exported[w] {
				n++
			}
		}
		return n == 1 // the dropped one
	})
	code, out, _ = run(t, "dead", "list", "--config", l.path)
	require.Zero(t, code)
	require.Equal(t, "no dead letters\n", out)
}

// What a query or a transform that could not work has failed of, the mended one exports,
// without anybody asking: each window, by the ledger and at the endpoint.
func TestMended(t *testing.T) {
	l := mustLive(t, sandbox.Config{}, map[string]string{
		"query":     "  interval: 1s\n  body: NoSuchTable | where Timestamp between (_startTime .. _endTime)",
		"transform": "  interval: 1s" + productionRT + "\n  limits: {maxSeries: 1}",
	})
	names := []string{"query", "transform"}
	l.wait(t, "3 windows of each that failed", func(events []*wire.Event) bool {
		return count(events, "query", schemas.EventFailed, "") >= 3 && count(events, "transform", schemas.EventFailed, "") >= 3
	})
	require.Eventually(t, func() bool {
		code, _, errs := run(t, "status", "--check", "--config", l.path)
		return code == exitFailure && strings.Contains(errs, "test/query is failing: ") && strings.Contains(errs, "test/transform is failing: ")
	}, time.Minute, 50*time.Millisecond)
	failed := map[string][]windowJSON{}
	for _, name := range names {
		failed[name] = windowsOf(t, l, "test/"+name, "--state", "failed")
		l.declare(t, name, "  interval: 1s"+productionRT)
	}
	for _, name := range names {
		require.NotEmpty(t, failed[name])
		var left []windowJSON
		require.Eventually(t, func() bool {
			left = windowsOf(t, l, "test/"+name, "--state", "failed")
			return len(left) == 0 && len(windowsOf(t, l, "test/"+name, "--state", "exported")) > len(failed[name])
		}, time.Minute, 50*time.Millisecond)
		exported := map[time.Time]windowJSON{}
		for _, w := range windowsOf(t, l, "test/"+name, "--state", "exported") {
			exported[w.Start] = w
		}
		sum := 0
		for _, f := range failed[name] {
			w, ok := exported[f.Start]
			require.True(t, ok, f.ID)
			require.Equal(t, strings.TrimSuffix(f.ID, "#1")+"#2", w.ID)
			points := 0
			for p := range l.endpoint.between(w.Start, w.End) {
				if strings.HasPrefix(p.series, name) {
					points++
				}
			}
			require.EqualValues(t, w.Points, points, w.ID)
			require.Equal(t, w.Rows > 0, points > 0, "%s: there may be a second without a row", w.ID)
			sum += points
		}
		require.Positive(t, sum)
	}
	require.Eventually(t, func() bool {
		code, out, _ := run(t, "dead", "list", "--config", l.path)
		return code == 0 && out == "no dead letters\n"
	}, time.Minute, 50*time.Millisecond)
	code, _, errs := run(t, "status", "--check", "--config", l.path)
	require.Zero(t, code, errs)
}
