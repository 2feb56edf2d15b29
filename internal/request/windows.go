package request

import (
	"fmt"
	"iter"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// MaxWindows is the most windows one request may have: a year of minutes is half a
// million, and whoever asks for the seconds of a year has made a mistake.
const MaxWindows = 1_000_000

// Align returns the range of the windows of a grid that lie wholly within a range.
// It is empty, with an end that is not after its start, when there is none.
func Align(g grid.Grid, r schemas.Window) schemas.Window {
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
func Windows(g grid.Grid, from, end time.Time) iter.Seq[schemas.Window] {
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
func Count(g grid.Grid, from, end time.Time) int64 {
	if interval, ok := g.Interval(); ok {
		first := g.Next(from)
		if first.After(end) {
			return 0
		}
		return 1 + int64(end.Sub(first)/interval)
	}
	n := int64(0)
	for range Windows(g, from, end) {
		if n++; n > MaxWindows {
			break
		}
	}
	return n
}

// Target is the version of a MetricsExporter whose windows are issued.
type Target struct {
	Namespace, Name string
	Cluster         string
	Exporter        string
	Spec            []byte // as jobs carry it
}

// Job returns the job for a window, on the backfill lane.
func (t Target) Job(w schemas.Window, generation uint64, id string) *wire.WindowJob {
	window := schemas.WindowID{Namespace: t.Namespace, Name: t.Name, Window: w, Generation: generation}
	return &wire.WindowJob{
		Window: window.String(), Namespace: t.Namespace, Name: t.Name, Generation: generation,
		StartUnixNano: w.Start.UnixNano(), EndUnixNano: w.End.UnixNano(),
		Lane: string(schemas.LaneBackfill), Cluster: t.Cluster, Request: id, Spec: t.Spec,
	}
}

// CheckRange says what is wrong with a range to replay or backfill: it has no
// window, or too many.
func CheckRange(g grid.Grid, r schemas.Window) error {
	if !r.Start.Before(r.End) {
		return fmt.Errorf("start must be before end, got %s", r)
	}
	a := Align(g, r)
	if !a.Start.Before(a.End) {
		last := g.Last(r.Start)
		return fmt.Errorf("no whole window lies within %s; the one at its start is %s", r, schemas.Window{Start: last, End: g.Next(r.Start)})
	}
	if n := Count(g, a.Start, a.End); n > MaxWindows {
		return fmt.Errorf("there must not be more than %d windows, %s has more", MaxWindows, r)
	}
	return nil
}
