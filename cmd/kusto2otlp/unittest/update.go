package unittest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Update writes what came of the tests into the file as what is expected, and says
// how many tests that changed. Everything but their expect stays as it is, byte by
// byte; within it, points that are still there keep their place and comments. A test
// that failed with an error keeps its expectation, unless that is an error.
func (f *File) Update(outcomes []*Outcome) (int, error) {
	text, changed := f.text, 0
	// The last first: the lines before it stay where they are.
	ordered := slices.Clone(outcomes)
	slices.SortFunc(ordered, func(a, b *Outcome) int { return b.Test.index - a.Test.index })
	for _, o := range ordered {
		if o.Passed() || o.Err != nil && o.Test.spec.Expect.Error == "" {
			continue
		}
		var err error
		if text, err = f.splice(text, o); err != nil {
			return 0, fmt.Errorf("%s:%d: %s: %w", f.Path, o.Test.Line, o.Test.Name, err)
		}
		changed++
	}
	if changed == 0 {
		return 0, nil
	}
	if err := f.verify(text, outcomes); err != nil {
		return 0, fmt.Errorf("%s: cannot be written by --update: %w", f.Path, err)
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return 0, err
	}
	return changed, os.WriteFile(f.Path, text, info.Mode().Perm())
}

// splice puts a test's new expect into the text.
func (f *File) splice(text []byte, o *Outcome) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	_, tests := field(root.Content[0], "tests")
	if tests == nil || tests.Kind != yaml.SequenceNode || o.Test.index >= len(tests.Content) {
		return nil, fmt.Errorf("tests must be a list that is written out")
	}
	test := tests.Content[o.Test.index]
	if test.Kind != yaml.MappingNode || test.Style&yaml.FlowStyle != 0 {
		return nil, fmt.Errorf("must be written in lines, one for each key, and not in braces")
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	key, old := field(test, "expect")
	block, err := o.expect(key, old)
	if err != nil {
		return nil, err
	}
	indent := test.Column - 1
	var from, to int // the lines that the block replaces
	var first string // what stands before its first line
	if key != nil {
		from = key.Line - 1
		first = string(lines[from][:key.Column-1])
		to = end(lines, from+1, indent+1)
	} else {
		from = end(lines, test.Line, indent)
		to = from
		first = strings.Repeat(" ", indent)
	}
	newline := "\n"
	if bytes.HasSuffix(lines[0], []byte("\r\n")) {
		newline = "\r\n"
	}
	var out bytes.Buffer
	out.Write(bytes.Join(lines[:from], nil))
	if from > 0 && !bytes.HasSuffix(lines[from-1], []byte("\n")) {
		out.WriteString(newline)
	}
	for i, line := range strings.Split(strings.TrimSuffix(block, "\n"), "\n") {
		if i > 0 && line != "" {
			first = strings.Repeat(" ", indent)
		}
		out.WriteString(first + line + newline)
		first = ""
	}
	out.Write(bytes.Join(lines[to:], nil))
	return out.Bytes(), nil
}

// end returns where a block ends whose lines, from the line given, have at least so
// many spaces before them. Empty lines at its end are not part of it.
func end(lines [][]byte, from, indent int) int {
	last := from
	for i := from; i < len(lines); i++ {
		trimmed := bytes.TrimLeft(lines[i], " ")
		if len(bytes.TrimSpace(trimmed)) == 0 {
			continue
		}
		if len(lines[i])-len(trimmed) < indent {
			break
		}
		last = i + 1
	}
	return last
}

// field returns a key of a mapping and its value; nil when it is not there.
func field(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// quotedTime is a time in the quotes that the YAML library gives it within braces.
var quotedTime = regexp.MustCompile(`\btime: '(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))'`)

// expect returns the text of a new expect, made of the old one.
func (o *Outcome) expect(key, old *yaml.Node) (string, error) {
	if old == nil || old.Kind != yaml.MappingNode {
		old = &yaml.Node{Kind: yaml.MappingNode}
	}
	old.Style &^= yaml.FlowStyle
	if o.Err != nil {
		drop(old, "points")
		drop(old, "rejected")
		set(old, "error", scalar(o.Err.Error()))
	} else {
		drop(old, "error")
		_, points := field(old, "points")
		set(old, "points", o.pointNodes(points))
		drop(old, "rejected")
		if len(o.rejected) > 0 {
			set(old, "rejected", counts(o.rejected))
		}
	}
	name := scalar("expect")
	if key != nil {
		name.LineComment = key.LineComment // what stands above it is no part of the block
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{name, old}})
	return quotedTime.ReplaceAllString(b.String(), "time: $1"), err
}

