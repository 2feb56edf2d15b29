package engine

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	functions["parse_json"] = bindParseJSON
	functions["parsejson"] = bindParseJSON
	functions["toobject"] = bindParseJSON
	functions["dynamic_to_json"] = bindToJSON
	functions["extract_json"] = bindExtractJSON
	functions["extractjson"] = bindExtractJSON
	functions["todynamic"] = bindParseJSON
}

// element is text[i] of an array, from its end when i is negative.
func element(text string, i int64) (string, bool) {
	var a []json.RawMessage
	if !strings.HasPrefix(text, "[") || json.Unmarshal([]byte(text), &a) != nil {
		return "", false
	}
	if i < 0 {
		i += int64(len(a))
	}
	if i < 0 || i >= int64(len(a)) || string(a[i]) == "null" {
		return "", false
	}
	return string(a[i]), true
}

// property is text.name of an object.
func property(text, name string) (string, bool) {
	var o map[string]json.RawMessage
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &o) != nil {
		return "", false
	}
	p, ok := o[name]
	if !ok || string(p) == "null" {
		return "", false
	}
	return string(p), true
}

// element compiles a[i] and a["name"].
func (c *compiler) element(n *kql.Node) (*expr, error) {
	of, err := c.expr(n.Child("Expression"))
	if err != nil {
		return nil, err
	}
	index, err := c.expr(n.Child("Selector").Child("Expression"))
	if err != nil {
		return nil, err
	}
	return c.get(n, of, index)
}

// path compiles a.name.
func (c *compiler) path(n *kql.Node) (*expr, error) {
	e, s := n.Child("Expression"), n.Child("Selector")
	if e.Type != "dynamic" || s.Kind != "NameReference" {
		return nil, c.unsupported(n, `operator "." on anything but a dynamic`)
	}
	of, err := c.expr(e)
	if err != nil {
		return nil, err
	}
	return c.get(n, of, konst(&table.Vector{Type: table.String, Strings: []string{s.Name}}))
}

// get selects from a dynamic: an element by a number, a property by a string.
func (c *compiler) get(n *kql.Node, of, index *expr) (*expr, error) {
	if of.typ != table.Dynamic {
		return nil, c.unsupported(n, fmt.Sprintf(`operator "[]" on a %v`, of.typ))
	}
	switch {
	case integral(index.typ) && index.konst != nil && !index.konst.IsNull(0):
		i := index.konst.Ints[0]
		return apply(table.Dynamic, liftText(table.Dynamic, func(s string) (string, bool) { return element(s, i) }), []*expr{of})
	case integral(index.typ):
		return apply(table.Dynamic, lift2(table.Dynamic, element), []*expr{of, index})
	case index.typ == table.String && index.konst != nil:
		name := index.konst.Strings[0]
		return apply(table.Dynamic, liftText(table.Dynamic, func(s string) (string, bool) { return property(s, name) }), []*expr{of})
	case index.typ == table.String:
		return apply(table.Dynamic, lift2(table.Dynamic, property), []*expr{of, index})
	}
	return nil, c.unsupported(n, fmt.Sprintf(`operator "[]" with a %v`, index.typ))
}

// bindParseJSON: text that is no JSON becomes a dynamic string.
func bindParseJSON(c *call) (kernel, error) {
	switch {
	case c.typ != table.Dynamic:
		return nil, c.ofTypes()
	case c.args[0].typ == table.Dynamic:
		return func(args []operand, n int) (*table.Vector, error) { return args[0].full(n), nil }, nil
	case c.args[0].typ == table.String:
		return liftText(table.Dynamic, func(s string) (string, bool) {
			switch {
			case s == "":
				return "", false
			case json.Valid([]byte(s)):
				return compact([]byte(s)), true
			}
			return quote(s), true
		}), nil
	}
	return nil, c.ofTypes()
}

// toDynamic is the JSON of a value of another type; nil for decimal, whose form in JSON is not documented.
func toDynamic(from table.Type) kernel {
	text := textOf(from)
	switch from {
	case table.Dynamic:
		return func(args []operand, n int) (*table.Vector, error) { return args[0].full(n), nil }
	case table.Decimal:
		return nil
	case table.Bool, table.Int, table.Long:
	case table.Real:
		text = func(v *table.Vector, i int) string {
			if x := v.Reals[i]; x-x != 0 {
				return quote(formatReal(x))
			}
			return formatReal(v.Reals[i])
		}
	default:
		plain := text
		text = func(v *table.Vector, i int) string { return quote(plain(v, i)) }
	}
	return liftNullable(table.Dynamic, func(r row) (string, bool) {
		if r.null(0) {
			return "", false
		}
		return text(r.args[0].Vector, r.at(0)), true
	})
}

