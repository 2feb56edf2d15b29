package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/otlptest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What the environment may say about the soak test; `make soak` does.
const (
	soakFor  = "SOAK_FOR"  // how long things go wrong
	soakSeed = "SOAK_SEED" // what goes wrong, and when
	soakDir  = "SOAK_DIR"  // where to leave streams and logs; otherwise they are removed
)

// soak is a pipeline of separate processes, and everything around it that fails.
type soak struct {
	*testing.T
	dir      string
	list     []soaked
	received *receiver
	counts   *counts
	clock    string // what schedulers' clocks are off by
	config   string // of commands, which go around the proxies
	stages   []*process
	nodes    []*process
	small    string               // where the last node's disk is small; empty: nowhere
	clients  []string             // where the nodes listen
	lines    map[string][][]*line // nats: the lines of each stage; kusto, endpoint: each alone
	doors    []*door
	kusto    *moody
	began    map[string]time.Time
	looked   int // windows that the ledger called exported while things went wrong
	deaf     int // times when the ledger could not be read
}

// The four stages as processes of their own on a cluster of three NATS nodes, while
// everything that can fail does, at random: afterwards every window's points are at
// the endpoint exactly as the rows give them, and the ledger says so.
func TestSoak(t *testing.T) {
	lasting, long := 12*time.Second, false
	if testing.Short() {
		lasting = 6 * time.Second
	}
	if text := os.Getenv(soakFor); text != "" {
		var err error
		lasting, err = time.ParseDuration(text)
		require.NoError(t, err, soakFor)
		long = true
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(soakSeed); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, soakSeed)
	}
	t.Logf("seed %d: %s=%d makes the same happen", seed, soakSeed, seed)

	s := newSoak(t, seed, long)
	began := time.Now()
	s.start()
	t.Logf("began after %s", time.Since(began).Round(100*time.Millisecond))
	s.trouble(seed, lasting, long)
	// A little calm belongs to it: the windows in which everything comes back.
	require.True(t, pause(t.Context(), time.Second))
	end := time.Now().UTC()
	s.settle(end)
	windows, points := s.verify(end)
	s.stop()

	_, again, wrong := s.received.figures()
	require.Empty(t, wrong)
	if t.Failed() {
		return
	}
	t.Logf("seed %d, %s: %s; %d windows, %d points, %d points sent again with the same values, lost 0; "+
		"the ledger was right about %d exported windows meanwhile, and could not be read %d times; settled after %s",
		seed, lasting.Round(time.Second), s.counts, windows, points, again, s.looked, s.deaf, time.Since(end).Round(100*time.Millisecond))
	t.Logf("took %s", time.Since(began).Round(time.Second))
}

