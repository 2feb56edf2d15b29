package unittest

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// suffixes are what the names of files with tests end in.
var suffixes = []string{".test.yaml", ".test.yml"}

// Find returns the files with tests that paths name, sorted: a file whatever its name
// is, and of a directory, and those in it, every *.test.yaml and *.test.yml. Hidden
// directories are passed over. It is an error when a path has none.
func Find(paths []string) ([]string, error) {
	var found []string
	for _, path := range paths {
		n := len(found)
		err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && name != path && strings.HasPrefix(e.Name(), "."):
				return fs.SkipDir
			case e.IsDir():
			case name == path || hasSuffix(name):
				found = append(found, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(found) == n {
			return nil, fmt.Errorf("%s has no test: no file in it ends in %s", path, strings.Join(suffixes, " or "))
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func hasSuffix(name string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}
