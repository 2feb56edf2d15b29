package sandbox

import (
	"encoding/json"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// schemaRows is `.show database schema`: a row for each database, table and column.
func schemaRows(databases table.Catalog) (*table.Table, error) {
	t := table.New("Table_0", table.Schema{
		{Name: "DatabaseName", Type: table.String}, {Name: "TableName", Type: table.String},
		{Name: "ColumnName", Type: table.String}, {Name: "ColumnType", Type: table.String},
		{Name: "IsDefaultTable", Type: table.Bool}, {Name: "IsDefaultColumn", Type: table.Bool},
		{Name: "PrettyName", Type: table.String}, {Name: "Version", Type: table.String},
		{Name: "Folder", Type: table.String}, {Name: "DocString", Type: table.String},
	}, 0)
	for _, d := range databases {
		rows := [][]any{{d.Name, "", "", "", false, false, "", "v1.0", "", ""}}
		for _, def := range d.Tables {
			rows = append(rows, []any{d.Name, def.Name, "", "", false, false, "", "", "", def.Doc})
			for _, f := range def.Schema {
				rows = append(rows, []any{d.Name, def.Name, f.Name, systemType(f.Type), false, false, "", "", "", ""})
			}
		}
		for _, r := range rows {
			if err := t.AppendRow(r...); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// The JSON of `.show database schema as json`, as far as a sandbox can have what it is about.
type (
	databasesJSON struct{ Databases map[string]databaseJSON }
	databaseJSON  struct {
		Name               string
		Tables             map[string]tableJSON
		ExternalTables     struct{}
		MaterializedViews  struct{}
		EntityGroups       struct{}
		MajorVersion       int
		MinorVersion       int
		Functions          struct{}
		DatabaseAccessMode string
	}
	tableJSON struct {
		Name           string
		Folder         string
		DocString      string
		OrderedColumns []columnJSON
	}
	columnJSON struct {
		Name    string
		Type    string
		CslType string
	}
)

// schemaJSON is `.show database schema as json`: one row with one text.
func schemaJSON(databases table.Catalog) (*table.Table, error) {
	out := databasesJSON{map[string]databaseJSON{}}
	for _, d := range databases {
		tables := make(map[string]tableJSON, len(d.Tables))
		for _, def := range d.Tables {
			tables[def.Name] = tableSchema(def)
		}
		out.Databases[d.Name] = databaseJSON{Name: d.Name, Tables: tables, MajorVersion: 1, DatabaseAccessMode: "ReadOnly"}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	t := table.New("Table_0", table.Schema{{Name: "DatabaseSchema", Type: table.String}}, 1)
	return t, t.AppendRow(string(text))
}

func tableSchema(def table.Definition) tableJSON {
	columns := make([]columnJSON, len(def.Schema))
	for i, f := range def.Schema {
		columns[i] = columnJSON{f.Name, systemType(f.Type), f.Type.String()}
	}
	return tableJSON{Name: def.Name, DocString: def.Doc, OrderedColumns: columns}
}

// getSchema is what query_results_apply_getschema answers in place of a table.
func getSchema(s table.Schema) (*table.Table, error) {
	t := table.New("PrimaryResult", table.Schema{
		{Name: "ColumnName", Type: table.String}, {Name: "ColumnOrdinal", Type: table.Long},
		{Name: "DataType", Type: table.String}, {Name: "ColumnType", Type: table.String},
	}, len(s))
	for i, f := range s {
		if err := t.AppendRow(f.Name, i, systemType(f.Type), f.Type.String()); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// systemType is the .NET type behind a Kusto type.
func systemType(t table.Type) string {
	if t == table.Decimal {
		return "System.Data.SqlTypes.SqlDecimal"
	}
	return "System." + dotnet[t]
}
