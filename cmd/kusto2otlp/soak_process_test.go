package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// process is a program that is started again whenever it ends, as an init system
// or Kubernetes would, until it is stopped.
type process struct {
	name    string
	command func() *exec.Cmd
	logPath string

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   chan struct{} // closed when cmd was waited for
	held    bool          // down, or going down, because somebody wants it to be
	err     error         // of the last life
	reasons []string      // why it ended by itself
	keeper  sync.WaitGroup
}

// start starts it, if it does not run.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	if p.ended != nil {
		select {
		case <-p.ended:
		default:
			return nil // somebody else was faster
		}
	}
	return p.startLocked()
}

func (p *process) startLocked() error {
	logs, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logs.Close()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = logs, logs
	// Nothing outlives the test, not even when a timeout ends it in a panic.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	p.keeper.Go(func() {
		err := cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = err
		close(ended)
		if p.held || p.cmd != cmd {
			return
		}
		p.reasons = append(p.reasons, fmt.Sprintf("%s: %v: %s", p.name, err, lastWords(p.logPath)))
		if err := p.startLocked(); err != nil {
			p.reasons = append(p.reasons, err.Error())
		}
	})
	return nil
}

// kill ends it with SIGKILL and leaves it down.
func (p *process) kill() {
	p.mu.Lock()
	p.held = true
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill()
		<-ended
	}
}

// freeze stops it where it is, until thaw.
func (p *process) freeze() { p.signal(syscall.SIGSTOP) }
func (p *process) thaw()   { p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// stop asks it to end and returns how it did.
func (p *process) stop() error {
	p.mu.Lock()
	p.held = true
	ended := p.ended
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.mu.Unlock()
	select {
	case <-ended:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-time.After(30 * time.Second):
		return errors.New("does not end")
	}
}

// remove is for the end of a test: it kills and waits for everything.
func (p *process) remove() {
	p.kill()
	p.keeper.Wait()
}

// endedByItself returns why it had to be started again.
func (p *process) endedByItself() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.reasons...)
}

// lastWords returns what a log ends with: its last line, or that of its last panic.
func lastWords(path string) string {
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	const stack = 60 // lines
	for _, line := range slices.Backward(lines[max(0, len(lines)-stack):]) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return lines[len(lines)-1]
}

// ports gives out ports of loopback that nobody listens on, below those that the
// system gives to outgoing connections: a port that is free for a moment, because
// who listens on it is down, must not become somebody else's.
type ports struct{ next int }

func newPorts() *ports { return &ports{10_000 + rand.IntN(18_000)} }

func (p *ports) addr(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		p.next++
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.next)))
		if err == nil {
			require.NoError(tb, l.Close())
			return l.Addr().String()
		}
	}
	tb.Fatal("no port is free")
	return ""
}

// A NATS node takes what it is from these.
const (
	nodeName   = "KUSTO2OTLP_TEST_NODE_NAME"
	nodeDir    = "KUSTO2OTLP_TEST_NODE_DIR"
	nodeClient = "KUSTO2OTLP_TEST_NODE_CLIENT"
	nodeRoute  = "KUSTO2OTLP_TEST_NODE_ROUTE"
	nodeRoutes = "KUSTO2OTLP_TEST_NODE_ROUTES"
)

// node returns a command that runs a member of a NATS cluster.
func node(name, dir, client, route string, routes []string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=nats", nodeName+"="+name, nodeDir+"="+dir,
		nodeClient+"="+client, nodeRoute+"="+route, nodeRoutes+"="+strings.Join(routes, ","))
	return cmd
}

// serveNATS is such a process.
func serveNATS() int {
	client, err := net.ResolveTCPAddr("tcp", os.Getenv(nodeClient))
	route, err2 := net.ResolveTCPAddr("tcp", os.Getenv(nodeRoute))
	if err := errors.Join(err, err2); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var routes []*url.URL
	for r := range strings.SplitSeq(os.Getenv(nodeRoutes), ",") {
		routes = append(routes, &url.URL{Scheme: "nats", Host: r})
	}
	s, err := server.NewServer(&server.Options{
		ServerName: os.Getenv(nodeName), Host: client.IP.String(), Port: client.Port,
		JetStream: true, StoreDir: os.Getenv(nodeDir), NoSigs: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 16 << 30,
		// Clients must not learn ways around the proxies.
		Cluster: server.ClusterOpts{Name: "soak", Host: route.IP.String(), Port: route.Port, NoAdvertise: true},
		Routes:  routes,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.ConfigureLogger()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	s.Start()
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}
