package validate_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
	"github.com/kusto2otlp/kusto2otlp/internal/validate"
)

// BenchmarkDirectory checks a directory of 100 files, each with another query, with engines that are
// loaded.
func BenchmarkDirectory(b *testing.B) {
	dir := b.TempDir()
	for i := range 100 {
		body := fmt.Sprintf("T | where "+window+" and Ms > %d\n"+
			"| extend slow = Ms > 500, Service = tolower(Service)\n"+
			"| summarize avg_ms = avg(Ms), slow = countif(slow), requests = count()\n"+
			"    by Service, t = bin(Timestamp, 1m)\n"+
			"| extend ratio = todouble(slow) / requests\n"+
			"| project t, Service, v = round(avg_ms, 2), ratio\n", i)
		require.NoError(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), []byte(minimal(fmt.Sprintf("m%d", i), strconv.Quote(body))), 0o600))
	}
	for _, tt := range []struct {
		name    string
		engines int
		command func() *exec.Cmd
	}{
		{"engines=1", 1, nil},
		{"engines=2", 2, nil},
		{"engines=2, one in a process of its own", 2, engineCommand},
	} {
		// Nothing is found in the cache.
		p, err := kql.Open(kql.Config{Engines: tt.engines, CacheSize: 1, Command: tt.command})
		require.NoError(b, err)
		for _, with := range []struct {
			name string
			cfg  validate.Config
		}{
			{"syntax", validate.Config{Parser: p, Engines: tt.engines}},
			{"schema", validate.Config{Parser: p, Engines: tt.engines, Schema: schema()}},
		} {
			check := func() {
				r, err := validate.Run(context.Background(), with.cfg, []string{dir})
				require.NoError(b, err)
				require.Equal(b, "100 files, 0 errors, 0 warnings", r.Summary())
			}
			check() // loads
			b.Run(with.name+"/"+tt.name, func(b *testing.B) {
				for b.Loop() {
					check()
				}
			})
		}
		p.Close()
	}
}

// engineCommand makes the test binary be an engine's process.
func engineCommand() *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asEngine+"=1")
	return cmd
}

const asEngine = "KUSTO2OTLP_TEST_ENGINE"

func TestMain(m *testing.M) {
	if os.Getenv(asEngine) == "" {
		os.Exit(m.Run())
	}
	if err := kql.Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