func newSoak(t *testing.T, seed uint64, long bool) *soak {
	huge := 10 * time.Second
	if long {
		huge = 30 * time.Second
	}
	s := &soak{T: t, dir: t.TempDir(), list: soakedExporters(huge), counts: &counts{}, lines: map[string][][]*line{}, began: map[string]time.Time{}}
	if testing.Short() && !long {
		s.list = slices.DeleteFunc(s.list, func(x soaked) bool { return x.name == "huge" })
	}
	if dir := os.Getenv(soakDir); dir != "" {
		s.dir = filepath.Join(dir, strconv.FormatUint(seed, 10))
		require.NoError(t, os.MkdirAll(s.dir, 0o755))
	}
	s.clock = filepath.Join(s.dir, "clock")
	s.received = newReceiver(s.list)
	s.kusto = &moody{counts: s.counts, random: rand.New(rand.NewPCG(seed, 0))}
	kusto, err := sandbox.New(sandbox.Config{Listen: "127.0.0.1:0", Fault: s.kusto.fault})
	require.NoError(t, err)
	require.NoError(t, kusto.Start())
	t.Cleanup(func() { require.NoError(t, kusto.Close()) })

	ports := newPorts()
	proxies := newProxies(t, ports)
	for range 2 {
		url := otlptest.MustStartCollector(t, func(md pmetric.Metrics) error { s.received.take(md); return nil })
		d := mustDoor(t, ports.addr(t), url, s.counts)
		s.doors = append(s.doors, d)
		s.lines["endpoint"] = append(s.lines["endpoint"], []*line{proxies.to("endpoint", d.url)})
		s.lines["kusto"] = append(s.lines["kusto"], []*line{proxies.to("kusto", kusto.Addr())})
	}
	for _, x := range s.list {
		s.declare(x, x.document())
	}
	t.Cleanup(s.remove)
	var routes []string
	for range 3 {
		s.clients, routes = append(s.clients, ports.addr(t)), append(routes, ports.addr(t))
	}
	if long {
		s.small = mountSmall(t, "2g")
	}
	for i := range 3 {
		name := fmt.Sprintf("node-%d", i)
		dir := filepath.Join(s.dir, name)
		if i == 2 && s.small != "" {
			dir = s.small
		}
		s.nodes = append(s.nodes, &process{name: name, logPath: filepath.Join(s.dir, name+".log"), command: func() *exec.Cmd {
			return node(name, dir, s.clients[i], routes[i], routes)
		}})
	}
	s.config = s.configure("commands", s.clients)
	for _, stage := range []schemas.Stage{schemas.Scheduler, schemas.Querier, schemas.Transformer, schemas.Sender} {
		for i := range 2 {
			name := fmt.Sprintf("%s-%d", stage, i)
			var lines []*line
			var through []string
			for _, addr := range s.clients {
				l := proxies.to(name, addr)
				lines, through = append(lines, l), append(through, l.Listen)
			}
			s.lines["nats"] = append(s.lines["nats"], lines)
			config := s.configure(name, through)
			s.stages = append(s.stages, &process{name: name, logPath: filepath.Join(s.dir, name+".log"), command: func() *exec.Cmd {
				cmd := program(string(stage), "--config", config)
				cmd.Env = append(cmd.Env, clockFile+"="+s.clock)
				return cmd
			}})
		}
	}
	return s
}

// configure writes the configuration of a process that reaches the nodes at addrs.
func (s *soak) configure(name string, addrs []string) (path string) {
	path = filepath.Join(s.dir, name+".yaml")
	write(s, path, fmt.Sprintf(`
nats: {url: "nats://%s", replicas: 3}
kusto:
  - {name: telemetry, endpoint: "http://%s", databases: [TelemetryDB], auth: {type: none}, queryTimeout: 20s}
  - {name: bench, endpoint: "http://%s", databases: [Bench], auth: {type: none}, queryTimeout: 30s}
exporters:
  - {name: a, endpoint: "http://%s/v1/metrics", timeout: 4s, maxBackoff: 2s, maxBacklogBytes: 256MiB}
  - {name: b, endpoint: "http://%s/v1/metrics", timeout: 4s, maxBackoff: 2s, maxBacklogBytes: 256MiB}
resources: {files: ["%s/exporters/*.yaml"]}
telemetry: {listen: "127.0.0.1:0"}
`, strings.Join(addrs, ",nats://"), s.lines["kusto"][0][0].Listen, s.lines["kusto"][1][0].Listen,
		s.lines["endpoint"][0][0].Listen, s.lines["endpoint"][1][0].Listen, s.dir))
	return path
}

// start returns when each MetricsExporter has begun.
func (s *soak) start() {
	for _, p := range s.nodes {
		require.NoError(s, p.start())
	}
	for _, addr := range s.clients {
		require.Eventually(s, func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		}, time.Minute, 10*time.Millisecond)
	}
	for _, p := range s.stages {
		require.NoError(s, p.start())
	}
	for _, x := range s.list {
		require.Eventually(s, func() bool {
			windows, err := s.windows(x.name)
			if err == nil && len(windows) > 0 {
				s.began[x.name] = windows[0].Start
			}
			return err == nil && len(windows) > 0
		}, time.Minute, 100*time.Millisecond, "no window of %s", x.name)
	}
}

