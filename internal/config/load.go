package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

// Load reads the configuration file at path: defaults, then the file, then
// Validate. The error is strict.Problems, every problem the file has.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text)
}

// LoadOffline is Load for those who connect to nothing: that an environment
// variable or a file which a value refers to is not here is no problem. The value is
// then what it is by default.
func LoadOffline(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, text, map[string]bool{})
}

// Parse is Load of a text that was read from path.
func Parse(path string, text []byte) (*Config, error) { return parse(path, text, nil) }

// parse leaves out the problems whose message gets into absent.
func parse(path string, text []byte, absent map[string]bool) (*Config, error) {
	docs, problems := strict.Parse(path, text)
	if len(problems) > 0 {
		return nil, problems
	}
	switch len(docs) {
	case 0:
		return nil, strict.Problems{{File: path, Message: "is empty, want at least kusto and exporters"}}
	case 1:
	default:
		return nil, strict.Problems{docs[1].Problem("", "must be the only document of its file, which has %d", len(docs))}
	}
	c := Default()
	c.doc = docs[0]
	references := references{dir: filepath.Dir(path), env: os.LookupEnv, file: readReference, absent: absent}
	problems = c.doc.Decode(c, strict.Options{Expand: references.expand})
	problems = append(problems, c.problems(problems)...)
	problems = slices.DeleteFunc(problems, func(p Problem) bool { return absent[p.Message] })
	problems.Sort()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// readReference reads at most one byte more than a reference may have.
func readReference(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxReference+1))
}
