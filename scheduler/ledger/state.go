package ledger

import (
	"cmp"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// State is how far a window has come.
type State string

// The states.
const (
	StatePlanned     State = "planned"     // its job waits for a query
	StateRunning     State = "running"     // its query was begun
	StateQueried     State = "queried"     // its rows wait for the transform
	StateTransformed State = "transformed" // its OTLP batches wait for the endpoint
	StateExported    State = "exported"    // the endpoint has accepted all of them
	StateFailed      State = "failed"      // a message of it is a dead letter, or was given up
	StateSkipped     State = "skipped"     // it was passed over
)

// States are all states, in the order a window passes them.
var States = []State{StatePlanned, StateRunning, StateQueried, StateTransformed, StateExported, StateFailed, StateSkipped}

// Waiting says whether the window is under way.
func (s State) Waiting() bool {
	switch s {
	case StatePlanned, StateRunning, StateQueried, StateTransformed:
		return true
	}
	return false
}

// accepted returns how many batches of a run, and points, the endpoint accepted.
func accepted(r *wire.RunRecord) (batches, points uint64) {
	for _, n := range r.Accepted {
		if n > 0 {
			batches++
			points += n - 1
		}
	}
	return batches, points
}

// complete says whether everything of a run is at the endpoint.
func complete(r *wire.RunRecord) bool {
	if r.TransformedUnixNano == 0 {
		return empty(r)
	}
	if uint64(len(r.Accepted)) < r.Batches {
		return false
	}
	for _, n := range r.Accepted[:r.Batches] {
		if n == 0 {
			return false
		}
	}
	return true
}

// empty says whether a run had no rows, which makes no message and is complete.
func empty(r *wire.RunRecord) bool {
	return r.QueriedUnixNano != 0 && r.Rows == 0 && r.RowBatches == 0 && r.TransformedUnixNano == 0 && len(r.Accepted) == 0
}

// exported returns the complete run of a course; nil while there is none. Where a
// query that found no rows was run again and found some, those count.
func exported(c *wire.WindowCourse) *wire.RunRecord {
	var none *wire.RunRecord
	some := false
	for _, r := range byAge(c.Runs) {
		switch {
		case empty(r):
			none = cmp.Or(none, r)
		case complete(r):
			return r
		case renewed(c, r) != nil:
		default:
			some = true
		}
	}
	if some {
		return nil
	}
	return none
}

// renewed returns the decision to query the window again in place of a run's rows, which
// could not be transformed; nil: there is none.
func renewed(c *wire.WindowCourse, r *wire.RunRecord) *wire.WindowError {
	b := find(c.PutBack, &wire.WindowError{Stage: string(schemas.Transformer), Run: r.Run})
	if b == nil || b.Kind != schemas.KindRenewed || r.TransformedUnixNano != 0 {
		return nil
	}
	return b
}

// byAge returns runs, the newest first.
func byAge(runs []*wire.RunRecord) []*wire.RunRecord {
	if len(runs) < 2 {
		return runs
	}
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b *wire.RunRecord) int {
		return -cmp.Or(cmp.Compare(a.QueriedUnixNano, b.QueriedUnixNano), cmp.Compare(a.Run, b.Run))
	})
	return runs
}

// standing is how far a course has come.
type standing struct {
	state State
	// run stands for the course; nil: none yet.
	run *wire.RunRecord
	// err is why it failed, or is tried again; nil: nothing went wrong.
	err *wire.WindowError
	// givenUp: all that failed of it was dropped; err is the last such decision.
	givenUp bool
}

func stateOf(c *wire.WindowCourse) standing {
	if r := exported(c); r != nil {
		return standing{state: StateExported, run: r}
	}
	var r *wire.RunRecord
	asked := int64(0) // when the window was to be queried again
	if b := find(c.PutBack, &wire.WindowError{Stage: string(schemas.Querier)}); b != nil && b.Kind == schemas.KindRenewed {
		asked = b.AtUnixNano
	}
	for _, o := range byAge(c.Runs) {
		if b := renewed(c, o); b != nil {
			asked = max(asked, b.AtUnixNano)
			continue
		}
		// The furthest, of those the newest.
		if r == nil || o.TransformedUnixNano != 0 && r.TransformedUnixNano == 0 {
			r = o
		}
	}
	if failure, dropped := failed(c); failure != nil {
		return standing{StateFailed, r, failure, false}
	} else if dropped != nil {
		return standing{StateFailed, r, dropped, true}
	}
	if r == nil && asked > c.BegunUnixNano {
		return standing{state: StatePlanned, err: c.Retrying}
	}
	return standing{state: underWay(c, r), run: r, err: c.Retrying}
}

// failed returns the latest failure that nobody has decided about, and the latest
// decision to leave one at that. Each dead letter is one of its own.
func failed(c *wire.WindowCourse) (failure, dropped *wire.WindowError) {
	for _, d := range c.Dropped {
		if f := find(c.Failures, d); !overcome(c, d, d.LetterUnixNano) && (f == nil || f.AtUnixNano <= d.LetterUnixNano) {
			dropped = later(dropped, d)
		}
	}
	failures := c.Failures
	if c.More != nil {
		failures = append(slices.Clip(failures), c.More)
	}
	for _, f := range failures {
		if d := find(c.Dropped, f); !overcome(c, f, f.AtUnixNano) && (d == nil || d.LetterUnixNano < f.AtUnixNano) {
			failure = later(failure, f)
		}
	}
	return failure, dropped
}

// underWay returns the state of a course that neither ended nor failed.
func underWay(c *wire.WindowCourse, r *wire.RunRecord) State {
	switch {
	case r != nil && r.TransformedUnixNano != 0:
		return StateTransformed
	case c.QueriedUnixNano == 0 && r == nil && c.BegunUnixNano == 0:
		return StatePlanned
	case c.BegunUnixNano > c.QueriedUnixNano && (r == nil || r.QueriedUnixNano != 0):
		return StateRunning
	}
	return StateQueried
}

// overcome says whether the message that failed at a time went on since: somebody put
// it back, or its stage has done it after all.
func overcome(c *wire.WindowCourse, f *wire.WindowError, at int64) bool {
	if b := find(c.PutBack, f); b != nil && b.LetterUnixNano >= at {
		return true
	}
	if f.Run == "" {
		return c.BegunUnixNano > at || c.QueriedUnixNano > at
	}
	for _, r := range c.Runs {
		switch {
		case r.Run != f.Run:
			if r.QueriedUnixNano > at {
				return true
			}
		case f.Stage == string(schemas.Sender):
			if f.Batch < uint64(len(r.Accepted)) && r.Accepted[f.Batch] != 0 {
				return true
			}
		case r.TransformedUnixNano != 0:
			// The transform reports once it is done. A batch may be refused before that,
			// so of the sender's failures it says nothing.
			return true
		}
	}
	return false
}
