package main

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What package strict reads from text. The patterns take everything that it takes
// within its bounds, so that what they refuse it refuses as well.
const (
	durationUnits   = `([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)`
	durationPattern = `^(0|[0-9]+d(` + durationUnits + `)*|(` + durationUnits + `)+)$`
	bytesPattern    = `^([0-9]+\.?[0-9]*|\.[0-9]+) *(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB|Ki|Mi|Gi|Ti)?$`
	timePattern     = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{1,2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`
)

// builder makes schemas of Go values, whose contents are the defaults.
type builder struct {
	docs *docs
	// references says that a value may have ${env:NAME} and ${file:PATH} in it.
	references bool
}

// schema returns the schema of a value's type.
func (b *builder) schema(v reflect.Value) *jsonschema.Schema {
	t := v.Type()
	switch t {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[metav1.Duration]():
		// 0 needs no unit, and so YAML reads a number.
		s := &jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: durationPattern, Minimum: jsonschema.Ptr(0.0), Maximum: jsonschema.Ptr(0.0)}
		return b.leaf(s, v)
	case reflect.TypeFor[strict.Bytes]():
		return b.leaf(&jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: bytesPattern, Minimum: jsonschema.Ptr(0.0)}, v)
	case reflect.TypeFor[time.Time](), reflect.TypeFor[metav1.Time]():
		return b.leaf(&jsonschema.Schema{Type: "string", Format: "date-time", Pattern: timePattern}, v)
	case reflect.TypeFor[schemas.MetricsTestValue]():
		return &jsonschema.Schema{Type: "number"}
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return &jsonschema.Schema{} // what it takes only it knows
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.schema(element(t.Elem()))
	case reflect.Struct:
		return b.structure(v)
	case reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: b.schema(element(t.Elem()))}
	case reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: b.schema(element(t.Elem()))}
	case reflect.Interface:
		return &jsonschema.Schema{}
	case reflect.Bool:
		return b.leaf(&jsonschema.Schema{Type: "boolean"}, v)
	case reflect.String:
		if values := b.docs.of(t).values[t.Name()]; len(values) > 0 {
			return b.leaf(&jsonschema.Schema{Enum: values}, v)
		}
		s := &jsonschema.Schema{Type: "string"}
		s.Default = defaultOf(v)
		return s
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return b.leaf(&jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(0.0)}, v)
	}
	return b.leaf(&jsonschema.Schema{Type: "integer"}, v)
}

// element returns a value of a type as a document's element begins with it.
func element(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(strict.Defaulter); ok {
		d.SetDefaults()
	}
	return v.Elem()
}

// leaf adds to the schema of a single value its default, and where there may be one
// a reference.
func (b *builder) leaf(s *jsonschema.Schema, v reflect.Value) *jsonschema.Schema {
	if b.references {
		s = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Ref: "#/$defs/reference"}}}
	}
	s.Default = defaultOf(v)
	return s
}

// zeroUnits are what time.Duration prints beyond need.
var zeroUnits = strings.NewReplacer("h0m0s", "h", "m0s", "m")

// defaultOf returns a default as a person writes it; nil for a zero value.
func defaultOf(v reflect.Value) json.RawMessage {
	if v.IsZero() {
		return nil
	}
	value := v.Interface()
	if d, ok := value.(time.Duration); ok {
		value = zeroUnits.Replace(d.String())
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return text
}

// structure returns the schema of a struct.
func (b *builder) structure(v reflect.Value) *jsonschema.Schema {
	t := v.Type()
	s := &jsonschema.Schema{
		Type: "object", Properties: map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	b.fields(s, v)
	s.Description = rename(b.docs.of(t).types[t.Name()], t)
	return s
}

// fields adds the fields of a struct, and of what is embedded in it without a name,
// as package strict knows them.
func (b *builder) fields(s *jsonschema.Schema, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			b.fields(s, v.Field(i))
			continue
		}
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		p := b.schema(v.Field(i))
		if doc := b.describe(t, f, name); doc != "" {
			p.Description = doc
		}
		s.Properties[name] = p
		s.PropertyOrder = append(s.PropertyOrder, name)
		// Of others' types, which commands print, the loader misses nothing.
		if ours := b.docs.of(t).types != nil; ours && !strings.Contains(options, "omit") {
			s.Required = with(s.Required, name)
		}
	}
}

// describe returns what a field is for.
func (b *builder) describe(t reflect.Type, f reflect.StructField, name string) string {
	// Kubernetes' own types have their doc comments in them.
	if d, ok := reflect.Zero(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		return d.SwaggerDoc()[name]
	}
	return rename(b.docs.of(t).fields[t.Name()][f.Name], t)
}

var word = regexp.MustCompile(`\b[A-Z][A-Za-z]*\b`)

// rename writes the fields of a struct as the document does: maxRows for MaxRows.
func rename(doc string, t reflect.Type) string {
	names := map[string]string{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names[t.Field(i).Name] = name
		}
	}
	return word.ReplaceAllStringFunc(doc, func(w string) string {
		if name, ok := names[w]; ok {
			return name
		}
		return w
	})
}

// with adds names to a sorted list.
func with(names []string, more ...string) []string {
	set := map[string]bool{}
	for _, n := range append(slices.Clone(names), more...) {
		set[n] = true
	}
	return slices.Sorted(maps.Keys(set))
}
