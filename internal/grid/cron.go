package grid

import (
	"math/bits"
	"time"
	_ "time/tzdata" // images without a time zone database have the time zones too

	robfig "github.com/robfig/cron/v3"
)

// horizon is how far a search for a tick goes. The rarest schedule there is,
// 29 February, may be eight years away (1896 to 1904).
const horizon = 10 * 366 * 24 * time.Hour

// star is the bit by which robfig/cron marks a field that was written as "*".
const star = 1 << 63

// A cron is a schedule in a time zone. A minute at which the zone's clocks
// show a time that the expression matches begins with a tick. Clocks that are
// set back show an hour twice and so tick twice in it; the hour that clocks
// skip when they are set forward has no ticks. Either way the ticks are
// instants in one order, and windows run from each to the next.
//
// The search is this package's own because robfig/cron's looks only forward,
// and in zones that change at midnight or by half an hour what it finds
// depends on where it starts; then two schedulers would not agree on a window.
type cron struct {
	spec *robfig.SpecSchedule
	zone *time.Location
}

// next returns the first tick after t, or the zero time when there is none
// within the horizon.
func (c *cron) next(t time.Time) time.Time {
	from := t.UTC().Add(time.Nanosecond)
	for end := from.Add(horizon); from.Before(end); {
		// While a zone keeps its offset, its clocks are UTC's, shifted.
		local, until := c.segment(from)
		offset := local.Sub(from)
		limit := until
		if until.IsZero() || until.After(end) {
			limit = end
		}
		if found := c.forward(local, limit.Add(offset)); !found.IsZero() {
			return found.Add(-offset)
		}
		from = limit
	}
	return time.Time{}
}

// last returns the last tick that is not after t, or the zero time when there
// is none within the horizon.
func (c *cron) last(t time.Time) time.Time {
	from := t.UTC()
	for end := from.Add(-horizon); !from.Before(end); {
		zoned := from.In(c.zone)
		start, _ := zoned.ZoneBounds()
		_, seconds := zoned.Zone()
		offset := time.Duration(seconds) * time.Second
		limit := start.UTC()
		if start.IsZero() || limit.Before(end) {
			limit = end
		}
		if found := c.backward(from.Add(offset), limit.Add(offset)); !found.IsZero() {
			return found.Add(-offset)
		}
		from = limit.Add(-time.Nanosecond)
	}
	return time.Time{}
}

// segment returns what clocks show at an instant, as if it were UTC, and when
// the zone's offset changes next; zero when never.
func (c *cron) segment(at time.Time) (local, until time.Time) {
	zoned := at.In(c.zone)
	_, seconds := zoned.Zone()
	if _, until = zoned.ZoneBounds(); !until.IsZero() && !until.After(at) {
		// On 31 December of a leap year after 2037 ZoneBounds says that the offset
		// ended at the day's beginning (it takes every year to have 365 days). No
		// zone changes that day.
		until = at.Truncate(time.Hour).Add(time.Hour)
	}
	return at.Add(time.Duration(seconds) * time.Second), until.UTC()
}

// forward returns the first match in [from, limit) on clocks that are never
// set, the zero time when there is none.
func (c *cron) forward(from, limit time.Time) time.Time {
	minute := from.Truncate(time.Minute)
	if minute.Before(from) {
		minute = minute.Add(time.Minute)
	}
	for day := minute.Truncate(24 * time.Hour); day.Before(limit); day = day.AddDate(0, 0, 1) {
		if !c.month(day) {
			day = time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC)
			continue
		}
		if !c.day(day) {
			continue
		}
		hour, first := 0, 0
		if day.Before(minute) {
			hour, first = minute.Hour(), minute.Minute()
		}
		for ; hour < 24; hour, first = hour+1, 0 {
			if c.spec.Hour&(1<<hour) == 0 {
				continue
			}
			left := c.spec.Minute &^ star >> first
			if left == 0 {
				continue
			}
			found := day.Add(time.Duration(hour)*time.Hour + time.Duration(first+bits.TrailingZeros64(left))*time.Minute)
			if !found.Before(limit) {
				return time.Time{}
			}
			return found
		}
	}
	return time.Time{}
}

// backward returns the last match in [limit, from] on clocks that are never
// set, the zero time when there is none.
func (c *cron) backward(from, limit time.Time) time.Time {
	minute := from.Truncate(time.Minute)
	for day := minute.Truncate(24 * time.Hour); !day.Add(24 * time.Hour).Before(limit); day = day.AddDate(0, 0, -1) {
		if !c.month(day) {
			day = time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
			continue
		}
		if !c.day(day) {
			continue
		}
		hour, most := 23, 59
		if minute.Before(day.Add(24 * time.Hour)) {
			hour, most = minute.Hour(), minute.Minute()
		}
		for ; hour >= 0; hour, most = hour-1, 59 {
			if c.spec.Hour&(1<<hour) == 0 {
				continue
			}
			left := c.spec.Minute &^ star & (1<<(most+1) - 1)
			if left == 0 {
				continue
			}
			found := day.Add(time.Duration(hour)*time.Hour + time.Duration(63-bits.LeadingZeros64(left))*time.Minute)
			if found.Before(limit) {
				return time.Time{}
			}
			return found
		}
	}
	return time.Time{}
}

func (c *cron) month(day time.Time) bool { return c.spec.Month&(1<<day.Month()) != 0 }

// day follows cron's odd rule: of day of month and day of week either is
// enough, unless one of them is "*".
func (c *cron) day(day time.Time) bool {
	inMonth := c.spec.Dom&(1<<day.Day()) != 0
	inWeek := c.spec.Dow&(1<<day.Weekday()) != 0
	if c.spec.Dom&star != 0 || c.spec.Dow&star != 0 {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}
