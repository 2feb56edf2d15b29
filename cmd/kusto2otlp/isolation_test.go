package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// patience is how long a test waits for what must happen; it says nothing of how
// long it may take.
const patience = 4 * time.Minute

// bulk is a pipeline without its scheduler, between Kusto clusters and an OTLP
// endpoint with an exporter of each name. The tests issue the windows: the n-th of
// a MetricsExporter begins n minutes after epoch, and its rows tell it apart.
type bulk struct {
	*pipeline
	endpoint *otlp.Server
	rows     int           // of each window
	ended    chan struct{} // closed when Run has returned result
	result   error

	mu       sync.Mutex
	queries  map[string]int                   // by MetricsExporter
	fault    func(name string) *sandbox.Fault // what is wrong with a MetricsExporter's queries
	refused  string                           // the MetricsExporter whose batches the endpoint does not take
	arrivals map[string][]int                 // windows in the order of their first points, by MetricsExporter
	seen     map[string]map[int]int           // points
	running  map[string]int                   // requests, by exporter
	most     map[string]int
	more     chan struct{} // closed and made anew with each arrival
}

// padding makes points large, so that few of them fill a stream.
var padding = strings.Repeat("x", 150)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// bulkConfig is what the tests vary.
type bulkConfig struct {
	dir       string // of the data; empty: a temporary one
	rows      int
	clusters  []string          // each serves the database of its name
	exporters map[string]string // name → further settings
}

func mustBulk(t *testing.T, cfg bulkConfig) *bulk {
	t.Helper()
	b := &bulk{rows: cfg.rows, queries: map[string]int{}, arrivals: map[string][]int{}, seen: map[string]map[int]int{},
		running: map[string]int{}, most: map[string]int{}, more: make(chan struct{}), fault: func(string) *sandbox.Fault { return nil }}
	var err error
	b.endpoint, err = otlp.New(otlp.Config{OnRequest: b.take})
	require.NoError(t, err)
	srv := httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(srv.Close)

	dir := t.TempDir()
	if cfg.dir == "" {
		cfg.dir = filepath.Join(dir, "data")
	}
	var text strings.Builder
	fmt.Fprintf(&text, "dataDir: %s\ntelemetry: {listen: \"127.0.0.1:0\"}\nkusto:\n", cfg.dir)
	for _, name := range cfg.clusters {
		kusto, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0", Engine: sandbox.EngineFunc(b.query), Fault: b.query1})
		require.NoError(t, err)
		require.NoError(t, kusto.Start())
		t.Cleanup(func() { require.NoError(t, kusto.Close()) })
		fmt.Fprintf(&text, "  - {name: %[1]s, endpoint: %[2]s, databases: [%[1]s], auth: {type: none}}\n", name, kusto.URL())
	}
	text.WriteString("exporters:\n")
	for name, more := range cfg.exporters {
		fmt.Fprintf(&text, "  - {name: %[1]s, endpoint: %[2]s/%[1]s/v1/metrics, compression: none, maxBackoff: 500ms%[3]s}\n", name, srv.URL, more)
	}
	path := filepath.Join(dir, "pipeline.yaml")
	write(t, path, text.String())
	loaded, err := config.Load(path)
	require.NoError(t, err)
	b.start(t, loaded)
	return b
}

// start runs the pipeline until the test ends, in good order unless end was called.
func (b *bulk) start(t *testing.T, cfg *config.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p, err := openPipeline(ctx, cfg, []schemas.Stage{schemas.Querier, schemas.Transformer, schemas.Sender}, pipetest.Logger(t))
	require.NoError(t, err)
	ended := make(chan struct{})
	b.pipeline, b.ended, b.result = p, ended, nil
	go func() {
		defer close(ended)
		b.result = p.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		p.Close()
		if b.pipeline == p {
			require.NoError(t, b.result)
		}
	})
}

// query1 counts a query and says what is wrong with it.
func (b *bulk) query1(r *sandbox.Request) *sandbox.Fault {
	name := strings.TrimSpace(r.Query[strings.LastIndex(r.Query, "\n")+1:])
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queries[name]++
	return b.fault(name)
}