// trouble makes things go wrong for so long, and right again.
func (s *soak) trouble(seed uint64, lasting time.Duration, long bool) {
	ctx, cancel := context.WithTimeout(s.Context(), lasting)
	defer cancel()
	t := &trouble{ctx: ctx, seed: seed}
	defer t.wg.Wait()
	// The short test has little time, and makes the most of it.
	pace := time.Duration(1)
	if !long {
		pace = 3
	}

	t.every(500*time.Millisecond/pace, 3*time.Second/pace, func(r *rand.Rand) {
		p := s.stages[r.IntN(len(s.stages))]
		down := between(r, 0, time.Second)
		p.kill()
		s.counts.stageKills.Add(1)
		pause(ctx, down)
		s.again(p)
	})
	t.every(2*time.Second, 12*time.Second/pace, func(r *rand.Rand) {
		nodes := s.nodes
		if i := r.IntN(len(nodes)); r.IntN(8) > 0 {
			nodes = nodes[i : i+1] // otherwise all of them
		}
		for _, p := range nodes {
			p.kill()
			s.counts.nodeKills.Add(1)
		}
		pause(ctx, between(r, 0, 3*time.Second))
		for _, p := range nodes {
			s.again(p)
		}
	})
	if long || !testing.Short() {
		// Longer than a lease, which the short test has time for once.
		t.every(0, lasting/8, func(r *rand.Rand) {
			p := s.stages[r.IntN(len(s.stages))]
			p.freeze()
			s.counts.freezes.Add(1)
			pause(s.Context(), between(r, 15500*time.Millisecond, 18*time.Second))
			p.thaw()
		})
	}
	if long {
		t.every(10*time.Second, 40*time.Second, func(r *rand.Rand) {
			p := s.nodes[r.IntN(len(s.nodes))]
			p.freeze()
			s.counts.nodeFreezes.Add(1)
			pause(ctx, between(r, time.Second, 12*time.Second))
			p.thaw()
		})
	}
	if s.small != "" {
		t.every(15*time.Second, 45*time.Second, func(r *rand.Rand) {
			ballast := filepath.Join(s.small, "ballast")
			if err := fill(ballast); err != nil {
				s.Errorf("fill the disk of a node: %v", err)
			}
			s.counts.fullDisks.Add(1)
			pause(ctx, between(r, time.Second, 10*time.Second))
			// There is room again, and the node opens its files anew.
			p := s.nodes[len(s.nodes)-1]
			p.kill()
			if err := os.Remove(ballast); err != nil {
				s.Error(err)
			}
			s.again(p)
		})
	}
	for _, kind := range []string{"nats", "kusto", "endpoint"} {
		t.every(500*time.Millisecond/pace, 3*time.Second/pace, func(r *rand.Rand) {
			lines := s.lines[kind][r.IntN(len(s.lines[kind]))]
			if err := s.counts.spoil(ctx, r, lines, 4*time.Second/pace); err != nil {
				s.Errorf("make a line to %s bad: %v", kind, err)
			}
		})
	}
	t.every(time.Second/pace, 4*time.Second/pace, func(r *rand.Rand) {
		s.kusto.mood(0.1 + 0.6*r.Float64())
		pause(ctx, between(r, time.Second, 5*time.Second))
		s.kusto.mood(0)
	})
	t.every(time.Second/pace, 5*time.Second/pace, func(r *rand.Rand) {
		d := s.doors[r.IntN(len(s.doors))]
		d.mode.Store(int32(doorOpen + 1 + r.IntN(doorModes-1)))
		s.counts.outages.Add(1)
		longest := 4 * time.Second / pace
		if long && r.IntN(10) == 0 {
			longest = 30 * time.Second
		}
		pause(ctx, between(r, longest/10, longest))
		d.mode.Store(doorOpen)
	})
	t.every(time.Second, 6*time.Second/pace, func(r *rand.Rand) {
		// Back for a while, or so far ahead that it cannot be true.
		offset := -between(r, time.Second, 20*time.Second)
		if r.IntN(2) == 0 {
			offset = between(r, time.Minute, 3*time.Hour)
		}
		write(s, s.clock, offset.String())
		s.counts.steps.Add(1)
		pause(ctx, between(r, time.Second, 4*time.Second))
		write(s, s.clock, "0s")
	})
	t.every(time.Second, 6*time.Second/pace, func(r *rand.Rand) { s.replay(r, s.list[r.IntN(len(s.list))]) })
	t.every(2*time.Second, 10*time.Second/pace, func(*rand.Rand) { s.retry() })
	t.every(4*time.Second, 8*time.Second, func(r *rand.Rand) { s.look(s.list[r.IntN(len(s.list))]) })
	t.every(time.Second, 6*time.Second/pace, func(r *rand.Rand) {
		x := s.list[r.IntN(len(s.list))]
		s.declare(x, x.broken(r))
		pause(ctx, between(r, time.Second, 6*time.Second/pace))
		s.declare(x, x.document())
		s.counts.mends.Add(1)
	})
}

