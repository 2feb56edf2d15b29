package strict_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

func mustDecode(tb testing.TB, text string) (*strict.Document, outer) {
	tb.Helper()
	documents, problems := strict.Parse("f.yaml", []byte(text))
	require.Empty(tb, problems, text)
	var o outer
	d := documents[len(documents)-1]
	require.Empty(tb, d.Decode(&o, strict.Options{}), text)
	return d, o
}

func TestPositionIn(t *testing.T) {
	for name, tt := range map[string]struct{ text, mark, want string }{
		"OKLiteral":        {"name: |\n  T\n  | where X\n", "X", "3:11"},
		"OKLiteralIndent":  {"name: |\n  T\n    | where X\n", "X", "3:13"},
		"OKLiteralSpace":   {"name: |\n  T\n    | where X\n", "  | where", "3:3"},
		"OKExplicitIndent": {"name: |4-\n      T\n    X\n", "X", "3:5"},
		"OKBlankLines":     {"name: |+ # why\n\n\n  T\n\n  X\n\n", "X", "6:3"},
		"OKStrip":          {"name: |-\n  T X", "X", "2:5"},
		"OKNoIndent":       {"name: |\n X\nsize: 1", "X", "2:2"},
		"OKFolded":         {"name: >\n  T\n  | where\n  X\n\n    | more\n", "X", "4:3"},
		"OKFoldedMore":     {"name: >-\n  T\n    | where\n    X\n", "X", "4:5"},
		"OKPlain":          {"name: T | where X", "X", "1:17"},
		"OKPlainLines":     {"name: T\n  | where\n\n   X\nsize: 1", "X", "4:4"},
		"OKSingle":         {"name: 'T == ''a'' X'", "X", "1:19"},
		"OKDouble":         {`name: "T\n\t\"\u00e9\"\x41 X"`, "X", "1:28"},
		"OKDoubleEscaped":  {`name: "T \x58"`, "X", "1:10"},
		"OKDoubleLines":    {"name: \"T \\\n    more\n\n   X\"", "X", "4:4"},
		"OKAnchor":         {"name: &a !!str # why\n  'T X'", "X", "2:6"},
		"OKAlias":          {"labels: {a: &q 'T X'}\nname: *q", "X", "1:19"},
		"OKFlow":           {"{size: 1, name: \"T X\", count: 1}", "X", "1:20"},
		"OKJSON":           {"{\n  \"name\": \"T\\n| where X\"\n}", "X", "2:23"},
		"OKTab":            {"name: |\n  T\n  \t| where\tX\n", "X", "3:12"},
		"OKWide":           {"name: |\n  é𝄞 | where '日本' X\n", "X", "2:19"},
		"OKCRLF":           {"size: 1\r\nname: |\r\n  T\r\n  | X\r\n", "X", "4:5"},
		"OKCR":             {"size: 1\rname: |\r  T\r  | X\r", "X", "4:5"},
		"OKSecondDocument": {"size: 1\n---\nsize: 1\nname: |\n  X", "X", "5:3"},
		"OKByteOrderMark":  {"\ufeffname: X", "X", "1:7"},
		"OKEnd":            {"name: |\n  T\n  | where\n\nsize: 1\n", "", "3:10"},
		"OKLineEnd":        {"name: |\n  T\n  | where\n", "\n|", "2:4"},
		"OKNextLine":       {"name: \"a\u0085X\"", "X", "1:10"},
	} {
		t.Run(name, func(t *testing.T) {
			d, o := mustDecode(t, tt.text)
			at := strings.Index(o.Name, tt.mark)
			if tt.mark == "" {
				at = len(o.Name)
			}
			require.GreaterOrEqual(t, at, 0, "%q", o.Name)
			line, column := d.PositionIn("name", at)
			require.Equal(t, tt.want, fmt.Sprintf("%d:%d", line, column), "%q", o.Name)
		})
	}
	t.Run("OKNoText", func(t *testing.T) {
		d, _ := mustDecode(t, "size: 1\nlists: {a: [1]}\n")
		for _, field := range []string{"name", "lists"} {
			line, column := d.PositionIn(field, 3)
			wantLine, wantColumn := d.Position(field)
			require.Equal(t, []int{wantLine, wantColumn}, []int{line, column})
		}
	})
}

