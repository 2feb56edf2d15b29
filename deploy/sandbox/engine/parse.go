package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	for _, kind := range []string{"ParseOperator", "ParseWhereOperator"} {
		register(kind, compileParse, func(_ *compiler, op *kql.Node, after need) need {
			d := after.with(op)
			d.ranges = through(after.ranges, func(name string) string {
				if parsedField(op, name) != nil {
					return ""
				}
				return name
			})
			return d
		})
	}
}

// part is one piece of the pattern of parse: a literal text, a star, or a column.
type part struct {
	literal string
	star    bool
	column  int // of parse.columns; -1 for the other two
}

// parse is a compiled pattern.
type parse struct {
	columns table.Schema
	parts   []part
	kind    string
	where   bool // rows that do not match are dropped

	// Of kind=regex: what the pattern means when a star takes as little as it can, and as much. Where that makes a difference Kusto's
	// documentation contradicts itself.
	patterns [2]*regexp.Regexp
	groups   []int // of each column in the pattern
}

// parsedField is the node that declares a column in a pattern, nil when none does.
func parsedField(op *kql.Node, name string) *kql.Node {
	for _, p := range op.List("Patterns") {
		switch {
		case p.Kind == "NameDeclaration" && p.Name == name:
			return p
		case p.Kind == "NameAndTypeDeclaration" && p.Child("Name").Name == name:
			return p.Child("Name")
		}
	}
	return nil
}

// compileParse is parse and parse-where: columns taken out of a text.
func compileParse(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	params, err := c.parameters(op, "kind", "flags")
	if err != nil {
		return nil, err
	}
	p := &parse{kind: "simple", where: op.Kind == "ParseWhereOperator"}
	if k := params["kind"]; k != nil {
		p.kind = k.Value
	}
	flags := params["flags"]
	switch {
	case p.kind != "simple" && p.kind != "regex" && (p.kind != "relaxed" || p.where):
		return nil, c.unsupported(params["kind"], fmt.Sprintf("kind %q of %s", p.kind, describe(op)))
	case flags != nil && p.kind != "regex":
		return nil, c.unsupported(flags, describe(op)+" with flags but not kind=regex")
	}
	for _, n := range op.List("Patterns") {
		switch n.Kind {
		case "StarExpression":
			p.parts = append(p.parts, part{star: true, column: -1})
		case "StringLiteralExpression":
			p.parts = append(p.parts, part{literal: n.Value, column: -1})
		case "NameDeclaration", "NameAndTypeDeclaration":
			if n.Kind == "NameAndTypeDeclaration" {
				n = n.Child("Name")
			}
			t, err := c.scalarType(n)
			if err != nil {
				return nil, err
			}
			if p.columns.Index(n.Name) >= 0 {
				return nil, c.unsupported(n, fmt.Sprintf("%s that makes column %q twice", describe(op), n.Name))
			}
			if t != table.String && conversion(table.String, t) == nil {
				return nil, c.unsupported(n, fmt.Sprintf("%s to a %v", describe(op), t))
			}
			p.parts = append(p.parts, part{column: len(p.columns)})
			p.columns = append(p.columns, table.Field{Name: n.Name, Type: t})
		default:
			return nil, c.unsupported(n, describe(op)+" with this pattern")
		}
	}
	for i, one := range p.parts {
		if one.column < 0 || i+1 >= len(p.parts) {
			continue
		}
		next, t := p.parts[i+1], p.columns[one.column].Type
		if next.column >= 0 || next.star && (!integral(t) || p.kind == "regex") {
			return nil, c.unsupported(op, fmt.Sprintf("%s of the %v column %q without a text after it", describe(op), t, p.columns[one.column].Name))
		}
	}
	if p.kind == "regex" {
		if err := p.regex(c, op, flags); err != nil {
			return nil, err
		}
	}
	text, err := c.in(in.schema).expr(op.Child("Expression"))
	if err != nil {
		return nil, err
	}
	if text.typ != table.String {
		if text, err = apply(table.String, conversion(text.typ, table.String), []*expr{text}); err != nil {
			return nil, err
		}
	}
	return p.relation(c, op, in, text)
}

