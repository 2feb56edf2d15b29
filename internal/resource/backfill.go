package resource

import (
	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// maxInFlight bounds the windows of a backfill that are under way at a time. Its
// state names each of them.
const maxInFlight = 100

// backfill checks what is asked for of the past.
func (c *checker) backfill(spec schemas.MetricsExporterSpec) {
	b := spec.Backfill
	if b == nil {
		return
	}
	const at = "spec.backfill."
	if err := schemas.CheckRequest(b.RequestID); err != nil {
		c.problem(at+"requestId", "%s", err)
	}
	if b.MaxInFlight < 1 || b.MaxInFlight > maxInFlight {
		c.problem(at+"maxInFlight", "must be between 1 and %d, got %d", maxInFlight, b.MaxInFlight)
	}
	missing := false
	for _, t := range []struct {
		field string
		zero  bool
	}{{"startTime", b.StartTime.IsZero()}, {"endTime", b.EndTime.IsZero()}} {
		if t.zero {
			c.problem(at+t.field, "is needed")
			missing = true
		}
	}
	if missing {
		return
	}
	r := schemas.Window{Start: b.StartTime.UTC(), End: b.EndTime.UTC()}
	if !r.Start.Before(r.End) {
		c.problem(at+"endTime", "must be after startTime, got %s", r)
		return
	}
	if g, err := grid.New(spec); err == nil {
		if err := g.CheckRange(r); err != nil {
			c.problem(at+"startTime", "%s", err)
		}
	}
}
