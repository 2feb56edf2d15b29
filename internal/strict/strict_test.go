package strict_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

// outer has a field of every kind that documents use.
type outer struct {
	Name     string            `json:"name"`
	Interval metav1.Duration   `json:"interval"`
	Timeout  time.Duration     `json:"timeout"`
	Size     strict.Bytes      `json:"size"`
	Count    int               `json:"count"`
	Small    uint8             `json:"small"`
	Ratio    float64           `json:"ratio"`
	On       bool              `json:"on"`
	At       metav1.Time       `json:"at"`
	Labels   map[string]string `json:"labels"`
	Lists    map[string][]int  `json:"lists"`
	Items    []item            `json:"items"`
	Pointer  *item             `json:"pointer"`
	Any      any               `json:"any"`
	Password secret            `json:"password"`
	Hidden   string            `json:"-"`
	Meta     metav1.ObjectMeta `json:"metadata"`
}

type item struct {
	Key   string `json:"key"`
	Value int    `json:"value"`
}

func (i *item) SetDefaults() { i.Value = 7 }

type secret string

func (secret) Secret() {}

func decode(t testing.TB, text string, opts strict.Options) (outer, error) {
	t.Helper()
	docs, problems := strict.Parse("f.yaml", []byte(text))
	var o outer
	for _, d := range docs {
		problems = append(problems, d.Decode(&o, opts)...)
	}
	return o, problems.Err()
}

