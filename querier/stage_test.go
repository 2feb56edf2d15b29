package querier

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const exporter = "prometheus.exporter"

func spec() *schemas.MetricsExporterSpec {
	return &schemas.MetricsExporterSpec{
		Database: "TelemetryDB", Exporter: exporter, Body: "T",
		Transform: schemas.TransformConfig{DefaultMetricName: "rt", ValueColumn: "metric_value", TimestampColumn: "timestamp", LabelColumns: []string{"Service"}},
	}
}

func jobOf(tb testing.TB, s *schemas.MetricsExporterSpec) *wire.WindowJob {
	tb.Helper()
	data, err := json.Marshal(s)
	require.NoError(tb, err)
	return &wire.WindowJob{
		Window: windowID, Namespace: "monitoring", Name: "rt", Generation: 3,
		StartUnixNano: window.Start.UnixNano(), EndUnixNano: window.End.UnixNano(),
		Lane: string(schemas.LaneLive), Cluster: "telemetry", Spec: data,
	}
}

// message is a job as the pipe hands it over.
func message(tb testing.TB, job *wire.WindowJob) *pipe.Message {
	tb.Helper()
	data, err := proto.Marshal(job)
	require.NoError(tb, err)
	return &pipe.Message{Subject: "k2o.job", Header: schemas.JobHeader(job, exporter), Data: data, Attempt: 1}
}

func mustStage(tb testing.TB, p *pipe.Pipe, endpoint string, change ...func(*Config)) *Stage {
	tb.Helper()
	k := cluster(endpoint)
	k.Databases = []string{"TelemetryDB"}
	cfg := Config{Pipe: p, Logger: pipetest.Logger(tb), Clusters: []config.Kusto{k}, Exporters: []string{exporter},
		Labels: map[string]string{"region": "eastus"}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	require.NoError(tb, err)
	return s
}

// mustWorker is a worker of live windows, without a consumer.
func mustWorker(tb testing.TB, p *pipe.Pipe, endpoint string, change ...func(*Config)) *worker {
	tb.Helper()
	s := mustStage(tb, p, endpoint, change...)
	tb.Cleanup(func() { require.NoError(tb, s.clusters[0].client.Close()) })
	return &worker{stage: s, cluster: s.clusters[0], exporter: exporter, lane: schemas.LaneLive}
}

// subjects are those with messages in a stream, sorted.
func subjects(tb testing.TB, p *pipe.Pipe, stream string) []string {
	tb.Helper()
	s, err := p.JS.Stream(tb.Context(), stream)
	require.NoError(tb, err)
	info, err := s.Info(tb.Context(), jetstream.WithSubjectFilter(">"))
	require.NoError(tb, err)
	return slices.Sorted(maps.Keys(info.State.Subjects))
}

// visible returns the windows whose rows are, with all their batches.
func visible(tb testing.TB, p *pipe.Pipe) (windows []*wire.WindowRows, batches [][]*wire.RowBatch) {
	tb.Helper()
	for _, subject := range subjects(tb, p, schemas.RowsStream) {
		if !strings.HasPrefix(subject, "k2o.rows.") {
			continue
		}
		msg, err := p.Get(tb.Context(), schemas.RowsStream, subject)
		require.NoError(tb, err)
		w := new(wire.WindowRows)
		require.NoError(tb, proto.Unmarshal(msg.Data, w))
		require.True(tb, strings.HasSuffix(subject, "."+w.Run))
		require.Equal(tb, w.Run, msg.Header.Get(schemas.HeaderRun))
		require.Equal(tb, w.Job.Window, msg.Header.Get(schemas.HeaderWindow))
		require.Equal(tb, exporter, msg.Header.Get(schemas.HeaderExporter))
		var list []*wire.RowBatch
		rows := uint64(0)
		for n := range int(w.Parts) {
			part, err := p.Get(tb.Context(), schemas.RowsStream, schemas.PartSubject(w.Run, n))
			require.NoError(tb, err)
			b := new(wire.RowBatch)
			require.NoError(tb, proto.Unmarshal(part.Data, b))
			list, rows = append(list, b), rows+uint64(b.Rows)
		}
		if w.Last.GetRows() > 0 {
			list, rows = append(list, w.Last), rows+uint64(w.Last.Rows)
		}
		require.Equal(tb, w.Rows, rows)
		windows, batches = append(windows, w), append(batches, list)
	}
	return windows, batches
}

// events returns all events so far, but for those of queries that were begun.
func events(tb testing.TB, p *pipe.Pipe) []*wire.Event {
	tb.Helper()
	c, err := p.JS.OrderedConsumer(tb.Context(), schemas.EventsStream, jetstream.OrderedConsumerConfig{})
	require.NoError(tb, err)
	info, err := c.Info(tb.Context())
	require.NoError(tb, err)
	var list []*wire.Event
	for range info.NumPending {
		if e := anyEvent(tb, c); e.Type != string(schemas.EventRunning) {
			list = append(list, e)
		}
	}
	return list
}

// nextEvent returns the next event that is not of a query that was begun.
func nextEvent(tb testing.TB, c jetstream.Consumer) *wire.Event {
	tb.Helper()
	for {
		if e := anyEvent(tb, c); e.Type != string(schemas.EventRunning) {
			return e
		}
	}
}

func anyEvent(tb testing.TB, c jetstream.Consumer) *wire.Event {
	tb.Helper()
	msg, err := c.Next(jetstream.FetchMaxWait(20 * time.Second))
	require.NoError(tb, err)
	e := new(wire.Event)
	require.NoError(tb, proto.Unmarshal(msg.Data(), e))
	return e
}

func publish(tb testing.TB, p *pipe.Pipe, job *wire.WindowJob) {
	tb.Helper()
	data, err := proto.Marshal(job)
	require.NoError(tb, err)
	_, err = p.Publish(tb.Context(), pipe.Outgoing{
		Subject: schemas.JobSubject(job.Cluster, exporter, schemas.Lane(job.Lane), job.Namespace, job.Name, schemas.JobWindow(job).Start, job.Request),
		Header:  schemas.JobHeader(job, exporter), Data: data,
	})
	require.NoError(tb, err)
}

func TestStage(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	s := mustSandbox(t, sandbox.Config{Engine: canned(metrics(20000)), Fault: sandbox.Faults(
		&sandbox.Fault{InBand: sandbox.PartialFailure("boom"), After: 19000}, // half way, with parts stored
	)})
	stage := mustStage(t, p, s.URL())
	watch, err := p.JS.OrderedConsumer(t.Context(), schemas.EventsStream, jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx) }()

	publish(t, p, jobOf(t, spec()))
	e := anyEvent(t, watch)
	require.Equal(t, "running", e.Type)
	require.EqualValues(t, 1, e.Attempt)
	require.Equal(t, exporter, e.Exporter)
	require.Equal(t, windowID, e.Window)
	e = nextEvent(t, watch)
	require.Equal(t, "retrying", e.Type)
	require.Equal(t, `query database "TelemetryDB" on cluster "telemetry": kusto reported an error in frame 22 (TableCompletion): Internal service error: boom`, e.Message)
	e = nextEvent(t, watch)
	require.Equal(t, "queried", e.Type)
	require.Greater(t, e.Attempt, uint64(1), "a turn that was waited for counts too")
	require.EqualValues(t, 20000, e.Rows)
	require.EqualValues(t, 3, e.Batches)
	require.Equal(t, exporter, e.Exporter)
	require.Equal(t, windowID, e.Window)

	windows, batches := visible(t, p)
	require.Len(t, windows, 1)
	require.Equal(t, e.Run, windows[0].Run)
	require.EqualValues(t, 2, windows[0].Parts)
	require.EqualValues(t, 20000, windows[0].Rows)
	require.True(t, proto.Equal(jobOf(t, spec()), windows[0].Job))
	require.Len(t, batches[0], 3)
	require.Equal(t, "service-19999", batches[0][2].Columns[2].Dictionary[20000-2*schemas.RowBatchRows-1])
	require.Len(t, subjects(t, p, schemas.RowsStream), 3, "the failed run's parts are gone")

	stop()
	require.NoError(t, <-done)
	require.Empty(t, subjects(t, p, schemas.JobsStream))
}

