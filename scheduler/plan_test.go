package scheduler

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func mustGrid(tb testing.TB, spec schemas.MetricsExporterSpec) grid.Grid {
	tb.Helper()
	g, err := grid.New(spec)
	require.NoError(tb, err)
	return g
}

func cronGrid(tb testing.TB, schedule, zone string) grid.Grid {
	return mustGrid(tb, schemas.MetricsExporterSpec{Schedule: schedule, TimeZone: zone})
}

func everyGrid(tb testing.TB, interval time.Duration) grid.Grid {
	return mustGrid(tb, schemas.MetricsExporterSpec{Interval: metav1.Duration{Duration: interval}})
}

func instant(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// lines makes a plan readable in a table: lane start/end.
func (p Plan) lines() []string {
	var lines []string
	if p.Skipped.Count > 0 {
		lines = append(lines, "skipped "+p.Skipped.String())
	}
	for _, w := range p.Windows {
		lines = append(lines, string(w.Lane)+" "+w.String())
	}
	return lines
}

func TestPlan(t *testing.T) {
	five := everyGrid(t, 5*time.Minute)
	for _, tt := range []struct {
		name      string
		position  Position
		now       string
		limit     int
		want      []string
		count     int64
		next, due string
	}{
		{
			name:     "OK first run",
			position: Position{Grid: five},
			now:      "2025-06-25T10:02:00Z",
			want:     []string{"live 2025-06-25T09:55:00Z/2025-06-25T10:00:00Z"},
			next:     "2025-06-25T10:00:00Z", due: "2025-06-25T10:05:00Z",
		},
		{
			name:     "OK first run at a boundary",
			position: Position{Grid: five},
			now:      "2025-06-25T10:00:00Z",
			want:     []string{"live 2025-06-25T09:55:00Z/2025-06-25T10:00:00Z"},
			next:     "2025-06-25T10:00:00Z", due: "2025-06-25T10:05:00Z",
		},
		{
			name:     "OK first run waits for rows that come late",
			position: Position{Grid: five, Delay: 3 * time.Minute},
			now:      "2025-06-25T10:02:00Z",
			want:     []string{"live 2025-06-25T09:50:00Z/2025-06-25T09:55:00Z"},
			next:     "2025-06-25T09:55:00Z", due: "2025-06-25T10:03:00Z",
		},
		{
			name:     "OK first run of a rare schedule is issued however old",
			position: Position{Grid: cronGrid(t, "0 0 1 * *", "")},
			now:      "2025-06-25T10:02:00Z",
			want:     []string{"live 2025-05-01T00:00:00Z/2025-06-01T00:00:00Z"},
			next:     "2025-06-01T00:00:00Z", due: "2025-07-01T00:00:00Z",
		},
		{
			name:     "OK nothing due",
			position: Position{Next: instant("2025-06-25T10:00:00Z"), Grid: five},
			now:      "2025-06-25T10:04:59Z",
			next:     "2025-06-25T10:00:00Z", due: "2025-06-25T10:05:00Z",
		},
		{
			name:     "OK due to the instant",
			position: Position{Next: instant("2025-06-25T10:00:00Z"), Grid: five, Delay: time.Minute},
			now:      "2025-06-25T10:06:00Z",
			want:     []string{"live 2025-06-25T10:00:00Z/2025-06-25T10:05:00Z"},
			next:     "2025-06-25T10:05:00Z", due: "2025-06-25T10:11:00Z",
		},
		{
			name:     "OK catch up, the oldest first and on the backfill lane",
			position: Position{Next: instant("2025-06-25T09:30:00Z"), Grid: five},
			now:      "2025-06-25T10:01:00Z",
			want: []string{
				"backfill 2025-06-25T09:30:00Z/2025-06-25T09:35:00Z",
				"backfill 2025-06-25T09:35:00Z/2025-06-25T09:40:00Z",
				"backfill 2025-06-25T09:40:00Z/2025-06-25T09:45:00Z",
				"live 2025-06-25T09:45:00Z/2025-06-25T09:50:00Z",
				"live 2025-06-25T09:50:00Z/2025-06-25T09:55:00Z",
				"live 2025-06-25T09:55:00Z/2025-06-25T10:00:00Z",
			},
			next: "2025-06-25T10:00:00Z", due: "2025-06-25T10:05:00Z",
		},
		{
			name:     "OK cut short by the limit, with the lanes unchanged",
			position: Position{Next: instant("2025-06-25T09:30:00Z"), Grid: five},
			now:      "2025-06-25T10:01:00Z",
			limit:    2,
			want: []string{
				"backfill 2025-06-25T09:30:00Z/2025-06-25T09:35:00Z",
				"backfill 2025-06-25T09:35:00Z/2025-06-25T09:40:00Z",
			},
			next: "2025-06-25T09:40:00Z", due: "2025-06-25T09:45:00Z",
		},
		{
			name:     "OK windows older than catchUp are skipped",
			position: Position{Next: instant("2025-06-25T09:00:00Z"), Grid: five, CatchUp: 30 * time.Minute},
			now:      "2025-06-25T10:41:00Z",
			limit:    1,
			want: []string{
				"skipped 2025-06-25T09:00:00Z/2025-06-25T10:10:00Z",
				"backfill 2025-06-25T10:10:00Z/2025-06-25T10:15:00Z",
			},
			count: 14,
			next:  "2025-06-25T10:15:00Z", due: "2025-06-25T10:20:00Z",
		},
		{
			name:     "OK a window due exactly catchUp ago is issued",
			position: Position{Next: instant("2025-06-25T10:00:00Z"), Grid: five, CatchUp: 30 * time.Minute, Delay: time.Minute},
			now:      "2025-06-25T10:41:00Z",
			limit:    1,
			want: []string{
				"skipped 2025-06-25T10:00:00Z/2025-06-25T10:05:00Z",
				"backfill 2025-06-25T10:05:00Z/2025-06-25T10:10:00Z",
			},
			count: 1,
			next:  "2025-06-25T10:10:00Z", due: "2025-06-25T10:16:00Z",
		},
		{
			name:     "OK all are skipped",
			position: Position{Next: instant("2025-05-01T00:00:00Z"), Grid: cronGrid(t, "0 0 1 * *", ""), CatchUp: 24 * time.Hour},
			now:      "2025-06-25T10:00:00Z",
			want:     []string{"skipped 2025-05-01T00:00:00Z/2025-06-01T00:00:00Z"},
			count:    1,
			next:     "2025-06-01T00:00:00Z", due: "2025-07-01T00:00:00Z",
		},
		{
			name:     "OK a changed interval gives one shorter window up to its grid",
			position: Position{Next: instant("2025-06-25T10:10:00Z"), Grid: everyGrid(t, time.Hour)},
			now:      "2025-06-25T12:00:00Z",
			want: []string{
				"live 2025-06-25T10:10:00Z/2025-06-25T11:00:00Z",
				"live 2025-06-25T11:00:00Z/2025-06-25T12:00:00Z",
			},
			next: "2025-06-25T12:00:00Z", due: "2025-06-25T13:00:00Z",
		},
		{
			name:     "OK summer time begins: the skipped hour has no window of its own",
			position: Position{Next: instant("2025-03-30T00:00:00Z"), Grid: cronGrid(t, "0 * * * *", "Europe/Berlin")},
			now:      "2025-03-30T02:00:00Z",
			want: []string{
				"live 2025-03-30T00:00:00Z/2025-03-30T01:00:00Z",
				"live 2025-03-30T01:00:00Z/2025-03-30T02:00:00Z",
			},
			next: "2025-03-30T02:00:00Z", due: "2025-03-30T03:00:00Z",
		},
		{
			name:     "OK a day of 25 hours",
			position: Position{Next: instant("2025-10-25T22:00:00Z"), Grid: cronGrid(t, "@daily", "Europe/Berlin")},
			now:      "2025-10-27T00:00:00Z",
			want:     []string{"live 2025-10-25T22:00:00Z/2025-10-26T23:00:00Z"},
			next:     "2025-10-26T23:00:00Z", due: "2025-10-27T23:00:00Z",
		},
		{
			name:     "OK the clock was set back: nothing until it has caught up",
			position: Position{Next: instant("2025-06-25T10:00:00Z"), Grid: five, CatchUp: time.Minute},
			now:      "2025-06-25T08:00:00Z",
			next:     "2025-06-25T10:00:00Z", due: "2025-06-25T10:05:00Z",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.position.CatchUp == 0 {
				tt.position.CatchUp = 24 * time.Hour
			}
			got := tt.position.At(instant(tt.now), tt.limit)
			require.Equal(t, tt.want, got.lines())
			require.Equal(t, tt.count, got.Skipped.Count)
			require.Equal(t, instant(tt.next), got.Next)
			require.Equal(t, instant(tt.due), got.Due)
		})
	}
}

