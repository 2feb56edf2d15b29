package schemafile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
	"github.com/kusto2otlp/kusto2otlp/internal/schemafile"
)

// answer is what a cluster says to `.show database ['TelemetryDB'] schema as json`, shortened.
const answer = `{"Plugins":[{"Name":"preview"}],"Databases":{"telemetrydb":{"Name":"telemetrydb",
"Tables":{
 "Z":{"Name":"Z","Folder":"f","DocString":"d","CslSchema":"","OrderedColumns":[{"Name":"c","Type":"System.String","CslType":"string","Folder":"","DocString":""},{"Name":"a b","Type":"System.Double","CslType":"real"}]},
 "A":{"Name":"A","OrderedColumns":[]}},
"ExternalTables":{"E":{"Name":"E","OrderedColumns":[{"Name":"x","Type":"System.Int64","CslType":"long"}]}},
"MaterializedViews":{"V":{"Name":"V","OrderedColumns":[{"Name":"x","CslType":"datetime"}]}},
"EntityGroups":{},"MajorVersion":5,"MinorVersion":2,"DatabaseAccessMode":"ReadWrite",
"Functions":{"F":{"Name":"F","InputParameters":[
  {"Name":"from","Type":"System.DateTime","CslType":"datetime"},
  {"Name":"n","CslType":"long","CslDefaultValue":"long(5)"},
  {"Name":"T","Columns":[{"Name":"c","CslType":"string"},{"Name":"it's","CslType":"int"}]},
  {"Name":"any","Columns":[]}],
 "Body":"{ Z | where c has tostring(n) }","Folder":"","DocString":"","FunctionKind":"Unknown","OutputColumns":[]}}}}}`

func TestFromKusto(t *testing.T) {
	d, err := schemafile.FromKusto("TelemetryDB", []byte(answer))
	require.NoError(t, err)
	require.Equal(t, kql.Database{
		Name:              "telemetrydb",
		Tables:            []kql.Table{{Name: "A", Columns: []kql.Column{}}, {Name: "Z", Columns: []kql.Column{{Name: "c", Type: "string"}, {Name: "a b", Type: "real"}}}},
		ExternalTables:    []kql.Table{{Name: "E", Columns: []kql.Column{{Name: "x", Type: "long"}}}},
		MaterializedViews: []kql.Table{{Name: "V", Columns: []kql.Column{{Name: "x", Type: "datetime"}}}},
		Functions: []kql.Function{{Name: "F", Body: "{ Z | where c has tostring(n) }",
			Parameters: `(from: datetime, n: long = long(5), T: (c: string, ['it\'s']: int), any: (*))`}},
	}, d)
	_, err = schemafile.FromKusto("Other", []byte(answer))
	require.EqualError(t, err, `read the schema of database "Other": the answer has no such database`)
	_, err = schemafile.FromKusto("Other", []byte("<html>"))
	require.ErrorContains(t, err, `read the schema of database "Other": invalid character`)
}

func file(t *testing.T) *schemafile.File {
	t.Helper()
	d, err := schemafile.FromKusto("TelemetryDB", []byte(answer))
	require.NoError(t, err)
	return &schemafile.File{Version: schemafile.Version, Clusters: []schemafile.Cluster{
		{Name: "one", Host: "one.kusto.windows.net", Databases: []kql.Database{d, {Name: "A", Tables: []kql.Table{}}}},
		{Name: "two", Host: "ONE.kusto.windows.net", Databases: []kql.Database{{Name: "B", Tables: []kql.Table{}}}},
		{Name: "three", Databases: []kql.Database{{Name: "B", Tables: []kql.Table{}}}},
	}}
}

func TestFile(t *testing.T) {
	f := file(t)
	var text, again bytes.Buffer
	require.NoError(t, f.Write(&text))
	path := filepath.Join(t.TempDir(), "schema.json")
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
	read, err := schemafile.Read(path)
	require.NoError(t, err)
	require.NoError(t, read.Write(&again))
	require.Equal(t, text.String(), again.String())
	require.Less(t, strings.Index(text.String(), `"A"`), strings.Index(text.String(), `"telemetrydb"`), "databases are sorted")

	require.Equal(t, []string{"A", "telemetrydb", "B"}, read.Databases())
	require.Equal(t, "one", read.ClusterOf("TELEMETRYDB"))
	require.Equal(t, "two", read.ClusterOf("b"))
	require.Empty(t, read.ClusterOf("c"))
	require.True(t, read.Has("three", "B"))
	require.False(t, read.Has("three", "A"))

	s, err := read.Schema("two")
	require.NoError(t, err)
	require.Equal(t, "one.kusto.windows.net", s.Cluster(), "both entries are one cluster")
	require.NotNil(t, s.Database("A"))
	require.NotNil(t, s.Database("B"))
	s, err = read.Schema("three")
	require.NoError(t, err)
	require.Equal(t, "three", s.Cluster())
	_, err = read.Schema("four")
	require.EqualError(t, err, `has no cluster "four"`)
}

func TestReadErrors(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"ErrJSON":    {"version: 1", "is no schema that 'kusto2otlp schema dump' wrote: invalid character 'v' looking for beginning of value"},
		"ErrList":    {"[]", "is no schema that 'kusto2otlp schema dump' wrote"},
		"ErrVersion": {`{"version": 2}`, "version: must be 1, got 2: dump the schema with this version of kusto2otlp"},
		"ErrNone":    {`{}`, "version: must be 1, got 0: dump the schema with this version of kusto2otlp"},
		"ErrField":   {`{"version": 1, "cluster": []}`, `unknown field "cluster"`},
		"ErrType": {`{"version": 1, "clusters": [{"name": "c", "databases": [{"name": "d", "tables": [{"name": "t", "columns": [{"name": "x", "type": "text"}]}]}]}]}`,
			`database "d": table "t": column "x": type must be a kusto scalar type, got "text"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.json")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			_, err := schemafile.Read(path)
			require.EqualError(t, err, path+": "+tt.want)
		})
	}
	_, err := schemafile.Read("/nope")
	require.EqualError(t, err, "read schema: open /nope: no such file or directory")
}
