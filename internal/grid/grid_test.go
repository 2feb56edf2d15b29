package grid_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	robfig "github.com/robfig/cron/v3"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func interval(d time.Duration) schemas.MetricsExporterSpec {
	return schemas.MetricsExporterSpec{Interval: metav1.Duration{Duration: d}}
}

func schedule(s, zone string) schemas.MetricsExporterSpec {
	return schemas.MetricsExporterSpec{Schedule: s, TimeZone: zone}
}

func mustNew(tb testing.TB, spec schemas.MetricsExporterSpec) grid.Grid {
	tb.Helper()
	g, err := grid.New(spec)
	require.NoError(tb, err)
	return g
}

func TestInterval(t *testing.T) {
	g := mustNew(t, interval(5*time.Minute))
	require.Equal(t, at("2026-01-01T10:15:00Z"), g.Last(at("2026-01-01T10:19:59.999Z")))
	require.Equal(t, at("2026-01-01T10:15:00Z"), g.Last(at("2026-01-01T12:15:00+02:00")))
	require.Equal(t, at("2026-01-01T10:20:00Z"), g.Next(at("2026-01-01T10:15:00Z")))
	d, fixed := g.Interval()
	require.True(t, fixed)
	require.Equal(t, 5*time.Minute, d)

	// Weeks begin on Monday, as time.Truncate has it.
	require.Equal(t, time.Monday, mustNew(t, interval(7*24*time.Hour)).Last(at("2026-06-17T00:00:00Z")).Weekday())
	require.Equal(t, g, grid.Every(5*time.Minute))
}

// ticks returns n boundaries after a time.
func ticks(g grid.Grid, from time.Time, n int) []string {
	var all []string
	for range n {
		from = g.Next(from)
		all = append(all, from.Format(time.RFC3339))
	}
	return all
}

func TestSchedule(t *testing.T) {
	for name, tt := range map[string]struct {
		schedule, zone, from string
		want                 []string
	}{
		"OKHourly":   {"@hourly", "", "2026-01-01T00:30:00Z", []string{"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"}},
		"OKMinutes":  {"*/20 8-9 * * *", "", "2026-01-01T09:20:00Z", []string{"2026-01-01T09:40:00Z", "2026-01-02T08:00:00Z", "2026-01-02T08:20:00Z"}},
		"OKWeekdays": {"0 6 * * mon-fri", "", "2026-01-02T06:00:00Z", []string{"2026-01-05T06:00:00Z"}},
		"OKEither":   {"0 0 13 * fri", "", "2026-01-01T00:00:00Z", []string{"2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z", "2026-01-16T00:00:00Z"}},
		"OKYearly":   {"@yearly", "", "2026-01-01T00:00:00Z", []string{"2027-01-01T00:00:00Z"}},
		"OKLeapDay":  {"0 0 29 2 *", "", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		"OKZone":     {"30 0 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", []string{"2026-01-01T19:00:00Z"}},
		// Clocks go from 02:00 to 03:00 on 29 March: 02:30 does not come that day.
		"OKBerlinSpringSkipped": {"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"}},
		"OKBerlinSpringHours":   {"0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", []string{"2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		"OKBerlinSpringDay":     {"0 0 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}},
		// Clocks go from 03:00 to 02:00 on 25 October: 02:30 comes twice.
		"OKBerlinAutumnTwice": {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}},
		"OKBerlinAutumnHours": {"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		"OKBerlinAutumnDay":   {"0 0 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", []string{"2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}},
		// Half an hour of summer time: 02:00 becomes 02:30 on 4 October.
		"OKLordHowe": {"*/30 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-03T15:30:00Z", "2026-10-04T15:00:00Z", "2026-10-04T15:30:00Z"}},
		// The standard library's ZoneBounds is wrong on this day.
		"OKLeapYearEnd": {"30 12 * * *", "Europe/Berlin", "2040-12-31T00:00:00Z", []string{"2040-12-31T11:30:00Z", "2041-01-01T11:30:00Z"}},
		// A midnight that does not come: 00:00 becomes 01:00 on 4 November 2018.
		"OKSaoPaulo": {"0 0 * * *", "America/Sao_Paulo", "2018-11-03T00:00:00Z", []string{"2018-11-03T03:00:00Z", "2018-11-05T02:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := mustNew(t, schedule(tt.schedule, tt.zone))
			require.Equal(t, tt.want, ticks(g, at(tt.from), len(tt.want)))
			for _, w := range tt.want {
				require.Equal(t, at(w), g.Last(at(w)))
				require.Equal(t, at(w), g.Last(at(w).Add(time.Nanosecond)))
				require.True(t, g.Last(at(w).Add(-time.Nanosecond)).Before(at(w)))
			}
			_, fixed := g.Interval()
			require.False(t, fixed)
		})
	}
}

