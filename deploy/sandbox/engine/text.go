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

	for kind, any := range map[string]bool{"HasAny": true, "HasAll": false} {
		operators[kind+"Expression"] = bindHasTerms(any)
	}
	for kind, holds := range map[string]func(s, sub string) bool{
		"Contains": folded(strings.Contains), "ContainsCs": strings.Contains,
		"StartsWith": folded(strings.HasPrefix), "StartsWithCs": strings.HasPrefix,
		"EndsWith": folded(strings.HasSuffix), "EndsWithCs": strings.HasSuffix,
		"Has": folded(hasTerm), "HasCs": hasTerm, "HasPrefix": folded(hasPrefixTerm), "HasPrefixCs": hasPrefixTerm,
		"HasSuffix": folded(hasSuffixTerm), "HasSuffixCs": hasSuffixTerm,
	} {
		operators[kind+"Expression"] = bindText(false, holds)
		operators["Not"+kind+"Expression"] = bindText(true, holds)
	}
}

// bindMap is a function from string to string.
func bindMap(f func(string) string) binder {
	return func(c *call) (kernel, error) {
		if err := c.to(0, table.String); err != nil {
			return nil, err
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
	if err := c.to(0, table.String); err != nil {
		return nil, err
	}
	return lift1(table.Long, func(s string) (int64, bool) { return int64(utf8.RuneCountInString(s)), true }), nil
}

// bindSplit gives the parts as an array, or an array of the one that is asked for.
func bindSplit(c *call) (kernel, error) {
	return scalar("dynamic: string string long?", func(r row) (string, bool) {
		if r.text(1) == "" {
			r.refuse("split by the empty string")
			return "", false
		}
		parts := strings.Split(r.text(0), r.text(1))
		for i, part := range parts {
			parts[i] = quote(part)
		}
		if !r.has(2) {
			return array(parts), true
		}
		i := r.int(2)
		if i < 0 || i >= int64(len(parts)) {
			r.refuse("part %d of a split into %d", i, len(parts))
			return "", false
		}
		return array(parts[i : i+1]), true
	})(c)
}

// bindText is a predicate on two strings.
func bindText(negate bool, holds func(s, sub string) bool) binder {
	return func(c *call) (kernel, error) {
		for i := range c.args {
			if c.args[i].typ == table.Dynamic {
				if err := c.to(i, table.String); err != nil {
					return nil, err
				}
			}
			if c.args[i].typ != table.String {
				return nil, c.ofTypes()
			}
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

// bindHasTerms is has_any and has_all: any, or all, of the terms that follow.
func bindHasTerms(any bool) binder {
	return func(c *call) (kernel, error) {
		for _, n := range c.node.Child("Right").List("Expressions") {
			if n.Type == "table" {
				return nil, c.unsupported("with a table")
			}
		}
		if err := c.spread(1); err != nil {
			return nil, err
		}
		for i := range c.args {
			if err := c.become(i, table.String); err != nil {
				return nil, err
			}
		}
		has := folded(hasTerm)
		return liftRows(table.Bool, func(r row) (int64, bool) {
			for j := range r.args[1:] {
				if has(r.text(0), r.text(j+1)) == any {
					return truth(any), true
				}
			}
			return truth(!any), true
		}), nil
	}
}

// hasTerm looks for term in s where it is not part of a longer run of letters and digits.
func hasTerm(s, term string) bool { return findTerm(s, term, true, true) }

// hasPrefixTerm looks for what such a run begins with, hasSuffixTerm for what one ends with.
func hasPrefixTerm(s, term string) bool { return findTerm(s, term, true, false) }
func hasSuffixTerm(s, term string) bool { return findTerm(s, term, false, true) }

// findTerm looks for term where no run of letters and digits goes on before it, after it.
func findTerm(s, term string, start, end bool) bool {
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
		longer := start && inTerm(before) && inTerm(first) || end && inTerm(after) && inTerm(last)
		if !longer {
			return true
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		from = i + size
	}
}

func inTerm(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
