package engine

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// Kusto's regular expressions are those of RE2, as Go's are.

func init() {
	operators["MatchesRegexExpression"] = bindMatches
	functions["extract"] = bindExtract
	functions["extract_all"] = bindExtractAll
	functions["extractall"] = bindExtractAll
	functions["replace_regex"] = bindReplaceRegex(0, 1, 2)
	functions["replace"] = bindReplaceRegex(2, 0, 1)
	functions["trim"] = bindTrim(true, true)
	functions["trim_start"] = bindTrim(true, false)
	functions["trim_end"] = bindTrim(false, true)
	functions["countof"] = bindCountOf
	functions["regex_quote"] = scalar("string: string", func(r row) (string, bool) { return regexp.QuoteMeta(r.text(0)), true })
}

// constRegex compiles argument i, which must be constant; wrap is written around it, with %s for it.
func (c *call) constRegex(i int, before, after string) (*regexp.Regexp, error) {
	text, err := c.constText(i)
	if err != nil {
		return nil, err
	}
	if _, err := regexp.Compile(text); err != nil {
		return nil, c.unsupported("with the regular expression " + strconv.Quote(text))
	}
	return regexp.Compile(before + text + after)
}

// onText is the kernel of a function of one string among the arguments, number i, the others being constant.
func onText[R elem](t table.Type, i int, f func(string) (R, bool)) kernel {
	k := liftText(t, f)
	return func(args []operand, n int) (*table.Vector, error) { return k(args[i:i+1], n) }
}

func bindMatches(c *call) (kernel, error) {
	if err := c.to(0, table.String); err != nil {
		return nil, err
	}
	re, err := c.constRegex(1, "", "")
	if err != nil {
		return nil, err
	}
	return onText(table.Bool, 0, func(s string) (int64, bool) { return truth(re.MatchString(s)), true }), nil
}

// typeOf compiles typeof(long), which some functions take as their last argument, to a constant: a null of that type.
func (c *compiler) typeOf(n *kql.Node) (*expr, error) {
	_, name, _ := strings.Cut(strings.TrimSuffix(c.q.Text[n.Start:n.End], ")"), "(")
	t, err := table.ParseType(strings.TrimSpace(name))
	if err != nil {
		return nil, c.unsupported(n, "this typeof")
	}
	return konst(nulls(t, 1)), nil
}

// textTo reads a value of type t from text, for functions that find text and convert it.
func (c *call) textTo(t table.Type, k kernel) (kernel, error) {
	if t == table.String {
		return k, nil
	}
	to := conversion(table.String, t)
	if to == nil {
		return nil, c.unsupported("to a " + t.String())
	}
	return func(args []operand, n int) (*table.Vector, error) {
		found, err := k(args, n)
		if err != nil {
			return nil, err
		}
		return to([]operand{rows(found)}, n)
	}, nil
}

// bindExtract is a capture group of the first match, the whole match being group 0.
func bindExtract(c *call) (kernel, error) {
	re, err := c.constRegex(0, "", "")
	if err != nil {
		return nil, err
	}
	group := c.args[1].konst
	switch {
	case !integral(c.args[1].typ) || c.args[2].typ != table.String:
		return nil, c.ofTypes()
	case group == nil || group.IsNull(0) || group.Ints[0] < 0 || group.Ints[0] > int64(re.NumSubexp()):
		return nil, c.unsupported("of this capture group")
	}
	i := int(group.Ints[0])
	return c.textTo(c.typ, onText(table.String, 2, func(s string) (string, bool) {
		m := re.FindStringSubmatch(s)
		if m == nil {
			return "", false
		}
		return m[i], true
	}))
}