func TestDecode(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		o, err := decode(t, `
name: a
interval: 1d12h
timeout: 1m30s
size: 1.5MiB
count: 1_000
small: 0xff
ratio: 2
on: true
at: 2026-05-01T02:00:00+02:00
labels: {a: b, c.d/e: f}
lists: {x: [1, 2], y: []}
items: [{key: k}, {value: 2}]
pointer: {key: p}
any: {a: [1, x, true, 1.5, null]}
metadata:
  name: m
  creationTimestamp: null
  managedFields: [{manager: kubectl, fieldsV1: {"f:spec": {}}}]
`, strict.Options{})
		require.NoError(t, err)
		require.Equal(t, outer{
			Name: "a", Interval: metav1.Duration{Duration: 36 * time.Hour}, Timeout: 90 * time.Second,
			Size: 3 << 19, Count: 1000, Small: 255, Ratio: 2, On: true,
			At:     metav1.Time{Time: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)},
			Labels: map[string]string{"a": "b", "c.d/e": "f"},
			Lists:  map[string][]int{"x": {1, 2}, "y": {}},
			Items:  []item{{"k", 7}, {"", 2}}, Pointer: &item{"p", 7},
			Any: map[string]any{"a": []any{1, "x", true, 1.5}},
			Meta: metav1.ObjectMeta{Name: "m", ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}}},
		}.Name, o.Name)
		require.Equal(t, 36*time.Hour, o.Interval.Duration)
		require.Equal(t, 90*time.Second, o.Timeout)
		require.Equal(t, strict.Bytes(3<<19), o.Size)
		require.Equal(t, []any{1000, uint8(255), 2.0, true}, []any{o.Count, o.Small, o.Ratio, o.On})
		require.Equal(t, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), o.At.Time)
		require.Equal(t, map[string]string{"a": "b", "c.d/e": "f"}, o.Labels)
		require.Equal(t, map[string][]int{"x": {1, 2}, "y": {}}, o.Lists)
		require.Equal(t, []item{{"k", 7}, {"", 2}}, o.Items)
		require.Equal(t, &item{"p", 7}, o.Pointer)
		require.Equal(t, "m", o.Meta.Name)
		require.Equal(t, "kubectl", o.Meta.ManagedFields[0].Manager)
	})
	t.Run("OKJSON", func(t *testing.T) {
		o, err := decode(t, `{"name": "a", "items": [{"key": "k", "value": 1}], "timeout": "3s"}`, strict.Options{})
		require.NoError(t, err)
		require.Equal(t, []item{{"k", 1}}, o.Items)
		require.Equal(t, 3*time.Second, o.Timeout)
	})
	t.Run("OKNullKeepsDefault", func(t *testing.T) {
		docs, _ := strict.Parse("f.yaml", []byte("name:\ncount: ~\n"))
		o := outer{Name: "default", Count: 3}
		require.Empty(t, docs[0].Decode(&o, strict.Options{}))
		require.Equal(t, "default", o.Name)
		require.Equal(t, 3, o.Count)
		require.False(t, docs[0].Has("name"))
	})
	t.Run("OKAnchorsAndMerge", func(t *testing.T) {
		o, err := decode(t, "items:\n- &base {key: b, value: 1}\n- *base\n- {<<: *base, key: c}\n- {<<: [*base, {key: x}]}\n", strict.Options{})
		require.NoError(t, err)
		require.Equal(t, []item{{"b", 1}, {"b", 1}, {"c", 1}, {"b", 1}}, o.Items)
	})

	for name, tt := range map[string]struct{ text, want string }{
		"ErrUnknownField":     {"interva: 5m", `f.yaml:1:1: interva: unknown field "interva", did you mean "interval"?`},
		"ErrUnknownCase":      {"Name: x", `f.yaml:1:1: Name: unknown field "Name", did you mean "name"?`},
		"ErrUnknownFar":       {"zzzzzz: 5m", `f.yaml:1:1: zzzzzz: unknown field "zzzzzz"`},
		"ErrUnknownNested":    {"items:\n  - key: a\n    valeu: 1\n", `f.yaml:3:5: items[0].valeu: unknown field "valeu", did you mean "value"?`},
		"ErrUnknownMeta":      {"metadata: {nmae: x}", `f.yaml:1:12: metadata.nmae: unknown field "nmae", did you mean "name"?`},
		"ErrIgnoredField":     {"Hidden: x", `f.yaml:1:1: Hidden: unknown field "Hidden"`},
		"ErrTwice":            {"name: a\nname: b\n", `f.yaml:2:1: name: is set twice, first at line 1`},
		"ErrString":           {"name: 12", `f.yaml:1:7: name: must be a string, got 12: put it in quotes`},
		"ErrStringBool":       {"labels: {a: true}", `f.yaml:1:13: labels.a: must be a string, got true: put it in quotes`},
		"ErrStringMapping":    {"name: {a: b}", `f.yaml:1:7: name: must be a string, got a mapping`},
		"ErrMapping":          {"metadata: [a]", `f.yaml:1:11: metadata: must be a mapping, got a list`},
		"ErrRoot":             {"- a", `f.yaml:1:1: must be a mapping, got a list`},
		"ErrList":             {"items: a", `f.yaml:1:8: items: must be a list, got "a"`},
		"ErrListNull":         {"items: [~]", `f.yaml:1:9: items[0]: must not be empty`},
		"ErrNumber":           {"count: a", `f.yaml:1:8: count: must be a whole number, got "a"`},
		"ErrNumberFraction":   {"count: 1.5", `f.yaml:1:8: count: must be a whole number, got 1.5`},
		"ErrNumberRange":      {"small: 256", `f.yaml:1:8: small: must be a whole number, got 256`},
		"ErrNumberQuoted":     {`count: "1"`, `f.yaml:1:8: count: must be a whole number, got "1"`},
		"ErrBool":             {"on: yes", `f.yaml:1:5: on: must be true or false, got "yes"`},
		"ErrFloat":            {"ratio: x", `f.yaml:1:8: ratio: must be a number, got "x"`},
		"ErrDuration":         {"timeout: 10", `f.yaml:1:10: timeout: must be a duration such as 30s, 5m or 1h30m, got "10"`},
		"ErrDurationMeta":     {"interval: 5 minutes", `f.yaml:1:11: interval: must be a duration such as 30s, 5m or 1h30m, got "5 minutes"`},
		"ErrDurationLong":     {"timeout: 999999d", `f.yaml:1:10: timeout: must be shorter than 106751d, got "999999d"`},
		"ErrDurationList":     {"timeout: [1s]", `f.yaml:1:10: timeout: must be a duration such as 30s, 5m or 1h30m, got a list`},
		"ErrSize":             {"size: 1 gig", `f.yaml:1:7: size: must be a size such as 512MiB, 1GiB or a number of bytes, got "1 gig"`},
		"ErrSizeLarge":        {"size: 99999999TiB", `f.yaml:1:7: size: must be less than 8 EiB, got "99999999TiB"`},
		"ErrTime":             {"at: today", `f.yaml:1:5: at: must be a time such as 2026-05-01T00:00:00Z, got "today"`},
		"ErrSecretNotQuoted":  {"password: [hunter2]", `f.yaml:1:11: password: must be a string, got a list`},
		"ErrSecretNumber":     {"password: 123456", `f.yaml:1:11: password: must be a string, got a number: put it in quotes`},
		"ErrKeyNumber":        {"labels: {1: a}", `f.yaml:1:10: labels.1: key must be a string, got 1: put it in quotes`},
		"ErrKeyMapping":       {"labels: {{a: b}: a}", `f.yaml:1:10: labels: has a key that is a mapping, want a string`},
		"ErrPathQuoted":       {"labels: {a.b: 1}", `f.yaml:1:15: labels["a.b"]: must be a string, got 1: put it in quotes`},
		"ErrAlias":            {"labels: {a: &x 1, b: *x}", "f.yaml:1:13: labels.a: must be a string, got 1: put it in quotes\nf.yaml:1:22: labels.b: must be a string, got 1: put it in quotes"},
		"ErrCycle":            {"any: &a [*a]", `must not nest deeper than 64 levels`},
		"ErrAllAtOnce":        {"name: 1\ncount: x\nbogus: 1\n", "f.yaml:1:7: name: must be a string, got 1: put it in quotes\nf.yaml:2:8: count: must be a whole number, got \"x\"\nf.yaml:3:1: bogus: unknown field \"bogus\""},
		"ErrSyntax":           {"name: a\nlabels:\n  a: b\n c: d\ncount: 1\n", "f.yaml:4:2: is not valid YAML: did not find expected key"},
		"ErrSyntaxTab":        {"name: a\nlabels:\n\ta: b\n", "f.yaml:3:2: is not valid YAML: found character that cannot start any token"},
		"ErrSyntaxColon":      {"name: a\ncount: 1\nbody: a: b\n", "f.yaml:3:1: is not valid YAML: mapping values are not allowed in this context"},
		"ErrSyntaxFlow":       {"name: a\nitems: [a, b\ncount: 1\n", "f.yaml:2:1: is not valid YAML: did not find expected ',' or ']'"},
		"ErrSyntaxAnchor":     {"name: a\nitems: *nope\n", "f.yaml:2:1: is not valid YAML: unknown anchor 'nope' referenced"},
		"ErrSeveralDocuments": {"name: 1\n---\n# empty\n---\nname: a\n---\nname: 2\n", "f.yaml:1:7: document 1: name: must be a string, got 1: put it in quotes\nf.yaml:7:7: document 3: name: must be a string, got 2: put it in quotes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, tt.text, strict.Options{})
			require.Error(t, err)
			if name == "ErrCycle" {
				require.ErrorContains(t, err, tt.want)
				return
			}
			require.Equal(t, tt.want, err.Error())
		})
	}
}