// A simulated life: the clock goes on, and sometimes back, and now and then the
// spec is another.
func TestPlanProperty(t *testing.T) {
	grids := []grid.Grid{
		everyGrid(t, time.Second), everyGrid(t, 7*time.Second), everyGrid(t, time.Minute), everyGrid(t, 5*time.Minute),
		everyGrid(t, time.Hour), everyGrid(t, 90*time.Minute),
		cronGrid(t, "* * * * *", ""), cronGrid(t, "0 * * * *", "Europe/Berlin"), cronGrid(t, "30 2 * * *", "Europe/Berlin"),
		cronGrid(t, "*/20 1-3 * * *", "America/New_York"), cronGrid(t, "0 0 * * 1-5", "Australia/Lord_Howe"), cronGrid(t, "@daily", "Asia/Beirut"),
	}
	starts := []time.Time{instant("2025-03-29T20:00:00Z"), instant("2025-10-25T20:00:00Z"), instant("2025-11-01T20:00:00Z"), instant("2025-06-01T00:00:00Z")}
	seeds := uint64(300)
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		now := starts[r.IntN(len(starts))].Add(rand.N(time.Hour))
		p := Position{Grid: grids[r.IntN(len(grids))], CatchUp: time.Hour}
		var covered time.Time // the end of what was planned or skipped
		for range 60 {
			switch r.IntN(8) {
			case 0:
				p.Grid = grids[r.IntN(len(grids))]
			case 1:
				p.Delay = time.Duration(r.Int64N(int64(10 * time.Minute)))
			case 2:
				p.CatchUp = time.Duration(1 + r.Int64N(int64(48*time.Hour)))
			case 3:
				now = now.Add(-time.Duration(r.Int64N(int64(time.Hour))))
			case 4:
				now = now.Add(time.Duration(r.Int64N(int64(12 * time.Hour))))
			default:
				now = now.Add(time.Duration(r.Int64N(int64(20 * time.Minute))))
			}
			limit := 1 + r.IntN(300)
			plan := p.At(now, limit)

			at := p.Next
			first := at.IsZero()
			if s := plan.Skipped; s.Count > 0 {
				require.False(t, first, "seed %d: a first run skips nothing", seed)
				require.Equal(t, at, s.Start, "seed %d", seed)
				n := int64(0)
				for at.Before(s.End) {
					at = p.Grid.Next(at)
					n++
					require.True(t, at.Add(p.Delay).Before(now.Add(-p.CatchUp)), "seed %d: skipped a window too young", seed)
				}
				require.Equal(t, s.End, at, "seed %d", seed)
				require.Equal(t, s.Count, n, "seed %d", seed)
			}
			require.LessOrEqual(t, len(plan.Windows), limit)
			for i, w := range plan.Windows {
				if first && i == 0 {
					at = w.Start
					require.Equal(t, at, p.Grid.Last(at), "seed %d: the first window is not aligned", seed)
					require.True(t, p.Grid.Next(w.End).Add(p.Delay).After(now), "seed %d: not the last complete window", seed)
				} else {
					require.False(t, w.End.Add(p.Delay).Before(now.Add(-p.CatchUp)), "seed %d: should have been skipped", seed)
				}
				require.Equal(t, at, w.Start, "seed %d: gap or overlap", seed)
				require.Equal(t, p.Grid.Next(at), w.End, "seed %d", seed)
				require.False(t, w.End.Add(p.Delay).After(now), "seed %d: issued before it is due", seed)
				third := p.Grid.Next(p.Grid.Next(p.Grid.Next(w.End)))
				require.Equal(t, !third.Add(p.Delay).After(now), w.Lane == schemas.LaneBackfill, "seed %d: lane", seed)
				at = w.End
			}
			require.Equal(t, at, plan.Next, "seed %d", seed)
			require.Equal(t, p.Grid.Next(at).Add(p.Delay), plan.Due, "seed %d", seed)
			require.Equal(t, len(plan.Windows) == limit && !plan.Due.After(now), !plan.Due.After(now), "seed %d: left over below the limit", seed)
			if !covered.IsZero() {
				require.False(t, plan.Next.Before(covered), "seed %d: went back", seed)
			}
			covered, p.Next = plan.Next, plan.Next
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	now := instant("2025-06-25T10:00:00Z")
	for name, g := range map[string]grid.Grid{"interval": everyGrid(b, time.Minute), "cron": cronGrid(b, "* * * * *", "Europe/Berlin")} {
		b.Run(name, func(b *testing.B) {
			p := Position{Next: now.Add(-time.Minute), Grid: g, CatchUp: 24 * time.Hour}
			b.ReportAllocs()
			for b.Loop() {
				p.At(now, 256)
			}
		})
	}
}