// TestConcurrency: the consumers of a cluster share its slots, and live windows
// and backfills of every exporter get through.
func TestConcurrency(t *testing.T) {
	exporters := []string{"a", "b"}
	p := pipetest.MustOpen(t, exporters...)
	var running, most atomic.Int64
	s := mustSandbox(t, sandbox.Config{Engine: sandbox.EngineFunc(func(context.Context, *sandbox.Request) (*sandbox.Result, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return sandbox.Tables(metrics(10)), nil
	})})
	stage := mustStage(t, p, s.URL(), func(c *Config) {
		c.Exporters = exporters
		c.Clusters[0].MaxConcurrentQueries = 2
	})
	watch, err := p.JS.OrderedConsumer(t.Context(), schemas.EventsStream, jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx) }()
	want := 0
	for _, e := range exporters {
		for _, lane := range schemas.Lanes {
			for i := range 5 {
				s := spec()
				s.Exporter = e
				job := jobOf(t, s)
				job.Lane, job.Request = string(lane), fmt.Sprint(e, lane, i)
				data, err := proto.Marshal(job)
				require.NoError(t, err)
				_, err = p.Publish(t.Context(), pipe.Outgoing{
					Subject: schemas.JobSubject(job.Cluster, e, lane, job.Namespace, job.Name, window.Start, job.Request),
					Header:  schemas.JobHeader(job, e), Data: data,
				})
				require.NoError(t, err)
				want++
			}
		}
	}
	seen := map[string]bool{}
	for range want {
		e := nextEvent(t, watch)
		require.Equal(t, "queried", e.Type, e.Message)
		seen[e.Request] = true
	}
	require.Len(t, seen, want)
	stop()
	require.NoError(t, <-done)
	require.LessOrEqual(t, most.Load(), int64(2))
	require.Empty(t, subjects(t, p, schemas.JobsStream))
}

