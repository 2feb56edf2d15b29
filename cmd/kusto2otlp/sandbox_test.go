package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// startSandbox runs the command until the test ends, and returns what it prints before it waits.
func startSandbox(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, append([]string{"sandbox", "--listen", "127.0.0.1:0"}, args...), w, w)
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		require.Zero(t, <-ended)
	})
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "    -d '") {
			break // only an empty line follows
		}
	}
	go io.Copy(io.Discard, out)
	return text.String()
}

// runCurl asks what the curl command in text asks, as a shell would read it, and returns the rows.
func runCurl(t *testing.T, text string) [][]any {
	t.Helper()
	m := regexp.MustCompile(`curl -s (\S+) -H 'Content-Type: application/json' \\\n +-d '(.*)'\n`).FindStringSubmatch(text)
	require.NotNil(t, m, text)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Post(m[1], "application/json", strings.NewReader(strings.ReplaceAll(m[2], `'\''`, "'")))
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	var answer struct {
		Tables []struct{ Rows [][]any }
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	return answer.Tables[0].Rows
}

func TestSandbox(t *testing.T) {
	t.Run("OKSamples", func(t *testing.T) {
		text := startSandbox(t)
		require.Regexp(t, `^a Kusto endpoint is at http://127.0.0.1:\d+ until Ctrl-C, with\n\n  TelemetryDB.ServiceTelemetry +Timestamp:datetime, ServiceName:string`, text)
		require.Len(t, runCurl(t, text), 3)
	})
	t.Run("OKData", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "my db", "it's.csv"), "a:long,b:string\n9223372036854775807,x\n")
		write(t, filepath.Join(dir, "my db", "z.ndjson"), `{"a":1}`)
		text := startSandbox(t, "--data", dir)
		require.Contains(t, text, "\n\n  my db.it's  a:long, b:string\n  my db.z     a:long\n\n")
		require.NotContains(t, text, "TelemetryDB")
		require.Equal(t, [][]any{{9223372036854775807.0, "x"}}, runCurl(t, text))
	})
	t.Run("OKReplay", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "east", "DB", "T.csv"), "at:datetime,n:long\n2020-01-01T00:00:00Z,1\n2020-01-01T00:00:10Z,2\n")
		text := startSandbox(t, "--data", dir, "--replay")
		require.Contains(t, text, "cluster('east').database('DB').T  at:datetime, n:long\n")
		text = strings.Replace(text, "T | take 3", "T | where at > ago(21s) | summarize max(n) - min(n)", 1)
		require.Equal(t, [][]any{{1.0}}, runCurl(t, text))
	})
	t.Run("ErrData", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "T.csv"), "a:long,b:float\n")
		write(t, filepath.Join(dir, "U.csv"), "a:long\nx\n1.5\n")
		code, out, errs := run(t, "sandbox", "--data", dir)
		require.Equal(t, exitFailure, code)
		require.Empty(t, out)
		require.Equal(t, strings.ReplaceAll(`kusto2otlp: DIR/T.csv:1:8: column "b": column type must be a kusto scalar type, got "float"
kusto2otlp: DIR/U.csv:2:1: column "a": "x" is no long
kusto2otlp: DIR/U.csv:3:1: column "a": "1.5" is no long
`, "DIR", dir), errs)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	usage := "kusto2otlp: run 'kusto2otlp sandbox --help' for how it is used\n"
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"ErrListen":     {[]string{"--listen", "8080"}, exitUsage, `kusto2otlp: --listen must be host:port, got "8080"` + "\n" + usage},
		"ErrReplay":     {[]string{"--replay"}, exitUsage, "kusto2otlp: --replay needs --data\n" + usage},
		"ErrNoData":     {[]string{"--data", "missing"}, exitFailure, "kusto2otlp: missing: no such file or directory\n"},
		"ErrListenBusy": {[]string{"--listen", l.Addr().String()}, exitFailure, "kusto2otlp: sandbox: listen tcp " + l.Addr().String() + ": bind: address already in use\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := run(t, append([]string{"sandbox"}, tt.args...)...)
			require.Equal(t, tt.code, code)
			require.Empty(t, out)
			require.Equal(t, tt.want, errs)
		})
	}
}