func TestParse(t *testing.T) {
	t.Run("OKBrokenDocumentHidesNoOther", func(t *testing.T) {
		docs, problems := strict.Parse("f.yaml", []byte("--- \nname: a\n---\nname: [\n---\nname: c\nbody: |\n  x\n  --- not a marker\n"))
		require.Len(t, docs, 2)
		require.Equal(t, []int{1, 3}, []int{docs[0].Number, docs[1].Number})
		require.Equal(t, "f.yaml:4:1: document 2: is not valid YAML: did not find expected node content", problems.Error())
		line, column := docs[1].Position("")
		require.Equal(t, []int{6, 1}, []int{line, column})
	})
	t.Run("OKDirectiveAndByteOrderMark", func(t *testing.T) {
		docs, problems := strict.Parse("f.yaml", []byte("\xef\xbb\xbf# c\n%YAML 1.1\n---\nname: a\n...\n"))
		require.NoError(t, problems.Err())
		require.Len(t, docs, 1)
	})
	t.Run("OKEmpty", func(t *testing.T) {
		for _, text := range []string{"", "\n", "# c\n", "---\n---\n", "null", "~\n---\n..."} {
			docs, problems := strict.Parse("f.yaml", []byte(text))
			require.NoError(t, problems.Err(), "%q", text)
			require.Empty(t, docs, "%q", text)
		}
	})
	t.Run("OKWindowsLines", func(t *testing.T) {
		docs, problems := strict.Parse("f.yaml", []byte("name: a\r\n---\r\nname: b\r\n"))
		require.NoError(t, problems.Err())
		require.Len(t, docs, 2)
	})
	t.Run("ErrLarge", func(t *testing.T) {
		_, problems := strict.Parse("f.yaml", make([]byte, strict.MaxBytes+1))
		require.EqualError(t, problems, "f.yaml: must not be larger than 8MiB, is 8388609")
	})
}

