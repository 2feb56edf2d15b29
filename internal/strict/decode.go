package strict

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Options say how a document is decoded.
type Options struct {
	// Expand, when set, is applied to the text of every scalar value (not to
	// keys). It returns the text to decode in its place; a value it changed is
	// never quoted in a message.
	Expand func(text string) (string, error)
}

// A Defaulter has its defaults set before it is decoded, so that an element of
// a list can have defaults too.
type Defaulter interface{ SetDefaults() }

// A Secret is a type whose value must never be quoted in a message.
type Secret interface{ Secret() }

// Decode decodes the document into the struct that into points to, by its json
// tags. What the document does not set, or sets to null, keeps its value. It
// returns every problem it finds; into then holds whatever could be decoded.
func (d *Document) Decode(into any, opts Options) Problems {
	d.fields, d.sealed, d.decoded = map[string]*yaml.Node{}, map[string]bool{}, 0
	x := decoder{doc: d, opts: opts}
	x.value(d.root, reflect.ValueOf(into).Elem(), "", 0)
	return x.problems
}

type decoder struct {
	doc      *Document
	opts     Options
	problems Problems
	full     bool // no more problems are told, or values decoded
}

func (x *decoder) problem(n *yaml.Node, field, format string, args ...any) {
	if x.full {
		return
	}
	if len(x.problems) == maxProblems {
		x.full = true
		format, args = "has more problems than these %d", []any{maxProblems}
	}
	x.problems = append(x.problems, Problem{
		File: x.doc.File, Document: x.doc.Number, Several: x.doc.Several,
		Line: n.Line + x.doc.offset, Column: n.Column,
		Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// abort tells a problem after which nothing more of the document is decoded.
func (x *decoder) abort(n *yaml.Node, field, format string, args ...any) {
	x.problem(n, field, format, args...)
	x.full = true
}

var (
	durationType     = reflect.TypeFor[time.Duration]()
	metaDurationType = reflect.TypeFor[metav1.Duration]()
	timeType         = reflect.TypeFor[time.Time]()
	metaTimeType     = reflect.TypeFor[metav1.Time]()
	textType         = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonType         = reflect.TypeFor[json.Unmarshaler]()
	secretType       = reflect.TypeFor[Secret]()
)

// value decodes n into v. The position of an alias is the alias's own, since
// that is the text at fault when its value does not fit.
func (x *decoder) value(n *yaml.Node, v reflect.Value, field string, depth int) {
	if x.full {
		return
	}
	at := n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
		depth++
		if depth > maxDepth {
			break
		}
	}
	if x.doc.decoded++; x.doc.decoded > maxValues {
		x.abort(at, field, "document has more than %d values, aliases expanded", maxValues)
		return
	}
	if depth > maxDepth {
		x.abort(at, field, "must not nest deeper than %d levels", maxDepth)
		return
	}
	x.doc.fields[field] = at
	if isNull(n) {
		return
	}
	t := v.Type()
	switch {
	case t == durationType:
		x.text(n, at, field, "a duration such as 30s, 5m or 1h30m", func(s string) error {
			d, err := ParseDuration(s)
			v.SetInt(int64(d))
			return err
		})
		return
	case t == metaDurationType:
		x.value(n, v.Field(0), field, depth)
		return
	case t == timeType:
		x.text(n, at, field, "a time such as 2026-05-01T00:00:00Z", func(s string) error {
			parsed, err := time.Parse(time.RFC3339Nano, s)
			if err != nil {
				return fmt.Errorf("must be a time such as 2026-05-01T00:00:00Z")
			}
			v.Set(reflect.ValueOf(parsed.UTC()))
			return nil
		})
		return
	case t == metaTimeType:
		x.value(n, v.Field(0), field, depth)
		return
	case reflect.PointerTo(t).Implements(textType):
		x.text(n, at, field, "text", func(s string) error {
			return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
		})
		return
	case reflect.PointerTo(t).Implements(jsonType) && t.Kind() != reflect.Pointer:
		x.json(n, at, v, field, depth)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		p := reflect.New(t.Elem())
		setDefaults(p)
		x.value(n, p.Elem(), field, depth)
		v.Set(p)
	case reflect.Struct:
		x.structure(n, at, v, field, depth)
	case reflect.Map:
		x.mapping(n, at, v, field, depth)
	case reflect.Slice:
		x.list(n, at, v, field, depth)
	case reflect.Interface:
		if a, ok := x.any(n, field, depth); ok {
			v.Set(reflect.ValueOf(a))
		}
	default:
		x.scalar(n, at, v, field)
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func setDefaults(pointer reflect.Value) {
	if d, ok := pointer.Interface().(Defaulter); ok {
		d.SetDefaults()
	}
}

// structure decodes a mapping into a struct.
func (x *decoder) structure(n, at *yaml.Node, v reflect.Value, field string, depth int) {
	if n.Kind != yaml.MappingNode {
		x.problem(at, field, "must be a mapping, got %s", x.got(n, v.Type()))
		return
	}
	known := fieldsOf(v.Type())
	for _, e := range x.entries(n, field, depth) {
		path := Join(field, e.name)
		index, ok := known.index[e.name]
		if !ok {
			message := fmt.Sprintf("unknown field %q", e.name)
			if near := Nearest(e.name, known.names); near != "" {
				message += fmt.Sprintf(", did you mean %q?", near)
			}
			x.problem(e.key, path, "%s", message)
			continue
		}
		x.value(e.value, v.FieldByIndex(index), path, depth+1)
	}
}

func (x *decoder) mapping(n, at *yaml.Node, v reflect.Value, field string, depth int) {
	if n.Kind != yaml.MappingNode {
		x.problem(at, field, "must be a mapping, got %s", x.got(n, v.Type()))
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, e := range x.entries(n, field, depth) {
		path := Join(field, e.name)
		element := reflect.New(v.Type().Elem())
		setDefaults(element)
		x.value(e.value, element.Elem(), path, depth+1)
		m.SetMapIndex(reflect.ValueOf(e.name).Convert(v.Type().Key()), element.Elem())
	}
	v.Set(m)
}

func (x *decoder) list(n, at *yaml.Node, v reflect.Value, field string, depth int) {
	if n.Kind != yaml.SequenceNode {
		x.problem(at, field, "must be a list, got %s", x.got(n, v.Type()))
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, min(len(n.Content), 1024))
	for i, c := range n.Content {
		if x.full {
			return
		}
		path := fmt.Sprintf("%s[%d]", field, i)
		element := reflect.New(v.Type().Elem())
		setDefaults(element)
		if isNull(c) && v.Type().Elem().Kind() != reflect.Interface {
			x.problem(c, path, "must not be empty")
		}
		x.value(c, element.Elem(), path, depth+1)
		list = reflect.Append(list, element.Elem())
	}
	v.Set(list)
}

// json decodes through a type's own UnmarshalJSON, for types that take
// arbitrary JSON, such as managedFields.
func (x *decoder) json(n, at *yaml.Node, v reflect.Value, field string, depth int) {
	a, ok := x.any(n, field, depth)
	if !ok {
		return
	}
	text, err := json.Marshal(a)
	if err == nil {
		err = json.Unmarshal(text, v.Addr().Interface())
	}
	if err != nil {
		// The error's own text may quote the value.
		x.problem(at, field, "must be a %s", v.Type().Name())
	}
}

// any decodes a value as encoding/json would into an interface.
func (x *decoder) any(n *yaml.Node, field string, depth int) (any, bool) {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		x.mapping(n, n, reflect.ValueOf(&m).Elem(), field, depth)
		return m, !x.full
	case yaml.SequenceNode:
		l := []any{}
		x.list(n, n, reflect.ValueOf(&l).Elem(), field, depth)
		return l, !x.full
	}
	text, expanded, ok := x.expand(n, n, field)
	if !ok {
		return nil, false
	}
	if expanded {
		return text, true
	}
	var a any
	if n.ShortTag() == "!!timestamp" || n.ShortTag() == "!!binary" || n.Decode(&a) != nil {
		return n.Value, true
	}
	if f, isFloat := a.(float64); isFloat && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return n.Value, true // JSON has no such number
	}
	return a, true
}

// An entry is one key of a mapping with its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries returns the entries of a mapping, merge keys ("<<") resolved, and
// tells of keys that are twice or are no strings.
func (x *decoder) entries(n *yaml.Node, field string, depth int) []entry {
	var entries, merged []entry
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, x.merge(value, field, depth+1)...)
			continue
		}
		if x.doc.decoded++; x.doc.decoded > maxValues {
			x.abort(key, field, "document has more than %d values, aliases expanded", maxValues)
			return nil
		}
		resolved := key
		if key.Kind == yaml.AliasNode {
			resolved = key.Alias
		}
		if resolved.Kind != yaml.ScalarNode {
			x.problem(key, field, "has a key that is %s, want a string", kind(resolved))
			continue
		}
		if resolved.ShortTag() != "!!str" {
			x.problem(key, Join(field, resolved.Value), "key must be a string, got %s: put it in quotes", short(resolved.Value))
			continue
		}
		if first, twice := seen[resolved.Value]; twice {
			x.problem(key, Join(field, resolved.Value), "is set twice, first at line %d", first.Line+x.doc.offset)
			continue
		}
		seen[resolved.Value] = key
		entries = append(entries, entry{resolved.Value, key, value})
	}
	for _, e := range merged {
		if _, set := seen[e.name]; !set {
			seen[e.name] = e.key
			entries = append(entries, e)
		}
	}
	return entries
}

