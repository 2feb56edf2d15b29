package resource_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A watched runs a watcher that reads when it is told to, by a clock that moves
// when it is told to.
type watched struct {
	t    *testing.T
	dir  string
	poll chan time.Time
	done chan struct{} // what poll caused is done
	now  time.Time

	mu   sync.Mutex
	sets []resource.Set
}

func watch(t *testing.T, dir string, globs ...string) *watched {
	t.Helper()
	w := &watched{t: t, dir: dir, poll: make(chan time.Time), done: make(chan struct{}, 1), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i, g := range globs {
		globs[i] = filepath.Join(dir, g)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	watcher := resource.NewWatcher(resource.Observed(resource.WatcherConfig{Globs: globs, Poll: w.poll}, func() { w.done <- struct{}{} }))
	go func() {
		done <- watcher.Run(ctx, func(s resource.Set) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sets = append(w.sets, s)
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	w.tick(0)
	return w
}

// tick moves the clock and lets the watcher read.
func (w *watched) tick(d time.Duration) {
	w.now = w.now.Add(d)
	w.poll <- w.now
	<-w.done
}

// settle lets a change be seen and accepted.
func (w *watched) settle() {
	w.tick(0)
	w.tick(time.Second)
}

// is checks the latest set: its documents, and how many sets there were.
func (w *watched) is(sets int, names ...string) resource.Set {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Len(w.t, w.sets, sets)
	last := w.sets[sets-1]
	got := []string{}
	for _, d := range last.Documents {
		got = append(got, d.MetricsExporter.Name+" "+d.MetricsExporter.Spec.Interval.Duration.String())
	}
	require.Equal(w.t, names, got)
	return last
}

func every(name, interval string) string {
	return strings.Replace(minimal(name), "1m", interval, 1)
}

func TestWatcher(t *testing.T) {
	t.Run("OKAddChangeRemove", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m"))
		w := watch(t, dir, "*.yaml")
		w.is(1, "a 1m0s")
		w.tick(time.Hour)
		w.is(1, "a 1m0s")

		write(t, dir, "b.yaml", every("b", "2m"))
		w.settle()
		w.is(2, "a 1m0s", "b 2m0s")

		write(t, dir, "a.yaml", every("a", "3m"))
		w.settle()
		w.is(3, "a 3m0s", "b 2m0s")

		require.NoError(t, os.Remove(filepath.Join(dir, "a.yaml")))
		w.tick(0)
		w.tick(1999 * time.Millisecond)
		w.is(3, "a 3m0s", "b 2m0s")
		w.tick(time.Millisecond)
		w.is(4, "b 2m0s")
	})
	t.Run("OKDirectoryAppears", func(t *testing.T) {
		dir := t.TempDir()
		w := watch(t, dir, "sub/*/*.yaml")
		w.is(1, []string{}...)
		write(t, dir, "sub/x/a.yaml", every("a", "1m"))
		w.settle()
		w.is(2, "a 1m0s")
	})
	t.Run("OKSymlinkSwap", func(t *testing.T) {
		// As Kubernetes updates a ConfigMap: a.yaml -> ..data/a.yaml, and ..data is
		// replaced as a whole.
		dir := t.TempDir()
		write(t, dir, "..v1/a.yaml", every("a", "1m"))
		require.NoError(t, os.Symlink("..v1", filepath.Join(dir, "..data")))
		require.NoError(t, os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")))
		w := watch(t, dir, "*.yaml")
		w.is(1, "a 1m0s")
		write(t, dir, "..v2/a.yaml", every("a", "2m"))
		require.NoError(t, os.Symlink("..v2", filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "..v1")))
		w.settle()
		w.is(2, "a 2m0s")
	})
	t.Run("OKRenameOver", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m"))
		w := watch(t, dir, "*.yaml")
		write(t, dir, ".a.yaml.swp", every("a", "2m"))
		require.NoError(t, os.Rename(filepath.Join(dir, ".a.yaml.swp"), filepath.Join(dir, "a.yaml")))
		w.settle()
		w.is(2, "a 2m0s")
	})
	t.Run("OKGoneForAMoment", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m"))
		w := watch(t, dir, "*.yaml")
		for range 3 {
			require.NoError(t, os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "a.bak")))
			w.tick(time.Second)
			w.tick(time.Second)
			require.NoError(t, os.Rename(filepath.Join(dir, "a.bak"), filepath.Join(dir, "a.yaml")))
			w.settle()
		}
		w.is(1, "a 1m0s")
	})
	t.Run("OKHalfWritten", func(t *testing.T) {
		dir := t.TempDir()
		both := every("a", "1m") + "---\n" + every("b", "1m")
		write(t, dir, "a.yaml", both)
		w := watch(t, dir, "*.yaml")
		w.is(1, "a 1m0s", "b 1m0s")
		for n := range both {
			write(t, dir, "a.yaml", both[:n])
			w.tick(time.Millisecond)
		}
		write(t, dir, "a.yaml", both)
		w.settle()
		w.is(1, "a 1m0s", "b 1m0s")
	})
	t.Run("OKTruncatedForAWhile", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m")+"---\n"+every("b", "1m"))
		w := watch(t, dir, "*.yaml")
		write(t, dir, "a.yaml", "")
		w.settle()
		w.is(1, "a 1m0s", "b 1m0s")
		write(t, dir, "a.yaml", every("b", "2m"))
		w.settle()
		w.is(2, "a 1m0s", "b 2m0s")
		w.tick(time.Second)
		w.is(3, "b 2m0s")
	})
	t.Run("OKAlwaysChanging", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m"))
		w := watch(t, dir, "*.yaml")
		for n := range 21 {
			write(t, dir, "a.yaml", every("a", "2m")+strings.Repeat("#\n", n))
			w.tick(100 * time.Millisecond)
		}
		w.is(2, "a 2m0s")
	})
	t.Run("ErrInvalidKeepsTheLastGood", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m")+"---\n"+every("b", "1m")+"---\n"+every("c", "1m"))
		w := watch(t, dir, "*.yaml")
		// a becomes invalid, b changes, c goes.
		write(t, dir, "a.yaml", every("a", "1ms")+"---\n"+every("b", "2m"))
		w.settle()
		set := w.is(2, "a 1m0s", "b 2m0s", "c 1m0s")
		require.Equal(t, dir+"/a.yaml:7:13: document 1: spec.interval: must be at least 1s, got 1ms", messages(set.Problems))
		w.tick(2 * time.Second)
		w.is(3, "a 1m0s", "b 2m0s")
		// a goes too.
		write(t, dir, "a.yaml", every("b", "2m"))
		w.settle()
		set = w.is(4, "a 1m0s", "b 2m0s")
		require.Empty(t, set.Problems)
		w.tick(2 * time.Second)
		w.is(5, "b 2m0s")
	})
	t.Run("ErrBrokenSyntaxKeepsTheLastGood", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m")+"---\n"+every("b", "1m"))
		w := watch(t, dir, "*.yaml")
		write(t, dir, "a.yaml", "x: [\n---\n"+every("b", "2m"))
		w.settle()
		set := w.is(2, "a 1m0s", "b 2m0s")
		require.Equal(t, dir+"/a.yaml:1:1: document 1: is not valid YAML: did not find expected node content", messages(set.Problems))
		w.tick(time.Hour)
		w.is(2, "a 1m0s", "b 2m0s")
		write(t, dir, "a.yaml", every("b", "2m"))
		w.settle()
		w.tick(2 * time.Second)
		w.is(4, "b 2m0s")
	})
	t.Run("ErrUnreadableKeepsTheLastGood", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "a.yaml", every("a", "1m"))
		w := watch(t, dir, "a.yaml")
		require.NoError(t, os.Remove(filepath.Join(dir, "a.yaml")))
		require.NoError(t, os.Mkdir(filepath.Join(dir, "a.yaml"), 0o755))
		w.settle()
		set := w.is(2, "a 1m0s")
		require.Equal(t, dir+"/a.yaml: cannot be read: is not a file", messages(set.Problems))
		w.tick(time.Hour)
		w.is(2, "a 1m0s")
		require.NoError(t, os.Remove(filepath.Join(dir, "a.yaml")))
		w.settle()
		set = w.is(3, "a 1m0s")
		require.Equal(t, dir+"/a.yaml: does not exist", messages(set.Problems))
		w.tick(2 * time.Second)
		w.is(4, []string{}...)
	})
	t.Run("ErrTwice", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "b.yaml", every("a", "1m"))
		w := watch(t, dir, "*.yaml")
		write(t, dir, "c.yaml", every("a", "2m"))
		w.settle()
		set := w.is(2, "a 1m0s")
		require.Equal(t, dir+`/c.yaml:3:18: metadata.name: "default/a" is already declared at `+dir+"/b.yaml:1 (document 1)", messages(set.Problems))
		require.NoError(t, os.Remove(filepath.Join(dir, "b.yaml")))
		w.settle()
		set = w.is(3, "a 2m0s")
		require.Empty(t, set.Problems)
	})
}

