package querier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/criteria"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// commitTime is what a run has, beyond its query's timeout, to store its rows.
const commitTime = time.Minute

// beginTime is how long a query waits for the report that it is begun.
const beginTime = 2 * time.Second

// worker handles the jobs of one cluster, exporter and lane.
type worker struct {
	stage    *Stage
	cluster  *clusterState
	exporter string
	lane     schemas.Lane
	rounds   *rounds
}

// handle runs one window job.
func (w *worker) handle(ctx context.Context, m *pipe.Message) (failure error) {
	job, spec, err := w.decode(m)
	if err != nil {
		return pipe.Permanent(err)
	}
	if err := w.mayRun(spec); err != nil {
		return err
	}
	key := job.Namespace + "/" + job.Name
	// By lane: a replay of a MetricsExporter must not take the turns of its live windows.
	turn := key + " " + job.Lane
	if takes := w.stage.cfg.Takes; takes != nil && !takes(w.exporter, w.lane, key) {
		return pipe.Later(errStuck, w.rounds.next(key))
	}
	leave, err := w.cluster.shares.join(ctx, turn, m.Attempt)
	if err != nil {
		return err
	}
	defer func() { leave(failure) }()
	release, err := w.cluster.slots.acquire(ctx, w.lane)
	if err != nil {
		return fmt.Errorf("wait for a free query slot of cluster %q: %w", w.cluster.cfg.Name, err)
	}
	defer release()
	return w.run(ctx, m, job, spec)
}

// decode reads a job and makes sure that it is one of this worker's.
func (w *worker) decode(m *pipe.Message) (*wire.WindowJob, *schemas.MetricsExporterSpec, error) {
	job := new(wire.WindowJob)
	if err := proto.Unmarshal(m.Data, job); err != nil {
		return nil, nil, fmt.Errorf("decode window job: %w", err)
	}
	id, err := schemas.ParseWindowID(job.Window)
	if err != nil {
		return nil, nil, fmt.Errorf("decode window job: %w", err)
	}
	spec, err := schemas.JobSpec(job)
	if err != nil {
		return nil, nil, err
	}
	window := schemas.JobWindow(job)
	switch {
	case id.Namespace != job.Namespace || id.Name != job.Name || id.Generation != job.Generation || id.Window != window:
		err = fmt.Errorf("it is for %s/%s %s", job.Namespace, job.Name, window)
	case job.Cluster != w.cluster.cfg.Name:
		err = fmt.Errorf("cluster is %q, and its subject says %q", job.Cluster, w.cluster.cfg.Name)
	case job.Lane != string(w.lane):
		err = fmt.Errorf("lane is %q, and its subject says %q", job.Lane, w.lane)
	case spec.Exporter != w.exporter:
		err = fmt.Errorf("spec.exporter is %q, and its subject says %q", spec.Exporter, w.exporter)
	case strings.TrimSpace(spec.Body) == "":
		err = errors.New("spec.body is empty")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("window job %s: %w", job.Window, err)
	}
	return job, spec, nil
}

// mayRun refuses a job that is not for this instance.
func (w *worker) mayRun(spec *schemas.MetricsExporterSpec) error {
	if !slices.Contains(w.cluster.cfg.Databases, spec.Database) {
		return pipe.Refuse(fmt.Errorf("cluster %q of this instance does not serve database %q", w.cluster.cfg.Name, spec.Database))
	}
	matcher, err := criteria.New(spec.Criteria, spec.CriteriaExpression)
	if err != nil {
		return pipe.Permanent(err)
	}
	ok, err := matcher.Match(w.stage.cfg.Labels)
	if err != nil {
		return pipe.Refuse(fmt.Errorf("criteria cannot be evaluated for this instance's labels: %w", err))
	}
	if !ok {
		return pipe.Refuse(errors.New("criteria do not match this instance's labels"))
	}
	return nil
}

// run queries the window and makes its rows visible.
func (w *worker) run(ctx context.Context, m *pipe.Message, job *wire.WindowJob, spec *schemas.MetricsExporterSpec) error {
	// Whatever it waits for, a run ends: only then may its parts be swept.
	timeout := w.cluster.cfg.QueryTimeout + commitTime
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the rows were not stored within %s", timeout))
	defer cancel()
	s := w.stage
	started := s.cfg.Now()
	if m.Attempt > 1 {
		// A querier that was killed before its ack may have stored the rows. By its id
		// the stream knows that only while it keeps the message.
		if done, err := w.visible(ctx, m, job); err != nil || done {
			return err
		}
	}
	w.begin(ctx, m, job)
	r := newRun(s.cfg.Pipe, job, w.exporter, s.cfg.Logger)
	defer r.discard(ctx)

	result, err := w.cluster.client.Query(ctx, WindowQuery(job.Window, schemas.JobWindow(job), spec,
		func(b frames.Batch) error { return r.take(ctx, b) }))
	if err != nil {
		return err
	}
	event := schemas.JobEvent(job, schemas.Querier, schemas.EventQueried, s.cfg.Now())
	event.Exporter, event.Attempt = w.exporter, m.Attempt
	if err := r.commit(ctx, result, event); err != nil {
		return fmt.Errorf("store the rows of window %s: %w", job.Window, err)
	}
	// The rows are visible, whatever happens now; a stop must not keep it from the
	// ledger.
	if err := s.cfg.Pipe.Event(context.WithoutCancel(ctx), event); err != nil {
		return fmt.Errorf("report window %s: %w", job.Window, err)
	}
	key := job.Namespace + "/" + job.Name
	s.cfg.Metrics.Rows(key, result.Rows)
	if result.Rows == 0 && w.lane == schemas.LaneLive {
		s.cfg.Metrics.Exported(key, w.exporter, 0, schemas.JobWindow(job).End) // there is nothing to wait for
	}
	s.cfg.Logger.Debug("window queried", "window", job.Window, "metrics_exporter", key, "exporter", w.exporter,
		"attempt", m.Attempt, "rows", result.Rows, "batches", result.Batches, "duration", s.cfg.Now().Sub(started))
	return nil
}

// begin reports that the window's query is begun. The ledger can do without, so the
// query does not wait for long.
func (w *worker) begin(ctx context.Context, m *pipe.Message, job *wire.WindowJob) {
	ctx, cancel := context.WithTimeout(ctx, beginTime)
	defer cancel()
	event := schemas.JobEvent(job, schemas.Querier, schemas.EventRunning, w.stage.cfg.Now())
	event.Exporter, event.Attempt = w.exporter, m.Attempt
	if err := w.stage.cfg.Pipe.Event(ctx, event); err != nil {
		w.stage.cfg.Logger.Warn("could not report that a window's query is begun", "window", job.Window,
			"metrics_exporter", job.Namespace+"/"+job.Name, "exporter", w.exporter, "attempt", m.Attempt, "error", err)
	}
}