func TestBounds(t *testing.T) {
	t.Run("ErrBillionLaughs", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("any:\n  a: &a [x,x,x,x,x,x,x,x,x,x]\n")
		for c := 'b'; c <= 'j'; c++ {
			b.WriteString("  " + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "*" + string(c-1) + "]\n")
		}
		_, err := decode(t, b.String(), strict.Options{})
		require.ErrorContains(t, err, "document has more than 200000 values, aliases expanded")
	})
	t.Run("ErrMergeBomb", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("any:\n  a: &a {x: y}\n")
		for c := 'b'; c <= 'z'; c++ {
			p := "*" + string(c-1)
			b.WriteString("  " + string(c) + ": &" + string(c) + " {<<: [" + strings.Repeat(p+",", 9) + p + "]}\n")
		}
		_, err := decode(t, b.String(), strict.Options{})
		require.ErrorContains(t, err, "document has more than 200000 values, aliases expanded")
	})
	t.Run("ErrDeep", func(t *testing.T) {
		_, err := decode(t, "any: "+strings.Repeat("[", 100)+strings.Repeat("]", 100), strict.Options{})
		require.ErrorContains(t, err, "must not nest deeper than 64 levels")
	})
	t.Run("ErrManyProblems", func(t *testing.T) {
		_, err := decode(t, "lists: {a: ["+strings.Repeat("x,", 1000)+"]}", strict.Options{})
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 101)
		require.Equal(t, "f.yaml:1:213: lists.a[100]: has more problems than these 100", lines[100])
	})
}

func TestExpand(t *testing.T) {
	expand := strict.Options{Expand: func(s string) (string, error) {
		if s == "bad" {
			return "", errors.New("has no such reference")
		}
		return strings.ReplaceAll(s, "REF", "5"), nil
	}}
	t.Run("OK", func(t *testing.T) {
		o, err := decode(t, "{name: REF, count: REF, timeout: REFs, ratio: REF, any: [REF], labels: {REF: REF}}", expand)
		require.NoError(t, err)
		require.Equal(t, outer{Name: "5", Count: 5, Ratio: 5, Timeout: 5 * time.Second, Any: []any{"5"}, Labels: map[string]string{"REF": "5"}}, o)
	})
	t.Run("ErrNeverQuoted", func(t *testing.T) {
		for field, want := range map[string]string{
			"count":   "f.yaml:1:8: count: must be a whole number",
			"timeout": "f.yaml:1:10: timeout: must be a duration such as 30s, 5m or 1h30m",
			"on":      "f.yaml:1:5: on: must be true or false",
			"size":    "f.yaml:1:7: size: must be a size such as 512MiB, 1GiB or a number of bytes",
			"at":      "f.yaml:1:5: at: must be a time such as 2026-05-01T00:00:00Z",
		} {
			_, err := decode(t, field+": xREF", expand)
			require.EqualError(t, err, want)
		}
	})
	t.Run("ErrReference", func(t *testing.T) {
		_, err := decode(t, "count: bad", expand)
		require.EqualError(t, err, "f.yaml:1:8: count: has no such reference")
	})
}

