package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The demo ends by itself, has exported a window of each use case, and agrees with
// the endpoint.
func TestDemo(t *testing.T) {
	code, out, errs := run(t, "demo", "--for", "5s")
	require.Zero(t, code, errs)
	require.Empty(t, errs)
	m := regexp.MustCompile(`exported (\d+) of (\d+) windows, (\d+) points; the endpoint counted (\d+) points of \d+ series in \d+ requests`).FindStringSubmatch(out)
	require.NotNil(t, m, out)
	require.Equal(t, m[3], m[4], out)
	for _, name := range []string{"service-response-times", "customer-analytics", "infrastructure-monitoring", "global-error-rates", "requests-live"} {
		require.Regexp(t, regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}  \w+/`+name+`  window \S+  \d+ points to `), out)
	}
	require.False(t, strings.Contains(out, "failed"), out)
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