func (x *decoder) merge(n *yaml.Node, field string, depth int) []entry {
	if depth > maxDepth {
		x.abort(n, field, "must not nest deeper than %d levels", maxDepth)
		return nil
	}
	switch {
	case x.full:
		return nil
	case n.Kind == yaml.AliasNode:
		return x.merge(n.Alias, field, depth+1)
	case n.Kind == yaml.MappingNode:
		return x.entries(n, field, depth)
	case n.Kind == yaml.SequenceNode:
		var entries []entry
		for _, c := range n.Content {
			entries = append(entries, x.merge(c, field, depth+1)...)
		}
		return entries
	}
	x.problem(n, field, "<< must be a mapping or a list of them, got %s", kind(n))
	return nil
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_/-]+$`)

// Join extends a path by a key: a.b, or a["b.c"] where a dot would mislead.
func Join(field, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return fmt.Sprintf("%s[%q]", field, short(key))
	case field == "":
		return key
	}
	return field + "." + key
}

// known are the fields of a struct type by their names in a document.
type known struct {
	names []string
	index map[string][]int
}

func fieldsOf(t reflect.Type) known {
	k := known{index: map[string][]int{}}
	k.add(t, nil)
	slices.Sort(k.names)
	return k
}

func (k *known) add(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(prefix), i)
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			k.add(f.Type, index)
		case name != "":
			k.names = append(k.names, name)
			k.index[name] = index
		}
	}
}