func TestNew(t *testing.T) {
	for name, tt := range map[string]struct {
		spec schemas.MetricsExporterSpec
		want string
	}{
		"ErrNone":         {schemas.MetricsExporterSpec{}, "interval: interval or schedule is needed"},
		"ErrBoth":         {schemas.MetricsExporterSpec{Schedule: "@daily", Interval: metav1.Duration{Duration: time.Hour}}, "schedule: only one of interval and schedule may be set"},
		"ErrShort":        {interval(999 * time.Millisecond), "interval: must be at least 1s, got 999ms"},
		"ErrNegative":     {interval(-time.Hour), "interval: must be at least 1s, got -1h0m0s"},
		"ErrTick":         {interval(time.Second + 1), "interval: must be a multiple of 100ns, Kusto's unit of time, got 1.000000001s"},
		"ErrZoneOnly":     {schemas.MetricsExporterSpec{Interval: metav1.Duration{Duration: time.Hour}, TimeZone: "UTC"}, "timeZone: applies to schedule only"},
		"ErrEvery":        {schedule("@every 5m", ""), `schedule: @every has no fixed boundaries: use interval, got "@every 5m"`},
		"ErrZonePrefix":   {schedule("TZ=UTC", ""), `schedule: must not have a time zone: use timeZone, got "TZ=UTC"`},
		"ErrZonePrefix2":  {schedule("CRON_TZ=UTC 0 * * * *", ""), `schedule: must not have a time zone: use timeZone, got "CRON_TZ=UTC 0 * * * *"`},
		"ErrFields":       {schedule("* * * *", ""), `schedule: must be a cron expression of 5 fields or one like @hourly, got "* * * *": expected exactly 5 fields, found 4: [* * * *]`},
		"ErrDescriptor":   {schedule("@reboot", ""), `schedule: must be a cron expression of 5 fields or one like @hourly, got "@reboot": unrecognized descriptor: @reboot`},
		"ErrNever":        {schedule("0 0 31 4,6,9,11 *", ""), `schedule: must come at least once in ten years, got "0 0 31 4,6,9,11 *"`},
		"ErrNothing":      {schedule("0 , * * *", ""), `schedule: must come at least once in ten years, got "0 , * * *"`},
		"ErrZone":         {schedule("@daily", "Local"), `timeZone: must be an IANA time zone such as Europe/Berlin, got "Local"`},
		"ErrZonePath":     {schedule("@daily", "../etc/passwd"), `timeZone: must be an IANA time zone such as Europe/Berlin, got "../etc/passwd"`},
		"ErrZoneAndSched": {schedule("x", "Nowhere"), "timeZone: must be an IANA time zone such as Europe/Berlin, got \"Nowhere\"\nschedule: must be a cron expression of 5 fields or one like @hourly, got \"x\": expected exactly 5 fields, found 1: [x]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := grid.New(tt.spec)
			require.EqualError(t, err, tt.want)
			var field *grid.FieldError
			require.ErrorAs(t, err, &field)
		})
	}
}