// declare writes a MetricsExporter's file.
func (s *soak) declare(x soaked, document string) {
	write(s, filepath.Join(s.dir, "exporters", x.name+".yaml"), document)
}

func (s *soak) again(p *process) {
	if err := p.start(); err != nil {
		s.Error(err)
	}
}

// replay has some of the last windows run again, with the same command until it
// works or too much goes wrong.
func (s *soak) replay(r *rand.Rand, x soaked) {
	end := time.Now().UTC().Truncate(x.every).Add(-time.Duration(3+r.IntN(15)) * x.every)
	start := end.Add(-time.Duration(1+r.IntN(10)) * x.every)
	if start.Before(s.began[x.name]) {
		start = s.began[x.name]
	}
	if !start.Before(end) {
		return
	}
	from := []string{"query", "send"}[r.IntN(2)]
	for range 3 {
		if s.command("replay", "soak/"+x.name, "--from", from, "--rate", "50/s",
			"--start", start.Format(time.RFC3339), "--end", end.Format(time.RFC3339)) == nil {
			s.counts.replays.Add(1)
			return
		}
	}
}

// retry puts all dead letters back.
func (s *soak) retry() {
	if s.command("dead", "retry", "--all") == nil {
		s.counts.retries.Add(1)
	}
}

// look holds the ledger against the endpoint while things go wrong: what it calls
// exported must be there, whole.
func (s *soak) look(x soaked) {
	windows, err := s.windows(x.name, "--state", "exported", "--limit", "100")
	if err != nil {
		s.deaf++
		return
	}
	for _, w := range windows {
		want := x.directly(s.T, schemas.Window{Start: w.Start, End: w.End})
		if there, right := s.received.compare(want); right < len(want.points) {
			s.Errorf("the ledger says that %s is exported, when %d of its %d points are there and %d right", w.ID, there, len(want.points), right)
		}
		s.looked++
	}
}

// windows reads the ledger, with the command that users have.
func (s *soak) windows(name string, flags ...string) ([]windowJSON, error) {
	var list []windowJSON
	err := s.ask(&list, append([]string{"windows", "soak/" + name}, flags...)...)
	return list, err
}

func (s *soak) ask(into any, args ...string) error {
	out, err := s.output(append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}

func (s *soak) command(args ...string) error {
	_, err := s.output(args...)
	return err
}

func (s *soak) output(args ...string) ([]byte, error) {
	cmd := program(append(args, "--config", s.config)...)
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	limited := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	limited.Env = cmd.Env
	var errs strings.Builder
	limited.Stderr = &errs
	out, err := limited.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", args, err, errs.String())
	}
	return out, nil
}

// settle waits until everything due before end is at the endpoint and the ledger
// knows it. What did not come, verify will name.
func (s *soak) settle(end time.Time) {
	// A lease, an endpoint that is tried again, and what has piled up meanwhile.
	deadline := time.Now().Add(8 * time.Minute)
	for _, x := range s.list {
		for time.Now().Before(deadline) {
			windows, err := s.windows(x.name)
			// The ledger may have heard of the second window before the first.
			if len(windows) > 0 && windows[0].Start.Before(s.began[x.name]) {
				s.began[x.name] = windows[0].Start
			}
			exported := 0
			for _, w := range windows {
				if w.State == "exported" && !w.End.After(end) {
					exported++
				}
			}
			if err == nil && exported >= s.due(x, end) {
				break
			}
			s.retry()
			pause(s.Context(), 200*time.Millisecond)
		}
	}
}