// bindExtractAll is all matches: an array of strings for one capture group, of arrays for several.
func bindExtractAll(c *call) (kernel, error) {
	re, err := c.constRegex(0, "", "")
	if err != nil {
		return nil, err
	}
	var groups []int
	for i := range re.NumSubexp() {
		groups = append(groups, i+1)
	}
	last := len(c.args) - 1
	if last == 2 {
		if c.args[1].konst == nil {
			return nil, c.unsupported("with capture groups that are not constant")
		}
		names, _ := elements(c.args[1].konst.Strings[0])
		groups = nil
		for _, name := range names {
			i, err := strconv.Atoi(name)
			if s, ok := textElement(name); ok {
				i, err = re.SubexpIndex(s), nil
			}
			if err != nil || i < 1 || i > re.NumSubexp() {
				return nil, c.unsupported("of the capture group " + name)
			}
			groups = append(groups, i)
		}
	}
	if len(groups) == 0 || c.args[last].typ != table.String {
		return nil, c.unsupported("without capture groups")
	}
	return onText(table.Dynamic, last, func(s string) (string, bool) {
		var all []string
		for _, m := range re.FindAllStringSubmatch(s, -1) {
			var one []string
			for _, g := range groups {
				one = append(one, quote(m[g]))
			}
			if len(one) == 1 {
				all = append(all, one[0])
			} else {
				all = append(all, array(one))
			}
		}
		return array(all), all != nil
	}), nil
}

// bindReplaceRegex takes the source, the expression and what to put for each match from these arguments; \0 to \9 in
// the latter are capture groups.
func bindReplaceRegex(source, regex, rewrite int) binder {
	return func(c *call) (kernel, error) {
		re, err := c.constRegex(regex, "", "")
		if err != nil {
			return nil, err
		}
		text, err := c.constText(rewrite)
		if err != nil {
			return nil, err
		}
		if c.args[source].typ != table.String {
			return nil, c.ofTypes()
		}
		var template strings.Builder
		for i := 0; i < len(text); i++ {
			switch {
			case text[i] == '$':
				template.WriteString("$$")
			case text[i] != '\\':
				template.WriteByte(text[i])
			case i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' && int(text[i+1]-'0') <= re.NumSubexp():
				i++
				template.WriteString("${" + text[i:i+1] + "}")
			default:
				return nil, c.unsupported("with the rewrite pattern " + strconv.Quote(text))
			}
		}
		return onText(table.String, source, func(s string) (string, bool) {
			return re.ReplaceAllString(s, template.String()), true
		}), nil
	}
}

// bindTrim removes one match from the start, from the end, or as many as there are from both.
func bindTrim(start, end bool) binder {
	return func(c *call) (kernel, error) {
		if err := c.to(1, table.String); err != nil {
			return nil, err
		}
		times := ")"
		if start && end {
			times = ")+"
		}
		first, err := c.constRegex(0, "^(?:", times)
		if err != nil {
			return nil, err
		}
		last, err := c.constRegex(0, "(?:", times+"$")
		if err != nil {
			return nil, err
		}
		return onText(table.String, 1, func(s string) (string, bool) {
			if start {
				s = s[len(first.FindString(s)):]
			}
			if m := last.FindStringIndex(s); end && m != nil {
				s = s[:m[0]]
			}
			return s, true
		}), nil
	}
}

// bindCountOf counts the places where a string is found, which may overlap, or the matches of a
// regular expression, which do not.
func bindCountOf(c *call) (kernel, error) {
	kind := "normal"
	if len(c.args) == 3 {
		var err error
		if kind, err = c.constText(2); err != nil {
			return nil, err
		}
	}
	switch {
	case kind == "regex":
		re, err := c.constRegex(1, "", "")
		if err != nil {
			return nil, err
		}
		if re.MatchString("") {
			return nil, c.unsupported("of matches that may be empty")
		}
		return onText(table.Long, 0, func(s string) (int64, bool) { return int64(len(re.FindAllStringIndex(s, -1))), true }), nil
	case kind != "normal":
		return nil, c.unsupported("of kind " + strconv.Quote(kind))
	}
	c.args = slices.Clone(c.args[:2])
	return scalar("long: string string", func(r row) (int64, bool) {
		s, sub := r.text(0), r.text(1)
		if sub == "" {
			r.refuse("countof of the empty string")
			return 0, false
		}
		n := int64(0)
		for i := strings.Index(s, sub); i >= 0; {
			n++
			_, size := utf8.DecodeRuneInString(s[i:])
			next := strings.Index(s[i+size:], sub)
			if next < 0 {
				break
			}
			i += size + next
		}
		return n, true
	})(c)
}
