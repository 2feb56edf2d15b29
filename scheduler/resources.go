package scheduler

import (
	"fmt"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
)

// The states of a resource, as they are logged when they change. Any other state
// is what is wrong with it.
const (
	stateScheduled = "scheduled"
	stateSuspended = "suspended"
	stateElsewhere = "not for this instance"
)

// apply takes over what the source declares.
func (s *Scheduler) apply(set resource.Set, now time.Time) {
	s.tellProblems(set.Problems)
	if len(set.Documents) == 0 && len(set.Problems) == 0 {
		s.cfg.Logger.Warn("there is no MetricsExporter: no file matches resources.files, or those that do are empty")
	}
	states := make(map[string]string, len(set.Documents))
	for _, d := range set.Documents {
		key := d.Key()
		t, state := s.targetOf(d)
		s.want(key, t, now)
		s.tellState(d, state)
		states[key] = state
	}
	for key := range s.states {
		if _, ok := states[key]; !ok {
			s.want(key, nil, now)
			s.cfg.Logger.Info("resource is gone", "metrics_exporter", key)
		}
	}
	s.states = states
	s.declared.set(set, states, now)
}

// targetOf returns what to schedule of a document: nil unless the state is
// stateScheduled.
func (s *Scheduler) targetOf(d resource.Document) (*target, string) {
	spec := &d.MetricsExporter.Spec
	if spec.Suspend {
		return nil, stateSuspended
	}
	match, err := d.Criteria.Match(s.cfg.Labels)
	if err != nil {
		return nil, err.Error()
	}
	if !match {
		return nil, stateElsewhere
	}
	cluster, ok := s.cfg.ClusterFor(spec.Database)
	if !ok {
		return nil, fmt.Sprintf("database: no kusto entry of the configuration serves %q", spec.Database)
	}
	t, err := newTarget(d, cluster)
	if err != nil {
		return nil, err.Error()
	}
	return t, stateScheduled
}

// want schedules another version of a resource; nil: none.
func (s *Scheduler) want(key string, t *target, now time.Time) {
	s.backfills.want(key, t)
	if t == nil {
		s.renewals.set(key, nil, 0)
	}
	e := s.entries[key]
	switch {
	case e == nil && t == nil:
	case e == nil:
		e = &entry{key: key, want: t, index: -1}
		s.entries[key] = e
		s.queue.put(e, now)
	case t == nil:
		e.want = nil
		if !e.busy {
			s.queue.drop(e)
			delete(s.entries, key)
		}
	case !e.want.same(t):
		e.want = t
		if !e.busy {
			s.queue.put(e, now)
		}
	}
}

func (s *Scheduler) tellState(d resource.Document, state string) {
	was := s.states[d.Key()]
	if was == state {
		return
	}
	log := s.cfg.Logger.With("metrics_exporter", d.Key(), "file", d.File, "document", d.Number)
	switch state {
	case stateScheduled, stateSuspended, stateElsewhere:
		log.Info("resource is " + state)
	default:
		log.Error("resource is not scheduled", "error", state)
	}
}

// tellProblems logs the problems that were not there before, and those that are
// no longer.
func (s *Scheduler) tellProblems(problems []resource.Problem) {
	told := make(map[string]resource.Problem, len(problems))
	for _, p := range problems {
		// The line moves with every edit above it.
		key := fmt.Sprintf("%s\x00%d\x00%s\x00%s", p.File, p.Document, p.Field, p.Message)
		told[key] = p
		if _, ok := s.problems[key]; !ok {
			s.cfg.Logger.Error("invalid resource", "file", p.File, "document", p.Document, "line", p.Line, "field", p.Field, "error", p.Message)
		}
	}
	for key, p := range s.problems {
		if _, ok := told[key]; !ok {
			s.cfg.Logger.Info("resource problem resolved", "file", p.File, "document", p.Document, "field", p.Field, "error", p.Message)
		}
	}
	s.problems = told
}
