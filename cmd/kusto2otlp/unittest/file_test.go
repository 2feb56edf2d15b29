package unittest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var regexpDir = regexp.MustCompile(`/[^ "]*/0\d\d`)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.test.yaml", "a.yaml", "b/c.test.yml", "b/test.yaml", ".hidden/d.test.yaml", "e.yaml"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	in := func(names ...string) []string {
		for i := range names {
			names[i] = filepath.Join(dir, names[i])
		}
		return names
	}
	for _, tt := range []struct{ paths, want []string }{
		{in(""), in("a.test.yaml", "b/c.test.yml")},
		{in("e.yaml", "b", "b/c.test.yml"), in("b/c.test.yml", "e.yaml")}, // a file whatever its name is, and each once
		{in(".hidden"), in(".hidden/d.test.yaml")},
	} {
		found, err := Find(tt.paths)
		require.NoError(t, err)
		require.Equal(t, tt.want, found)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o700))
	_, err := Find(in("empty"))
	require.EqualError(t, err, filepath.Join(dir, "empty")+" has no test: no file in it ends in .test.yaml or .test.yml")
	_, err = Find(in("none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestParseTableName(t *testing.T) {
	for text, want := range map[string]tableName{
		"T":                                 {"", "DB", "T"},
		"Other.T":                           {"", "Other", "T"},
		"My Data.T-1":                       {"", "My Data", "T-1"},
		"database('Other').T":               {"", "Other", "T"},
		"cluster('c').database('Other').T":  {"c", "Other", "T"},
		`cluster("c").database("O.ther").T`: {"c", "O.ther", "T"},
	} {
		got, err := parseTableName(text, "DB")
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", ".T", "DB.", "a.b.c", "cluster('c').T", "cluster('c').DB.T", "database(x).T"} {
		_, err := parseTableName(text, "DB")
		require.Error(t, err, text)
	}
}

func TestLoad(t *testing.T) {
	const test = head + `
metricsExporter: FROM
tests: [{name: a, window: {start: 2026-05-01T10:00:00Z}}]
`
	for _, tt := range []struct {
		name, from string
		files      map[string]string
		want       string
	}{
		{"OKBeside", "", nil, "test/x"},
		{"OKFile", "./y.yaml", map[string]string{"y.yaml": named("y")}, "test/y"},
		{"OKName", "y.yaml#b", map[string]string{"y.yaml": named("a") + "---\n" + named("b")}, "test/b"},
		{"OKKey", "y.yaml#test/a", map[string]string{"y.yaml": named("a") + "---\n" + named("b")}, "test/a"},
		// What is wrong with another is no business of this test's.
		{"OKBesideBroken", "y.yaml#a", map[string]string{"y.yaml": named("a") + "---\n" + strings.Replace(named("b"), "interval", "intervall", 1)}, "test/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := mustLoad(t, strings.Replace(test, "FROM", tt.from, 1), tt.files)
			require.Len(t, f.Tests, 1)
			require.Equal(t, tt.want, f.Tests[0].metricsExporter.Key())
			require.Equal(t, 5, f.Tests[0].Line)
			// The window's end and now are those of the pipeline.
			require.Equal(t, "2026-05-01 10:05:00 2026-05-01 10:06:00", f.Tests[0].spec.Window.End.Format("2006-01-02 15:04:05")+f.Tests[0].spec.Now.Format(" 2006-01-02 15:04:05"))
		})
	}
	for _, tt := range []struct {
		name, from string
		files      map[string]string
		want       string
	}{
		{"ErrNone", "none.yaml", nil, `DIR/x.test.yaml:4:18: metricsExporter: there is no file "DIR/none.yaml"`},
		{"ErrNoneBeside", "", map[string]string{}, `DIR/x.test.yaml:4:17: metricsExporter: there is no file "DIR/x.yaml"`},
		{"ErrSeveral", "y.yaml", map[string]string{"y.yaml": named("a") + "---\n" + named("b")},
			`DIR/x.test.yaml:4:18: metricsExporter: "DIR/y.yaml" has several MetricsExporters, want y.yaml#name with one of test/a, test/b`},
		{"ErrName", "y.yaml#c", map[string]string{"y.yaml": named("a")}, `DIR/x.test.yaml:4:18: metricsExporter: "DIR/y.yaml" has no MetricsExporter "c"; it has test/a`},
		{"ErrEmpty", "y.yaml", map[string]string{"y.yaml": ""}, `DIR/x.test.yaml:4:18: metricsExporter: "DIR/y.yaml" has no MetricsExporter`},
		{"ErrInvalid", "y.yaml", map[string]string{"y.yaml": strings.Replace(named("a"), "interval", "intervall", 1)},
			"DIR/y.yaml:5:3: spec.interval: interval or schedule is needed\nDIR/y.yaml:7:3: spec.intervall: unknown field \"intervall\", did you mean \"interval\"?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, strings.Replace(test, "FROM", tt.from, 1), tt.files)
			require.Error(t, err)
			dir := regexpDir.FindString(err.Error())
			require.Equal(t, tt.want, strings.ReplaceAll(err.Error(), dir, "DIR"))
		})
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"ErrEmpty", "", "is empty, want tests"},
		{"ErrSyntax", "a: [", "1:1: is not valid YAML: did not find expected node content"},
		{"ErrTwoDocuments", head + "tests: []\n---\n" + head, "5:1: document 2: must be the only document of its file, which has 2"},
		{"ErrKind", "kind: MetricsExporter\ntests: [{name: a, window: {start: 2026-05-01T10:00:00Z}}]", "1:1: apiVersion: is needed, and must be \"adx-mon.azure.com/v1\"\n1:7: kind: must be \"MetricsTest\", got \"MetricsExporter\""},
		{"ErrNoTests", head, "1:1: tests: must have at least one test"},
		{"ErrUnknown", head + "test: []\ntests: [{name: a, window: {start: 2026-05-01T10:00:00Z}, expct: {}}]", "3:1: test: unknown field \"test\", did you mean \"tests\"?\n4:58: tests[0].expct: unknown field \"expct\", did you mean \"expect\"?"},
		{"ErrNames", head + "tests:\n- {window: {start: 2026-05-01}}\n- {name: a, window: {}}\n- {name: a, window: {start: 2026-05-01T00:00:00Z}}",
			"4:3: tests[0].name: is needed\n4:20: tests[0].window.start: must be a time such as 2026-05-01T00:00:00Z, got \"2026-05-01\"\n5:21: tests[1].window.start: is needed\n6:10: tests[2].name: \"a\" is already the name of tests[1]"},
		{"ErrWindow", head + "tests: [{name: a, window: {start: 2026-05-01T10:00:00Z, end: 2026-05-01T10:00:00Z}}]", "3:62: tests[0].window.end: must be after start, got 2026-05-01T10:00:00Z and 2026-05-01T10:00:00Z"},
		{"ErrTick", head + "tests: [{name: a, window: {start: 2026-05-01T10:00:00.00000001Z}}]", "3:35: tests[0].window.start: must be a multiple of 100ns, Kusto's unit of time, got 2026-05-01T10:00:00.00000001Z"},
		{"ErrTables", head + "tables:\n  T: {}\n  a.b.c: {csv: x}\n  U: {rows: [], csv: x}\n  V: {rows: []}\n  W: {csv: x, columns: [a:int]}\ntests: [{name: a, window: {start: 2026-05-01T10:00:00Z}}]",
			"4:6: tables.T: must have rows, csv, ndjson or file\n5:10: tables[\"a.b.c\"]: must be Table, Database.Table or cluster('name').database('name').Table, got \"a.b.c\"\n6:6: tables.U: must have only one of rows, csv, ndjson and file, has rows and csv\n7:6: tables.V.columns: is needed with rows\n8:24: tables.W.columns: has no meaning with csv, whose first line has the columns"},
		{"ErrExpect", head + `tests:
- name: a
  window: {start: 2026-05-01T10:00:00Z}
  expect:
    error: x
    points:
    - {}
    - {name: m, time: 2026-05-01T10:00:00Z, value: 1, labels: {a: ""}}
    - {name: m, time: 2026-05-01T12:00:00+02:00, value: 2}
    - {name: m, time: 2026-05-01T12:00:00+02:00, value: many}
    rejected: {nul: 1}
`, "7:12: tests[0].expect.error: and points or rejected must not both be set: a window that fails exports nothing\n9:7: tests[0].expect.points[0].name: is needed\n9:7: tests[0].expect.points[0].time: is needed\n9:7: tests[0].expect.points[0].value: is needed\n11:7: tests[0].expect.points[2]: is the same as points[1]: a window has one point of a name, labels and time\n12:7: tests[0].expect.points[3]: is the same as points[1]: a window has one point of a name, labels and time\n12:57: tests[0].expect.points[3].value: must be a number, got \"many\"\n13:21: tests[0].expect.rejected.nul: must be one of null_value, not_finite, not_a_number, no_timestamp, time_out_of_range, empty_name, duplicate, too_large, got \"nul\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("f", []byte(tt.text))
			require.Error(t, err)
			require.Equal(t, tt.want, strings.ReplaceAll(strings.TrimLeft(strings.TrimPrefix(err.Error(), "f:"), " "), "\nf:", "\n"))
		})
	}
}