func TestJobs(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	w := mustWorker(t, p, "http://127.0.0.1:1")
	for name, tt := range map[string]struct {
		job  func(*wire.WindowJob)
		spec func(*schemas.MetricsExporterSpec)
		want string
		kind pipe.Kind
	}{
		"ErrWindow": {job: func(j *wire.WindowJob) { j.Window = "x" },
			want: `decode window job: window id "x": no @; want <namespace>/<name>@<start>/<end>#<generation>`},
		"ErrSpec":       {job: func(j *wire.WindowJob) { j.Spec = []byte("{") }, want: "spec of window job " + windowID + ": unexpected end of JSON input"},
		"ErrOtherTimes": {job: func(j *wire.WindowJob) { j.EndUnixNano++ }, want: "window job " + windowID + ": it is for monitoring/rt 2025-06-25T10:00:00Z/2025-06-25T10:05:00.000000001Z"},
		"ErrCluster":    {job: func(j *wire.WindowJob) { j.Cluster = "x" }, want: "window job " + windowID + `: cluster is "x", and its subject says "telemetry"`},
		"ErrLane":       {job: func(j *wire.WindowJob) { j.Lane = "backfill" }, want: "window job " + windowID + `: lane is "backfill", and its subject says "live"`},
		"ErrExporter":   {spec: func(s *schemas.MetricsExporterSpec) { s.Exporter = "x" }, want: "window job " + windowID + `: spec.exporter is "x", and its subject says "prometheus.exporter"`},
		"ErrBody":       {spec: func(s *schemas.MetricsExporterSpec) { s.Body = " " }, want: "window job " + windowID + `: spec.body is empty`},
		"ErrDatabase": {spec: func(s *schemas.MetricsExporterSpec) { s.Database = "x" }, want: `cluster "telemetry" of this instance does not serve database "x"`,
			kind: pipe.KindRefused},
		"ErrCriteria": {spec: func(s *schemas.MetricsExporterSpec) { s.Criteria = map[string][]string{"region": {"westus"}} },
			want: "criteria do not match this instance's labels", kind: pipe.KindRefused},
		"ErrCriteriaExpression": {spec: func(s *schemas.MetricsExporterSpec) { s.CriteriaExpression = "region == 'westus'" },
			want: "criteria do not match this instance's labels", kind: pipe.KindRefused},
		"ErrCriteriaInvalid": {spec: func(s *schemas.MetricsExporterSpec) { s.Criteria = map[string][]string{"region": {}} }, want: "criteria"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec()
			if tt.spec != nil {
				tt.spec(s)
			}
			job := jobOf(t, s)
			if tt.job != nil {
				tt.job(job)
			}
			err := w.handle(t.Context(), message(t, job))
			if tt.want == "criteria" {
				require.ErrorContains(t, err, tt.want)
			} else {
				require.EqualError(t, err, tt.want)
			}
			if tt.kind == "" {
				tt.kind = pipe.KindPermanent
			}
			require.Equal(t, tt.kind, kindOf(err))
		})
	}
	t.Run("ErrGarbage", func(t *testing.T) {
		err := w.handle(t.Context(), &pipe.Message{Data: []byte("\xff")})
		require.ErrorContains(t, err, "decode window job: ")
		require.Equal(t, pipe.KindPermanent, kindOf(err))
	})
}

func TestConsumers(t *testing.T) {
	for _, tt := range []struct{ cluster, exporter, want string }{
		{"telemetry", "prometheus-exporter", "querier-telemetry-prometheus-exporter-live"},
		{"a-b", "c", "querier-a=2Db-c-live"},
		{"a", "b-c", "querier-a-b-c-live"},
		{"a.b", "c d", "querier-a=2Eb-c=20d-live"},
	} {
		require.Equal(t, tt.want, schemas.QuerierDurable(tt.cluster, tt.exporter, schemas.LaneLive))
	}
	w := &worker{stage: &Stage{}, cluster: &clusterState{cfg: cluster(""), slots: newSlots(4)}, exporter: "e", lane: schemas.LaneBackfill}
	require.Equal(t, 3, w.consumer().Concurrency)
	require.Equal(t, 50_000, w.consumer().MaxAckPending)
	require.Equal(t, "k2o.job.telemetry.e.backfill.>", w.consumer().Filter)
	require.Nil(t, w.consumer().Gate)
	var asked string
	w.stage.cfg.Gate = func(_ context.Context, exporter string, lane schemas.Lane) bool {
		asked = exporter + "/" + string(lane)
		return false
	}
	require.False(t, w.consumer().Gate(t.Context()))
	require.Equal(t, "e/backfill", asked)

	_, err := New(Config{})
	require.EqualError(t, err, "querier: a pipe, at least one cluster and at least one exporter are needed")
	k := cluster("http://x")
	k.QueryTimeout = -1
	_, err = New(Config{Pipe: &pipe.Pipe{}, Clusters: []config.Kusto{k}, Exporters: []string{"e"}})
	require.EqualError(t, err, `querier: kusto cluster "telemetry": queryTimeout must be above 0, got -1ns`)
}
