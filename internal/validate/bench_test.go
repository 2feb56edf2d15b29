package validate_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
	"github.com/kusto2otlp/kusto2otlp/internal/validate"
)

// BenchmarkDirectory checks a directory of 100 files with engines that are loaded, as many as there
// are processors.
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
	engines := runtime.GOMAXPROCS(0)
	p, err := kql.Open(kql.Config{Engines: engines})
	require.NoError(b, err)
	defer p.Close()
	for _, tt := range []struct {
		name string
		cfg  validate.Config
	}{
		{"syntax", validate.Config{Parser: p, Engines: engines}},
		{"schema", validate.Config{Parser: p, Engines: engines, Schema: schema()}},
	} {
		check := func() {
			r, err := validate.Run(context.Background(), tt.cfg, []string{dir})
			require.NoError(b, err)
			require.Equal(b, "100 files, 0 errors, 0 warnings", r.Summary())
		}
		check() // loads
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				check()
			}
		})
	}
}
