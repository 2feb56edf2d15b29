package scheduler

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// mustCluster starts three servers and returns them once they have a leader.
func mustCluster(t *testing.T) []*server.Server {
	t.Helper()
	const n = 3
	// A member must know the others' addresses when it starts.
	var routes []*url.URL
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		require.NoError(t, l.Close())
	}
	var servers []*server.Server
	for i, route := range routes {
		port, err := strconv.Atoi(route.Port())
		require.NoError(t, err)
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT,
			JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port},
			Routes:  routes,
		})
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		servers = append(servers, s)
	}
	require.Eventually(t, func() bool {
		for _, s := range servers {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == n
			}
		}
		return false
	}, time.Minute, 10*time.Millisecond)
	return servers
}

// Three schedulers at the three nodes of a cluster, whose leaders change while
// they work.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes its time")
	}
	servers := mustCluster(t)
	var pipes []*pipe.Pipe
	for i, s := range servers {
		p, err := pipe.Open(pipe.Config{URL: s.ClientURL(), Replicas: 3, Name: fmt.Sprint(i), Logger: pipetest.Logger(t)})
		require.NoError(t, err)
		t.Cleanup(p.Close)
		pipes = append(pipes, p)
	}
	require.NoError(t, pipes[0].EnsureStreams(t.Context(), nil))

	s := &stage{tb: t, pipe: pipes[0], clock: newTestClock("2025-06-25T10:00:30Z"), issued: map[string]int{}, lanes: map[string]string{}}
	const resources = 10
	var specs []string
	for i := range resources {
		specs = append(specs, spec(fmt.Sprintf("a%d", i), minutely))
	}
	var schedulers []*running
	for _, p := range pipes {
		schedulers = append(schedulers, s.start(func(c *Config) { c.Pipe = p }, specs...))
	}
	for _, r := range schedulers {
		r.settle()
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for round := range 25 {
		s.clock.advance(time.Duration(1+rnd.IntN(3)) * time.Minute)
		if round%5 == 0 {
			_, err := pipes[0].JS.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+schemas.JobsStream, nil, 5*time.Second)
			require.NoError(t, err)
		}
		for _, r := range schedulers {
			r.settle()
		}
	}
	// What failed meanwhile waits for its backoff, and an ack that came too late is
	// not known to the harness: the stream is, since nobody takes jobs out of it.
	for range 4 {
		s.clock.advance(maxBackoff)
		for _, r := range schedulers {
			r.settle()
		}
	}
	end := s.clock.Now().Truncate(time.Minute)
	perName := map[string][]schemas.Window{}
	for _, job := range s.jobs() {
		perName[job.Name] = append(perName[job.Name], schemas.JobWindow(job))
	}
	require.Len(t, perName, resources)
	for name, windows := range perName {
		at := instant("2025-06-25T09:59:00Z")
		for _, w := range windows {
			require.Equal(t, at, w.Start, "gap, overlap or disorder of %s", name)
			at = w.End
		}
		require.Equal(t, end, at)
		planned := map[string]bool{}
		for _, e := range s.events(schemas.EventPlanned, name) {
			planned[e.Window] = true
		}
		require.Len(t, planned, len(windows))
	}
	for id, n := range s.issued {
		require.Equal(t, 1, n, "%s was issued %d times", id, n)
	}
	if lines := s.logs("could not be issued"); len(lines) > 0 {
		t.Logf("%d steps failed and were repeated, first: %s", len(lines), strings.TrimSpace(lines[0]))
	}
}
