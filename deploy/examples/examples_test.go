package examples

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every MetricsExporter is embedded, none of the tests is, and each has one.
func TestFiles(t *testing.T) {
	embedded, err := fs.Glob(Files, "*")
	require.NoError(t, err)
	paths, err := filepath.Glob("*.yaml")
	require.NoError(t, err)
	var resources, tests []string
	for _, p := range paths {
		if stem, ok := strings.CutSuffix(p, ".test.yaml"); ok {
			tests = append(tests, stem+".yaml")
		} else {
			resources = append(resources, p)
		}
	}
	require.Equal(t, resources, embedded)
	require.Equal(t, resources, tests)
	require.Len(t, resources, 4)
}