// query answers with the rows of the window that was asked for.
func (b *bulk) query(_ context.Context, r *sandbox.Request) (*sandbox.Result, error) {
	var start time.Time
	for name, value := range r.Parameters {
		if strings.Contains(name, "_startTime") {
			at, err := time.Parse(time.RFC3339Nano, strings.TrimSuffix(strings.TrimPrefix(value, "datetime("), ")"))
			if err != nil {
				return nil, err
			}
			start = at
		}
	}
	t := table.New("PrimaryResult", table.Schema{{Name: "value", Type: table.Real}, {Name: "label", Type: table.String}, {Name: "at", Type: table.DateTime}}, b.rows)
	for i := range b.rows {
		if err := t.AppendRow(float64(i), fmt.Sprintf("series %d %s", i, padding), start); err != nil {
			return nil, err
		}
	}
	return sandbox.Tables(t), nil
}

// serve counts the requests that are under way, and refuses some.
func (b *bulk) serve(w http.ResponseWriter, r *http.Request) {
	exporter := strings.Split(r.URL.Path, "/")[1]
	b.mu.Lock()
	b.running[exporter]++
	b.most[exporter] = max(b.most[exporter], b.running[exporter])
	refused := b.refused
	b.mu.Unlock()
	if refused != "" && isOf(r, refused) {
		http.Error(w, "no quota", http.StatusTooManyRequests)
	} else {
		b.endpoint.Handler().ServeHTTP(w, r)
	}
	b.mu.Lock()
	b.running[exporter]--
	b.mu.Unlock()
}

// isOf says whether a request's batch is of a MetricsExporter; the request may be served
// after it.
func isOf(r *http.Request, name string) bool {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	m := new(colmetrics.ExportMetricsServiceRequest)
	return err == nil && proto.Unmarshal(body, m) == nil && m.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].Name == name
}

func (b *bulk) refuse(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = name
}

// take notes what arrived.
func (b *bulk) take(_ string, _ *http.Request, m *colmetrics.ExportMetricsServiceRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, metric := range m.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		seen := b.seen[metric.Name]
		if seen == nil {
			seen = map[int]int{}
			b.seen[metric.Name] = seen
		}
		points := metric.GetGauge().DataPoints
		n := int(time.Unix(0, int64(points[0].TimeUnixNano)).Sub(epoch) / time.Minute)
		if seen[n] == 0 {
			b.arrivals[metric.Name] = append(b.arrivals[metric.Name], n)
		}
		seen[n] += len(points)
	}
	close(b.more)
	b.more = make(chan struct{})
}

// issue issues a window of the MetricsExporter test/<name>.
func (b *bulk) issue(t *testing.T, cluster, exporter, name string, n int) {
	t.Helper()
	require.NoError(t, b.tryIssue(t, cluster, exporter, name, n))
}

func (b *bulk) tryIssue(t *testing.T, cluster, exporter, name string, n int) error {
	t.Helper()
	spec, err := json.Marshal(schemas.MetricsExporterSpec{
		Database: cluster, Exporter: exporter, Body: name,
		Transform: schemas.TransformConfig{DefaultMetricName: name, ValueColumn: "value", TimestampColumn: "at",
			LabelColumns: []string{"label"}, Type: schemas.Gauge, NullValue: schemas.NullSkip},
	})
	require.NoError(t, err)
	w := schemas.Window{Start: epoch.Add(time.Duration(n) * time.Minute), End: epoch.Add(time.Duration(n+1) * time.Minute)}
	job := &wire.WindowJob{Namespace: "test", Name: name, Generation: 1, Lane: string(schemas.LaneLive), Cluster: cluster, Spec: spec,
		StartUnixNano: w.Start.UnixNano(), EndUnixNano: w.End.UnixNano(),
		Window: schemas.WindowID{Namespace: "test", Name: name, Window: w, Generation: 1}.String()}
	data, err := proto.Marshal(job)
	require.NoError(t, err)
	_, err = b.pipe.Publish(t.Context(), pipe.Outgoing{Subject: schemas.JobSubject(cluster, exporter, schemas.LaneLive, "test", name, w.Start, ""),
		Header: schemas.JobHeader(job, exporter), Data: data})
	return err
}