// pointNodes returns the points that there are: those that were expected first, with
// their comments.
func (o *Outcome) pointNodes(old *yaml.Node) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	want := o.Test.spec.Expect.Points
	if old != nil && old.Kind == yaml.SequenceNode && len(old.Content) == len(want) {
		list.HeadComment, list.LineComment, list.FootComment = old.HeadComment, old.LineComment, old.FootComment
	} else {
		old, want = nil, nil
	}
	got := map[string]Point{}
	for _, p := range o.points {
		got[p.key()] = p
	}
	for i, e := range want {
		w := expected(e)
		p, ok := got[w.key()]
		if !ok {
			continue
		}
		delete(got, w.key())
		node := old.Content[i]
		switch _, value := field(node, "value"); {
		case p.Value.Equal(w.Value):
		case value != nil && value.Kind == yaml.ScalarNode:
			value.Value, value.Tag, value.Style = p.Value.String(), "", 0
		default:
			node = pointNode(p)
		}
		list.Content = append(list.Content, node)
	}
	for _, p := range o.points {
		if _, ok := got[p.key()]; ok {
			list.Content = append(list.Content, pointNode(p))
		}
	}
	if len(list.Content) == 0 {
		list.Style = yaml.FlowStyle
	}
	return list
}

// pointNode is a point on one line.
func pointNode(p Point) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	set(n, "name", scalar(p.Name))
	if len(p.Labels) > 0 {
		labels := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for _, l := range p.Labels {
			labels.Content = append(labels.Content, scalar(l.Name), scalar(l.Value))
		}
		set(n, "labels", labels)
	}
	set(n, "time", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: p.Time.UTC().Format(time.RFC3339Nano)})
	set(n, "value", &yaml.Node{Kind: yaml.ScalarNode, Value: p.Value.String()})
	return n
}

func counts(m map[string]uint64) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, reason := range slices.Sorted(maps.Keys(m)) {
		set(n, reason, &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(m[reason])})
	}
	return n
}

// scalar is a string, in quotes where YAML would read something else.
func scalar(s string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(s)
	if n.Style == yaml.LiteralStyle {
		n.Style = yaml.DoubleQuotedStyle // which also fits into braces
	}
	return n
}

// set sets a key of a mapping to a value.
func set(mapping *yaml.Node, name string, value *yaml.Node) {
	if key, old := field(mapping, name); key != nil {
		value.HeadComment, value.LineComment = old.HeadComment, old.LineComment
		*old = *value
		return
	}
	mapping.Content = append(mapping.Content, scalar(name), value)
}

// drop takes a key out of a mapping.
func drop(mapping *yaml.Node, name string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

// verify refuses a new text that says anything else than the old one and what came
// of the tests.
func (f *File) verify(text []byte, outcomes []*Outcome) error {
	docs, problems := strict.Parse(f.Path, text)
	if len(problems) > 0 || len(docs) != 1 {
		return fmt.Errorf("it would not be a document any more: %w", problems)
	}
	before, after := new(schemas.MetricsTest), new(schemas.MetricsTest)
	if problems := docs[0].Decode(after, strict.Options{}); len(problems) > 0 {
		return problems
	}
	if problems := f.doc.Decode(before, strict.Options{}); len(problems) > 0 {
		return problems
	}
	if len(after.Tests) != len(before.Tests) {
		return fmt.Errorf("it would have %d tests, not %d", len(after.Tests), len(before.Tests))
	}
	for _, o := range outcomes {
		if o.Err != nil && o.Test.spec.Expect.Error == "" {
			continue
		}
		again := &Outcome{Test: &Test{spec: o.Test.spec, Expected: true}, Err: o.Err, points: o.points, rejected: o.rejected}
		if again.compare(after.Tests[o.Test.index].Expect); !again.Passed() {
			return fmt.Errorf("test %q would fail: %s", o.Test.Name, strings.Join(again.Lines(), "; "))
		}
		after.Tests[o.Test.index].Expect = before.Tests[o.Test.index].Expect
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("more than the expectations would change")
	}
	return nil
}
