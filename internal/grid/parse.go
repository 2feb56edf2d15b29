package grid

import (
	"fmt"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	robfig "github.com/robfig/cron/v3"
)

// parse reads interval, schedule and timeZone and tells everything that is
// wrong with them.
func parse(spec schemas.MetricsExporterSpec) (Grid, []*FieldError) {
	var problems []*FieldError
	problem := func(field, format string, args ...any) {
		problems = append(problems, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	interval := spec.Interval.Duration
	switch {
	case spec.Schedule == "" && interval == 0:
		problem("interval", "interval or schedule is needed")
	case spec.Schedule != "" && interval != 0:
		problem("schedule", "only one of interval and schedule may be set")
	case spec.Schedule != "":
	case interval < Minimum:
		problem("interval", "must be at least %s, got %s", Minimum, interval)
	case interval%tick != 0:
		problem("interval", "must be a multiple of 100ns, Kusto's unit of time, got %s", interval)
	}
	if spec.Schedule == "" && spec.TimeZone != "" {
		problem("timeZone", "applies to schedule only")
	}
	zone, err := loadZone(spec.TimeZone)
	if err != nil {
		problem("timeZone", "%s", err)
	}
	if spec.Schedule == "" {
		return Grid{interval: interval}, problems
	}
	c := &cron{zone: zone}
	if c.spec, err = parseSchedule(spec.Schedule); err != nil {
		problem("schedule", "%s", err)
	} else if zone != nil && c.next(someTime).IsZero() {
		problem("schedule", "must come at least once in ten years, got %q", spec.Schedule)
	}
	return Grid{cron: c}, problems
}

// someTime is where the search for a schedule's first tick begins. Any time
// would do; a fixed one gives every instance the same verdict.
var someTime = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// loadZone loads an IANA time zone. The name "Local" would mean another zone
// on another machine.
func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("must be an IANA time zone such as Europe/Berlin, got %q", name)
	}
	return zone, nil
}

func parseSchedule(text string) (*robfig.SpecSchedule, error) {
	switch trimmed := strings.TrimSpace(text); {
	case strings.HasPrefix(trimmed, "@every"):
		return nil, fmt.Errorf("@every has no fixed boundaries: use interval, got %q", text)
	case strings.Contains(trimmed, "TZ="):
		return nil, fmt.Errorf("must not have a time zone: use timeZone, got %q", text)
	case len(text) > 200:
		return nil, fmt.Errorf("must not be longer than 200 characters, has %d", len(text))
	}
	schedule, err := robfig.ParseStandard(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("must be a cron expression of 5 fields or one like @hourly, got %q: %w", text, err)
	}
	spec, ok := schedule.(*robfig.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("must be a cron expression of 5 fields or one like @hourly, got %q", text)
	}
	return spec, nil
}