// TestPositionInProperty writes random texts in every style, with one word that is there once, and
// looks for that word.
func TestPositionInProperty(t *testing.T) {
	const mark = "MARK"
	words := []string{"T", "|", "where", "a", "==", "'x'", `"y"`, "é", "日本", "𝄞", "1", "// c", `h\d`, "#", "a: b"}
	rnd := rand.New(rand.NewPCG(4, 2))
	line := func() string {
		var b strings.Builder
		for range 1 + rnd.IntN(5) {
			b.WriteString(words[rnd.IntN(len(words))] + strings.Repeat(" ", 1+rnd.IntN(3)))
		}
		return strings.TrimRight(b.String(), " ")
	}
	checked := 0
	for i := range 3000 {
		lines := make([]string, 1+rnd.IntN(6))
		for j := range lines {
			if lines[j] = line(); j > 0 && rnd.IntN(5) == 0 {
				lines[j] = ""
			} else if j > 0 && rnd.IntN(4) == 0 {
				lines[j] = []string{"  ", "\t", "    "}[rnd.IntN(3)] + lines[j]
			}
		}
		at := rnd.IntN(len(lines))
		switch rnd.IntN(3) {
		case 0:
			lines[at] = strings.TrimLeft(lines[at]+" "+mark, " ")
		case 1:
			lines[at] += mark
		default:
			lines[at] = strings.TrimRight(mark+" "+lines[at], " ")
		}
		text := "# é\nsize: 1\n" + write(rnd, lines) + "\ncount: 1\n"
		if rnd.IntN(3) == 0 {
			text = "size: 2\n---\n" + text
		}
		if rnd.IntN(3) == 0 {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		documents, problems := strict.Parse("f.yaml", []byte(text))
		if len(problems) > 0 {
			continue // a tab where YAML wants none
		}
		var o outer
		d := documents[len(documents)-1]
		if len(d.Decode(&o, strict.Options{})) > 0 || strings.Count(o.Name, mark) != 1 {
			continue
		}
		checked++
		before, _, _ := strings.Cut(text, mark)
		wantLine := strings.Count(before, "\n") + 1
		wantColumn := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
		line, column := d.PositionIn("name", strings.Index(o.Name, mark))
		require.Equal(t, []int{wantLine, wantColumn}, []int{line, column}, "round %d\n%s\n%q", i, text, o.Name)
		for offset := range len(o.Name) + 1 {
			line, _ := d.PositionIn("name", offset)
			require.LessOrEqual(t, line, strings.Count(text, "\n"), "round %d offset %d", i, offset)
		}
	}
	require.Greater(t, checked, 2000)
}

var special = regexp.MustCompile(`["\\]`)

// write writes lines as the value of name, in a style that suits them.
func write(rnd *rand.Rand, lines []string) string {
	indent := strings.Repeat(" ", 1+rnd.IntN(5))
	joined := strings.Join(lines, "\n")
	switch rnd.IntN(5) {
	case 0, 1:
		header := []string{"|", "|-", "|+", ">", ">-", "> # why"}[rnd.IntN(6)]
		return "name: " + header + "\n" + indent + strings.ReplaceAll(joined, "\n", "\n"+indent)
	case 2:
		return "name: '" + strings.ReplaceAll(strings.ReplaceAll(joined, "'", "''"), "\n", "\n"+indent) + "'"
	case 3:
		text := special.ReplaceAllString(joined, `\$0`)
		text = strings.ReplaceAll(text, "\n", []string{`\n`, "\\n\\\n" + indent, "\n\n" + indent, `\x0a`}[rnd.IntN(4)])
		return `name: "` + strings.ReplaceAll(text, "é", []string{"é", `\u00e9`, `\xe9`}[rnd.IntN(3)]) + `"`
	}
	return "name: " + strings.ReplaceAll(strings.NewReplacer("#", "", ": ", "", "|", "x", "'", "", `"`, "").Replace(joined), "\n", "\n "+indent)
}

func FuzzPositionIn(f *testing.F) {
	f.Add("name: |\n  T\n  | where X\n", 3)
	f.Add("name: \"T \\\n    more\n\n   X\"", 3)
	f.Add("name: &a !!str # why\n  'T X'", 1)
	f.Fuzz(func(t *testing.T, text string, offset int) {
		documents, _ := strict.Parse("f.yaml", []byte(text))
		for _, d := range documents {
			var o outer
			d.Decode(&o, strict.Options{})
			if line, column := d.PositionIn("name", offset); line < 1 || column < 1 {
				t.Fatalf("got %d:%d", line, column)
			}
		}
	})
}
