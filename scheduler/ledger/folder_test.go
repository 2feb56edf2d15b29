package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// withSkipped adds ranges that were passed over, one of them overruled in part.
func (s *story) withSkipped(n, windows int) *story {
	return s.event(n, schemas.EventSkipped, 0, func(e *wire.Event) {
		e.Window, e.Message = "", fmt.Sprintf("%d windows were due more than catchUp, 1m0s, ago", windows)
		e.EndUnixNano = e.StartUnixNano + int64(windows)*int64(s.length)
	})
}

// stories of several MetricsExporters: some windows of each failed, wait, were
// skipped, or replayed.
func stories(names int) []*story {
	list := make([]*story, names)
	for i := range list {
		s := newStory(fmt.Sprintf("x.%d", i))
		s.withSkipped(0, 10)
		for n := 10; n < 60; n++ {
			switch n {
			case 20 + i:
				s.event(n, schemas.EventPlanned, 1).event(n, schemas.EventFailed, 2, because(schemas.Querier, "permanent", "no such table"))
			case 40 + i:
				s.event(n, schemas.EventPlanned, 1).event(n, schemas.EventQueried, 2, run("w"), rows(3, 2))
			default:
				s.export(n)
			}
		}
		s.event(3, schemas.EventQueried, 100, request("replay"), run("r"))
		list[i] = s
	}
	return list
}

