package engine

import (
	"strings"
	"time"
	_ "time/tzdata" // machines without a time zone database have the time zones too

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	for part, f := range dateParts {
		if name, ok := partFunctions[part]; ok {
			functions[name] = scalar("int: datetime", func(r row) (int64, bool) { return f(r.int(0)), true })
		}
	}
	functions["getyear"] = scalar("int: datetime", func(r row) (int64, bool) { return dateParts["year"](r.int(0)), true })
	functions["getmonth"] = functions["monthofyear"]
	functions["dayofweek"] = scalar("timespan: datetime", func(r row) (int64, bool) {
		return int64(table.Time(r.int(0)).Weekday()) * day, true
	})
	for name, start := range starts {
		functions["startof"+name] = bindStart(start, 0)
		functions["endof"+name] = bindStart(start, 1)
	}
	functions["datetime_add"] = bindDateTimeAdd
	functions["datetime_diff"] = bindDateTimeDiff
	functions["datetime_part"] = bindDateTimePart
	functions["datepart"] = bindDateTimePart
	functions["make_datetime"] = bindMakeDateTime
	functions["make_timespan"] = bindMakeTimeSpan
	functions["datetime_utc_to_local"] = bindZone(utcToLocal)
	functions["datetime_local_to_utc"] = bindZone(localToUTC)
	for unit, ticks := range map[string]float64{"seconds": 1e7, "milliseconds": 1e4, "microseconds": 10, "nanoseconds": 0.01} {
		functions["unixtime_"+unit+"_todatetime"] = bindUnixTime(ticks)
	}
}

const day = 864e9 // ticks

// dateParts are what a datetime, in ticks, is made of.
var dateParts = map[string]func(int64) int64{
	"year":         func(t int64) int64 { return int64(table.Time(t).Year()) },
	"quarter":      func(t int64) int64 { return int64(table.Time(t).Month()-1)/3 + 1 },
	"month":        func(t int64) int64 { return int64(table.Time(t).Month()) },
	"week_of_year": func(t int64) int64 { _, w := table.Time(t).ISOWeek(); return int64(w) },
	"day":          func(t int64) int64 { return int64(table.Time(t).Day()) },
	"dayofyear":    func(t int64) int64 { return int64(table.Time(t).YearDay()) },
	"hour":         func(t int64) int64 { return int64(table.Time(t).Hour()) },
	"minute":       func(t int64) int64 { return int64(table.Time(t).Minute()) },
	"second":       func(t int64) int64 { return int64(table.Time(t).Second()) },
	"millisecond":  func(t int64) int64 { return int64(table.Time(t).Nanosecond() / 1e6) },
	"microsecond":  func(t int64) int64 { return int64(table.Time(t).Nanosecond() / 1e3) },
	"nanosecond":   func(t int64) int64 { return int64(table.Time(t).Nanosecond()) },
}

// partFunctions are those that give one part.
var partFunctions = map[string]string{
	"month": "monthofyear", "day": "dayofmonth", "dayofyear": "dayofyear", "hour": "hourofday", "week_of_year": "week_of_year",
}

