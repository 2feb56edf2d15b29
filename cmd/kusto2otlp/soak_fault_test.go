package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
)

// counts are what was done to the pipeline.
type counts struct {
	stageKills, nodeKills, freezes, nodeFreezes, cuts, slow, lostAcks, refused, kustoFaults, outages,
	steps, replays, retries, mends, fullDisks atomic.Int64
}

func (c *counts) String() string {
	return fmt.Sprintf("%d kills of stages and %d of nodes, %d stages and %d nodes frozen, %d connections cut, %d refused, %d slow, %d with acks lost, %d kusto faults, %d endpoint outages, %d clock steps, %d replays, dead letters retried %d times, %d specs broken and mended, %d full disks",
		c.stageKills.Load(), c.nodeKills.Load(), c.freezes.Load(), c.nodeFreezes.Load(), c.cuts.Load(), c.refused.Load(),
		c.slow.Load(), c.lostAcks.Load(), c.kustoFaults.Load(), c.outages.Load(),
		c.steps.Load(), c.replays.Load(), c.retries.Load(), c.mends.Load(), c.fullDisks.Load())
}

// between returns a random duration.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)+1))
}

// pause waits, and says whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// trouble runs agitators until its context ends. Each puts right what it did,
// before it returns.
type trouble struct {
	ctx  context.Context
	seed uint64
	wg   sync.WaitGroup
	n    uint64
}

// every calls do again and again, with a pause before each call. What each agitator
// does follows from the seed alone, whatever the others do.
func (t *trouble) every(from, to time.Duration, do func(r *rand.Rand)) {
	t.n++
	r := rand.New(rand.NewPCG(t.seed, t.n))
	t.wg.Go(func() {
		for pause(t.ctx, between(r, from, to)) {
			do(r)
		}
	})
}

// proxies are connections that can be made bad.
type proxies struct {
	tb     testing.TB
	server *toxiproxy.ApiServer
	ports  *ports
	all    []*line
}

// line is a proxy that is made bad by one at a time.
type line struct {
	mu sync.Mutex
	*toxiproxy.Proxy
	server *toxiproxy.ApiServer
}

