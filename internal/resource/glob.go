package resource

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// expand returns the files that paths and patterns name, each once, in the
// order of the patterns and sorted within one. A path without a pattern is
// returned whether it exists or not, so that its absence is told.
func expand(globs []string) ([]string, []Problem) {
	var paths []string
	var problems []Problem
	seen := map[string]bool{}
	for _, glob := range globs {
		glob = filepath.Clean(glob)
		matches := []string{glob}
		if isPattern(glob) {
			var err error
			if matches, err = filepath.Glob(glob); err != nil {
				problems = append(problems, Problem{File: glob, Message: "is not a valid pattern"})
				continue
			}
			matches = slices.DeleteFunc(matches, func(m string) bool { return hidden(glob, m) || isDir(m) })
		}
		for _, m := range matches {
			if !seen[m] {
				seen[m] = true
				paths = append(paths, m)
			}
		}
	}
	return paths, problems
}

func isPattern(glob string) bool { return strings.ContainsAny(glob, `*?[\`) }

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// hidden says whether a match has an element that begins with a dot where the
// pattern's does not, as shells have it. It keeps out editors' lock files, and
// the ..data directories of a ConfigMap, which hold every file once more.
func hidden(glob, match string) bool {
	patterns, elements := strings.Split(glob, string(filepath.Separator)), strings.Split(match, string(filepath.Separator))
	for i := range elements {
		if strings.HasPrefix(elements[i], ".") && !(i < len(patterns) && strings.HasPrefix(patterns[i], ".")) {
			return true
		}
	}
	return false
}

// reason leaves out the operation and the path of a file system error.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
