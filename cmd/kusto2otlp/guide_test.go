package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A guide is a page whose commands are run, in one directory and in order. What is
// done with a fenced block is behind its language:
//
//	```yaml file=NAME    is written to the file
//	```sh run            is run, and must succeed
//	```sh run fails      must fail
//	```sh run retry      is run until it shows what the next block does
//	```sh run background goes on until the page is done, and must then end well
//	```sh elsewhere      needs what a test has not, and is left out
//	```text shows        is what the last command shows, or, with first, the first in the background
type guide struct {
	dir  string
	env  []string
	port map[string]string // of the page, and the test's own

	background []*guideProcess
	show       func() string // what the last command shows; runs it again where that is its way
	retry      bool
}

type guideProcess struct {
	cmd   *exec.Cmd
	out   *lines
	ended chan error
}

// guidePort is an address of the page. Those of a test must be free.
var guidePort = regexp.MustCompile(`\b127\.0\.0\.1:(\d+)\b`)

func newGuide(t *testing.T) *guide {
	t.Helper()
	g := &guide{dir: t.TempDir(), port: map[string]string{}}
	bin := t.TempDir()
	require.NoError(t, os.Symlink(must(t, os.Executable), filepath.Join(bin, "kusto2otlp")))
	g.env = append(os.Environ(), asProgram+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
	t.Cleanup(func() { g.end(t) })
	return g
}

func must[T any](t *testing.T, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	require.NoError(t, err)
	return v
}

var guideFence = regexp.MustCompile("(?ms)^```(\\S*)([^\n]*)\n(.*?)^```$")

// follow does what the page says.
func (g *guide) follow(t *testing.T, page string) {
	t.Helper()
	for _, m := range guideFence.FindAllStringSubmatchIndex(page, -1) {
		part := func(i int) string { return page[m[i]:m[i+1]] }
		line := 1 + strings.Count(page[:m[0]], "\n")
		language, words, body := part(2), strings.Fields(part(4)), g.own(t, part(6))
		switch {
		case len(words) > 0 && strings.HasPrefix(words[0], "file="):
			write(t, filepath.Join(g.dir, strings.TrimPrefix(words[0], "file=")), body)
		case language == "sh" && len(words) > 0 && words[0] == "run":
			t.Logf("line %d: %s", line, body)
			g.run(t, line, body, append(words, "")[1])
		case language == "sh":
			require.Equal(t, []string{"elsewhere"}, words, "line %d: a command must be run, or say why it is not", line)
		case language == "text" && len(words) > 0 && words[0] == "shows":
			g.shows(t, line, body, len(words) > 1)
		}
	}
}

// own puts the test's ports in the place of the page's.
func (g *guide) own(t *testing.T, text string) string {
	return guidePort.ReplaceAllStringFunc(text, func(address string) string {
		if g.port[address] == "" {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			g.port[address] = l.Addr().String()
			require.NoError(t, l.Close())
		}
		return g.port[address]
	})
}

func (g *guide) command(body string) *exec.Cmd {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", body)
	cmd.Dir, cmd.Env = g.dir, g.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (g *guide) run(t *testing.T, line int, body, how string) {
	t.Helper()
	once := func() (string, error) {
		out, err := g.command(body).CombinedOutput()
		return string(out), err
	}
	g.retry = false
	switch how {
	case "background":
		p := &guideProcess{cmd: g.command(body), out: &lines{}, ended: make(chan error, 1)}
		p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
		require.NoError(t, p.cmd.Start())
		go func() { p.ended <- p.cmd.Wait() }()
		g.background = append(g.background, p)
		g.show, g.retry = p.out.String, true
	case "retry":
		g.retry = true
		g.show = func() string {
			out, err := once()
			return out + fmt.Sprintf("\n%v", err)
		}
	default:
		out, err := once()
		require.Equal(t, how == "fails", err != nil, "line %d: %v\n%s", line, err, out)
		g.show = func() string { return out }
	}
}

func (g *guide) shows(t *testing.T, line int, want string, first bool) {
	t.Helper()
	show, retry := g.show, g.retry
	if first {
		show, retry = g.background[0].out.String, true
	}
	out := show()
	missing := notShown(want, out)
	for deadline := time.Now().Add(time.Minute); missing != "" && retry && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond) // the next look at a process, or run of a command
		out = show()
		missing = notShown(want, out)
	}
	require.Empty(t, missing, "line %d: not shown, in\n%s", line, out)
}

var (
	guideAny   = regexp.MustCompile(`[0-9][0-9.,]*|…`)
	guideSpace = regexp.MustCompile(`\s+`)
)

// notShown returns the first line that is not in the output, after those before it;
// none when all are. A number stands for any, and … for anything.
func notShown(want, out string) string {
	output := strings.Split(out, "\n")
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(guideSpace.ReplaceAllString(line, " "))
		if line == "" || line == "…" {
			continue
		}
		var pattern strings.Builder
		for i, rest := 0, guideAny.FindAllStringIndex(line, -1); ; {
			if len(rest) == 0 {
				pattern.WriteString(regexp.QuoteMeta(line[i:]))
				break
			}
			pattern.WriteString(regexp.QuoteMeta(line[i:rest[0][0]]))
			if line[rest[0][0]] >= '0' && line[rest[0][0]] <= '9' {
				pattern.WriteString("[0-9][0-9.,]*")
			} else {
				pattern.WriteString(".*")
			}
			i, rest = rest[0][1], rest[1:]
		}
		match := regexp.MustCompile("^" + pattern.String() + "$")
		found := -1
		for i, o := range output {
			if match.MatchString(strings.TrimSpace(guideSpace.ReplaceAllString(o, " "))) {
				found = i
				break
			}
		}
		if found < 0 {
			return line
		}
		output = output[found+1:]
	}
	return ""
}

// end ends what runs in the background, the last first.
func (g *guide) end(t *testing.T) {
	for i := len(g.background) - 1; i >= 0; i-- {
		p := g.background[i]
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
		select {
		case err := <-p.ended:
			require.NoError(t, err, p.out.String())
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("%s did not end\n%s", p.cmd, p.out)
		}
	}
}

// Every command of the guide does what the guide says.
func TestGuide(t *testing.T) {
	newGuide(t).follow(t, readFile(t, "../../docs/first-five-minutes.md"))
}

// The sample of the page about tests passes.
func TestGuideToTests(t *testing.T) {
	g := newGuide(t)
	write(t, filepath.Join(g.dir, "exporters", "response-times.yaml"), `
apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: response-times}
spec:
  database: TelemetryDB
  exporter: collector
  interval: 1m
  body: |
    ServiceTelemetry
    | where Timestamp between (_startTime .. _endTime)
    | summarize v = avg(ResponseTimeMs) by ServiceName, t = bin(Timestamp, 1m)
  transform: {defaultMetricName: response_time_avg, valueColumn: v, timestampColumn: t, labelColumns: [ServiceName]}
`)
	g.follow(t, readFile(t, "../../docs/metrics-tests.md"))
}

func TestNotShown(t *testing.T) {
	const out = "a  b\n  took 1.5s at 10:00\n\nend …x\n"
	for _, want := range []string{"", "a b", "a b\n…\nend …", "took 200s at 9:30", "… at 1:2", "a b\ntook 1s at 1:1\nend …x\n"} {
		require.Empty(t, notShown(want, out), want)
	}
	for want, missing := range map[string]string{"b": "b", "end …\na b": "a b", "a b\na b": "a b", "took s": "took s", "a.b": "a.b"} {
		require.Equal(t, missing, notShown(want, out), want)
	}
}
