package grid

import (
	"errors"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Minimum is the shortest interval.
const Minimum = time.Second

// tick is Kusto's unit of time. A boundary off it could not be a query
// parameter.
const tick = 100 * time.Nanosecond

// A Grid is the boundaries of a MetricsExporter's windows. Its zero value has
// none; New makes one. It may be used by several goroutines.
type Grid struct {
	interval time.Duration
	cron     *cron
}

// A FieldError says what is wrong with a field of a spec.
type FieldError struct {
	// Field is interval, schedule or timeZone.
	Field string
	// Message names value and bound.
	Message string
}

// Error prints the field and the message.
func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// New returns the grid of a spec. Its error joins *FieldErrors, one for each
// field at fault.
func New(spec schemas.MetricsExporterSpec) (Grid, error) {
	g, problems := parse(spec)
	if len(problems) == 0 {
		return g, nil
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return Grid{}, errors.Join(errs...)
}

// Check returns what New would complain about, field by field.
func Check(spec schemas.MetricsExporterSpec) []*FieldError {
	_, problems := parse(spec)
	return problems
}

// Every returns the grid of an interval, which must be at least Minimum.
func Every(interval time.Duration) Grid { return Grid{interval: interval} }

// Next returns the first boundary after t, in UTC.
func (g Grid) Next(t time.Time) time.Time {
	if g.cron != nil {
		return g.cron.next(t)
	}
	return g.Last(t).Add(g.interval)
}

// Last returns the last boundary that is not after t, in UTC.
func (g Grid) Last(t time.Time) time.Time {
	if g.cron != nil {
		return g.cron.last(t)
	}
	return t.UTC().Truncate(g.interval)
}

// Interval returns the length of every window, and false for a schedule, whose
// windows differ in length.
func (g Grid) Interval() (time.Duration, bool) { return g.interval, g.cron == nil }
