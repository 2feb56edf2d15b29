package engine

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Dynamic values are JSON text. These take it apart and put it together again; what they do not look into
// stays as it is written.

// elements are those of an array, ok is false for what is none.
func elements(text string) (a []string, ok bool) {
	var raw []json.RawMessage
	if !strings.HasPrefix(text, "[") || json.Unmarshal([]byte(text), &raw) != nil {
		return nil, false
	}
	a = make([]string, len(raw))
	for i, r := range raw {
		a[i] = string(r)
	}
	return a, true
}

// array is the JSON array of elements.
func array(elements []string) string { return "[" + strings.Join(elements, ",") + "]" }

// member is a property of an object.
type member struct{ name, value string }

// members are those of an object, in order; of two with a name the last one's value counts, in the place of the first.
func members(text string) ([]member, bool) {
	if !strings.HasPrefix(text, "{") {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	b := newBag()
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, false
		}
		b.set(name.(string), string(value))
	}
	return b.members, true
}

// bag is an object being made.
type bag struct {
	members []member
	index   map[string]int
}

func newBag() *bag { return &bag{index: make(map[string]int)} }

// set gives a property its value.
func (b *bag) set(name, value string) {
	if i, ok := b.index[name]; ok {
		b.members[i].value = value
		return
	}
	b.index[name] = len(b.members)
	b.members = append(b.members, member{name, value})
}

// add is set for a property that is not there yet.
func (b *bag) add(name, value string) {
	if _, ok := b.index[name]; !ok {
		b.set(name, value)
	}
}

func (b *bag) text() string { return object(b.members) }

// object is the JSON of members.
func object(ms []member) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(m.name))
		b.WriteByte(':')
		b.WriteString(m.value)
	}
	b.WriteByte('}')
	return b.String()
}

// textElement is the content of a JSON string.
func textElement(text string) (string, bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", false
	}
	var s string
	err := json.Unmarshal([]byte(text), &s)
	return s, err == nil
}

// numberElement is the value of a JSON number.
func numberElement(text string) (float64, bool) {
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// sameElement tells whether two JSON values are equal: numbers by value, the rest as written.
func sameElement(a, b string) bool { return a == b || elementKey(a) == elementKey(b) }

// elementKey is the same for values that are equal.
func elementKey(text string) string {
	if _, ok := parseInteger(text); ok {
		return text
	}
	if f, ok := numberElement(text); ok {
		if i := int64(f); float64(i) == f && i > -1<<53 && i < 1<<53 {
			return strconv.FormatInt(i, 10)
		}
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	if s, ok := textElement(text); ok {
		return quote(s)
	}
	return text
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
	if text == "null" {
		return ""
	}
	if s, ok := textElement(text); ok {
		return s
	}
	return text
}

func formatInteger(i int64) string { return strconv.FormatInt(i, 10) }
