package main

import (
	"fmt"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What is due may be under way for two windows' length: at least a minute, since a
// window of a second takes longer than that to arrive, at most an hour, since two
// windows of a day are no reason to be late by days.
const (
	leastGrace = time.Minute
	mostGrace  = time.Hour
)

// late says why a MetricsExporter is late by the schedule that was declared; empty:
// it is not, or is not expected to keep up. The window that is not over yet and its
// ingestionDelay make nobody late, however long they are.
func (s status) late(d schemas.Declared, now time.Time) string {
	g, err := grid.New(schemas.MetricsExporterSpec{Interval: d.Interval, Schedule: d.Schedule, TimeZone: d.TimeZone})
	if err != nil || d.State != schemas.DeclaredScheduled {
		return ""
	}
	due := g.Last(now.Add(-d.IngestionDelay.Duration))
	if due.IsZero() {
		return ""
	}
	reached := s.Watermark
	if reached.IsZero() {
		reached = now.Add(-s.Lag) // the start of its first window
	}
	window := due.Sub(g.Last(due.Add(-1)))
	grace := min(max(2*window, leastGrace), mostGrace)
	if at := g.Last(now.Add(-d.IngestionDelay.Duration - grace)); !reached.Before(at) {
		return ""
	}
	return fmt.Sprintf("it is late: the windows since %s are not exported, those until %s were due", timestamp(reached), timestamp(due))
}