// regex compiles the pattern of kind=regex: a string is (.*), a number (-?\d+), and the rest as it is written
// (docs, "parse operator, regex mode"). It need not match all of the text.
func (p *parse) regex(c *compiler, op, flags *kql.Node) error {
	prefix := ""
	if flags != nil {
		for _, f := range flags.Value {
			if !strings.ContainsRune("imsU", f) {
				return c.unsupported(flags, fmt.Sprintf("flag %q of %s", f, describe(op)))
			}
		}
		prefix = "(?" + flags.Value + ")"
		if strings.Contains(flags.Value, "U") && p.parts[len(p.parts)-1].column >= 0 {
			return c.unsupported(flags, describe(op)+" with the flag U and a column at the end")
		}
	}
	p.groups = make([]int, len(p.columns))
	for i, star := range []string{".*?", ".*"} {
		var b strings.Builder
		b.WriteString(prefix)
		group := 1
		for _, one := range p.parts {
			switch {
			case one.star:
				b.WriteString(star)
			case one.column < 0:
				re, err := regexp.Compile(one.literal)
				if err != nil {
					return c.unsupported(op, fmt.Sprintf("%s with the regular expression %q", describe(op), one.literal))
				}
				group += re.NumSubexp()
				b.WriteString("(?:" + one.literal + ")")
			default:
				p.groups[one.column] = group
				group++
				switch t := p.columns[one.column].Type; t {
				case table.String, table.DateTime:
					b.WriteString("(.*)")
				case table.Int, table.Long:
					b.WriteString(`(-?\d+)`)
				default:
					return c.unsupported(op, fmt.Sprintf("%s with kind=regex to a %v", describe(op), t))
				}
			}
		}
		var err error
		if p.patterns[i], err = regexp.Compile(b.String()); err != nil {
			return c.unsupported(op, fmt.Sprintf("%s with the regular expression %q", describe(op), b.String()))
		}
	}
	return nil
}

func (p *parse) relation(c *compiler, op *kql.Node, in *relation, text *expr) (*relation, error) {
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	out := &relation{serialized: in.serialized}
	var from []origin // side 0: the row, 1: what was parsed
	for _, f := range schema {
		if j := p.columns.Index(f.Name); j >= 0 {
			out.schema, from = append(out.schema, f), append(from, origin{1, j})
		} else if j := in.schema.Index(f.Name); j >= 0 { // else it is not needed later
			out.schema, from = append(out.schema, f), append(from, origin{0, j})
		}
	}
	out.produce = func(r *run, emit func(*batch) error) error {
		return in.produce(r, func(b *batch) error {
			o, err := text.eval(b)
			if err != nil {
				return err
			}
			columns, matched, err := p.batch(o, b.n)
			if err != nil {
				return err
			}
			made := &batch{n: b.n}
			for _, place := range from {
				if place.side == 1 {
					made.cols = append(made.cols, columns[place.column])
				} else {
					made.cols = append(made.cols, b.cols[place.column])
				}
			}
			if !p.where || len(matched) == b.n {
				return emit(made)
			}
			if len(matched) == 0 {
				return nil
			}
			kept := &batch{n: len(matched)}
			for _, v := range made.cols {
				kept.cols = append(kept.cols, v.Take(matched))
			}
			return emit(kept)
		})
	}
	return out, nil
}

