package unittest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// File is a file of tests that is valid.
type File struct {
	// Path as it was given to Load.
	Path string
	// Tests in the order of the file.
	Tests []*Test

	text []byte
	doc  *strict.Document
	spec *schemas.MetricsTest
}

// Test is one test, ready to run.
type Test struct {
	File *File
	Name string
	// Line of the file where it begins.
	Line int
	// Expected says that the file has an expect for it.
	Expected bool

	index           int
	spec            *schemas.MetricsTestCase
	metricsExporter resource.Document
	labels          map[string]string
	tables          map[string]tableAt
}

// tableAt is a table and the field that declares it.
type tableAt struct {
	schemas.MetricsTestTable
	field string
}

// Load reads a file of tests. The error is strict.Problems where the file says what
// it must not.
func Load(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

func parse(path string, text []byte) (*File, error) {
	docs, problems := strict.Parse(path, text)
	if len(problems) > 0 {
		return nil, problems
	}
	switch len(docs) {
	case 0:
		return nil, strict.Problems{{File: path, Message: "is empty, want tests"}}
	case 1:
	default:
		return nil, strict.Problems{docs[1].Problem("", "must be the only document of its file, which has %d", len(docs))}
	}
	f := &File{Path: path, text: text, doc: docs[0], spec: new(schemas.MetricsTest)}
	decoding := f.doc.Decode(f.spec, strict.Options{})
	c := &checker{doc: f.doc, spec: f.spec}
	c.check()
	problems = decoding
	for _, p := range c.problems {
		if !decoding.Cover(p.Field) {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		problems.Sort()
		return nil, problems
	}
	m, err := f.metricsExporter()
	if err != nil {
		return nil, err
	}
	for i := range f.spec.Tests {
		f.Tests = append(f.Tests, f.test(i, m))
	}
	return f, nil
}

// test fills in what a test takes from its file and from what it tests.
func (f *File) test(i int, m resource.Document) *Test {
	s := &f.spec.Tests[i]
	field := fmt.Sprintf("tests[%d]", i)
	t := &Test{
		File: f, Name: s.Name, index: i, spec: s, metricsExporter: m,
		Expected: f.doc.Has(field + ".expect"),
		labels:   maps.Clone(f.spec.Labels), tables: map[string]tableAt{},
	}
	t.Line, _ = f.doc.Position(field)
	if t.labels == nil {
		t.labels = map[string]string{}
	}
	maps.Copy(t.labels, s.Labels)
	for _, from := range []struct {
		field  string
		tables map[string]schemas.MetricsTestTable
	}{{"tables", f.spec.Tables}, {field + ".tables", s.Tables}} {
		for name, table := range from.tables {
			t.tables[name] = tableAt{table, strict.Join(from.field, name)}
		}
	}
	if s.Window.End.IsZero() {
		s.Window.End = m.Grid.Next(s.Window.Start)
	}
	if s.Now.IsZero() {
		s.Now = s.Window.End.Add(m.MetricsExporter.Spec.IngestionDelay.Duration)
	}
	return t
}

// metricsExporter finds what is tested.
func (f *File) metricsExporter() (resource.Document, error) {
	file, name, _ := strings.Cut(f.spec.MetricsExporter, "#")
	problem := func(format string, args ...any) (resource.Document, error) {
		return resource.Document{}, strict.Problems{f.doc.Problem("metricsExporter", format, args...)}
	}
	if f.spec.MetricsExporter == "" {
		for _, s := range suffixes {
			if stem, ok := strings.CutSuffix(filepath.Base(f.Path), s); ok {
				file = stem + filepath.Ext(f.Path)
			}
		}
		if file == "" {
			return problem("is needed: the file is not named x%s, for x.yaml", suffixes[0])
		}
	}
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(f.Path), path)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return problem("there is no file %q", path)
	}
	if err != nil {
		return problem("%s", err)
	}
	documents, problems := resource.Parse(path, text, resource.Context{})
	var names []string
	for _, d := range documents {
		m := d.MetricsExporter
		if name == "" && len(documents) == 1 && len(problems) == 0 || name == m.Name || name == m.Key() {
			return d, nil
		}
		names = append(names, m.Key())
	}
	switch {
	case len(problems) > 0:
		return resource.Document{}, strict.Problems(problems)
	case len(names) == 0:
		return problem("%q has no MetricsExporter", path)
	case name == "":
		return problem("%q has several MetricsExporters, want %s#name with one of %s", path, file, strings.Join(names, ", "))
	}
	return problem("%q has no MetricsExporter %q; it has %s", path, name, strings.Join(names, ", "))
}
