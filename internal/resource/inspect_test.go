package resource_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b.YML", "sub/c.json", "sub/.hidden.yaml", ".git/d.yaml", "notes.txt", "[x].yaml"} {
		write(t, dir, name, "")
	}
	write(t, dir, "empty/readme.md", "")
	find := func(names ...string) (paths []string, problems string) {
		found, p := resource.Find(names)
		for _, f := range found {
			path, err := filepath.Rel(dir, f.Path)
			require.NoError(t, err)
			if f.Walked {
				path = "walked " + path
			}
			paths = append(paths, path)
		}
		return paths, messages(p)
	}
	t.Run("OKDirectory", func(t *testing.T) {
		paths, problems := find(dir)
		require.Empty(t, problems)
		require.Equal(t, []string{"walked [x].yaml", "walked a.yaml", "walked b.YML", "walked sub/c.json"}, paths)
	})
	t.Run("OKOnce", func(t *testing.T) {
		paths, problems := find(dir+"/a.yaml", dir+"/*.yaml", dir)
		require.Empty(t, problems)
		require.Equal(t, []string{"a.yaml", "[x].yaml", "walked b.YML", "walked sub/c.json"}, paths)
	})
	t.Run("OKLiteralBrackets", func(t *testing.T) {
		paths, problems := find(dir + "/[x].yaml")
		require.Empty(t, problems)
		require.Equal(t, []string{"[x].yaml"}, paths)
	})
	t.Run("Err", func(t *testing.T) {
		paths, problems := find(dir+"/nope*.yaml", dir+"/empty", "[")
		require.Empty(t, paths)
		require.Equal(t, dir+"/nope*.yaml: matches no file\n"+dir+"/empty: has no .yaml, .yml, .json file\n[: is not a valid pattern", problems)
	})
}

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.yaml")
	write(t, dir, "f.yaml", minimal("a")+"---\n"+minimal("B")+"  typo: 1\n---\nkind: List\nx: 1\n---\na: [\n---\napiVersion: adx-mon.azure.com/v1\nkind: MetricsTest\n")
	drafts, problems := resource.Inspect(path, resource.Context{Exporters: []string{"other"}})
	require.Equal(t, path+":25:1: document 4: is not valid YAML: did not find expected node content", messages(problems))
	require.Len(t, drafts, 3)

	require.Empty(t, drafts[0].Decoding)
	require.Equal(t, path+`:6:13: document 1: spec.exporter: exporter "e" is not in the pipeline configuration, it has "other"`, messages(drafts[0].Validation))
	require.Equal(t, "T", drafts[0].MetricsExporter.Spec.Body)

	require.Equal(t, path+`:20:3: document 2: spec.typo: unknown field "typo"`, messages(drafts[1].Decoding))
	require.Len(t, drafts[1].Validation, 2)
	require.True(t, drafts[1].Decoded("spec.body"))
	require.False(t, drafts[1].Decoded("spec.typo.x"))

	require.Len(t, drafts[2].Foreign, 2)
	require.Empty(t, drafts[2].Decoding)

	_, problems = resource.Inspect(dir, resource.Context{})
	require.Equal(t, dir+": cannot be read: is not a file", messages(problems))
}
