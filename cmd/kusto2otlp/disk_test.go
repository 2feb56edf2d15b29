package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// mustMount mounts a small file system until the test ends.
func mustMount(t *testing.T, size string) (dir string) {
	t.Helper()
	if dir = mountSmall(t, size); dir == "" {
		t.Skip("a small disk is a mount of tmpfs, which needs root")
	}
	return dir
}

// mountSmall is mustMount, and returns nothing where that is not allowed.
func mountSmall(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Logf("mount a small disk: %v", err)
		return ""
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fill writes a file that takes all the room there is.
func fill(ballast string) error {
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return f.Close()
}

// readyz returns what /readyz answers.
func (b *bulk) readyz(t *testing.T) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + b.http.Addr() + "/readyz")
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// A disk that fills up stops the queries, before a write fails, and says so; what is
// stored can still be sent. When there is room again everything goes on by itself.
func TestDiskNearlyFull(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const windows = 300
	dir := mustMount(t, "64m")
	b := mustBulk(t, bulkConfig{dir: filepath.Join(dir, "data"), rows: 1000, clusters: []string{"one"}, exporters: map[string]string{"prom": ""}})
	status, _ := b.readyz(t)
	require.Equal(t, http.StatusOK, status)
	b.endpoint.SetOutage("prom", &otlp.Response{Status: http.StatusServiceUnavailable})
	// Queries that take no time would fill it before anybody looks.
	b.setFault(func(string) *sandbox.Fault { return &sandbox.Fault{Delay: 150 * time.Millisecond} })
	for n := range windows {
		b.issue(t, "one", "prom", "m", n)
	}
	b.quiet(t, "m", func() bool { status, _ := b.readyz(t); return status == http.StatusServiceUnavailable })
	_, body := b.readyz(t)
	require.Regexp(t, `^the disk of data directory ".*" is nearly full: \d+ MiB are free, 30 MiB must be: no windows are queried until there is room\n$`, body)
	queried := b.queried("m")
	require.Greater(t, b.stored(t, schemas.JobsStream, schemas.JobFilter("one", "prom", schemas.LaneLive)), windows/10, "the others wait as jobs")
	require.NoError(t, b.server.WhyFailed(), "no write has failed")

	b.setFault(func(string) *sandbox.Fault { return nil })
	// What was delivered makes room, though it would be kept for a replay.
	b.endpoint.SetOutage("prom", nil)
	b.await(t, "m", windows)
	eventually(t, "it to be ready again", func() bool { status, _ := b.readyz(t); return status == http.StatusOK })
	require.Zero(t, b.stored(t, schemas.DeadStream, ">"))
	require.NoError(t, b.server.WhyFailed())
	t.Logf("%d windows, of which %d were queried before the disk of 64 MiB was nearly full; all arrived", windows, queried)
}

// Somebody else fills the disk to its last byte: JetStream's streams take nothing
// more until they are opened anew, so the process ends and says why. What was
// stored is there when it starts again with room.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const windows = 60
	dir := mustMount(t, "64m")
	b := mustBulk(t, bulkConfig{dir: filepath.Join(dir, "data"), rows: 1000, clusters: []string{"one"}, exporters: map[string]string{"prom": ""}})
	b.endpoint.SetOutage("prom", &otlp.Response{Status: http.StatusServiceUnavailable})
	for n := range windows / 2 {
		b.issue(t, "one", "prom", "m", n)
	}
	ballast := filepath.Join(dir, "ballast")
	require.NoError(t, fill(ballast))
	// Small messages are still tried, until one fails.
	var err error
	for n := windows / 2; n < windows && err == nil; n++ {
		err = b.tryIssue(t, "one", "prom", "m", n)
	}
	select {
	case <-b.ended:
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	require.ErrorContains(t, b.result, "no space left on device")
	require.ErrorContains(t, b.result, "must be started again; nothing that was stored is lost")
	b.Close()

	require.NoError(t, os.Remove(ballast))
	b.start(t, b.cfg)
	for n := range windows { // those that were refused, and those that are there
		b.issue(t, "one", "prom", "m", n)
	}
	b.endpoint.SetOutage("prom", nil)
	b.await(t, "m", windows)
}