// batch parses n texts. It returns the columns and the rows that matched; in the others the columns are null.
func (p *parse) batch(o operand, n int) ([]*table.Vector, []int32, error) {
	texts := make([]*table.Vector, len(p.columns))
	for i := range texts {
		texts[i] = zeros(table.String, n)
	}
	found, matches := make([]string, len(p.columns)), make([]bool, n)
	for i := range n {
		ok, err := p.match(o.Strings[i*o.step], found)
		if err != nil {
			return nil, nil, err
		}
		if matches[i] = ok; ok {
			for j, s := range found {
				texts[j].Strings[i] = s
			}
		}
	}
	var out []*table.Vector
	for j, f := range p.columns {
		v := texts[j]
		if f.Type != table.String {
			var err error
			if v, err = conversion(table.String, f.Type)([]operand{rows(texts[j])}, n); err != nil {
				return nil, nil, err
			}
			for i, s := range texts[j].Strings {
				// The conversion is more generous than parse is documented to be.
				if !v.IsNull(i) && (s != strings.TrimSpace(s) || integral(f.Type) && leadingInteger(s) != s) {
					return nil, nil, p.unknown(s, "as a "+f.Type.String())
				}
				if v.IsNull(i) && p.kind != "relaxed" {
					matches[i] = false
				}
			}
		}
		out = append(out, v)
	}
	var sel []int32
	for i, ok := range matches {
		if ok {
			sel = append(sel, int32(i))
			continue
		}
		for _, v := range out {
			v.SetNull(i)
		}
	}
	return out, sel, nil
}

func (p *parse) unknown(text, what string) error {
	return &ValueError{fmt.Sprintf("parse of %.60s %s", strconv.Quote(text), what), "is a case that the sandbox does not know Kusto's answer to"}
}

// leadingInteger is the number that a text begins with, empty when it does not.
func leadingInteger(s string) string {
	n := 0
	if strings.HasPrefix(s, "-") {
		n = 1
	}
	digits := n
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n == digits {
		return ""
	}
	return s[:n]
}

// match finds the texts of the columns.
func (p *parse) match(text string, found []string) (bool, error) {
	if p.kind != "regex" {
		return p.search(text, found)
	}
	m, other := p.patterns[0].FindStringSubmatchIndex(text), p.patterns[1].FindStringSubmatchIndex(text)
	if m == nil || other == nil {
		return false, nil
	}
	for j, g := range p.groups {
		if m[2*g] != other[2*g] || m[2*g+1] != other[2*g+1] {
			return false, p.unknown(text, "with a * that can stand for more or less")
		}
		found[j] = text[m[2*g]:m[2*g+1]]
	}
	return true, nil
}

// search walks through the pattern from literal to literal. A column or star takes what is before the next one.
func (p *parse) search(text string, found []string) (bool, error) {
	rest, gap := text, []part(nil)
	for i, one := range p.parts {
		if one.column >= 0 || one.star {
			gap = append(gap, one)
			continue
		}
		at := strings.Index(rest, one.literal)
		switch {
		case at < 0:
			return false, nil
		case len(gap) == 0 && at > 0 && i == 0:
			return false, p.unknown(text, "that does not begin as the pattern does (write * first)")
		case len(gap) == 0 && at > 0:
			return false, nil
		}
		if !p.fill(gap, rest[:at], found) {
			return false, nil
		}
		rest, gap = rest[at+len(one.literal):], nil
	}
	switch {
	case len(gap) == 0 && rest != "":
		return false, p.unknown(text, "that goes on after the pattern (write * last)")
	case len(gap) == 1 && gap[0].column >= 0 && integral(p.columns[gap[0].column].Type) && p.kind != "relaxed":
		if n := leadingInteger(rest); n != "" && n != rest {
			return false, p.unknown(text, "that goes on after the pattern (write * last)")
		}
	}
	return p.fill(gap, rest, found), nil
}

// fill gives the text between two literals to what stands there in the pattern: a star, a column, or an integer and a star.
func (p *parse) fill(gap []part, text string, found []string) bool {
	if len(gap) == 0 || gap[0].column < 0 {
		return true
	}
	if len(gap) > 1 {
		number := leadingInteger(text)
		found[gap[0].column] = number
		return number != "" || p.kind == "relaxed"
	}
	found[gap[0].column] = text
	return true
}
