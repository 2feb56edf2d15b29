package resource

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/internal/criteria"
	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Load reads every file that the paths and patterns name, once. The documents
// it returns are valid; the problems are all there are with the rest.
func Load(globs []string, check Context) ([]Document, []Problem) {
	paths, problems := expand(globs)
	files := make([]file, 0, len(paths))
	for _, path := range paths {
		files = append(files, readFile(path, check))
	}
	set, _ := gather(files, problems)
	return set.Documents, set.Problems
}

// Parse reads the documents of one text, as Load does those of a file.
func Parse(path string, text []byte, check Context) ([]Document, []Problem) {
	set, _ := gather([]file{parseFile(path, text, check)}, nil)
	return set.Documents, set.Problems
}

// A file is what one file declares.
type file struct {
	path      string
	documents []Document // valid
	invalid   []string   // keys of documents that are not valid
	// unknown says that the file is unreadable, or that a document in it cannot
	// tell its name: what it declared earlier may still be meant.
	unknown  bool
	problems []Problem
}

func readFile(path string, check Context) file {
	text, err := readBounded(path)
	if err != nil {
		return unreadable(path, err)
	}
	return parseFile(path, text, check)
}

// unreadable is a file that says nothing: one that is not there declares
// nothing, of any other it is not known what it declares.
func unreadable(path string, err error) file {
	if errors.Is(err, fs.ErrNotExist) {
		return file{path: path, problems: []Problem{{File: path, Message: "does not exist"}}}
	}
	return file{path: path, unknown: true, problems: []Problem{{File: path, Message: "cannot be read: " + reason(err)}}}
}

// readBounded reads a file but not more than a Document may have, and a
// directory not at all.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	// It may have grown since; Parse refuses what is too large.
	return io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
}

func parseFile(path string, text []byte, check Context) file {
	f := file{path: path}
	sources, problems := strict.Parse(path, text)
	f.problems = problems
	f.unknown = len(problems) > 0
	for _, source := range sources {
		if isTest(source) {
			continue
		}
		m, problems := decode(source, check)
		if len(problems) > 0 {
			f.problems = append(f.problems, problems...)
			if m.Name == "" {
				f.unknown = true
			} else {
				f.invalid = append(f.invalid, m.Key())
			}
			continue
		}
		d, err := compile(source, m)
		if err != nil {
			f.problems = append(f.problems, source.Problem("spec", "%s", err))
			f.invalid = append(f.invalid, m.Key())
			continue
		}
		f.documents = append(f.documents, d)
	}
	strict.Problems(f.problems).Sort()
	return f
}

// isTest says whether a document holds tests, which may lie beside what they test
// and are for `kusto2otlp test` to read. A name would say less: one who calls a
// MetricsExporter x.test.yaml wants it to run.
func isTest(source *strict.Document) bool {
	var head struct {
		Kind string `json:"kind"`
	}
	_ = source.Decode(&head, strict.Options{}) // of which all other fields are unknown
	return head.Kind == schemas.TestKind
}

// decode decodes, defaults and validates one document. What it returns beside
// problems is only good for its name.
func decode(source *strict.Document, check Context) (*schemas.MetricsExporter, []Problem) {
	m := new(schemas.MetricsExporter)
	problems := source.Decode(m, strict.Options{})
	if kind := kindProblems(source, m); len(kind) > 0 {
		// Of another kind of resource nothing else could be right.
		return m, kind
	}
	SetDefaults(m)
	return m, merge(problems, validate(source, m, check))
}

func kindProblems(source *strict.Document, m *schemas.MetricsExporter) []Problem {
	var problems []Problem
	for _, f := range []struct{ field, got, want string }{
		{"apiVersion", m.APIVersion, schemas.APIVersion},
		{"kind", m.Kind, schemas.Kind},
	} {
		switch f.got {
		case f.want:
		case "":
			problems = append(problems, source.Problem(f.field, "is needed, and must be %q", f.want))
		default:
			problems = append(problems, source.Problem(f.field, "must be %q, got %q", f.want, f.got))
		}
	}
	return problems
}

// merge adds to the problems of decoding those of validation, except for
// fields that could not be decoded, whose value is not what the text says.
func merge(decoding strict.Problems, validation []Problem) []Problem {
	problems := []Problem(slices.Clone(decoding))
	for _, p := range validation {
		if !decoding.Cover(p.Field) {
			problems = append(problems, p)
		}
	}
	return problems
}

// compile makes a Document of a MetricsExporter that is valid.
func compile(source *strict.Document, m *schemas.MetricsExporter) (Document, error) {
	g, err := grid.New(m.Spec)
	if err != nil {
		return Document{}, err
	}
	c, err := criteria.New(m.Spec.Criteria, m.Spec.CriteriaExpression)
	if err != nil {
		return Document{}, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return Document{}, err
	}
	line, _ := source.Position("")
	return Document{
		MetricsExporter: m, Grid: g, Criteria: c,
		File: source.File, Number: source.Number, Line: line,
		Source: source, fingerprint: string(text),
	}, nil
}

// gather makes a set of what the files declare. Of documents with the same key
// the first counts. It also returns the set's documents by key.
func gather(files []file, problems []Problem) (Set, map[string]Document) {
	set := Set{Problems: slices.Clone(problems)}
	byKey := map[string]Document{}
	for _, f := range files {
		found := slices.Clone(f.problems)
		for _, d := range f.documents {
			if first, taken := byKey[d.Key()]; taken {
				found = append(found, d.Source.Problem("metadata.name", "%q is already declared at %s:%d (document %d)",
					d.Key(), first.File, first.Line, first.Number))
				continue
			}
			byKey[d.Key()] = d
			set.Documents = append(set.Documents, d)
		}
		strict.Problems(found).Sort()
		set.Problems = append(set.Problems, found...)
	}
	slices.SortFunc(set.Documents, func(a, b Document) int { return cmp.Compare(a.Key(), b.Key()) })
	return set, byKey
}
