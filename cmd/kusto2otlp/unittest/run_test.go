package unittest

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// window and rows of most tests: of series a two rows in one minute and one in the
// next, of b one that has no value, and one outside the window.
const rows = `
  window: {start: 2026-05-01T10:00:00Z}
  tables:
    T:
      columns: [Timestamp:datetime, L:string, V:long]
      rows:
        - [2026-05-01T10:00:01Z, a, 1]
        - [2026-05-01T10:00:59.9999999Z, a, 2]
        - [2026-05-01T10:04:59.9999999Z, a, 4]
        - [2026-05-01T10:02:00Z, b, 9007199254740993]
        - [2026-05-01T10:05:00Z, a, 8]
`

const points = `
    points:
      - {name: m, labels: {L: a}, time: 2026-05-01T10:00:00Z, value: 3}
      - {name: m, labels: {L: a}, time: 2026-05-01T10:04:00Z, value: 4}
      - {name: m, labels: {L: b}, time: 2026-05-01T10:02:00Z, value: 9007199254740993}
`

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, expect string
		want         []string
	}{
		{"OK", points, nil},
		{"OKOrder", `
    points:
      - {name: m, labels: {L: b}, time: 2026-05-01T12:02:00+02:00, value: 9007199254740993}
      - {name: m, labels: {L: a, none: ""}, time: 2026-05-01T10:04:00Z, value: 4.0}
      - {name: m, labels: {L: a}, time: 2026-05-01T10:00:00Z, value: 3.000000001}
`, nil},
		{"ErrNone", "{}", []string{
			`+ m{L="a"} 2026-05-01T10:00:00Z 3`, `+ m{L="b"} 2026-05-01T10:02:00Z 9007199254740993`, `+ m{L="a"} 2026-05-01T10:04:00Z 4`,
		}},
		{"ErrEach", `
    points:
      - {name: m, labels: {L: a}, time: 2026-05-01T10:00:00Z, value: 5}
      - {name: m, labels: {L: b}, time: 2026-05-01T10:02:00Z, value: 9007199254740992}
      - {name: m, labels: {L: a, M: x}, time: 2026-05-01T10:04:00Z, value: 4}
    rejected: {duplicate: 2}
`, []string{
			`- m{L="a", M="x"} 2026-05-01T10:04:00Z 4`,
			`+ m{L="a"} 2026-05-01T10:04:00Z 4`,
			`~ m{L="a"} 2026-05-01T10:00:00Z: want 5, got 3`,
			`~ m{L="b"} 2026-05-01T10:02:00Z: want 9007199254740992, got 9007199254740993`,
			`rejected duplicate: want 2, got 0`,
		}},
		{"ErrNoError", "{error: boom}", []string{`want an error with "boom", got 3 points`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := mustLoad(t, head+"tests:\n- name: a"+rows+"  expect: "+tt.expect, nil)
			o := runAll(t, f)[0]
			require.Equal(t, tt.want, o.Lines())
			require.Equal(t, tt.want == nil, o.Passed())
		})
	}

	t.Run("ErrNoExpect", func(t *testing.T) {
		o := runAll(t, mustLoad(t, head+"tests:\n- name: a"+rows, nil))[0]
		require.False(t, o.Passed())
		require.Equal(t, "expect is needed; --update writes it", o.Lines()[3])
	})

	t.Run("OKForms", func(t *testing.T) {
		// The same table in every form there is.
		const test = head + `
labels: {region: east, x: y}
tables:
  T: {columns: [Timestamp:datetime, V:long, L:string], rows: [[2026-05-01T10:00:00Z, 1, no]]}
tests:
- {name: rows, window: &w {start: 2026-05-01T10:00:00Z}, expect: &e {points: [{name: m, labels: {L: a}, time: 2026-05-01T10:00:00Z, value: 3}]},
   tables: {T: {columns: [Timestamp:datetime, V:long, L:string], rows: [[2026-05-01T10:00:00Z, 1, a], ["2026-05-01T10:00:01Z", 2, "a"]]}}}
- {name: file, window: *w, expect: *e, tables: {T: {file: t.csv}}}
- {name: file ndjson, window: *w, expect: *e, tables: {T: {file: t.ndjson}}}
- {name: file ndjson with columns, window: *w, expect: *e, tables: {T: {file: t.ndjson, columns: [L:string, Timestamp:datetime, V:long]}}}
- {name: dotted, window: *w, expect: *e, tables: {T: {csv: "V:long\n"}, DB.T: {file: t.csv}}}
- name: csv
  window: *w
  expect: *e
  tables: {T: {csv: "Timestamp:datetime,V:long,L:string\n2026-05-01T10:00:00Z,1,a\n2026-05-01T10:00:00Z,2,a\n"}}
- {name: empty, window: *w, expect: {points: []}, tables: {T: {columns: [Timestamp:datetime, V:long, L:string]}}}
- {name: the file's, window: *w, expect: {points: [{name: m, labels: {L: "no"}, time: 2026-05-01T10:00:00Z, value: 1}]}}
`
		_, err := load(t, test, nil)
		require.NoError(t, err)
		f := mustLoad(t, test, map[string]string{
			"x.yaml":   named("x"),
			"t.csv":    "Timestamp:datetime,V:long,L:string\n2026-05-01T10:00:00Z,1,a\n2026-05-01T10:00:00Z,2,a\n",
			"t.ndjson": `{"Timestamp": "2026-05-01T10:00:00Z", "V": 1, "L": "a"}` + "\n" + `{"L": "a", "Timestamp": "2026-05-01T10:00:00Z", "V": 2}` + "\n",
		})
		for _, test := range f.Tests {
			o, err := engine.Run(t.Context(), test)
			if test.Name == "dotted" {
				require.ErrorContains(t, err, `tests[4].tables.T: table "T" of database "DB" is there twice`)
				continue
			}
			require.NoError(t, err, test.Name)
			require.Empty(t, o.Lines(), test.Name)
		}
	})

	t.Run("OKTypes", func(t *testing.T) {
		// Every type, as a person writes it in YAML.
		all := strings.Replace(named("x"), named("x")[strings.Index(named("x"), "    | summ"):], "  transform: {defaultMetricName: m, valueColumn: r, timestampColumn: Timestamp, labelColumns: [b, i, l, d, ts, g, s, dy]}\n", 1)
		f := mustLoad(t, head+`
tests:
- name: a
  window: {start: 2026-05-01T10:00:00Z}
  tables:
    T:
      columns: [Timestamp:datetime, r:real, b:bool, i:int, l:long, d:decimal, ts:timespan, g:guid, s:string, dy:dynamic]
      rows:
        - [2026-05-01T10:00:00Z, 0.5, true, 2147483647, 9223372036854775807, 0.1, 1.02:03:04.5, 74BE27DE-1e4e-49d9-b579-fe0b331d3642, x, {a: [1, 2.5, null]}]
        - ["2026-05-01T10:00:01.0000001Z", 5, false, -1, 0, "12345678901234567890.1234", "00:00:01", null, "7", text]
        - [2026-05-01 10:00:02, NaN, null, null, null, null, null, null, null, null]
        - [2026-05-01T10:00:03Z, -Infinity, null, null, null, null, null, null, null, null]
        - [2026-05-01T10:00:04Z, null, null, null, null, null, null, null, null, null]
        - [null, 1, null, null, null, null, null, null, null, null]
  expect:
    points:
    - {name: m, labels: {b: "true", i: "2147483647", l: "9223372036854775807", d: "0.1", ts: "1.02:03:04.5000000", g: 74be27de-1e4e-49d9-b579-fe0b331d3642, s: x, dy: '{"a":[1,2.5,null]}'}, time: 2026-05-01T10:00:00Z, value: 0.5}
    - {name: m, labels: {b: "false", i: "-1", l: "0", d: "12345678901234567890.1234", ts: "00:00:01", s: "7", dy: text}, time: 2026-05-01T10:00:01.0000001Z, value: 5}
    rejected: {not_finite: 2, null_value: 1}
`, map[string]string{"x.yaml": all})
		o := runAll(t, f)[0]
		require.Empty(t, o.Lines())
	})

	t.Run("OKParameters", func(t *testing.T) {
		// Labels, the window and now() are what the query sees.
		body := strings.Replace(named("x"), `    T
    | where Timestamp between (_startTime .. _endTime)
    | summarize v = sum(V) by L, t = bin(Timestamp, 1m)`, `    print L = strcat(_region, "/", _data_class, "/", tostring(now()), "/", tostring(_endTime)), v = 1, t = _startTime`, 1)
		f := mustLoad(t, head+`
labels: {region: east, data-class: open}
tests:
- {name: a, window: {start: 2026-05-01T10:00:00Z}, labels: {region: west}, expect: {points: [{name: m, time: 2026-05-01T10:00:00Z, value: 1, labels: {L: "west/open/2026-05-01T10:06:00.0000000Z/2026-05-01T10:04:59.9999999Z"}}]}}
- {name: b, window: {start: 2026-05-01T10:00:00Z, end: 2026-05-01T10:00:01Z}, now: 2027-01-01T00:00:00Z, expect: {points: [{name: m, time: 2026-05-01T10:00:00Z, value: 1, labels: {L: "east/open/2027-01-01T00:00:00.0000000Z/2026-05-01T10:00:00.9999999Z"}}]}}
`, map[string]string{"x.yaml": body})
		for _, o := range runAll(t, f) {
			require.Empty(t, o.Lines())
		}
	})

	t.Run("OKError", func(t *testing.T) {
		for body, want := range map[string]string{
			"T | where NoColumn > 1":           "The name 'NoColumn' does not refer to any known column",
			"NoTable":                          "The name 'NoTable' does not refer to any known column, table",
			"T | project v = V, t = Timestamp": `transform.labelColumns[0]: the answer has no column \"L\"`,
		} {
			body := strings.Replace(named("x"), named("x")[strings.Index(named("x"), "    T\n"):strings.Index(named("x"), "  transform")], "    "+body+"\n", 1)
			f := mustLoad(t, head+"tests:\n- name: a"+rows+`  expect: {error: "`+want+`"}`+"\n- name: b"+rows+"  expect: {error: other}\n- name: c"+rows+"  expect: {}\n", map[string]string{"x.yaml": body})
			list := runAll(t, f)
			require.True(t, list[0].Passed(), list[0].Lines())
			require.Contains(t, list[1].Lines()[0], `want an error with "other", got: query database "DB" on cluster "test": `)
			require.Contains(t, list[2].Lines()[0], `query database "DB" on cluster "test": `)
		}
	})

	t.Run("ErrTableLine", func(t *testing.T) {
		f := mustLoad(t, head+`tests:
- name: a
  window: {start: 2026-05-01T10:00:00Z}
  tables:
    T:
      csv: |
        a:int,b:string

        1,"two
        lines"
        2,x
        oh,y
    U:
      ndjson: |
        {"a": 1}
        {"a": 2,
`, nil)
		_, err := engine.Run(t.Context(), f.Tests[0])
		require.Error(t, err)
		got := strings.ReplaceAll(err.Error(), f.Path, "x")
		require.Equal(t, `x:14:9: tests[0].tables.T.csv: column "a": "oh" is no int`+"\n"+
			`x:18:16: tests[0].tables.U.ndjson: the JSON object does not end on its line`, got)
	})

	t.Run("ErrTables", func(t *testing.T) {
		for _, tt := range []struct{ table, want string }{
			{"{columns: [a:int, b:what], rows: []}", `4:74: tests[0].tables.T.columns: column "b": column type must be a kusto scalar type, got "what"`},
			{"{columns: [a:decimal], rows: [[0.123456789012345], [1234567890123456789.5]]}", `4:115: tests[0].tables.T.rows[1]: column "a": a decimal of more than 15 digits must be in quotes, or YAML reads another number`},
			{"{columns: [a:int, b:string], rows: [[1, x], [2]]}", `4:108: tests[0].tables.T.rows[1]: must have a value for each of the 2 columns, has 1`},
			{"{columns: [a:int, b:string], rows: [[1, x], [2, 3], [4, null]]}", `4:108: tests[0].tables.T.rows[1]: column "b": 3 is no string`},
			{`{csv: "a:int\nx\n"}`, `4:78: tests[0].tables.T.csv: column "a": "x" is no int`},
			{"{csv: \"b:int,a:long\n\n      1,2\n\n      ä,y\n\"}", `8:7: tests[0].tables.T.csv: column "b": "ä" is no int`},
			{`{csv: "a:int,a:int"}`, `4:77: tests[0].tables.T.csv: column "a" appears twice`},
			{`{ndjson: "{\"a\": 1}\n{"}`, `4:87: tests[0].tables.T.ndjson: the JSON object does not end on its line`},
			{"{file: none.csv}", `4:64: tests[0].tables.T: open DIR/none.csv: no such file or directory`},
			{"{file: x.yaml}", `4:64: tests[0].tables.T: file must be a .csv or .ndjson, got "DIR/x.yaml"`},
			{"{file: bad.csv}", `4:71: tests[0].tables.T.file: DIR/bad.csv:2:1: `},
		} {
			f := mustLoad(t, head+"tests:\n- {name: a, window: {start: 2026-05-01T10:00:00Z}, tables: {T: "+tt.table+"}}", map[string]string{"x.yaml": named("x"), "bad.csv": "a:int\nx\n"})
			_, err := engine.Run(t.Context(), f.Tests[0])
			require.Error(t, err)
			got := strings.ReplaceAll(err.Error(), regexpDir.FindString(err.Error()), "DIR")
			require.True(t, strings.HasPrefix(got, "DIR/x.test.yaml:"+tt.want), "%s\n%s", got, tt.want)
		}
	})
}

