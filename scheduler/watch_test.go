package scheduler

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
)

// A volume of a ConfigMap, from the file that changes to the job that is issued:
// what the files' directory shows are symbolic links through ..data, which is
// itself replaced by a rename.
func TestWatchedFiles(t *testing.T) {
	const within = 5 * time.Second
	dir := t.TempDir()
	version := 0
	write := func(files map[string]string) {
		version++
		name := "..version" + string(rune('0'+version))
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		for file, text := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, file), []byte(text), 0o644))
			link := filepath.Join(dir, file)
			if _, err := os.Lstat(link); err != nil {
				require.NoError(t, os.Symlink(filepath.Join("..data", file), link))
			}
		}
		tmp := filepath.Join(dir, "..data_tmp")
		require.NoError(t, os.Symlink(name, tmp))
		require.NoError(t, os.Rename(tmp, filepath.Join(dir, "..data")))
	}
	s := newStage(t, "2025-06-25T10:00:30Z")
	write(map[string]string{"a.yaml": spec("a", minutely)})
	r := s.start(func(c *Config) {
		c.Source = resource.NewWatcher(resource.WatcherConfig{Globs: []string{filepath.Join(dir, "*.yaml")}})
	})
	eventually := func(what string, f func() bool) {
		t.Helper()
		require.Eventually(t, f, within, 5*time.Millisecond, what)
	}
	eventually("the first window", func() bool { return len(s.windows("a")) == 1 })

	write(map[string]string{"a.yaml": spec("a", "interval: 5m") + "---\n" + spec("b", minutely)})
	eventually("a document that was added", func() bool { return len(s.windows("b")) == 1 })
	s.clock.advance(5 * time.Minute)
	r.settle()
	require.Equal(t, []string{"live 09:59:00/10:00:00#1", "live 10:00:00/10:05:00#2"}, s.windows("a"))

	write(map[string]string{"a.yaml": spec("a", "interval: 5m") + "---\n" + strings.Replace(spec("b", minutely), "body: T", "bodi: T", 1)})
	eventually("a document that became invalid", func() bool { return len(s.logs("invalid resource")) > 0 })
	require.Contains(t, s.logs("invalid resource")[0], "document=2")
	before := len(s.windows("b"))
	s.clock.advance(time.Minute)
	r.settle()
	require.Len(t, s.windows("b"), before+1, "it runs on as it was")

	write(map[string]string{"a.yaml": spec("b", minutely)})
	eventually("a document that is gone", func() bool { return len(s.logs("resource is gone metrics_exporter=ns/a")) == 1 })
	eventually("a problem that is gone", func() bool { return len(s.logs("problem resolved")) > 0 })
}