func TestDocument(t *testing.T) {
	docs, _ := strict.Parse("f.yaml", []byte("name: a\n---\nlabels:\n  a.b: c\nitems:\n- key: x\n"))
	d := docs[1]
	require.Empty(t, d.Decode(&outer{}, strict.Options{}))
	for field, want := range map[string]string{
		"":               "f.yaml:3:1: document 2: m",
		"name":           "f.yaml:3:1: document 2: name: m",
		`labels["a.b"]`:  `f.yaml:4:8: document 2: labels["a.b"]: m`,
		`labels["x.y"]`:  `f.yaml:4:3: document 2: labels["x.y"]: m`,
		"items[0].key":   "f.yaml:6:8: document 2: items[0].key: m",
		"items[0].value": "f.yaml:6:3: document 2: items[0].value: m",
		"items[3].value": "f.yaml:6:1: document 2: items[3].value: m",
	} {
		require.Equal(t, want, d.Problem(field, "m").Error())
	}
	require.Equal(t, "items[0].key: m", (*strict.Document)(nil).Problem("items[0].key", "m").Error())
}

func TestProblems(t *testing.T) {
	problems := strict.Problems{{Field: "a.b", Message: "m"}}
	var p strict.Problem
	require.ErrorAs(t, problems.Err(), &p)
	require.Equal(t, "a.b", p.Field)
	for field, want := range map[string]bool{"a.b": true, "a.b.c": true, "a.b[0]": true, "a": false, "a.bc": false} {
		require.Equal(t, want, problems.Cover(field), field)
	}
	require.True(t, strict.Problems{{Message: "m"}}.Cover("a"))
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1024": "1KiB", "1GiB": "1GiB", "512Mi": "512MiB", "1.5 KiB": "1536", "3MB": "3000000", "-1KiB": "-1KiB", "10B": "10",
	} {
		b, err := strict.ParseBytes(text)
		require.NoError(t, err, text)
		require.Equal(t, want, b.String(), text)
	}
	for _, text := range []string{"", "GiB", "1GiBB", "1e3", "1.2.3", "0x10", "nan", "inf", "1 000"} {
		_, err := strict.ParseBytes(text)
		require.Error(t, err, text)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "1s": time.Second, "-1d": -24 * time.Hour, "2d3h": 51 * time.Hour, "1.5h": 90 * time.Minute,
	} {
		d, err := strict.ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d, text)
	}
	for _, text := range []string{"", "-", "1", "d", "1.5d", "1d-1h", "--1s", "1d 1h", "106751d24h", "5x"} {
		_, err := strict.ParseDuration(text)
		require.Error(t, err, text)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"interval", "schedule", "body", "transform"}
	for got, want := range map[string]string{
		"interva": "interval", "BODY": "body", "transfrom": "transform", "bdoy": "body", "x": "", "ingestion": "",
	} {
		require.Equal(t, want, strict.Nearest(got, names), got)
	}
}

// FuzzDecode checks that no text stops the process, that what is accepted has
// a position for every field, and that each problem has one.
func FuzzDecode(f *testing.F) {
	f.Add("name: a\nitems: [{key: k}]\n---\nlabels: {a: *b}\n")
	f.Add("any: &a [*a]\n")
	f.Add("{\"name\": \"a\", \"any\": {\"<<\": 1}}")
	f.Add("<<: [&a {x: 1}, *a]\n? [a]\n: b\n")
	f.Add("%YAML 1.2\n---\n!!binary aa: !!int \"1\"\n...\nx")
	f.Add("metadata: {managedFields: [{fieldsV1: .nan}]}")
	f.Fuzz(func(t *testing.T, text string) {
		docs, problems := strict.Parse("f", []byte(text))
		for _, d := range docs {
			problems = append(problems, d.Decode(new(outer), strict.Options{})...)
			if line, column := d.Position("items[0].key"); line < 1 || column < 1 {
				t.Fatalf("position %d:%d", line, column)
			}
		}
		lines := 1 + strings.Count(text, "\n") + strings.Count(text, "\r")
		for _, p := range problems {
			if p.Message == "" || p.Line < 1 || p.Line > lines+1 || p.Column < 1 {
				t.Fatalf("problem %+v of %d lines", p, lines)
			}
		}
	})
}
