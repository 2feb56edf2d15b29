package resource

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Found is a file that somebody named.
type Found struct {
	Path string
	// Walked says that it was found in a directory: it need not be meant to have
	// MetricsExporters.
	Walked bool
}

// extensions are those of the files that a directory is searched for.
var extensions = []string{".yaml", ".yml", ".json"}

// Find returns the files that names stand for, each once: a file, the files of a
// pattern as Load has it, or every .yaml, .yml and .json file in a directory and
// below, hidden ones left out. A name that stands for no file is a problem.
func Find(names []string) ([]Found, []Problem) {
	var found []Found
	var problems []Problem
	seen := map[string]bool{}
	add := func(path string, walked bool) {
		key, err := filepath.Abs(path)
		if err != nil {
			key = path
		}
		if !seen[key] {
			seen[key] = true
			found = append(found, Found{path, walked})
		}
	}
	for _, name := range names {
		name = filepath.Clean(name)
		info, err := os.Stat(name)
		switch {
		case err == nil && info.IsDir():
			paths, err := walk(name)
			switch {
			case err != nil:
				problems = append(problems, Problem{File: name, Message: "cannot be read: " + reason(err)})
			case len(paths) == 0:
				problems = append(problems, Problem{File: name, Message: "has no " + strings.Join(extensions, ", ") + " file"})
			}
			for _, p := range paths {
				add(p, true)
			}
		case err == nil:
			add(name, false)
		case !isPattern(name):
			problems = append(problems, unreadable(name, err).problems...)
		default:
			paths, more := expand([]string{name})
			if len(paths)+len(more) == 0 {
				more = []Problem{{File: name, Message: "matches no file"}}
			}
			problems = append(problems, more...)
			for _, p := range paths {
				add(p, false)
			}
		}
	}
	return found, problems
}

func walk(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return filepath.SkipDir
			}
		case slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) && !isDir(path):
			paths = append(paths, path)
		}
		return nil
	})
	return paths, err
}
