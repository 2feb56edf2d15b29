package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// maxReference bounds a file that a ${file:…} reference reads: secrets and
// certificates are far smaller.
const maxReference = 1 << 20

// references resolves ${env:NAME}, ${file:PATH} and $$ in a value.
type references struct {
	dir  string // where relative paths start
	env  func(name string) (string, bool)
	file func(path string) ([]byte, error)

	// absent collects the messages about what is referred to and is not here; nil:
	// they are like any other.
	absent map[string]bool
}

// missing is an error about what is referred to and is not here.
func (r references) missing(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if r.absent != nil {
		r.absent[err.Error()] = true
	}
	return err
}

// expand returns text with its references resolved. What a reference brings in
// is not expanded again: a secret may hold a dollar sign.
func (r references) expand(text string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
			continue
		case !strings.HasPrefix(rest, "{"):
			b.WriteByte('$')
			text = rest
			continue
		}
		reference, after, closed := strings.Cut(rest[1:], "}")
		if !closed {
			return "", errors.New("has a reference without its closing brace; write $$ for a dollar sign")
		}
		value, err := r.resolve(reference)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = after
	}
}

func (r references) resolve(reference string) (string, error) {
	source, name, _ := strings.Cut(reference, ":")
	switch source {
	case "env":
		value, ok := r.env(name)
		if !ok {
			return "", r.missing("environment variable %q is not set", name)
		}
		return value, nil
	case "file":
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.dir, path)
		}
		content, err := r.file(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return "", r.missing("file %q does not exist", path)
			}
			return "", fmt.Errorf("file %q cannot be read: %w", path, unwrapPath(err))
		}
		if len(content) > maxReference {
			return "", fmt.Errorf("file %q must not be larger than 1MiB", path)
		}
		value := strings.TrimSuffix(string(content), "\n")
		return strings.TrimSuffix(value, "\r"), nil
	}
	// Not quoted: it may be a part of a secret that was written in plain.
	return "", errors.New("has an unknown reference, want ${env:NAME} or ${file:PATH}; write $$ for a dollar sign")
}

// unwrapPath leaves out the path that an fs.PathError repeats.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
