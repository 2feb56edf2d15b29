package unittest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/files"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// tableName is where a table is.
type tableName struct{ cluster, database, name string }

var (
	clusterName  = regexp.MustCompile(`^cluster\(['"]([^'"]+)['"]\)\.database\(['"]([^'"]+)['"]\)\.([^.]+)$`)
	databaseName = regexp.MustCompile(`^database\(['"]([^'"]+)['"]\)\.([^.]+)$`)
)

// parseTableName reads Table, Database.Table, database('x').Table or
// cluster('x').database('y').Table. A table that names no database is in the one given.
func parseTableName(text, database string) (tableName, error) {
	if m := clusterName.FindStringSubmatch(text); m != nil {
		return tableName{m[1], m[2], m[3]}, nil
	}
	if m := databaseName.FindStringSubmatch(text); m != nil {
		return tableName{"", m[1], m[2]}, nil
	}
	db, name, dotted := strings.Cut(text, ".")
	if !dotted {
		db, name = database, text
	}
	if name == "" || dotted && db == "" || strings.ContainsAny(text, `'"()`) || strings.Contains(name, ".") {
		return tableName{}, fmt.Errorf("must be Table, Database.Table or cluster('name').database('name').Table, got %q", text)
	}
	return tableName{"", db, name}, nil
}

// data reads the tables of a test. The error is strict.Problems.
func (t *Test) data() (*files.Data, error) {
	data := &files.Data{}
	var problems strict.Problems
	for _, text := range slices.Sorted(maps.Keys(t.tables)) {
		at := t.tables[text]
		name, err := parseTableName(text, t.metricsExporter.MetricsExporter.Spec.Database)
		var rows *table.Table
		if err == nil {
			rows, err = t.File.read(name.name, at.MetricsTestTable)
		}
		if err == nil {
			err = data.Add(name.cluster, name.database, rows)
		}
		problems = append(problems, t.File.tableProblems(at, err)...)
	}
	return data, problems.Err()
}

// read reads the rows of one table.
func (f *File) read(name string, t schemas.MetricsTestTable) (*table.Table, error) {
	var schema table.Schema
	if len(t.Columns) > 0 {
		var err error
		if schema, err = files.Schema(strings.NewReader(strings.Join(t.Columns, ",")), "columns"); err != nil {
			return nil, err
		}
	}
	switch {
	case t.CSV != "":
		return files.CSV(strings.NewReader(t.CSV), "csv", name)
	case t.NDJSON != "":
		return files.NDJSON(strings.NewReader(t.NDJSON), "ndjson", name, schema)
	case t.File != "":
		return f.readFile(name, t.File, schema)
	}
	var text strings.Builder
	for i, row := range t.Rows {
		if len(row) != len(schema) {
			return nil, &rowError{i, fmt.Errorf("must have a value for each of the %d columns, has %d", len(schema), len(row))}
		}
		object := map[string]any{}
		for j, v := range row {
			if f, ok := v.(float64); ok && schema[j].Type == table.Decimal && digits(f) > exactDigits {
				return nil, &rowError{i, fmt.Errorf("column %q: a decimal of more than %d digits must be in quotes, or YAML reads another number", schema[j].Name, exactDigits)}
			}
			object[schema[j].Name] = v
		}
		line, err := json.Marshal(object)
		if err != nil {
			return nil, &rowError{i, err}
		}
		text.Write(append(line, '\n'))
	}
	return files.NDJSON(strings.NewReader(text.String()), "rows", name, schema)
}

// exactDigits is how many digits of a number a float64 keeps, whichever they are.
const exactDigits = 15

// digits returns how many digits a number needs.
func digits(f float64) int {
	mantissa, _, _ := strings.Cut(strconv.FormatFloat(math.Abs(f), 'e', -1, 64), "e")
	return len(strings.ReplaceAll(mantissa, ".", ""))
}

func (f *File) readFile(name, path string, schema table.Schema) (*table.Table, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(f.Path), path)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	switch filepath.Ext(path) {
	case ".csv":
		if schema != nil {
			return nil, errors.New("columns has no meaning with a .csv, whose first line has the columns")
		}
		return files.CSV(r, path, name)
	case ".ndjson":
		return files.NDJSON(r, path, name, schema)
	}
	return nil, fmt.Errorf("file must be a .csv or .ndjson, got %q", path)
}

// rowError is a mistake in one of rows.
type rowError struct {
	row int
	err error
}

// Error implements error.
func (e *rowError) Error() string { return fmt.Sprintf("rows[%d]: %v", e.row, e.err) }

// tableProblems says where in the file a table is wrong.
func (f *File) tableProblems(at tableAt, err error) strict.Problems {
	if err == nil {
		return nil
	}
	var row *rowError
	if errors.As(err, &row) {
		return strict.Problems{f.doc.Problem(fmt.Sprintf("%s.rows[%d]", at.field, row.row), "%s", row.err)}
	}
	var list files.Errors
	if !errors.As(err, &list) {
		return strict.Problems{f.doc.Problem(at.field, "%s", err)}
	}
	var problems strict.Problems
	for _, e := range list {
		switch {
		case e.File == "rows" && e.Line > 0:
			problems = append(problems, f.doc.Problem(fmt.Sprintf("%s.rows[%d]", at.field, e.Line-1), "%s", e.Message))
		case at.File != "":
			problems = append(problems, f.doc.Problem(at.field+".file", "%s", e))
		default:
			field, text := at.field+"."+e.File, map[string]string{"csv": at.CSV, "ndjson": at.NDJSON}[e.File]
			p := f.doc.Problem(field, "%s", e.Message)
			if text != "" && e.Line > 0 {
				p.Line, p.Column = f.doc.PositionIn(field, strict.Offset(text, e.Line, 1)+max(e.Column-1, 0))
			}
			problems = append(problems, p)
		}
	}
	return problems
}
