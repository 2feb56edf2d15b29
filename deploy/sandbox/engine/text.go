package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["strcat"] = bindStrcat
	functions["tolower"] = bindMap(strings.ToLower)
	functions["toupper"] = bindMap(strings.ToUpper)
	functions["strlen"] = bindStrlen
	functions["split"] = bindSplit

	for kind, holds := range map[string]func(s, sub string) bool{
		"Contains": folded(strings.Contains), "ContainsCs": strings.Contains,
		"StartsWith": folded(strings.HasPrefix), "StartsWithCs": strings.HasPrefix,
		"EndsWith": folded(strings.HasSuffix), "EndsWithCs": strings.HasSuffix,
		"Has": folded(hasTerm), "HasCs": hasTerm,
	} {
		operators[kind+"Expression"] = bindText(false, holds)
		operators["Not"+kind+"Expression"] = bindText(true, holds)
	}
}

// bindMap is a function from string to string.
func bindMap(f func(string) string) binder {
	return func(c *call) (kernel, error) {
		if c.args[0].typ != table.String {
			return nil, c.ofTypes()
		}
		return liftText(c.typ, func(s string) (string, bool) { return f(s), true }), nil
	}
}

// bindStrcat joins the texts of its arguments, of any type.
func bindStrcat(c *call) (kernel, error) {
	var texts []func(*table.Vector, int) string
	for _, a := range c.args {
		texts = append(texts, textOf(a.typ))
	}
	return func(args []operand, n int) (*table.Vector, error) {
		out, parts := make([]string, n), make([]string, len(args))
		for i := range out {
			for j, a := range args {
				parts[j] = texts[j](a.Vector, i*a.step)
			}
			out[i] = strings.Join(parts, "")
		}
		return &table.Vector{Type: table.String, Strings: out}, nil
	}, nil
}

// bindStrlen counts characters, not bytes.
func bindStrlen(c *call) (kernel, error) {
	if c.args[0].typ != table.String || c.typ != table.Long {
		return nil, c.ofTypes()
	}
	return lift1(table.Long, func(s string) (int64, bool) { return int64(utf8.RuneCountInString(s)), true }), nil
}

// bindSplit gives the parts as an array. The form with an index is refused: what it returns for a
// part that is not there is not documented.
func bindSplit(c *call) (kernel, error) {
	switch {
	case len(c.args) != 2:
		return nil, c.unsupported("with an index (write split(…)[0])")
	case c.args[0].typ != table.String || c.args[1].typ != table.String:
		return nil, c.ofTypes()
	case c.args[1].konst == nil || c.args[1].konst.Strings[0] == "":
		return nil, c.unsupported("with a delimiter that is empty or not constant")
	}
	delimiter := c.args[1].konst.Strings[0]
	return liftText(c.typ, func(s string) (string, bool) {
		var b strings.Builder
		b.WriteByte('[')
		for i, part := range strings.Split(s, delimiter) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quote(part))
		}
		b.WriteByte(']')
		return b.String(), true
	}), nil
}

// bindText is a predicate on two strings.
func bindText(negate bool, holds func(s, sub string) bool) binder {
	return func(c *call) (kernel, error) {
		if c.args[0].typ != table.String || c.args[1].typ != table.String {
			return nil, c.ofTypes()
		}
		return func(args []operand, n int) (*table.Vector, error) {
			a, b, out := args[0], args[1], zeros(table.Bool, n)
			for i := range n {
				out.Ints[i] = truth(holds(a.Strings[i*a.step], b.Strings[i*b.step]) != negate)
			}
			return out, nil
		}, nil
	}
}

func folded(holds func(s, sub string) bool) func(s, sub string) bool {
	return func(s, sub string) bool { return holds(strings.ToLower(s), strings.ToLower(sub)) }
}

// hasTerm looks for term in s where it is not part of a longer run of letters and digits.
func hasTerm(s, term string) bool {
	if term == "" {
		return true
	}
	first, _ := utf8.DecodeRuneInString(term)
	last, _ := utf8.DecodeLastRuneInString(term)
	for from := 0; ; {
		i := strings.Index(s[from:], term)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		after, _ := utf8.DecodeRuneInString(s[i+len(term):])
		longer := inTerm(before) && inTerm(first) || inTerm(after) && inTerm(last)
		if !longer {
			return true
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		from = i + size
	}
}

func inTerm(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
