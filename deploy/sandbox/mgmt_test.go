package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// catalog has the awkward names that Kusto allows.
var catalog = table.Catalog{
	{Name: "A", Tables: []table.Definition{
		{Name: "T", Doc: "rows", Schema: everyType},
		{Name: "U v", Schema: table.Schema{{Name: "c d", Type: table.Long}}},
	}},
	{Name: "my db"}, {Name: "schema"}, {Cluster: "east", Name: "C", Tables: []table.Definition{{Name: "E"}}},
}

func TestMgmt(t *testing.T) {
	ctx := context.Background()
	s := start(t, sandbox.Config{Engine: canned(), Catalog: catalog})
	c := client(t, s.URL())
	// show is the rows of an answer, by azkustodata.
	show := func(t *testing.T, c *azkustodata.Client, db, command string) string {
		t.Helper()
		ds, err := c.Mgmt(ctx, db, kql.New("").AddUnsafe(command))
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		var rows []string
		for _, r := range ds.Tables()[0].Rows() {
			rows = append(rows, fmt.Sprint(r.Values()))
		}
		return strings.Join(rows, "\n")
	}
	const zero = "00000000-0000-0000-0000-000000000000"
	for name, test := range map[string]struct{ db, command, want string }{
		"OKTables":        {"A", ".show tables", "[T A  rows]\n[U v A  ]"},
		"OKTablesNamed":   {"a", ` .SHOW  Tables(T, ['U v']); `, "[T A  rows]\n[U v A  ]"},
		"OKNoTables":      {"my db", ".show tables", ""},
		"OKDatabases":     {"A", ".show Databases", "[A  v1.0 true ReadOnly   " + zero + " ]\n[my db  v1.0 false ReadOnly   " + zero + " ]\n[schema  v1.0 false ReadOnly   " + zero + " ]"},
		"OKCluster":       {"A", ".show cluster databases", "[A  v1.0 true ReadOnly   " + zero + " ]\n[my db  v1.0 false ReadOnly   " + zero + " ]\n[schema  v1.0 false ReadOnly   " + zero + " ]"},
		"OKTableSchema":   {"A", ".show table T cslschema", "[T b:bool,i:int,l:long,r:real,d:decimal,t:datetime,s:timespan,g:guid,x:string,j:dynamic A  rows]"},
		"OKTableJSON":     {"A", `.show table ["U v"] schema as json`, `[U v {"Name":"U v","Folder":"","DocString":"","OrderedColumns":[{"Name":"c d","Type":"System.Int64","CslType":"long"}]} A  ]`},
		"OKFunctions":     {"A", ".show functions", ""},
		"OKSchemaNamed":   {"A", ".show database schema schema", "[schema    false false  v1.0  ]"},
		"OKSchemaQuoted":  {"A", ".show database ['my db'] schema details", "[my db    false false  v1.0  ]"},
		"OKSchemaSeveral": {"A", ".show databases (['my db'], 'schema') schema", "[my db    false false  v1.0  ]\n[schema    false false  v1.0  ]"},
		"OKSchema": {"A", ".show database schema", `[A    false false  v1.0  ]
			[A T   false false    rows]
			[A T b System.SByte false false    ]
			[A T i System.Int32 false false    ]
			[A T l System.Int64 false false    ]
			[A T r System.Double false false    ]
			[A T d System.Data.SqlTypes.SqlDecimal false false    ]
			[A T t System.DateTime false false    ]
			[A T s System.TimeSpan false false    ]
			[A T g System.Guid false false    ]
			[A T x System.String false false    ]
			[A T j System.Object false false    ]
			[A U v   false false    ]
			[A U v c d System.Int64 false false    ]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := show(t, c, test.db, test.command), strings.ReplaceAll(test.want, "\t", ""); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	t.Run("OKVersion", func(t *testing.T) {
		if got := show(t, c, "A", ".show version"); !strings.Contains(got, "kusto2otlp sandbox") {
			t.Error(got)
		}
	})
	t.Run("OKSchemaJSON", func(t *testing.T) {
		type columns []struct{ Name, Type, CslType string }
		type databases struct {
			Databases map[string]struct {
				Name   string
				Tables map[string]struct {
					Name, Folder, DocString string
					OrderedColumns          columns
				}
				Functions map[string]any
			}
		}
		for command, want := range map[string]string{
			".show database schema as json":                 "A",
			".show database A schema as json":               "A",
			".show database ['A'] schema AS JSON":           "A",
			".show databases (A, ['my db']) schema as json": "A,my db",
			".show databases schema as json":                "A,my db,schema",
			".show schema as json":                          "A,my db,schema",
		} {
			ds, err := c.Mgmt(ctx, "A", kql.New("").AddUnsafe(command))
			if err != nil {
				t.Fatal(err)
			}
			text, err := ds.Tables()[0].Rows()[0].StringByName("DatabaseSchema")
			if err != nil {
				t.Fatal(err)
			}
			var got databases
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			for _, name := range strings.Split(want, ",") {
				if d, ok := got.Databases[name]; !ok || d.Name != name || d.Functions == nil || d.Tables == nil {
					t.Errorf("%s: %s", command, text)
				}
			}
			a := got.Databases["A"].Tables
			if len(got.Databases) != strings.Count(want, ",")+1 || len(a) != 2 || a["T"].DocString != "rows" ||
				fmt.Sprint(a["U v"].OrderedColumns) != "[{c d System.Int64 long}]" || len(a["T"].OrderedColumns) != len(everyType) {
				t.Errorf("%s: %s", command, text)
			}
		}
	})
	t.Run("OKOtherCluster", func(t *testing.T) {
		east := client(t, s.URL()+"/east")
		if got := show(t, east, "C", ".show tables"); got != "[E C  ]" {
			t.Error(got)
		}
		if got := show(t, east, "C", ".show schema"); got != "[C    false false  v1.0  ]\n[C E   false false    ]" {
			t.Error(got)
		}
	})

	refused := func(command string) string {
		return "Request is invalid and cannot be processed: not supported by the sandbox: management command " + fmt.Sprintf("%q", command)
	}
	for name, test := range map[string]struct {
		db, command, message string
		options              []azkustodata.QueryOption
	}{
		"ErrChange":        {"A", ".drop table T", refused(".drop table T"), nil},
		"ErrReadOnly":      {"A", ".drop table T", `Request is invalid and cannot be processed: management command ".drop table T" cannot run with request option "request_readonly"`, []azkustodata.QueryOption{azkustodata.RequestReadonly()}},
		"ErrUnknown":       {"A", ".show\n  everything", refused(".show everything"), []azkustodata.QueryOption{azkustodata.RequestReadonly()}},
		"ErrMore":          {"A", ".show version 2", refused(".show version 2"), nil},
		"ErrIfLater":       {"A", `.show database A schema if_later_than "v1.0" as json`, refused(`.show database A schema if_later_than "v1.0" as json`), nil},
		"ErrPipe":          {"A", ".show tables | count", refused(".show tables | count"), nil},
		"ErrNames":         {"A", ".show tables (T", refused(".show tables (T"), nil},
		"ErrQuote":         {"A", ".show table ['T", "Syntax error: a quote or bracket does not end in the command \".show table ['T\"", nil},
		"ErrDatabase":      {"X", ".show tables", "Entity ID 'X' of kind 'Database' was not found.", nil},
		"ErrOtherDatabase": {"A", ".show database B schema as json", "Entity ID 'B' of kind 'Database' was not found.", nil},
		"ErrTable":         {"A", ".show tables (T, V)", "Entity ID 'V' of kind 'Table' was not found.", nil},
		"ErrTableSchema":   {"A", ".show table V cslschema", "Entity ID 'V' of kind 'Table' was not found.", nil},
		"ErrQuery":         {"A", "T | take 1", "Request is invalid and cannot be processed: a management command must begin with a dot", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Mgmt(ctx, test.db, kql.New("").AddUnsafe(test.command), test.options...)
			wantHTTP(t, err, 400, true, test.message)
		})
	}
}

func TestGetSchema(t *testing.T) {
	src, _ := every(t)
	s := start(t, sandbox.Config{Engine: canned(src, numbers(3))})
	ds, err := client(t, s.URL()).Query(context.Background(), "D", kql.New("T"), azkustodata.QueryResultsApplyGetschema(), azkustodata.TruncationMaxRecords(1))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range primaries(ds) {
		for _, r := range p.Rows() {
			got = append(got, fmt.Sprint(r.Values()))
		}
	}
	want := "[b 0 System.SByte bool] [i 1 System.Int32 int] [l 2 System.Int64 long] [r 3 System.Double real] [d 4 System.Data.SqlTypes.SqlDecimal decimal] " +
		"[t 5 System.DateTime datetime] [s 6 System.TimeSpan timespan] [g 7 System.Guid guid] [x 8 System.String string] [j 9 System.Object dynamic] " +
		"[N 0 System.Int64 long] [S 1 System.String string]"
	if g := strings.Join(got, " "); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
	var columns []string
	for _, c := range primaries(ds)[0].Columns() {
		columns = append(columns, c.Name()+":"+string(c.Type()))
	}
	if got := strings.Join(columns, " "); got != "ColumnName:string ColumnOrdinal:long DataType:string ColumnType:string" {
		t.Error(got)
	}
}
