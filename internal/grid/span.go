package grid

import (
	"fmt"
	"iter"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// MaxWindows is the most windows one request may have: a year of minutes is half a
// million, and whoever asks for the seconds of a year has made a mistake.
const MaxWindows = 1_000_000

// Align returns the range of the windows that lie wholly within a range.
// It is empty, with an end that is not after its start, when there is none.
func (g Grid) Align(r schemas.Window) schemas.Window {
	a := schemas.Window{Start: r.Start.UTC(), End: g.Last(r.End)}
	if !g.Last(r.Start).Equal(r.Start) {
		a.Start = g.Next(r.Start)
	}
	if a.Start.IsZero() || a.End.IsZero() || !a.Start.Before(a.End) {
		return schemas.Window{Start: r.Start.UTC(), End: r.Start.UTC()}
	}
	return a
}

// Windows returns the windows from a time on that end within end, the oldest first.
// The first is shorter where from is no boundary of the grid.
func (g Grid) Windows(from, end time.Time) iter.Seq[schemas.Window] {
	return func(yield func(schemas.Window) bool) {
		for at := from; ; {
			next := g.Next(at)
			if next.IsZero() || next.After(end) || !yield(schemas.Window{Start: at, End: next}) {
				return
			}
			at = next
		}
	}
}

// Count returns how many Windows returns; of a schedule, more than MaxWindows is
// only known to be more.
func (g Grid) Count(from, end time.Time) int64 {
	if interval, ok := g.Interval(); ok {
		first := g.Next(from)
		if first.After(end) {
			return 0
		}
		return 1 + int64(end.Sub(first)/interval)
	}
	n := int64(0)
	for range g.Windows(from, end) {
		if n++; n > MaxWindows {
			break
		}
	}
	return n
}

// CheckRange says what is wrong with a range to replay or backfill: it has no
// window, or too many.
func (g Grid) CheckRange(r schemas.Window) error {
	if !r.Start.Before(r.End) {
		return fmt.Errorf("start must be before end, got %s", r)
	}
	a := g.Align(r)
	if !a.Start.Before(a.End) {
		last := g.Last(r.Start)
		return fmt.Errorf("no whole window lies within %s; the one at its start is %s", r, schemas.Window{Start: last, End: g.Next(r.Start)})
	}
	if n := g.Count(a.Start, a.End); n > MaxWindows {
		return fmt.Errorf("there must not be more than %d windows, %s has more", MaxWindows, r)
	}
	return nil
}