// zones change at midnight, by half an hour, by a day, twice a year, or never.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "America/Sao_Paulo",
	"Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu", "Africa/Monrovia", "Antarctica/Troll", "Asia/Tehran"}

var schedules = []string{"* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 0 * * *", "15,45 0-3 * * *", "59 23 * * *",
	"0 0 1 * *", "0 0 31 * *", "0 0 29 2 *", "@yearly", "@weekly", "0 12 13 * fri", "30 0 * * sun"}

// TestSameEverywhere walks the ticks forward, and asks for them from between:
// wherever one starts, the boundaries are the same.
func TestSameEverywhere(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, zone := range zones {
		for _, s := range schedules {
			g := mustNew(t, schedule(s, zone))
			from := at("1995-01-01T00:00:00Z").Add(time.Duration(random.Int64N(int64(35 * 365 * 24 * time.Hour))))
			for range 60 {
				next := g.Next(from)
				require.Truef(t, next.After(from), "%s %s: next of %s is %s", zone, s, from, next)
				between := from.Add(time.Duration(random.Int64N(int64(next.Sub(from)))))
				require.Equal(t, next, g.Next(between), "%s %s %s", zone, s, between)
				require.Equal(t, next, g.Last(next), "%s %s", zone, s)
				require.Equal(t, time.UTC, next.Location())
				last := g.Last(between)
				require.Falsef(t, last.After(between), "%s %s: last of %s is %s", zone, s, between, last)
				require.Equal(t, next, g.Next(last), "%s %s %s", zone, s, last)
				from = next
			}
		}
	}
}

// TestAsRobfig compares with robfig/cron, whose expressions these are, where
// it can be trusted: zones that change by whole hours and not at midnight.
func TestAsRobfig(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"} {
		location, err := time.LoadLocation(zone)
		require.NoError(t, err)
		for _, s := range schedules {
			g := mustNew(t, schedule(s, zone))
			theirs, err := robfig.ParseStandard(s)
			require.NoError(t, err)
			for _, from := range []string{"2026-03-28T00:00:00Z", "2026-10-24T12:00:00Z", "2026-10-31T12:00:00Z", "2026-03-07T12:00:00Z"} {
				mine := at(from)
				for range 50 {
					want := theirs.Next(mine.In(location)).UTC()
					if want.IsZero() || want.Year() < 1900 {
						break // beyond its five years
					}
					require.Equal(t, want, g.Next(mine), "%s %s %s", zone, s, mine)
					mine = want
				}
			}
		}
	}
}

func FuzzGrid(f *testing.F) {
	for i, s := range schedules {
		f.Add(s, zones[i%len(zones)], int64(1774659600+i*86400))
	}
	f.Add("5m", "", int64(0))
	f.Fuzz(func(t *testing.T, text, zone string, unix int64) {
		if unix < -2e9 || unix > 2e10 {
			return
		}
		spec := schedule(text, zone)
		if d, err := time.ParseDuration(text); err == nil {
			spec = interval(d)
		}
		g, err := grid.New(spec)
		if err != nil {
			return
		}
		from := time.Unix(unix, 0).UTC()
		last := g.Last(from)
		for range 5 {
			next := g.Next(last)
			if last.IsZero() || next.IsZero() || last.After(from) || !next.After(from) || !g.Last(next).Equal(next) ||
				!g.Last(next.Add(-1)).Equal(last) || !g.Next(next.Add(-1)).Equal(next) {
				t.Fatalf("%s in %s: at %s, last %s, next %s", text, zone, from, last, next)
			}
			last, from = next, next
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, s := range []string{"* * * * *", "@daily", "0 0 29 2 *"} {
		g := mustNew(b, schedule(s, "Europe/Berlin"))
		from := at("2026-06-01T00:00:00Z")
		b.Run(s, func(b *testing.B) {
			for b.Loop() {
				g.Next(from)
			}
		})
		b.Run("last "+s, func(b *testing.B) {
			for b.Loop() {
				g.Last(from)
			}
		})
	}
}
