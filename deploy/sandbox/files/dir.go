package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Load reads every table of a directory, which is laid out as the package comment says. Hidden files and
// *.md are passed over; any other file that is no table is an error.
func Load(dir string) (*Data, error) {
	l := &loader{dir: dir, data: &Data{}, schemas: map[string]table.Schema{}}
	info, err := os.Stat(dir)
	var p *fs.PathError
	if errors.As(err, &p) {
		return nil, fmt.Errorf("%s: %w", dir, p.Err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: must be a directory", dir)
	}
	var tables []string
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
		case e.IsDir() || path.Ext(name) == ".md":
		case strings.Count(name, "/") > 2:
			l.fail(name, errors.New("is too deep: a table is <Table>, <Database>/<Table> or <cluster>/<Database>/<Table>"))
		case path.Ext(name) == ".schema":
			l.schema(name)
		case path.Ext(name) == ".csv" || path.Ext(name) == ".ndjson":
			tables = append(tables, name)
		default:
			l.fail(name, errors.New("must be .csv, .ndjson or .schema"))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range tables {
		l.table(name)
	}
	for _, name := range tables {
		if path.Ext(name) == ".ndjson" {
			delete(l.schemas, stem(name))
		}
	}
	for name := range l.schemas {
		l.fail(name+".schema", fmt.Errorf("there is no %s.ndjson beside it", path.Base(name)))
	}
	if len(tables) == 0 && l.errs == nil {
		return nil, fmt.Errorf("%s: has no <Table>.csv and no <Table>.ndjson", dir)
	}
	if l.errs != nil {
		return nil, l.errs
	}
	return l.data, nil
}

// loader is one Load.
type loader struct {
	dir     string
	data    *Data
	schemas map[string]table.Schema // by path without extension; nil when it is wrong
	errs    Errors
}

func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

func (l *loader) schema(name string) {
	l.schemas[stem(name)] = nil
	f, err := os.Open(l.file(name))
	if err != nil {
		l.fail(name, err)
		return
	}
	defer f.Close()
	s, err := Schema(f, l.file(name))
	if err != nil {
		l.fail(name, err)
		return
	}
	l.schemas[stem(name)] = s
}

func (l *loader) table(name string) {
	f, err := os.Open(l.file(name))
	if err != nil {
		l.fail(name, err)
		return
	}
	defer f.Close()
	var t *table.Table
	if path.Ext(name) == ".csv" {
		t, err = CSV(f, l.file(name), path.Base(stem(name)))
	} else {
		s, given := l.schemas[stem(name)]
		if given && s == nil {
			return // which is a mistake already
		}
		t, err = NDJSON(f, l.file(name), path.Base(stem(name)), s)
	}
	if err == nil {
		cluster, database := "", DefaultDatabase
		switch parts := strings.Split(name, "/"); len(parts) {
		case 3:
			cluster, database = parts[0], parts[1]
		case 2:
			database = parts[0]
		}
		err = l.data.Add(cluster, database, t)
	}
	if err != nil {
		l.fail(name, err)
	}
}

// file is the path as the user would write it.
func (l *loader) file(name string) string { return filepath.Join(l.dir, filepath.FromSlash(name)) }

// fail notes what is wrong with a file.
func (l *loader) fail(name string, err error) {
	var list Errors
	if errors.As(err, &list) {
		l.errs = append(l.errs, list...)
		return
	}
	// Errors of the file system, and of the readers, may name the file already.
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	l.errs = append(l.errs, &Error{File: l.file(name), Message: strings.TrimPrefix(err.Error(), l.file(name)+": ")})
}