// starts give the beginning of the period that t is in, moved by a number of periods.
var starts = map[string]func(t time.Time, by int) time.Time{
	"day":   func(t time.Time, by int) time.Time { return date(t.Year(), t.Month(), t.Day()+by) },
	"week":  func(t time.Time, by int) time.Time { return date(t.Year(), t.Month(), t.Day()-int(t.Weekday())+7*by) },
	"month": func(t time.Time, by int) time.Time { return date(t.Year(), t.Month()+time.Month(by), 1) },
	"year":  func(t time.Time, by int) time.Time { return date(t.Year()+by, 1, 1) },
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// bindStart is the start of a period, or its end: one tick before the start of the one after.
func bindStart(start func(t time.Time, by int) time.Time, end int) binder {
	return scalar("datetime: datetime long?", func(r row) (int64, bool) {
		by := r.intOr(1, 0)
		if by < -1e7 || by > 1e7 {
			return 0, false
		}
		t := start(table.Time(r.int(0)), int(by)+end)
		if y := t.Year(); y < -10 || y > 10010 {
			return 0, false
		}
		return inRange(table.Ticks(t) - int64(end))
	})
}

// constPart is the first argument, the name of a part of a datetime.
func (c *call) constPart() (string, error) {
	s, err := c.constText(0)
	return strings.ToLower(s), err
}

// onRest is a kernel for the arguments after the first, which is constant.
func onRest(k kernel) kernel {
	return func(args []operand, n int) (*table.Vector, error) { return k(args[1:], n) }
}

// partTicks are the parts that are a fixed number of ticks.
var partTicks = map[string]int64{
	"week": 7 * day, "day": day, "hour": 36e9, "minute": 6e8, "second": 1e7, "millisecond": 1e4, "microsecond": 10,
}

func bindDateTimeAdd(c *call) (kernel, error) {
	part, err := c.constPart()
	if err != nil {
		return nil, err
	}
	if err := c.coerce(1, table.Long); err != nil {
		return nil, err
	}
	if c.args[2].typ != table.DateTime {
		return nil, c.ofTypes()
	}
	months := map[string]int64{"year": 12, "quarter": 3, "month": 1}[part]
	ticks := partTicks[part]
	switch {
	case months != 0:
		return onRest(liftRows(table.DateTime, func(r row) (int64, bool) {
			n, ok := product(r.int(0), months)
			if !ok || n < -120000 || n > 120000 {
				return 0, false
			}
			return addMonths(table.Time(r.int(1)), int(n))
		})), nil
	case ticks != 0:
		return onRest(liftRows(table.DateTime, func(r row) (int64, bool) {
			d, ok := product(r.int(0), ticks)
			if !ok {
				return 0, false
			}
			return addDateTime(r.int(1), d)
		})), nil
	case part == "nanosecond":
		return onRest(liftRows(table.DateTime, func(r row) (int64, bool) {
			if r.int(0)%100 != 0 {
				r.refuse("datetime_add of %d nanoseconds, which are no ticks", r.int(0))
			}
			return addDateTime(r.int(1), r.int(0)/100)
		})), nil
	}
	return nil, c.unsupported("of " + part)
}

// addMonths keeps the day, or takes the month's last when it has no such day.
func addMonths(t time.Time, n int) (int64, bool) {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := date(first.Year(), first.Month()+1, 0).Day()
	if y := first.Year(); y < 1 || y > 9999 {
		return 0, false
	}
	return inRange(table.Ticks(first) + int64(min(t.Day(), last)-1)*day)
}

// bindDateTimeDiff counts the borders of periods between two datetimes: from 23:59 to 00:01 is one day.
func bindDateTimeDiff(c *call) (kernel, error) {
	part, err := c.constPart()
	if err != nil {
		return nil, err
	}
	if c.args[1].typ != table.DateTime || c.args[2].typ != table.DateTime {
		return nil, c.ofTypes()
	}
	ticks := partTicks[part]
	var number func(int64) int64
	switch {
	case part == "year":
		number = dateParts["year"]
	case part == "quarter":
		number = func(t int64) int64 { return 4*dateParts["year"](t) + dateParts["quarter"](t) }
	case part == "month":
		number = func(t int64) int64 { return 12*dateParts["year"](t) + dateParts["month"](t) }
	case part == "week":
		// Weeks begin on Sunday; year 1 began on a Monday.
		number = func(t int64) int64 { return (t - table.MinDateTime + day) / ticks }
	case part == "nanosecond":
		return onRest(lift2(table.Long, func(a, b int64) (int64, bool) { return product(a-b, 100) })), nil
	case ticks != 0:
		number = func(t int64) int64 { return (t - table.MinDateTime) / ticks }
	default:
		return nil, c.unsupported("of " + part)
	}
	return onRest(lift2(table.Long, func(a, b int64) (int64, bool) { return number(a) - number(b), true })), nil
}

func bindDateTimePart(c *call) (kernel, error) {
	part, err := c.constPart()
	if err != nil {
		return nil, err
	}
	f, ok := dateParts[part]
	switch {
	case !ok:
		return nil, c.unsupported("of " + part)
	case c.args[1].typ != table.DateTime || c.typ != table.Int:
		return nil, c.ofTypes()
	}
	return onRest(lift1(c.typ, func(t int64) (int64, bool) { return f(t), true })), nil
}

// bindMakeDateTime makes a datetime of its parts; parts that do not exist give null.
func bindMakeDateTime(c *call) (kernel, error) {
	if len(c.args) == 1 {
		return bindTo(table.DateTime)(c)
	}
	return scalar("datetime: long long long long? long? real?", func(r row) (int64, bool) {
		y, m, d, h, min := r.int(0), r.int(1), r.int(2), r.intOr(3, 0), r.intOr(4, 0)
		sec := 0.0
		if r.has(5) {
			sec = r.real(5)
		}
		if y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 || d > 31 || h < 0 || h > 23 || min < 0 || min > 59 || !(sec >= 0 && sec < 60) {
			return 0, false
		}
		t := date(int(y), time.Month(m), int(d))
		if t.Day() != int(d) {
			return 0, false
		}
		return inRange(table.Ticks(t) + h*36e9 + min*6e8 + roundTicks(sec*1e7))
	})(c)
}

// bindMakeTimeSpan makes a timespan of [days,] hours, minutes [and seconds].
func bindMakeTimeSpan(c *call) (kernel, error) {
	if len(c.args) == 1 {
		return bindTo(table.TimeSpan)(c)
	}
	return scalar("timespan: long long long? long?", func(r row) (int64, bool) {
		p := []int64{0, r.int(0), r.int(1), r.intOr(2, 0)}
		if r.has(3) {
			p = []int64{r.int(0), r.int(1), r.int(2), r.int(3)}
		}
		if p[0] < 0 || p[0] >= 10675199 || p[1] < 0 || p[1] > 23 || p[2] < 0 || p[2] > 59 || p[3] < 0 || p[3] > 59 {
			return 0, false
		}
		return p[0]*day + p[1]*36e9 + p[2]*6e8 + p[3]*1e7, true
	})(c)
}

func bindUnixTime(ticks float64) binder {
	return func(c *call) (kernel, error) {
		switch t := c.args[0].typ; {
		case integral(t) && ticks >= 1:
			return lift1(table.DateTime, func(i int64) (int64, bool) {
				p, ok := product(i, int64(ticks))
				if !ok {
					return 0, false
				}
				return inRange(p)
			}), nil
		case integral(t):
			return lift1(table.DateTime, func(i int64) (int64, bool) { return inRange(i / 100) }), nil
		case t == table.Real:
			return lift1(table.DateTime, func(f float64) (int64, bool) {
				p, ok := toTicks(f * ticks)
				if !ok {
					return 0, false
				}
				return inRange(p)
			}), nil
		}
		return nil, c.ofTypes()
	}
}

// bindZone converts between UTC and the time of a zone, by its IANA name. Other names are refused.
func bindZone(f func(t time.Time, zone *time.Location) (ticks int64, ok bool)) binder {
	return scalar("datetime: datetime string", func(r row) (int64, bool) {
		name := r.text(1)
		zone, err := time.LoadLocation(name)
		if err != nil || name == "" || name == "Local" {
			r.refuse("the time zone %q", name)
			return 0, false
		}
		t, ok := f(table.Time(r.int(0)), zone)
		if !ok {
			r.refuse("the time %s, which clocks in %s show twice,", table.Time(r.int(0)).Format(time.DateTime), name)
		}
		return inRange(t)
	})
}

func utcToLocal(t time.Time, zone *time.Location) (int64, bool) {
	return table.Ticks(t) + offset(t, zone), true
}

// offset is what a zone adds to UTC at t, in ticks.
func offset(t time.Time, zone *time.Location) int64 {
	_, seconds := t.In(zone).Zone()
	return int64(seconds) * table.TicksPerSecond
}

// localToUTC reads t as the time that clocks of the zone show. What they show twice in autumn is not ok; what they
// never show in spring is taken as if they had been set already (docs, "datetime_local_to_utc").
func localToUTC(t time.Time, zone *time.Location) (ticks int64, ok bool) {
	before, after := offset(t.Add(-36*time.Hour), zone), offset(t.Add(36*time.Hour), zone)
	local := table.Ticks(t)
	fits := func(o int64) bool { return offset(table.Time(local-o), zone) == o }
	if fits(before) {
		return local - before, before == after || !fits(after)
	}
	return local - after, true
}
