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
		default:
			some = true
		}
	}
	if some {
		return nil
	}
	return none
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

// stateOf returns a course's state, the run that stands for it (nil: none yet), and
// its error (nil: none), which is c.Dropped itself where it was given up.
func stateOf(c *wire.WindowCourse) (State, *wire.RunRecord, *wire.WindowError) {
	if r := exported(c); r != nil {
		return StateExported, r, nil
	}
	var r *wire.RunRecord
	for _, o := range byAge(c.Runs) {
		// The furthest, of those the newest.
		if r == nil || o.TransformedUnixNano != 0 && r.TransformedUnixNano == 0 {
			r = o
		}
	}
	var failure *wire.WindowError
	for _, f := range c.Failures {
		if !overcome(c, f) {
			failure = later(failure, f)
		}
	}
	if d := c.Dropped; d != nil && d.AtUnixNano >= c.BegunUnixNano && (failure == nil || d.AtUnixNano >= failure.AtUnixNano) {
		return StateFailed, r, d
	}
	if failure != nil {
		return StateFailed, r, failure
	}
	retrying := c.Retrying
	switch {
	case r != nil && r.TransformedUnixNano != 0:
		return StateTransformed, r, retrying
	case c.QueriedUnixNano == 0 && r == nil && c.BegunUnixNano == 0:
		return StatePlanned, nil, retrying
	case c.BegunUnixNano > c.QueriedUnixNano && (r == nil || r.QueriedUnixNano != 0):
		return StateRunning, r, retrying
	}
	return StateQueried, r, retrying
}

// overcome says whether what failed went on since: somebody decided to try again.
func overcome(c *wire.WindowCourse, f *wire.WindowError) bool {
	for _, b := range c.PutBack {
		if b.Stage == f.Stage && b.Run == f.Run && b.AtUnixNano > f.AtUnixNano {
			return true
		}
	}
	if f.Run == "" {
		return c.BegunUnixNano > f.AtUnixNano || c.QueriedUnixNano > f.AtUnixNano
	}
	for _, r := range c.Runs {
		switch {
		case r.Run != f.Run:
			if r.QueriedUnixNano > f.AtUnixNano {
				return true
			}
		case f.Stage != string(schemas.Sender) && r.TransformedUnixNano != 0:
			// The transform reports once it is done. A batch may be refused before that,
			// so of the sender's failures it says nothing.
			return true
		}
	}
	return false
}
