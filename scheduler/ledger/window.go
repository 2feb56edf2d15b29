package ledger

import (
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// Window is what became of one window, or, when skipped, of a range of windows
// that were passed over.
type Window struct {
	ID       schemas.WindowID
	Lane     schemas.Lane
	Exporter string
	State    State
	// Scheduled is false for a window that only a replay or backfill asked for.
	Scheduled bool
	// GivenUp: it failed, and somebody decided to leave it at that.
	GivenUp bool
	// Planned, Running, Queried, Transformed and Exported are when it got there; zero
	// where it did not, or where the report is still on its way.
	Planned, Running, Queried, Transformed, Exported time.Time
	// Rows of the query, row batches and OTLP batches.
	Rows, RowBatches, Batches uint64
	// Accepted OTLP batches and points.
	Accepted, Points uint64
	// Rejected counts rows and points that are not at the endpoint, by reason.
	Rejected map[string]uint64
	// Attempts is the highest count of deliveries of any of its messages.
	Attempts uint64
	// Error is why it failed or was skipped; while it is under way, why something of
	// it had to be tried again. Nil: nothing went wrong, or it was made good.
	Error *Error
	// Replays are what became of replays and backfills of it, by request.
	Replays []Replay
}

// Replay is what became of one replay of a window.
type Replay struct {
	Request string
	State   State
	Rows    uint64
	Points  uint64
	// Last is when something of it was last reported.
	Last  time.Time
	Error *Error
}

// Error is what went wrong, or was decided, when and where.
type Error struct {
	Stage   schemas.Stage
	Kind    string
	Message string
	At      time.Time
}

// String returns "stage: message".
func (e *Error) String() string {
	if e == nil {
		return ""
	}
	if e.Stage == "" {
		return e.Message
	}
	return string(e.Stage) + ": " + e.Message
}

func newError(e *wire.WindowError) *Error {
	if e == nil {
		return nil
	}
	return &Error{schemas.Stage(e.Stage), e.Kind, e.Message, instant(e.AtUnixNano)}
}

// instant is the time of a record; zero for 0.
func instant(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// newWindow reads a record. A window that a replay exported is exported, whatever
// became of the schedule's job; nothing that a replay did takes that away.
func newWindow(namespace, name string, r *wire.WindowRecord) Window {
	w := Window{
		ID: schemas.WindowID{Namespace: namespace, Name: name, Generation: r.Generation,
			Window: schemas.Window{Start: time.Unix(0, r.StartUnixNano).UTC(), End: time.Unix(0, r.EndUnixNano).UTC()}},
		Exporter:  r.Exporter,
		Scheduled: r.Schedule != nil,
		Rejected:  map[string]uint64{},
	}
	if c := r.Schedule; c != nil {
		w.take(c)
	}
	for _, c := range r.Replays {
		s := stateOf(c)
		replay := Replay{Request: c.Request, State: s.state, Last: instant(c.LastUnixNano), Error: newError(s.err)}
		if s.run != nil {
			replay.Rows = s.run.Rows
			_, replay.Points = accepted(s.run)
		}
		w.Replays = append(w.Replays, replay)
		w.Attempts = max(w.Attempts, c.Attempts)
		// Without the schedule the furthest replay is what there is to tell.
		if w.State != StateExported && (s.state == StateExported || r.Schedule == nil) {
			w.take(c)
		}
	}
	return w
}

// take tells of the window what became of one request for it.
func (w *Window) take(c *wire.WindowCourse) {
	s := stateOf(c)
	run := s.run
	w.State, w.Error, w.GivenUp = s.state, newError(s.err), s.givenUp
	if w.GivenUp {
		w.Error.Message = "given up: " + w.Error.Message
	}
	w.Lane = schemas.Lane(c.Lane)
	w.Attempts = max(w.Attempts, c.Attempts)
	w.Planned, w.Running, w.Queried = instant(c.PlannedUnixNano), instant(c.RunningUnixNano), instant(c.QueriedUnixNano)
	w.Rows, w.RowBatches, w.Batches, w.Accepted, w.Points = 0, 0, 0, 0, 0
	w.Transformed, w.Exported = time.Time{}, time.Time{}
	w.Rejected = map[string]uint64{}
	if run == nil {
		return
	}
	w.Rows, w.RowBatches, w.Batches = run.Rows, run.RowBatches, run.Batches
	w.Accepted, w.Points = accepted(run)
	w.Transformed = instant(run.TransformedUnixNano)
	for reason, n := range run.Rejected {
		w.Rejected[reason] += n
	}
	for _, b := range run.Refused {
		w.Rejected[b.Reason] += b.Points
	}
	if s.state == StateExported {
		// Without a batch it was exported when that was known.
		w.Exported = instant(max(run.ExportedUnixNano, run.TransformedUnixNano, run.QueriedUnixNano))
		if run.ExportedUnixNano != 0 {
			w.Exported = instant(run.ExportedUnixNano)
		}
	}
}
