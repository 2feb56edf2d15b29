package strict

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// text decodes a scalar of any type through its text.
func (x *decoder) text(n, at *yaml.Node, field, want string, parse func(string) error) {
	if n.Kind != yaml.ScalarNode {
		x.problem(at, field, "must be %s, got %s", want, kind(n))
		return
	}
	s, _, ok := x.expand(n, at, field)
	if !ok {
		return
	}
	if err := parse(s); err != nil {
		x.problem(at, field, "%s%s", err, x.quoted(field, s))
	}
}

// expand resolves the references in a scalar, and seals the field when there
// were any.
func (x *decoder) expand(n, at *yaml.Node, field string) (text string, expanded, ok bool) {
	if x.opts.Expand == nil {
		return n.Value, false, true
	}
	text, err := x.opts.Expand(n.Value)
	if err != nil {
		x.problem(at, field, "%s", err)
		return "", false, false
	}
	if text != n.Value {
		x.doc.sealed[field] = true
		return text, true, true
	}
	return text, false, true
}

// quoted returns ", got …" for a value that may be shown.
func (x *decoder) quoted(field, s string) string {
	if x.doc.sealed[field] {
		return ""
	}
	return fmt.Sprintf(", got %q", short(s))
}

func (x *decoder) scalar(n, at *yaml.Node, v reflect.Value, field string) {
	t := v.Type()
	if t.Implements(secretType) {
		x.doc.sealed[field] = true
	}
	want := map[reflect.Kind]string{
		reflect.String: "a string", reflect.Bool: "true or false",
		reflect.Float32: "a number", reflect.Float64: "a number",
	}[t.Kind()]
	if want == "" {
		want = "a whole number"
	}
	if n.Kind != yaml.ScalarNode {
		x.problem(at, field, "must be %s, got %s", want, x.got(n, t))
		return
	}
	s, expanded, ok := x.expand(n, at, field)
	if !ok {
		return
	}
	tag := n.ShortTag()
	wrong := func() {
		switch {
		case x.doc.sealed[field] && expanded:
			x.problem(at, field, "must be %s", want)
		case t.Kind() == reflect.String:
			x.problem(at, field, "must be %s, got %s: put it in quotes", want, x.got(n, t))
		default:
			x.problem(at, field, "must be %s, got %s", want, x.got(n, t))
		}
	}
	switch t.Kind() {
	case reflect.String:
		// A date without quotes is a string to everybody but YAML.
		if !expanded && tag != "!!str" && tag != "!!timestamp" {
			wrong()
			return
		}
		v.SetString(s)
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil || !expanded && tag != "!!bool" {
			wrong()
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, 64)
		if err != nil || v.OverflowInt(i) || !expanded && tag != "!!int" {
			wrong()
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, err := strconv.ParseUint(strings.ReplaceAll(s, "_", ""), 0, 64)
		if err != nil || v.OverflowUint(i) || !expanded && tag != "!!int" {
			wrong()
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
		if err != nil || !expanded && tag != "!!int" && tag != "!!float" {
			wrong()
			return
		}
		v.SetFloat(f)
	default:
		x.problem(at, field, "cannot be set")
	}
}

// got describes a value for a message: its kind, and its text where that may
// be shown.
func (x *decoder) got(n *yaml.Node, t reflect.Type) string {
	if n.Kind != yaml.ScalarNode || t.Implements(secretType) {
		return kind(n)
	}
	if n.ShortTag() == "!!str" {
		return fmt.Sprintf("%q", short(n.Value))
	}
	return short(n.Value)
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "a string"
}

// short bounds a value that is quoted in a message.
func short(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
