package main

import (
	"bytes"
	"context"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lines is what a command printed so far, for a test that waits for it.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// The demo exports a window of each use case and agrees with the endpoint.
func TestDemo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs lines
	code := make(chan int, 1)
	go func() { code <- execute(ctx, []string{"demo"}, &out, &errs) }()
	for _, name := range []string{"service-response-times", "customer-analytics", "infrastructure-monitoring", "global-error-rates", "requests-live"} {
		line := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}  \w+/` + name + `  window \S+  \d+ points to `)
		require.Eventually(t, func() bool { return line.MatchString(out.String()) }, 2*time.Minute, 20*time.Millisecond, name)
	}
	stop()
	require.Zero(t, <-code, errs.String())
	require.Empty(t, errs.String())
	text := out.String()
	m := regexp.MustCompile(`exported (\d+) of (\d+) windows, (\d+) points; the endpoint counted (\d+) points of \d+ series in \d+ requests`).FindStringSubmatch(text)
	require.NotNil(t, m, text)
	require.Equal(t, m[3], m[4], text)
	require.NotContains(t, text, "failed")
}

// It ends by itself when it is told how long to run.
func TestDemoFor(t *testing.T) {
	code, out, errs := run(t, "demo", "--for", "100ms")
	require.Zero(t, code, errs)
	require.Contains(t, out, "kusto2otlp demo, for 100ms: KQL windows become OTLP metrics")
	require.Contains(t, out, "windows, ")
}

func TestBoardWidth(t *testing.T) {
	b := newBoard()
	b.rows["ns/a"] = &boardRow{key: "ns/a", exporter: "prom", planned: 2, exported: 1, state: "failed", problem: "no such column"}
	require.Equal(t, []string{
		"METRICS EXPORTER  WINDOWS  POINTS  LAG  STATE  ",
		"ns/a                  1/2       0    -  failed: no such column  ",
	}, b.table(80))
	require.Contains(t, b.table(200)[1], "prom")
}
