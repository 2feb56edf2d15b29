package preview

import (
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Latest returns the window that was due last: the pipeline would begin with it.
func Latest(g grid.Grid, delay time.Duration, now time.Time) schemas.Window {
	return before(g, g.Last(now.Add(-delay)))
}

// Choose returns the window that a person asks for. Of a time that is zero the
// grid's neighbour is taken; without either it is the latest.
func Choose(g grid.Grid, delay time.Duration, start, end, now time.Time) schemas.Window {
	switch {
	case start.IsZero() && end.IsZero():
		return Latest(g, delay, now)
	case start.IsZero():
		return schemas.Window{Start: before(g, end).Start, End: end}
	case end.IsZero():
		return schemas.Window{Start: start, End: g.Next(start)}
	}
	return schemas.Window{Start: start, End: end}
}

// before returns the window that ends at a time.
func before(g grid.Grid, end time.Time) schemas.Window {
	return schemas.Window{Start: g.Last(end.Add(-schemas.Tick)), End: end}
}

// OnGrid says whether a window is one that the pipeline would run.
func OnGrid(g grid.Grid, w schemas.Window) bool {
	return g.Last(w.Start).Equal(w.Start) && g.Next(w.Start).Equal(w.End)
}