// TestWatcherEvents relies on the file system's events alone: it never polls.
func TestWatcherEvents(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "..v1/a.yaml", every("a", "1m"))
	require.NoError(t, os.Symlink("..v1", filepath.Join(dir, "..data")))
	require.NoError(t, os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")))
	ctx, cancel := context.WithCancel(t.Context())
	sets, done := make(chan resource.Set), make(chan error, 1)
	watcher := resource.NewWatcher(resource.WatcherConfig{Globs: []string{dir + "/*.yaml"}, Every: time.Hour})
	go func() {
		done <- watcher.Run(ctx, func(s resource.Set) {
			select {
			case sets <- s:
			case <-ctx.Done():
			}
		})
	}()
	next := func() []string { return keys((<-sets).Documents) }
	require.Equal(t, []string{"default/a"}, next())

	write(t, dir, "..v2/a.yaml", every("b", "1m"))
	require.NoError(t, os.Symlink("..v2", filepath.Join(dir, "..data_tmp")))
	require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	require.Equal(t, []string{"default/a", "default/b"}, next())
	require.Equal(t, []string{"default/b"}, next())

	write(t, dir, "c.yaml", every("c", "1m"))
	require.Equal(t, []string{"default/b", "default/c"}, next())
	cancel()
	require.NoError(t, <-done)
}
