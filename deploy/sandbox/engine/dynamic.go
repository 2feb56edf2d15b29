package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	functions["parse_json"] = bindParseJSON
	functions["todynamic"] = bindParseJSON
}

// compact is the JSON without white space; what is no JSON stays as it is.
func compact(text []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return string(text)
	}
	return b.String()
}

// quote is s as a JSON string, in which only what must be is escaped.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// jsonText is what a dynamic is as text: a string's content, nothing for null, JSON for the rest.
func jsonText(text string) string {
	switch {
	case text == "null":
		return ""
	case strings.HasPrefix(text, `"`):
		var s string
		if json.Unmarshal([]byte(text), &s) == nil {
			return s
		}
	}
	return text
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
