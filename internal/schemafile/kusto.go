package schemafile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// The JSON of `.show database schema as json`, as far as it is kept.
type (
	answer struct {
		Databases map[string]database
	}
	database struct {
		Name              string
		Tables            map[string]table
		ExternalTables    map[string]table
		MaterializedViews map[string]table
		Functions         map[string]function
	}
	table struct {
		Name           string
		OrderedColumns []column
	}
	column struct {
		Name    string
		CslType string
	}
	function struct {
		Name            string
		InputParameters []parameter
		Body            string
	}
	parameter struct {
		Name            string
		CslType         string
		CslDefaultValue string
		Columns         []column // of a tabular parameter
	}
)

// FromKusto reads the answer to `.show database ['X'] schema as json`: the text of its column
// DatabaseSchema, which must have the database.
func FromKusto(name string, text []byte) (kql.Database, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return kql.Database{}, fmt.Errorf("read the schema of database %q: %w", name, err)
	}
	for _, key := range slices.Sorted(maps.Keys(a.Databases)) {
		if strings.EqualFold(key, name) {
			d := a.Databases[key]
			return kql.Database{
				Name: key, Tables: tables(d.Tables), ExternalTables: tables(d.ExternalTables),
				MaterializedViews: tables(d.MaterializedViews), Functions: functions(d.Functions),
			}, nil
		}
	}
	return kql.Database{}, fmt.Errorf("read the schema of database %q: the answer has no such database", name)
}

func tables(from map[string]table) []kql.Table {
	list := []kql.Table{}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		t := kql.Table{Name: name, Columns: []kql.Column{}}
		for _, c := range from[name].OrderedColumns {
			t.Columns = append(t.Columns, kql.Column{Name: c.Name, Type: c.CslType})
		}
		list = append(list, t)
	}
	return list
}

func functions(from map[string]function) []kql.Function {
	var list []kql.Function
	for _, name := range slices.Sorted(maps.Keys(from)) {
		f := from[name]
		parameters := make([]string, len(f.InputParameters))
		for i, p := range f.InputParameters {
			parameters[i] = p.declaration()
		}
		list = append(list, kql.Function{Name: name, Parameters: "(" + strings.Join(parameters, ", ") + ")", Body: f.Body})
	}
	return list
}

// declaration is the parameter as KQL declares it: `a: long = long(1)`, `T: (x: long)`, `T: (*)`.
func (p parameter) declaration() string {
	typ := p.CslType
	if typ == "" {
		columns := make([]string, len(p.Columns))
		for i, c := range p.Columns {
			columns[i] = quoted(c.Name) + ": " + c.CslType
		}
		if len(columns) == 0 {
			columns = []string{"*"}
		}
		typ = "(" + strings.Join(columns, ", ") + ")"
	}
	if p.CslDefaultValue != "" {
		typ += " = " + p.CslDefaultValue
	}
	return quoted(p.Name) + ": " + typ
}

// quoted is a name as KQL takes any: bare, or ['with what else there is'].
func quoted(name string) string {
	for i, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9' || i == 0) {
			return "['" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(name) + "']"
		}
	}
	return name
}

// Command asks for the schema of a database.
func Command(database string) string {
	return ".show database ['" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(database) + "'] schema as json"
}
