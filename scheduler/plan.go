package scheduler

import (
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// liveWindows is how many windows a window may be late by and still travel on
// the live lane: when that many later ones are due as well, it is catching up.
const liveWindows = 3

// Position is where a MetricsExporter's windows are, and what decides which of
// them are due.
type Position struct {
	// Next is the start of the first window not yet issued. Zero: none ever was.
	Next time.Time
	// Grid has the boundaries between windows.
	Grid grid.Grid
	// Delay is how long after its end a window is due.
	Delay time.Duration
	// CatchUp is how long after it was due a window is still issued.
	CatchUp time.Duration
}

// Plan is what is to be done at one instant. Skipped and Windows follow each
// other without gap or overlap, from Position.Next (if there is one) to Next.
type Plan struct {
	// Skipped is passed over; its zero value is nothing.
	Skipped Skip
	// Windows are to be issued, oldest first.
	Windows []PlannedWindow
	// Next is the start of the first window after them. Zero: no window has
	// ended yet since the grid began.
	Next time.Time
	// Due is when the next window is due, which is not after the instant of the
	// plan where a limit cut the plan short. Zero: never.
	Due time.Time
}

// PlannedWindow is a window and the lane it is issued on.
type PlannedWindow struct {
	schemas.Window
	Lane schemas.Lane
}

// Skip is a range of consecutive windows that are not issued.
type Skip struct {
	schemas.Window
	Count int64
}

// At returns what is to be done at an instant. At most limit windows are
// planned; 0 is no limit. It is a pure function: two schedulers at the same
// position plan the same windows, except for what became due in between.
//
// A window runs from the end of the one before to the next boundary of the
// grid. After the grid changed that makes one shorter window, and no gap.
func (p Position) At(now time.Time, limit int) Plan {
	next := p.Next
	var plan Plan
	if next.IsZero() {
		// The last complete window, however long ago it was: it is all there is
		// to show that the MetricsExporter works.
		end := p.Grid.Last(now.Add(-p.Delay))
		if end.IsZero() {
			return plan
		}
		if next = p.Grid.Last(end.Add(-1)); next.IsZero() {
			return plan
		}
	} else if s := p.skip(now); s.Count > 0 {
		plan.Skipped = s
		next = s.End
	}

	// ahead holds the boundaries that follow next.
	var ahead [1 + liveWindows]time.Time
	at := next
	for i := range ahead {
		ahead[i] = p.after(at)
		at = ahead[i]
	}
	due := func(boundary time.Time) bool { return !boundary.IsZero() && !boundary.Add(p.Delay).After(now) }
	for due(ahead[0]) && (limit == 0 || len(plan.Windows) < limit) {
		w := PlannedWindow{schemas.Window{Start: next, End: ahead[0]}, schemas.LaneLive}
		if due(ahead[liveWindows]) {
			w.Lane = schemas.LaneBackfill
		}
		plan.Windows = append(plan.Windows, w)
		next = w.End
		copy(ahead[:], ahead[1:])
		ahead[liveWindows] = p.after(ahead[liveWindows-1])
	}
	plan.Next = next
	if !ahead[0].IsZero() {
		plan.Due = ahead[0].Add(p.Delay)
	}
	return plan
}

// after returns the boundary after t; zero when there is none.
func (p Position) after(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return p.Grid.Next(t)
}

// skip returns the windows that were due longer ago than CatchUp.
func (p Position) skip(now time.Time) Skip {
	// Those that end before this instant, that is up to the last boundary before it.
	kept := now.Add(-p.CatchUp - p.Delay)
	end := p.Grid.Last(kept.Add(-1))
	if !end.After(p.Next) {
		return Skip{}
	}
	s := Skip{Window: schemas.Window{Start: p.Next, End: end}}
	if interval, ok := p.Grid.Interval(); ok {
		// Counted, not walked: a second's windows of a year are 31 million.
		first := p.Grid.Next(p.Next)
		s.Count = 1 + int64(end.Sub(first)/interval)
		return s
	}
	for at := p.Next; !at.IsZero() && at.Before(end); at = p.Grid.Next(at) {
		s.Count++
	}
	return s
}