func TestUpdate(t *testing.T) {
	read := func(f *File) string {
		text, err := os.ReadFile(f.Path)
		require.NoError(t, err)
		return string(text)
	}
	const three = `      - {name: m, labels: {L: a}, time: 2026-05-01T10:00:00Z, value: 3}
      - {name: m, labels: {L: b}, time: 2026-05-01T10:02:00Z, value: 9007199254740993}
      - {name: m, labels: {L: a}, time: 2026-05-01T10:04:00Z, value: 4}
`
	// The text of a file before and after.
	for _, tt := range []struct {
		name, before, after string
	}{
		{
			"OKNone", "tests:\n- name: a" + rows + "\n\n# the end\n",
			"tests:\n- name: a" + rows + "  expect:\n    points:\n" + three + "\n\n# the end\n",
		},
		{
			"OKNoNewline", "tests:\n- name: a" + strings.TrimSuffix(rows, "\n"),
			"tests:\n- name: a" + rows + "  expect:\n    points:\n" + three,
		},
		{
			// Comments and what is still right stay as they are, around it every byte does.
			"OKComments", `tests:   # all
- expect:   # of a
    # the points
    points:
      - {labels: {L: b},   name: m, time: 2026-05-01T12:02:00+02:00, value: 9007199254740993} # the big one
      # gone
      - {name: m, labels: {L: x}, time: 2026-05-01T10:04:00Z, value: 4}
      # changed
      - name: m
        labels: {L: a}
        time: 2026-05-01T10:00:00Z
        value: 1 # one
    rejected: {duplicate: 1}
  # of the name
  name:   'a'  ` + rows + `
- name:   "b" # untouched
  window:   {start:   2026-05-01T10:00:00Z}
  tables: {T: {columns: [Timestamp:datetime,   L:string, V:long]}}
  expect:   {points: []}
`, `tests:   # all
- expect: # of a
    # the points
    points:
      - {labels: {L: b}, name: m, time: 2026-05-01T12:02:00+02:00, value: 9007199254740993} # the big one
      # changed
      - name: m
        labels: {L: a}
        time: 2026-05-01T10:00:00Z
        value: 3 # one
      - {name: m, labels: {L: a}, time: 2026-05-01T10:04:00Z, value: 4}
  # of the name
  name:   'a'  ` + rows + `
- name:   "b" # untouched
  window:   {start:   2026-05-01T10:00:00Z}
  tables: {T: {columns: [Timestamp:datetime,   L:string, V:long]}}
  expect:   {points: []}
`,
		},
		{
			"OKFlow", "tests:\n- name: a\n  expect: {points: [{name: m, labels: {L: a},\n    time: 2026-05-01T10:00:00Z, value: 3}]}" + rows,
			"tests:\n- name: a\n  expect:\n    points:\n" + strings.TrimSuffix(three, "\n") + rows,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := mustLoad(t, head+tt.before, nil)
			n, err := f.Update(runAll(t, f))
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, head+tt.after, read(f))
			info, err := os.Stat(f.Path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
			// What was written passes, and there is nothing more to write.
			again, err := Load(f.Path)
			require.NoError(t, err)
			list := runAll(t, again)
			for _, o := range list {
				require.Empty(t, o.Lines())
			}
			n, err = again.Update(list)
			require.NoError(t, err)
			require.Zero(t, n)
			require.Equal(t, head+tt.after, read(again))
		})
	}

	t.Run("OKRejected", func(t *testing.T) {
		f := mustLoad(t, head+"tests:\r\n- name: a\r\n  window: {start: 2026-05-01T10:00:00Z}\r\n  tables: {T: {columns: [Timestamp:datetime, L:string, V:real], rows: [[2026-05-01T10:00:00Z, \"07\", null], [2026-05-01T10:00:00Z, \"yes\", 0.5]]}}\r\n- name: b"+strings.ReplaceAll(rows, "\n", "\r\n")+"  expect: {}\r\n", map[string]string{
			"x.yaml": strings.Replace(named("x"), "sum(V)", "avg(V)", 1)})
		f.text = []byte(strings.Replace(string(f.text), head, strings.ReplaceAll(head, "\n", "\r\n"), 1))
		n, err := f.Update(runAll(t, f))
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Contains(t, read(f), "\r\n  expect:\r\n    points:\r\n      - {name: m, labels: {L: yes}, time: 2026-05-01T10:00:00Z, value: 0.5}\r\n    rejected: {not_finite: 1}\r\n- name: b")
		require.Equal(t, strings.Count(read(f), "\n"), strings.Count(read(f), "\r\n"))
	})

	t.Run("OKError", func(t *testing.T) {
		// An error that nobody expected is not written: it would be a test that passes.
		bad := strings.Replace(named("x"), "sum(V)", "sum(NoColumn)", 1)
		f := mustLoad(t, head+"tests:\n- name: a"+rows+"  expect:\n    error: other\n- name: b"+rows+"  expect: {}\n", map[string]string{"x.yaml": bad})
		n, err := f.Update(runAll(t, f))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Contains(t, read(f), "\n  expect:\n    error: 'query database \"DB\" on cluster \"test\": HTTP 400 Bad Request:")
		require.True(t, strings.HasSuffix(read(f), "\n  expect: {}\n"))
	})

	t.Run("OKNoError", func(t *testing.T) {
		// An error that does not come any more gives way to the points.
		f := mustLoad(t, head+"tests:\n- name: a"+rows+"  expect:\n    # why\n    error: boom\n", nil)
		n, err := f.Update(runAll(t, f))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.True(t, strings.HasSuffix(read(f), "  expect:\n    points:\n"+three), read(f))
	})

	t.Run("ErrBraces", func(t *testing.T) {
		f := mustLoad(t, head+"tests:\n- {name: a, window: {start: 2026-05-01T10:00:00Z}, tables: {T: {columns: [Timestamp:datetime, L:string, V:long]}}, expect: {rejected: {duplicate: 1}}}", nil)
		before := read(f)
		_, err := f.Update(runAll(t, f))
		require.EqualError(t, err, f.Path+":4: a: must be written in lines, one for each key, and not in braces")
		require.Equal(t, before, read(f))
	})

	t.Run("ErrShared", func(t *testing.T) {
		// An anchor that another test needs is not lost without a word.
		f := mustLoad(t, head+"tests:\n- name: a"+rows+"  expect: &e {rejected: {duplicate: 1}}\n- name: b"+rows+"  expect: *e\n", nil)
		before := read(f)
		list := runAll(t, f)
		_, err := f.Update(list[:1])
		require.ErrorContains(t, err, "cannot be written by --update: ")
		require.Equal(t, before, read(f))
	})
}