// due is how many windows of x end by then.
func (s *soak) due(x soaked, end time.Time) int {
	return int(end.Truncate(x.every).Sub(s.began[x.name]) / x.every)
}

// verify compares the endpoint and the ledger with the rows.
func (s *soak) verify(end time.Time) (windows, points int) {
	for _, x := range s.list {
		ledger := map[time.Time]windowJSON{}
		list, err := s.windows(x.name)
		require.NoError(s, err)
		for _, w := range list {
			if _, ok := ledger[w.Start]; ok {
				s.Errorf("the ledger has %s twice", w.ID)
			}
			ledger[w.Start] = w
			if w.Start.Before(s.began[x.name]) {
				s.Errorf("the ledger has %s, before the first", w.ID)
			}
		}
		received := s.received.perWindow(x.name)
		for start := range received {
			if start.Before(s.began[x.name]) {
				s.Errorf("%d points of %s from before its first window, at %s", received[start], x.name, start)
			}
		}
		for start := s.began[x.name]; !start.Add(x.every).After(end); start = start.Add(x.every) {
			want := x.directly(s.T, schemas.Window{Start: start, End: start.Add(x.every)})
			there, right := s.received.compare(want)
			w := ledger[start]
			if there != len(want.points) || right != there || received[start] != there {
				s.Errorf("window of %s at %s: %d points came, %d of the %d that must, %d of them right; the ledger: %+v",
					x.name, start, received[start], there, len(want.points), right, w)
			}
			if w.State != "exported" || int(w.Rows) != want.rows || int(w.Points) != len(want.points) || int(w.Rejected["not_a_number"]) != want.rejected {
				s.Errorf("the ledger has %+v of the window of %s at %s, want %d rows, %d points, %d rejected", w, x.name, start, want.rows, len(want.points), want.rejected)
			}
			windows++
			points += len(want.points)
		}
	}
	var dead []json.RawMessage
	require.NoError(s, s.ask(&dead, "dead", "list"))
	for _, letter := range dead {
		s.Errorf("a dead letter: %s", letter)
	}
	var all []statusJSON
	require.NoError(s, s.ask(&all, "status"))
	require.Len(s, all, len(s.list))
	for _, one := range all {
		x := s.named(one.Name)
		if one.Watermark == nil || one.Watermark.Before(end.Truncate(x.every)) {
			s.Errorf("the watermark of %s is %v, before %s", one.Name, one.Watermark, end.Truncate(x.every))
		}
	}
	return windows, points
}

func (s *soak) named(name string) soaked {
	for _, x := range s.list {
		if x.name == name {
			return x
		}
	}
	s.Fatalf("the ledger knows %q", name)
	return soaked{}
}

// stop ends the stages as an operator would: they do so in good order.
func (s *soak) stop() {
	for _, p := range s.stages {
		if err := p.stop(); err != nil {
			s.Errorf("%s after SIGTERM: %v", p.name, err)
		}
	}
	for _, why := range s.reasons() {
		// A node whose disk is full does not start, and is tried again.
		if !strings.HasPrefix(why, "node-") || !strings.Contains(why, "no space left on device") {
			s.Errorf("ended by itself: %s", why)
		}
	}
}

func (s *soak) reasons() []string {
	var reasons []string
	for _, p := range slices.Concat(s.nodes, s.stages) {
		reasons = append(reasons, p.endedByItself()...)
	}
	return reasons
}

// remove is for the end, however it came.
func (s *soak) remove() {
	for _, p := range slices.Concat(s.stages, s.nodes) {
		p.remove()
	}
	if !s.Failed() {
		return
	}
	s.Logf("what was done: %s", s.counts)
	const enough = 4000
	for _, p := range slices.Concat(s.nodes, s.stages) {
		text, _ := os.ReadFile(p.logPath)
		s.Logf("the end of %s's log:\n%s", p.name, text[max(0, len(text)-enough):])
	}
}
