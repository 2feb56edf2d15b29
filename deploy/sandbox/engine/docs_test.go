package engine

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the lists of docs/sandbox.md")

// operatorNames are the operators of the map, as they are written.
var operatorNames = map[string]string{
	"Add": "+", "Subtract": "-", "Multiply": "*", "Divide": "/", "Modulo": "%", "UnaryMinus": "-x", "UnaryPlus": "+x",
	"Equal": "==", "NotEqual": "!=", "LessThan": "<", "LessThanOrEqual": "<=", "GreaterThan": ">", "GreaterThanOrEqual": ">=",
	"EqualTilde": "=~", "BangTilde": "!~", "And": "and", "Or": "or", "Between": "between", "NotBetween": "!between",
	"In": "in~", "NotIn": "!in~", "InCs": "in", "NotInCs": "!in", "HasAny": "has_any", "HasAll": "has_all", "MatchesRegex": "matches regex",
	"Contains": "contains", "ContainsCs": "contains_cs", "NotContains": "!contains", "NotContainsCs": "!contains_cs",
	"StartsWith": "startswith", "StartsWithCs": "startswith_cs", "NotStartsWith": "!startswith", "NotStartsWithCs": "!startswith_cs",
	"EndsWith": "endswith", "EndsWithCs": "endswith_cs", "NotEndsWith": "!endswith", "NotEndsWithCs": "!endswith_cs",
	"Has": "has", "HasCs": "has_cs", "NotHas": "!has", "NotHasCs": "!has_cs",
	"HasPrefix": "hasprefix", "HasPrefixCs": "hasprefix_cs", "NotHasPrefix": "!hasprefix", "NotHasPrefixCs": "!hasprefix_cs",
	"HasSuffix": "hassuffix", "HasSuffixCs": "hassuffix_cs", "NotHasSuffix": "!hassuffix", "NotHasSuffixCs": "!hassuffix_cs",
}

// tabularNames are the tabular operators and functions of the maps, as they are written; what has no name is empty.
var tabularNames = map[string]string{
	"Filter": "where", "Sort": "sort", "Take": "take", "Top": "top", "Extend": "extend", "Project": "project",
	"ProjectAway": "project-away", "ProjectKeep": "project-keep", "ProjectReorder": "project-reorder", "ProjectRename": "project-rename",
	"Summarize": "summarize", "Distinct": "distinct", "Count": "count", "Union": "union", "Join": "join", "Lookup": "lookup",
	"MvExpand": "mv-expand", "MvApply": "mv-apply", "Parse": "parse", "ParseWhere": "parse-where", "MakeSeries": "make-series",
	"Serialize": "serialize", "Render": "render", "As": "as", "Invoke": "invoke", "GetSchema": "getschema", "Range": "range",
	"Print": "print", "DataTable": "datatable", "Materialize": "materialize()",
	"NameReference": "", "Path": "", "FunctionCall": "", "Parenthesized": "", // tables by name, calls and brackets
}

// tabular is what stands in a pipe.
func tabular(t *testing.T) []string {
	kinds := slices.Concat(slices.Collect(maps.Keys(pipes)), slices.Collect(maps.Keys(combinations)), slices.Collect(maps.Keys(sources)))
	seen := map[string]bool{}
	for _, kind := range kinds {
		name, ok := tabularNames[strings.TrimSuffix(strings.TrimSuffix(kind, "Operator"), "Expression")]
		if !ok {
			t.Errorf("%s has no name here", kind)
		}
		if name != "" {
			seen[name] = true
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// TestDocs: docs/sandbox.md lists what the maps have, no more and no less.
func TestDocs(t *testing.T) {
	const path = "../../../docs/sandbox.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for kind := range operators {
		name, ok := operatorNames[strings.TrimSuffix(kind, "Expression")]
		if !ok {
			t.Errorf("operator %s has no name here", kind)
		}
		ops = append(ops, name)
	}
	doc := string(text)
	for section, names := range map[string][]string{
		"tabular operators": tabular(t), "window functions": slices.Collect(maps.Keys(windows)),
		"scalar operators": ops, "scalar functions": slices.Collect(maps.Keys(functions)),
		"scalar aggregates": slices.Concat(slices.Collect(maps.Keys(aggregates)), slices.Collect(maps.Keys(tuples))),
	} {
		begin, end := fmt.Sprintf("<!-- begin %s -->\n", section), fmt.Sprintf("<!-- end %s -->", section)
		before, rest, ok1 := strings.Cut(doc, begin)
		list, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no place for the %s", path, section)
		}
		want := listing(names)
		if list != want && !*update {
			t.Errorf("%s: the list of %s is not that of the code; run go test ./deploy/sandbox/engine -run TestDocs -update\n got %s\nwant %s", path, section, list, want)
		}
		doc = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// listing is the names in order, as code, in lines of about a hundred characters.
func listing(names []string) string {
	slices.Sort(names)
	var b strings.Builder
	width := 0
	for i, name := range names {
		item := "`" + name + "`"
		if i < len(names)-1 {
			item += ","
		}
		if width > 0 && width+1+len(item) > 100 {
			b.WriteByte('\n')
			width = 0
		}
		if width > 0 {
			b.WriteByte(' ')
			width++
		}
		b.WriteString(item)
		width += len(item)
	}
	return b.String() + "\n"
}

// TestTested: every function and aggregate is called in a test of values.
func TestTested(t *testing.T) {
	called := make(map[string]bool)
	call := regexp.MustCompile(`(\w+)\(`)
	for _, path := range []string{"testdata/functions.txt", "testdata/corpus.txt", "engine_test.go", "aggregate_test.go"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllSubmatch(text, -1) {
			called[string(m[1])] = true
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(functions)), slices.Collect(maps.Keys(aggregates)), slices.Collect(maps.Keys(tuples))) {
		if !called[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}
