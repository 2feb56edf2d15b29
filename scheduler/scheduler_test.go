package scheduler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const minutely = "interval: 1m"

func TestScheduler(t *testing.T) {
	t.Run("OK first window, then each when it is due", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely, "ingestionDelay: 5s"))
		r.settle()
		require.Equal(t, []string{"live 09:59:00/10:00:00#1"}, s.windows("a"))

		s.clock.advance(34 * time.Second)
		require.Equal(t, time.Second, r.settle(), "it sleeps until the window is due")
		require.Len(t, s.windows("a"), 1)
		s.clock.advance(time.Second)
		require.Equal(t, maxSleep, r.settle())
		require.Equal(t, []string{"live 09:59:00/10:00:00#1", "live 10:00:00/10:01:00#1"}, s.windows("a"))
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:01:00Z"))
	})

	t.Run("OK a job names cluster and exporter and carries the spec", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		s.start(nil, spec("a.b", minutely)).settle()
		jobs := s.jobs()
		require.Len(t, jobs, 1)
		require.Equal(t, "ns/a.b@2025-06-25T09:59:00Z/2025-06-25T10:00:00Z#1", jobs[0].Window)
		require.Equal(t, "kusto", jobs[0].Cluster)
		got, err := schemas.JobSpec(jobs[0])
		require.NoError(t, err)
		require.Equal(t, "T", got.Body)
		m, err := s.pipe.Get(t.Context(), schemas.JobsStream,
			schemas.JobSubject("kusto", "out", schemas.LaneLive, "ns", "a.b", schemas.JobWindow(jobs[0]).Start, ""))
		require.NoError(t, err)
		require.Equal(t, jobs[0].Window, m.Header.Get(schemas.HeaderWindow))
		require.Equal(t, "out", m.Header.Get(schemas.HeaderExporter))
		require.Equal(t, "1", m.Header.Get(schemas.HeaderVersion))
		planned := s.events(schemas.EventPlanned, "a.b")
		require.Len(t, planned, 1)
		require.Equal(t, jobs[0].Window, planned[0].Window)
		require.Equal(t, "scheduler", planned[0].Stage)
		require.Equal(t, "out", planned[0].Exporter)
	})

	t.Run("OK one that is added while running begins with its last window", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		s.clock.advance(10 * time.Minute)
		r.settle()
		r.declare(spec("a", minutely), spec("b", minutely))
		r.settle()
		require.Equal(t, []string{"live 10:09:00/10:10:00#1"}, s.windows("b"))
	})

	t.Run("OK catch up after a downtime", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		r.stop()
		s.clock.advance(20 * time.Hour)
		s.start(nil, spec("a", minutely)).settle()
		windows := s.windows("a")
		require.Len(t, windows, 1201)
		require.Equal(t, "backfill 10:00:00/10:01:00#1", windows[1])
		require.Equal(t, []string{"backfill 05:56:00/05:57:00#1", "live 05:57:00/05:58:00#1", "live 05:58:00/05:59:00#1", "live 05:59:00/06:00:00#1"}, windows[1197:])
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-26T06:00:00Z"))
		require.Len(t, s.logs("catching up"), 1)
		require.Len(t, s.logs("caught up"), 1)
	})

	t.Run("OK windows older than catchUp are skipped and told", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		r.stop()
		s.clock.advance(10 * 24 * time.Hour)
		s.start(func(c *Config) { c.CatchUp = 2 * time.Hour }, spec("a", minutely)).settle()
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-07-05T10:00:00Z"))
		skipped := s.events(schemas.EventSkipped, "a")
		require.Len(t, skipped, 1)
		require.Equal(t, "14280 windows were due more than catchUp, 2h0m0s, ago", skipped[0].Message)
		require.Equal(t, instant("2025-06-25T10:00:00Z").UnixNano(), skipped[0].StartUnixNano)
		require.Equal(t, instant("2025-07-05T08:00:00Z").UnixNano(), skipped[0].EndUnixNano)
		require.Len(t, s.logs("windows are skipped"), 1)
	})

	t.Run("OK a changed spec goes on from where it was", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		s.clock.advance(3 * time.Minute)
		r.settle()
		r.declare(spec("a", "interval: 5m"))
		r.settle()
		s.clock.advance(7 * time.Minute)
		r.settle()
		require.Equal(t, []string{
			"live 09:59:00/10:00:00#1", "live 10:00:00/10:01:00#1", "live 10:01:00/10:02:00#1", "live 10:02:00/10:03:00#1",
			"live 10:03:00/10:05:00#2", "live 10:05:00/10:10:00#2",
		}, s.windows("a"))
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:10:00Z"))
	})

	t.Run("OK what does not change windows does not raise the generation", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		docs := documents(t, spec("a", minutely))
		docs[0].MetricsExporter.Spec.Reconcile = &schemas.Reconcile{}
		docs[0].MetricsExporter.Spec.Backfill = &schemas.Backfill{RequestID: "may"}
		r.send(resource.Set{Documents: docs})
		r.settle()
		s.clock.advance(time.Minute)
		r.settle()
		require.Equal(t, "live 10:00:00/10:01:00#1", s.windows("a")[1])
		got, err := schemas.JobSpec(s.jobs()[1])
		require.NoError(t, err)
		require.NotNil(t, got.Reconcile, "but jobs carry it")
	})

	t.Run("OK deleted and added again goes on from its cursor", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		r.send(resource.Set{})
		r.settle()
		s.clock.advance(5 * time.Minute)
		r.settle()
		require.Len(t, s.windows("a"), 1)
		require.Len(t, s.logs("resource is gone"), 1)
		r.declare(spec("a", minutely))
		r.settle()
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:05:00Z"))
	})

	t.Run("OK suspended, then caught up", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely), spec("new", minutely, "suspend: true"))
		r.settle()
		r.declare(spec("a", minutely, "suspend: true"), spec("new", minutely, "suspend: true"))
		r.settle()
		s.clock.advance(10 * time.Minute)
		r.settle()
		require.Len(t, s.windows("a"), 1)
		require.Empty(t, s.windows("new"))
		r.declare(spec("a", minutely), spec("new", minutely))
		r.settle()
		require.Equal(t, "backfill 10:00:00/10:01:00#1", s.windows("a")[1])
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:10:00Z"))
		require.Equal(t, []string{"live 10:09:00/10:10:00#1"}, s.windows("new"), "one that never ran begins with its last window")
	})

	t.Run("OK criteria", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		bad := spec("bad", minutely, `criteriaExpression: "int(region) > 1"`)
		r := s.start(nil, spec("here", minutely, "criteria: {region: [EastUS, westus]}"), spec("there", minutely, "criteria: {region: [westus]}"), bad)
		r.settle()
		require.Len(t, s.windows("here"), 1)
		require.Empty(t, s.windows("there"))
		require.Empty(t, s.windows("bad"))
		r.declare(spec("here", minutely), spec("there", minutely, "criteria: {region: [eastus]}"), bad)
		r.settle()
		require.Len(t, s.windows("there"), 1)
		require.Len(t, s.logs("evaluate criteriaExpression"), 1, "told once")
		require.Len(t, s.logs("not for this instance"), 1)
	})

	t.Run("Err no cluster serves the database", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(func(c *Config) {
			c.ClusterFor = func(string) (string, bool) { return "", false }
		}, spec("a", minutely))
		r.settle()
		require.Empty(t, s.windows("a"))
		require.Len(t, s.logs(`database: no kusto entry of the configuration serves "DB"`), 1)
	})

	t.Run("Err problems are told when they come and when they go", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil)
		docs, problems := resource.Parse("bad.yaml", []byte(spec("good", minutely)+"---\n"+spec("bad", "interval: 1ms")), resource.Context{})
		require.Len(t, docs, 1)
		require.Len(t, problems, 1)
		for range 3 {
			r.send(resource.Set{Documents: docs, Problems: problems})
		}
		r.settle()
		require.Len(t, s.windows("good"), 1, "the valid one runs on")
		require.Len(t, s.logs("invalid resource"), 1)
		require.Contains(t, s.logs("invalid resource")[0], "file=bad.yaml document=2")
		require.Contains(t, s.logs("invalid resource")[0], "field=spec.interval error=must be at least 1s, got 1ms")
		r.send(resource.Set{Documents: docs})
		r.settle()
		require.Len(t, s.logs("problem resolved"), 1)
	})

	t.Run("Err the source fails", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		scheduler, err := New(Config{Pipe: s.pipe, Source: failingSource{}, ClusterFor: func(string) (string, bool) { return "", false }})
		require.NoError(t, err)
		require.EqualError(t, scheduler.Run(t.Context()), "watch resources: no such thing")
	})
}