// fromDynamic takes a value of type t out of a dynamic, for operators that put the two together. Null stays null; a
// value of another sort ends the query, since whether Kusto converts it is not documented.
func fromDynamic(t table.Type) kernel {
	if t == table.String {
		return conversion(table.Dynamic, t)
	}
	convert := conversion(table.Dynamic, t)
	if convert == nil {
		return nil
	}
	return func(args []operand, n int) (*table.Vector, error) {
		var failed error
		r := row{args: args, failed: &failed}
		for r.i = range n {
			if missing(args[0], r.at(0)) {
				continue
			}
			s, fits := r.text(0), false
			switch _, isNumber := numberElement(s); t {
			case table.Bool:
				fits = s == "true" || s == "false"
			case table.Int, table.Long:
				_, fits = parseInteger(s)
			case table.Real, table.Decimal:
				fits = isNumber
			default:
				fits = strings.HasPrefix(s, `"`)
			}
			if !fits {
				r.refuse("the dynamic %.40s used as a %v", s, t)
				return nil, failed
			}
		}
		return convert(args, n)
	}
}

// bindToJSON is the canonical JSON of a dynamic: without white space and with the properties in order.
func bindToJSON(c *call) (kernel, error) {
	if err := c.become(0, table.Dynamic); err != nil {
		return nil, err
	}
	return scalar("string: dynamic", func(r row) (string, bool) { return canonical(r.text(0)), true })(c)
}

func canonical(text string) string {
	if a, ok := elements(text); ok {
		for i := range a {
			a[i] = canonical(a[i])
		}
		return array(a)
	}
	if ms, ok := members(text); ok {
		for i := range ms {
			ms[i].value = canonical(ms[i].value)
		}
		slices.SortFunc(ms, func(a, b member) int { return strings.Compare(a.name, b.name) })
		return object(ms)
	}
	return text
}

// step is one of a JSON path: a property's name, or an element's number.
type step struct {
	name  string
	index int64
}

// jsonPath reads paths such as $.a.b[0]['c']; other forms of JSONPath are not ok.
func jsonPath(path string) (steps []step, ok bool) {
	rest, ok := strings.CutPrefix(path, "$")
	for ok && rest != "" {
		m := pathStep.FindStringSubmatch(rest)
		if m == nil {
			return nil, false
		}
		i, _ := parseInteger(m[2])
		steps = append(steps, step{m[1] + m[3] + m[4], i})
		rest = rest[len(m[0]):]
	}
	return steps, ok
}

var pathStep = regexp.MustCompile(`^(?:\.([\pL_][\pL\pN_]*)|\[(-?\d+)\]|\['([^'\\]+)'\]|\["([^"\\]+)"\])`)

// walk follows a path.
func walk(text string, steps []step) (string, bool) {
	for _, s := range steps {
		var ok bool
		if s.name != "" {
			text, ok = property(text, s.name)
		} else {
			text, ok = element(text, s.index)
		}
		if !ok {
			return "", false
		}
	}
	return text, true
}

// bindExtractJSON is the text at a path of a JSON text, converted to the type that a third argument names.
func bindExtractJSON(c *call) (kernel, error) {
	path, err := c.constText(0)
	if err != nil {
		return nil, err
	}
	steps, ok := jsonPath(path)
	if !ok {
		return nil, c.unsupported("of the path " + path)
	}
	if c.args[1].typ != table.String {
		return nil, c.ofTypes()
	}
	found := func(s string) (string, bool) {
		if !json.Valid([]byte(s)) {
			return "", false
		}
		return walk(compact([]byte(s)), steps)
	}
	if c.typ == table.Dynamic {
		return onText(table.Dynamic, 1, found), nil
	}
	return c.textTo(c.typ, onText(table.String, 1, func(s string) (string, bool) {
		v, ok := found(s)
		return jsonText(v), ok
	}))
}
