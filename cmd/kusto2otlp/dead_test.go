package main

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/deadletter"
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
	require.Zero(t, count(l.events, "good", schemas.EventFailed, ""))
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

	// To put one back that carries an old query is to ask for the same again.
	d := &deadletter.Desk{Pipe: l.pipe}
	id, err := strconv.ParseUint(second, 10, 64)
	require.NoError(t, err)
	letter, err := d.Get(t.Context(), id)
	require.NoError(t, err)
	job, err := d.Stale(t.Context(), letter)
	require.NoError(t, err)
	require.Nil(t, job, "the spec is the same")
	l.declare(t, "bad", "  interval: 1s"+productionRT+", bad = 1, mended = 1")
	require.Eventually(t, func() bool {
		job, err = d.Stale(t.Context(), letter)
		require.NoError(t, err)
		return job != nil
	}, time.Minute, 10*time.Millisecond)

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
	require.Regexp(t, `^test/bad: \d+ windows run again with the spec that their jobs carry, which has changed since; with the new one: `+
		`kusto2otlp replay test/bad --start `+regexp.QuoteMeta(schemas.JobWindow(job).Start.Format(time.RFC3339Nano))+` --end \S+Z\n$`, errs)
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