type failingSource struct{}

func (failingSource) Run(context.Context, func(resource.Set)) error {
	return errors.New("no such thing")
}

func TestClockSteps(t *testing.T) {
	t.Run("OK back: nothing twice, nothing early", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		s.clock.step(instant("2025-06-25T08:00:00Z"))
		r.settle()
		s.clock.advance(time.Hour)
		r.settle()
		require.Len(t, s.windows("a"), 1)
		require.Len(t, s.logs("have not ended yet"), 1)
		s.clock.step(instant("2025-06-25T10:01:00Z"))
		r.settle()
		require.Len(t, s.logs("the clock has passed"), 1)
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:01:00Z"))
	})

	t.Run("OK back while a failed one waits: it does not wait for the old time", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		fail := true
		r := s.startWith(nil, func(s *Scheduler) {
			s.probe = func(p point) error {
				if fail && p == pointRead {
					return errors.New("broken")
				}
				return nil
			}
		}, spec("a", minutely))
		r.settle()
		fail = false // nothing reads it while the scheduler sleeps
		s.clock.step(instant("2025-06-25T08:00:30Z"))
		r.settle()
		require.Equal(t, []string{"live 07:59:00/08:00:00#1"}, s.windows("a"))
		require.Len(t, s.logs("windows could not be issued, trying again"), 1)
		require.Len(t, s.logs("windows are issued again"), 1)
	})

	t.Run("OK forward and back, without a second clock: still each once", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(nil, spec("a", minutely))
		r.settle()
		s.clock.step(instant("2025-06-25T11:00:00Z"))
		r.settle()
		s.clock.step(instant("2025-06-25T10:01:30Z"))
		r.settle()
		require.Len(t, s.windows("a"), 61)
		s.clock.advance(time.Hour)
		r.settle()
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T11:01:00Z"))
	})

	t.Run("OK forward and back, with a second clock: never early", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		other := newTestClock("2025-06-25T10:00:30Z")
		r := s.start(func(c *Config) {
			c.Witness = func(context.Context) (time.Time, error) { return other.Now(), nil }
		}, spec("a", minutely))
		r.settle()
		require.Len(t, s.windows("a"), 1)
		s.clock.step(instant("2026-06-25T11:00:00Z"))
		r.settle()
		r.declare(spec("a", minutely), spec("b", minutely))
		r.settle()
		require.Len(t, s.windows("a"), 1, "held")
		require.Empty(t, s.windows("b"))
		require.Len(t, s.logs("no windows are issued until the time is confirmed"), 1)
		require.Contains(t, s.logs("ahead of the nats server's")[0], "the clock says 2026-06-25T11:00:00Z and is ahead of the nats server's, which says 2025-06-25T10:00:30Z")
		s.clock.step(instant("2025-06-25T10:01:30Z"))
		other.step(instant("2025-06-25T10:01:30Z"))
		r.settle()
		require.Len(t, s.logs("the time is confirmed, windows are issued again"), 1)
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T10:01:00Z"))
		require.Empty(t, s.events(schemas.EventSkipped, "a"))
	})

	t.Run("OK a leap that the second clock shares", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		r := s.start(func(c *Config) {
			c.Witness = func(context.Context) (time.Time, error) { return s.clock.Now(), nil }
		}, spec("a", minutely))
		r.settle()
		s.clock.step(instant("2025-06-25T12:00:00Z"))
		r.settle()
		s.requireOnce("a", instant("2025-06-25T09:59:00Z"), instant("2025-06-25T12:00:00Z"))
	})

	t.Run("OK the server's clock", func(t *testing.T) {
		s := newStage(t, "2025-06-25T10:00:30Z")
		now, err := ServerTime(s.pipe.JS)(t.Context())
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), now, time.Minute)
	})
}

func TestManyResources(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	var specs []string
	for i := range 100 {
		specs = append(specs, spec(fmt.Sprintf("a%d", i), minutely))
	}
	r := s.start(nil, specs...)
	r.settle()
	s.clock.advance(2 * time.Minute)
	r.settle()
	for i := range 100 {
		require.Len(t, s.windows(fmt.Sprintf("a%d", i)), 3)
	}
}

func TestConfig(t *testing.T) {
	p := new(pipe.Pipe)
	cluster := func(string) (string, bool) { return "", false }
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"Err no pipe", Config{}, "scheduler: a pipe is needed"},
		{"Err no source", Config{Pipe: p}, "scheduler: a source of resources is needed"},
		{"Err no clusters", Config{Pipe: p, Source: failingSource{}}, "scheduler: a lookup of the database's cluster is needed"},
		{"Err negative", Config{Pipe: p, Source: failingSource{}, ClusterFor: cluster, CatchUp: -time.Second}, "scheduler: catchUp must not be negative, got -1s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			require.EqualError(t, err, tt.want)
		})
	}
}