func TestFolder(t *testing.T) {
	now := began.Add(3 * time.Hour)

	t.Run("OKSeveral", func(t *testing.T) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		p := pipetest.MustOpen(t)
		all := stories(3)
		var events []*wire.Event
		for _, s := range all {
			events = append(events, s.events...)
		}
		events = shuffled(events, r)
		var folded [3]atomic.Int64
		for i := range folded {
			start(t, Config{Pipe: p}, func(f *Folder) { f.folded = func(n int) { folded[i].Add(int64(n)) } })
		}
		for part := range slices.Chunk(events, len(events)/5) {
			publish(t, p, part)
		}
		settle(t, p)
		for _, s := range all {
			want, wantSum := records(t, now, s.events)
			got, gotSum := read(t, p, s.name, now)
			require.Equal(t, wantSum, gotSum)
			require.Equal(t, want, slices.DeleteFunc(got, func(w Window) bool { return w.Lane == schemas.LaneBackfill && w.State == StateSkipped }))
		}
		var total int64
		for i := range folded {
			total += folded[i].Load()
		}
		require.EqualValues(t, len(events), total, "each event was folded once, by one of them: %v", &folded)
	})

	t.Run("OKCrash", func(t *testing.T) {
		// Between any two steps a folder ends, and the next takes over.
		p := pipetest.MustOpen(t)
		s := stories(1)[0]
		publish(t, p, s.events)
		for _, at := range []point{pointFetched, pointChunk, pointFolded, pointChunk} {
			crashed := make(chan struct{})
			var hit atomic.Bool
			f := start(t, Config{Pipe: p}, func(f *Folder) {
				f.lease = time.Second
				f.probe = func(p point) error {
					if p == at && !hit.Swap(true) {
						close(crashed)
					}
					if hit.Load() {
						return errors.New("crash")
					}
					return nil
				}
			})
			<-crashed
			f.stop(t)
		}
		start(t, Config{Pipe: p}, func(f *Folder) { f.lease = time.Second })
		settle(t, p)
		_, want := records(t, now, s.events)
		_, got := read(t, p, s.name, now)
		require.Equal(t, want, got)
	})

	t.Run("OKRestart", func(t *testing.T) {
		dir := t.TempDir()
		server := pipetest.MustStart(t, dir)
		p := pipetest.MustConnect(t, server)
		s := stories(1)[0]
		half := len(s.events) / 2
		f := start(t, Config{Pipe: p}, nil)
		publish(t, p, s.events[:half])
		epoch := settle(t, p)
		f.stop(t)
		publish(t, p, s.events[half:])
		p.Close()
		server.Close()
		p = pipetest.MustConnect(t, pipetest.MustStart(t, dir))
		var folded atomic.Int64
		f = start(t, Config{Pipe: p}, func(f *Folder) { f.folded = func(n int) { folded.Add(int64(n)) } })
		require.Equal(t, epoch, settle(t, p))
		f.stop(t)
		_, want := records(t, now, s.events)
		_, got := read(t, p, s.name, now)
		require.Equal(t, want, got)
		require.EqualValues(t, len(s.events)-half, folded.Load(), "it went on from where it was")
	})

	for name, take := range map[string]func(t *testing.T, js jetstream.JetStream){
		"OKDeleted": func(t *testing.T, js jetstream.JetStream) { deleteBucket(t, js) },
		"OKPurged": func(t *testing.T, js jetstream.JetStream) {
			s, err := js.Stream(t.Context(), "KV_"+schemas.LedgerBucket)
			require.NoError(t, err)
			require.NoError(t, s.Purge(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := pipetest.MustOpen(t)
			s := stories(1)[0]
			publish(t, p, s.events[:100])
			start(t, Config{Pipe: p}, nil)
			start(t, Config{Pipe: p}, nil)
			epoch := settle(t, p)
			take(t, p.JS)
			publish(t, p, s.events[100:])
			require.Eventually(t, func() bool {
				b, err := openBucket(t.Context(), p.JS)
				if err != nil {
					return false
				}
				e, err := b.readEpoch(t.Context())
				return err == nil && e != "" && e != epoch
			}, 30*time.Second, 20*time.Millisecond)
			settle(t, p)
			want, wantSum := records(t, now, s.events)
			got, gotSum := read(t, p, s.name, now)
			require.Equal(t, wantSum, gotSum)
			require.Equal(t, want, slices.DeleteFunc(got, func(w Window) bool { return w.Lane == schemas.LaneBackfill && w.State == StateSkipped }))
			require.Eventually(t, func() bool {
				stream, err := p.JS.Stream(t.Context(), schemas.EventsStream)
				require.NoError(t, err)
				var names []string
				for n := range stream.ConsumerNames(t.Context()).Name() {
					names = append(names, n)
				}
				return len(names) == 1
			}, 30*time.Second, 20*time.Millisecond, "only the new epoch's consumer is left")
		})
	}

	t.Run("OKUnreadable", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		_, err := p.Publish(t.Context(), pipe.Outgoing{Subject: "k2o.event.ns.x.planned", Data: []byte("garbage")})
		require.NoError(t, err)
		_, err = p.Publish(t.Context(), pipe.Outgoing{Subject: "k2o.event.ns.x.planned"})
		require.NoError(t, err)
		s := newStory("x").export(0)
		s.event(1, schemas.EventPlanned, 0, func(e *wire.Event) { e.EndUnixNano = e.StartUnixNano })
		publish(t, p, s.events)
		start(t, Config{Pipe: p}, nil)
		settle(t, p)
		windows, _ := read(t, p, "x", now)
		require.Len(t, windows, 1)
	})

	t.Run("OKNewer", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		publish(t, p, newStory("x").export(0).events)
		newer := &nats.Msg{Subject: "k2o.event.ns.x.planned", Header: nats.Header{schemas.HeaderVersion: {"2"}}}
		_, err := p.JS.PublishMsg(t.Context(), newer)
		require.NoError(t, err)
		folded := make(chan int, 100)
		start(t, Config{Pipe: p}, func(f *Folder) { f.folded = func(n int) { folded <- n } })
		for n := 0; n < 5; {
			n += <-folded
		}
		b, err := openBucket(t.Context(), p.JS)
		require.NoError(t, err)
		epoch, err := b.readEpoch(t.Context())
		require.NoError(t, err)
		c, err := p.JS.Consumer(t.Context(), schemas.EventsStream, durablePrefix+epoch)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			info, err := c.Info(t.Context())
			require.NoError(t, err)
			return info.NumAckPending == 1 && info.NumPending == 0
		}, time.Minute, 10*time.Millisecond, "it waits for a reader that understands it")
	})

	t.Run("ErrConfig", func(t *testing.T) {
		_, err := New(Config{})
		require.EqualError(t, err, "ledger: a pipe is needed")
		_, err = New(Config{Pipe: &pipe.Pipe{}, Retention: -time.Second})
		require.EqualError(t, err, "ledger: retention must not be negative, got -1s")
	})
}

// The lines of windows tell a skip once, also where it was told twice.
func TestWindowsSkippedTwice(t *testing.T) {
	p := pipetest.MustOpen(t)
	start(t, Config{Pipe: p}, nil)
	// The last one begins before midnight, and is of another day than those it covers.
	s := newStory("x").export(0).withSkipped(1, 2).withSkipped(1, 3).withSkipped(850, 3).withSkipped(830, 50)
	publish(t, p, s.events)
	settle(t, p)
	windows, sum := read(t, p, "x", began.Add(24*time.Hour))
	var got []string
	for _, w := range windows {
		if w.State == StateSkipped {
			got = append(got, fmt.Sprintf("%s %s", w.ID.Window.Start.Sub(began), w.ID.Window.End.Sub(began)))
		}
	}
	require.Equal(t, []string{"1m0s 4m0s", "13h50m0s 14h40m0s"}, got)
	require.EqualValues(t, 2, sum.States[StateSkipped])
}