// wait waits until done is true, which is asked with the lock held after every arrival.
func (b *bulk) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		b.mu.Lock()
		ok, more := done(), b.more
		b.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// await waits until n windows of a MetricsExporter have arrived whole.
func (b *bulk) await(t *testing.T, name string, n int) {
	t.Helper()
	b.wait(t, fmt.Sprintf("%d windows of %s", n, name), func() bool { return b.whole(name) >= n })
}

func (b *bulk) whole(name string) int {
	n := 0
	for _, points := range b.seen[name] {
		if points >= b.rows {
			n++
		}
	}
	return n
}

// exports issues windows [from, to) one after the other, each when the one before
// has arrived, and returns how long the median took.
func (b *bulk) exports(t *testing.T, cluster, exporter, name string, from, to int) time.Duration {
	t.Helper()
	var took []time.Duration
	for n := from; n < to; n++ {
		began := time.Now()
		b.issue(t, cluster, exporter, name, n)
		b.await(t, name, n+1)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func (b *bulk) queried(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queries[name]
}

// quiet waits until, while holds is true, a MetricsExporter was not queried for
// longer than the querier trusts what it knows of a backlog.
func (b *bulk) quiet(t *testing.T, name string, holds func() bool) {
	t.Helper()
	last, since := -1, time.Now()
	eventually(t, "the queries of "+name+" to end", func() bool {
		if now := b.queried(name); now != last || !holds() {
			last, since = now, time.Now()
		}
		return time.Since(since) > 1500*time.Millisecond
	})
}

func (b *bulk) setFault(f func(name string) *sandbox.Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = f
}

// stored counts the messages of a stream on a subject.
func (b *bulk) stored(t *testing.T, stream, filter string) int {
	t.Helper()
	s, err := b.pipe.JS.Stream(t.Context(), stream)
	require.NoError(t, err)
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	require.NoError(t, err)
	n := 0
	for _, count := range info.State.Subjects {
		n += int(count)
	}
	return n
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	require.Eventually(t, done, patience, 10*time.Millisecond, what)
}

// unchanged says that a figure may be this much worse than its baseline on a
// machine that others use too. What it is to find is waiting for somebody's
// timeout, backoff or recovery, which is seconds.
func unchanged(t *testing.T, baseline, now time.Duration) {
	t.Helper()
	t.Logf("median time from job to endpoint: %s, before %s", now.Round(time.Microsecond), baseline.Round(time.Microsecond))
	require.Less(t, now, 5*baseline+250*time.Millisecond)
}

// An exporter that is dead for long: the others' lag is what it was, Kusto is left
// alone for its windows once its high-water mark is passed, all of them are still
// there, and when it is back they arrive, oldest first and a few at a time.
func TestDeadExporter(t *testing.T) {
	const windows, rows = 90, 1000
	b := mustBulk(t, bulkConfig{rows: rows, clusters: []string{"one"}, exporters: map[string]string{"dead": ", maxBacklogBytes: 8MiB", "well": ""}})
	baseline := b.exports(t, "one", "well", "good", 0, 30)

	b.endpoint.SetOutage("dead", &otlp.Response{Status: http.StatusServiceUnavailable})
	// Queries that take no time would be done before anybody looks at the backlog.
	b.setFault(func(name string) *sandbox.Fault {
		if name == "late" {
			return &sandbox.Fault{Delay: 100 * time.Millisecond}
		}
		return nil
	})
	for n := range windows {
		b.issue(t, "one", "dead", "late", n)
	}
	jobs := schemas.JobFilter("one", "dead", schemas.LaneLive)
	b.quiet(t, "late", func() bool {
		backlog, err := b.pipe.Backlog(t.Context(), "dead")
		return err == nil && backlog.Bytes >= 8<<20 && backlog.Windows == 0
	})
	// Long enough in round trips: each of these windows goes the whole way.
	queried := b.queried("late")
	during := b.exports(t, "one", "well", "good", 30, 60)
	unchanged(t, baseline, during)
	require.Equal(t, queried, b.queried("late"), "Kusto is not asked for windows that cannot be sent")
	waiting := b.stored(t, schemas.JobsStream, jobs)
	require.Equal(t, windows, queried+waiting, "those that were not queried wait as jobs")
	require.Greater(t, waiting, windows/6)
	backlog, err := b.pipe.Backlog(t.Context(), "dead")
	require.NoError(t, err)
	require.Less(t, backlog.Bytes, uint64(16<<20), "the stream has room for what was under way")
	states, err := b.pipe.ExporterStates(t.Context())
	require.NoError(t, err)
	require.Len(t, states, 1)
	require.Equal(t, "dead", states[0].Exporter)
	b.mu.Lock()
	require.Empty(t, b.seen["late"])
	b.most["dead"] = 0
	b.mu.Unlock()

	b.endpoint.SetOutage("dead", nil)
	b.await(t, "late", windows)
	b.mu.Lock()
	defer b.mu.Unlock()
	order := b.arrivals["late"]
	require.Len(t, order, windows)
	worst := 0
	// The first is the probe that found the endpoint up again. Every fourth is with another
	// batch than the oldest, lest that alone be what fails.
	for i, n := range order[1:] {
		if n > order[0] {
			n--
		}
		worst = max(worst, n-i, i-n)
	}
	// Four queries, two transforms and four requests at a time; the sender keeps order
	// better than that (its own test).
	require.LessOrEqual(t, worst, 12, "oldest first: %v", order)
	require.LessOrEqual(t, b.most["dead"], 8, "no herd")
	require.Zero(t, b.stored(t, schemas.DeadStream, ">"), "nothing was given up")
	t.Logf("%d windows, of which %d queried when the mark was passed and %d waited as jobs; all arrived, at most %d places from their order, at most %d requests at a time",
		windows, queried, waiting, worst, b.most["dead"])
}

// An endpoint that takes no batch of one MetricsExporter, for long: that one's windows
// wait as jobs once its batches take half of the exporter's mark, and those of others are
// queried and arrive as before. When it is mended everything arrives.
func TestStuckMetricsExporter(t *testing.T) {
	const windows, rows = 60, 1000 // more than the mark
	b := mustBulk(t, bulkConfig{rows: rows, clusters: []string{"one"}, exporters: map[string]string{"well": ", maxBacklogBytes: 8MiB"}})
	baseline := b.exports(t, "one", "well", "good", 0, 30)
	b.refuse("bad")
	// Slowly, in proportion to the mark: what is stuck is known a second later.
	b.setFault(func(name string) *sandbox.Fault {
		if name == "bad" {
			return &sandbox.Fault{Delay: time.Second}
		}
		return nil
	})
	for n := range windows {
		b.issue(t, "one", "well", "bad", n)
	}
	for n := range 5 { // lest the endpoint be taken to be down
		b.issue(t, "one", "well", "good", 30+n)
	}
	var stuck schemas.Stuck
	b.quiet(t, "bad", func() bool {
		states, err := b.pipe.ExporterStates(t.Context())
		if err != nil || len(states) != 1 || len(states[0].Stuck) != 1 {
			return false
		}
		stuck = states[0].Stuck[0]
		return stuck.Bytes >= 4<<20
	})
	require.Equal(t, "test/bad", stuck.MetricsExporter)
	require.Contains(t, stuck.Reason, "429")
	queried := b.queried("bad")
	during := b.exports(t, "one", "well", "good", 35, 65)
	unchanged(t, baseline, during)
	require.Equal(t, queried, b.queried("bad"), "Kusto is not asked for windows that cannot be sent")
	eventually(t, "all that was queried to wait, and no more", func() bool {
		backlog, err := b.pipe.Backlog(t.Context(), "well")
		require.NoError(t, err)
		require.Less(t, backlog.Bytes, uint64(8<<20), "the rest of the mark is for others")
		return backlog.Messages == uint64(queried)
	})
	require.Equal(t, windows-queried, b.stored(t, schemas.JobsStream, schemas.JobFilter("one", "well", schemas.LaneLive)))

	b.refuse("")
	b.setFault(func(string) *sandbox.Fault { return nil })
	b.await(t, "bad", windows)
	require.Zero(t, b.stored(t, schemas.DeadStream, ">"), "nothing was given up")
	eventually(t, "nothing to be stuck", func() bool {
		states, err := b.pipe.ExporterStates(t.Context())
		return err == nil && len(states) == 0
	})
	t.Logf("%d windows, of which %d were queried: %d batches of %d bytes were stuck", windows, queried, stuck.Batches, stuck.Bytes)
}

// A cluster that hangs is nobody else's affair, nor is a MetricsExporter whose
// queries hang that of others on its cluster.
func TestHangingQueries(t *testing.T) {
	b := mustBulk(t, bulkConfig{rows: 10, clusters: []string{"stuck", "fast"}, exporters: map[string]string{"well": ""}})
	baseline := b.exports(t, "fast", "well", "good", 0, 20)
	neighbour := b.exports(t, "fast", "well", "neighbour", 0, 20)
	release := make(chan struct{})
	defer func() {
		if release != nil {
			close(release)
		}
	}()
	hold := release
	b.setFault(func(name string) *sandbox.Fault {
		if strings.HasPrefix(name, "slow") {
			return &sandbox.Fault{Hold: hold}
		}
		return nil
	})
	for n := range 20 {
		b.issue(t, "stuck", "well", "slow", n)
		b.issue(t, "stuck", "well", "slower", n)
		b.issue(t, "fast", "well", "slowest", n)
	}
	eventually(t, "all slots of one cluster, and what one may have of the other, to be taken", func() bool {
		return b.queried("slow")+b.queried("slower") == 4 && b.queried("slowest") == 3
	})
	unchanged(t, baseline, b.exports(t, "fast", "well", "good", 20, 40))
	unchanged(t, neighbour, b.exports(t, "fast", "well", "neighbour", 20, 40))
	require.Equal(t, 4, b.queried("slow")+b.queried("slower"))
	close(release)
	release = nil
	b.await(t, "slow", 20)
	b.await(t, "slower", 20)
	b.await(t, "slowest", 20)
	require.Zero(t, b.stored(t, schemas.DeadStream, ">"))
}

// MetricsExporters whose queries always fail, for good or for now, beside one that
// works, on the same cluster and exporter.
func TestFailingQueries(t *testing.T) {
	b := mustBulk(t, bulkConfig{rows: 10, clusters: []string{"one"}, exporters: map[string]string{"well": ""}})
	baseline := b.exports(t, "one", "well", "good", 0, 20)
	b.setFault(func(name string) *sandbox.Fault {
		switch name {
		case "flaky":
			return &sandbox.Fault{Status: http.StatusBadGateway, Body: "upstream is down"}
		case "wrong":
			return &sandbox.Fault{Error: sandbox.BadRequest("no such column")}
		}
		return nil
	})
	const windows = 30
	for n := range windows {
		b.issue(t, "one", "well", "flaky", n)
		b.issue(t, "one", "well", "wrong", n)
	}
	unchanged(t, baseline, b.exports(t, "one", "well", "good", 20, 60))
	eventually(t, "a dead letter of each window", func() bool {
		return b.stored(t, schemas.DeadStream, schemas.DeadSubject(schemas.Querier, "test", "wrong")) == windows
	})
	require.Equal(t, windows, b.queried("wrong"), "what can never succeed is tried once")
	// The last one's ack comes after its dead letter.
	eventually(t, "what may succeed to wait, and nothing else", func() bool {
		return b.stored(t, schemas.JobsStream, schemas.JobFilter("one", "well", schemas.LaneLive)) == windows
	})
	b.setFault(func(string) *sandbox.Fault { return nil })
	b.await(t, "flaky", windows)
	require.Equal(t, windows, b.stored(t, schemas.DeadStream, ">"), "and none of it was given up")
}
