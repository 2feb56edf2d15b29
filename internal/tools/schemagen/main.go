// Command schemagen writes the JSON Schemas of what users write, for editors to
// complete and check by: `go run ./internal/tools/schemagen`, from anywhere in the
// repository.
//
// What arrives are Go types and their doc comments; what leaves are the files
// schemas/*.schema.json, draft 2020-12. Nothing in them is written by hand, so what a
// field is called, is for and may be is said once, where it is declared.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// base is where the schemas are published.
const base = "https://raw.githubusercontent.com/kusto2otlp/kusto2otlp/main/schemas/"

// document is one schema.
type document struct {
	file, title string
	make        func(*docs) *jsonschema.Schema
}

var documents = []document{
	{"metricsexporter.schema.json", "MetricsExporter", func(d *docs) *jsonschema.Schema {
		b := &builder{docs: d}
		s := b.schema(reflect.ValueOf(schemas.MetricsExporter{}))
		head(s, schemas.APIVersion, schemas.Kind)
		metadata := s.Properties["metadata"]
		metadata.Required = append(metadata.Required, "name")
		return s
	}},
	{"metricstest.schema.json", "MetricsTest", func(d *docs) *jsonschema.Schema {
		b := &builder{docs: d}
		s := b.schema(reflect.ValueOf(schemas.MetricsTest{}))
		head(s, schemas.APIVersion, schemas.TestKind)
		return s
	}},
	{"pipeline.schema.json", "pipeline.yaml", func(d *docs) *jsonschema.Schema {
		b := &builder{docs: d, references: true}
		s := b.schema(reflect.ValueOf(*config.Default()))
		s.Defs = map[string]*jsonschema.Schema{"reference": {
			Type: "string", Pattern: `\$`, Description: "A value with ${env:NAME} or ${file:PATH} in it.",
		}}
		return s
	}},
}

// head makes apiVersion and kind what they must be.
func head(s *jsonschema.Schema, apiVersion, kind string) {
	for name, value := range map[string]string{"apiVersion": apiVersion, "kind": kind} {
		s.Properties[name] = &jsonschema.Schema{Const: jsonschema.Ptr[any](value), Description: s.Properties[name].Description}
	}
	s.Required = with(s.Required, "apiVersion", "kind")
}

// encode returns the text of a schema's file.
func (doc document) encode(d *docs) ([]byte, error) {
	s := doc.make(d)
	if d.err != nil {
		return nil, d.err
	}
	s.Schema, s.ID, s.Title = "https://json-schema.org/draft/2020-12/schema", base+doc.file, doc.title
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// root returns the directory of the module that the working directory is in.
func root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		err = fmt.Errorf("there is no go.mod in the working directory or above it")
	}
	return "", err
}

func run() error {
	dir, err := root()
	if err != nil {
		return err
	}
	d := newDocs(dir)
	for _, doc := range documents {
		text, err := doc.encode(d)
		if err != nil {
			return fmt.Errorf("%s: %w", doc.file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "schemas", doc.file), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}