// anew ends the proxy with all its connections, and what waits in them, and starts
// another in its place. To take a toxic out of a proxy can wait for ever for a
// connection that is gone.
func (l *line) anew() error {
	l.Stop()
	for attempt := 1; ; attempt++ {
		l.Proxy = toxiproxy.NewProxy(l.server, l.Name, l.Listen, l.Upstream)
		err := l.Start()
		// A process that is being started holds the listener until it is another program.
		if !errors.Is(err, syscall.EADDRINUSE) || attempt == 100 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func newProxies(tb testing.TB, ports *ports) *proxies {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some of it writes to a logger of its own
	p := &proxies{tb: tb, ports: ports, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
	tb.Cleanup(func() {
		for _, l := range p.all {
			l.Stop()
		}
	})
	return p
}

func (p *proxies) to(name, upstream string) *line {
	l := &line{Proxy: toxiproxy.NewProxy(p.server, name, p.ports.addr(p.tb), upstream), server: p.server}
	require.NoError(p.tb, l.Start())
	p.all = append(p.all, l)
	return l
}

// spoil makes lines bad for a while, in one of the ways that lines are bad.
func (c *counts) spoil(ctx context.Context, r *rand.Rand, lines []*line, longest time.Duration) error {
	for _, l := range lines {
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	var toxic string
	refuse := false
	switch stream := []string{"upstream", "downstream"}[r.IntN(2)]; r.IntN(6) {
	case 0:
		c.cuts.Add(1)
		longest = 0
	case 1:
		c.refused.Add(1)
		refuse = true
	case 2:
		c.slow.Add(1)
		toxic = fmt.Sprintf(`{"name":"bad","type":"latency","stream":%q,"attributes":{"latency":%d,"jitter":%d}}`, stream, 20+r.IntN(800), r.IntN(200))
	case 3:
		c.slow.Add(1)
		toxic = fmt.Sprintf(`{"name":"bad","type":"bandwidth","stream":%q,"attributes":{"rate":%d}}`, stream, 20+r.IntN(400))
	case 4: // all that is sent arrives, and nothing that comes back
		c.lostAcks.Add(1)
		toxic = `{"name":"bad","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`
	default: // a cut in the middle of a message
		c.cuts.Add(1)
		toxic = fmt.Sprintf(`{"name":"bad","type":"limit_data","stream":%q,"attributes":{"bytes":%d}}`, stream, 1+r.IntN(200_000))
	}
	for _, l := range lines {
		var err error
		switch {
		case toxic != "":
			_, err = l.Toxics.AddToxicJson(strings.NewReader(toxic))
		case refuse:
			l.Stop()
		default:
			err = l.anew()
		}
		if err != nil {
			return err
		}
	}
	if longest > 0 {
		pause(ctx, between(r, longest/20, longest))
	}
	for _, l := range lines {
		if toxic != "" || refuse {
			if err := l.anew(); err != nil {
				return err
			}
		}
	}
	return nil
}

// moody is the sandbox's Config.Fault: while its mood is bad, some queries go wrong.
type moody struct {
	counts *counts
	mu     sync.Mutex
	random *rand.Rand
	bad    float64 // the part of queries that goes wrong
}

func (m *moody) mood(bad float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad = bad
}

// fault is nothing that is permanent: windows may be late, none may be given up.
func (m *moody) fault(*sandbox.Request) *sandbox.Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.random.Float64() >= m.bad {
		return nil
	}
	m.counts.kustoFaults.Add(1)
	// Within the answers of a row and within those of many.
	after := []int64{0, 1, 5, 9_000, 50_000}[m.random.IntN(5)]
	failure := sandbox.PartialFailure("soak")
	switch m.random.IntN(12) {
	case 0:
		return &sandbox.Fault{Error: sandbox.Throttled(time.Second)}
	case 1:
		return &sandbox.Fault{Error: sandbox.Unavailable(time.Second)}
	case 2:
		return &sandbox.Fault{Error: sandbox.Internal(io.ErrUnexpectedEOF)}
	case 3:
		return &sandbox.Fault{Status: http.StatusBadGateway, Body: "<html>bad gateway</html>"}
	case 4:
		return &sandbox.Fault{After: after, Cut: true}
	case 5:
		return &sandbox.Fault{After: after, InBand: failure}
	case 6:
		return &sandbox.Fault{CompletionError: failure}
	case 7:
		return &sandbox.Fault{NoDataSetCompletion: true}
	case 8:
		return &sandbox.Fault{CutBeforeCompletion: true}
	case 9:
		return &sandbox.Fault{Cancelled: true}
	case 10:
		return &sandbox.Fault{Delay: time.Duration(m.random.Int64N(int64(3 * time.Second)))}
	default:
		return &sandbox.Fault{NoTableCompletion: true}
	}
}

// door stands before an endpoint and answers in its place, or loses its answers.
type door struct {
	url    string
	counts *counts
	mode   atomic.Int32
	inner  http.Handler
}

const (
	doorOpen = iota
	doorUnavailable
	doorThrottled
	doorBroken  // the endpoint takes the request, and its answer is lost
	doorHangsUp // nothing is taken
	doorRefuses // as if a payload could never be taken: dead letters
	doorModes
)

func mustDoor(tb testing.TB, addr, endpoint string, counts *counts) *door {
	u, err := url.Parse(endpoint)
	require.NoError(tb, err)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: u.Scheme, Host: u.Host})
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	d := &door{url: addr, counts: counts, inner: proxy}
	l, err := net.Listen("tcp", addr)
	require.NoError(tb, err)
	s := &http.Server{Handler: d, ErrorLog: proxy.ErrorLog, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	tb.Cleanup(func() { _ = s.Close(); <-done })
	return d
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch d.mode.Load() {
	case doorUnavailable:
		http.Error(w, "no room", http.StatusServiceUnavailable)
	case doorThrottled:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too much", http.StatusTooManyRequests)
	case doorBroken:
		d.inner.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case doorHangsUp:
		panic(http.ErrAbortHandler)
	case doorRefuses:
		http.Error(w, "no such thing", http.StatusBadRequest)
	default:
		d.inner.ServeHTTP(w, r)
	}
}
