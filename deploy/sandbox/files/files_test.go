package files_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/files"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// dump is a table as text: its columns, then a line for each row; null is ∅.
func dump(t *table.Table) string {
	var b strings.Builder
	for i, f := range t.Schema() {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s:%v", f.Name, f.Type)
	}
	for i := range t.Rows() {
		b.WriteByte('\n')
		for j, c := range t.Columns {
			if j > 0 {
				b.WriteByte(' ')
			}
			switch v := c.Vec; {
			case v.IsNull(i):
				b.WriteString("∅")
			case v.Type == table.DateTime:
				b.Write(table.AppendDateTime(nil, v.Ints[i]))
			case v.Type == table.String:
				fmt.Fprintf(&b, "%q", v.Strings[i])
			case v.Type == table.Dynamic:
				b.WriteString(v.Strings[i])
			default:
				fmt.Fprint(&b, v.Value(i))
			}
		}
	}
	return b.String()
}

// lines is a message in several lines, without what indents them here.
func lines(s string) string {
	var out []string
	for l := range strings.Lines(strings.TrimSpace(s)) {
		out = append(out, strings.TrimSpace(l))
	}
	return strings.Join(out, "\n")
}

func check(t *testing.T, got *table.Table, err error, want, wantErr string) {
	t.Helper()
	if wantErr != "" {
		if err == nil || err.Error() != lines(wantErr) {
			t.Errorf("error\n got %v\nwant %s", err, lines(wantErr))
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	if d := dump(got); d != lines(want) {
		t.Errorf("got\n%s\nwant\n%s", d, lines(want))
	}
}

func TestCSV(t *testing.T) {
	for name, c := range map[string]struct{ in, want, err string }{
		"OKEveryType": {
			in: "b:bool,i:int,l:long,r:real,d:decimal,t:datetime,s:timespan,g:guid,x:string,j:dynamic\n" +
				`true,-2147483648,9223372036854775807,0.1,-12.50,2025-06-25T10:00:00.0000001Z,1.02:03:04.5,123E27DE-1e4e-49d9-b579-fe0b331d3642,"a ""b"", c","{""a"": [1, null]}"` + "\n" +
				",,,,,,,,,\n" +
				"0,0x10,-1,NaN,0,2025-06-25,90s,00000000-0000-0000-0000-000000000000, x ,null\n",
			want: `b:bool i:int l:long r:real d:decimal t:datetime s:timespan g:guid x:string j:dynamic
				true -2147483648 9223372036854775807 0.1 -12.50 2025-06-25T10:00:00.0000001Z 1.02:03:04.5000000 123e27de-1e4e-49d9-b579-fe0b331d3642 "a \"b\", c" {"a":[1,null]}
				∅ ∅ ∅ ∅ ∅ ∅ ∅ ∅ "" ∅
				false 16 -1 NaN 0 2025-06-25T00:00:00.0000000Z 00:01:30 00000000-0000-0000-0000-000000000000 " x " ∅`,
		},
		"OKNotFinite":   {in: "r:real\n+Inf\n-Infinity\nnan\n1e300\n", want: "r:real\n+Inf\n-Inf\nNaN\n1e+300"},
		"OKAliases":     {in: "\ufeffa:int64, b : double ,with:colon:string\r\n1,2,3\r\n", want: "a:long b:real with:colon:string\n1 2 \"3\""},
		"OKNoRows":      {in: "a:long\n", want: "a:long"},
		"OKLinesInside": {in: "a:string,b:long\n\"one\ntwo\",1\n", want: "a:string b:long\n\"one\\ntwo\" 1"},
		"OKBlankLine":   {in: "a:long\n1\n\n2\n", want: "a:long\n1\n2"},

		"ErrEmpty": {err: `T.csv: must begin with a line of name:type for each column`},
		"ErrHeader": {in: "a,b:float,c:long,c:long,:int\n", err: `T.csv:1:1: column 1 must be name:type, got "a"
			T.csv:1:3: column "b": column type must be a kusto scalar type, got "float"
			T.csv:1:18: column "c" appears twice
			T.csv:1:25: column 5 must be name:type, got ":int"`},
		"ErrValues": {
			in: "b:bool,i:int,l:long,r:real,d:decimal,t:datetime,s:timespan,g:guid,j:dynamic\n" +
				"yes,2147483648,9223372036854775808,1_0,1_5,25.6.2025,ten,123,{\n",
			err: `T.csv:2:1: column "b": "yes" is no bool
				T.csv:2:5: column "i": "2147483648" is no int
				T.csv:2:16: column "l": "9223372036854775808" is no long
				T.csv:2:36: column "r": "1_0" is no real
				T.csv:2:40: column "d": "1_5" is no decimal
				T.csv:2:44: column "t": "25.6.2025" is no datetime
				T.csv:2:54: column "s": "ten" is no timespan
				T.csv:2:58: column "g": "123" is no guid
				T.csv:2:62: column "j": "{" is no dynamic`,
		},
		"ErrFields": {in: "a:long,b:long\n1\n1,2,3\n1,2\n", err: `T.csv:2: must have 2 fields as the header does, got 1
			T.csv:3: must have 2 fields as the header does, got 3`},
		"ErrLineAfterLines": {in: "a:string,b:long\n\"one\ntwo\",x\n", err: `T.csv:3:6: column "b": "x" is no long`},
		"ErrQuote":          {in: "a:long,b:string\nx,y\n1,\"open\n", err: "T.csv:2:1: column \"a\": \"x\" is no long\nT.csv:3:9: extraneous or missing \" in quoted-field, in the record that begins on line 3"},
		"ErrLong":           {in: "a:long\n" + strings.Repeat("x", 100) + "\n", err: `T.csv:2:1: column "a": "` + strings.Repeat("x", 60) + `…" is no long`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := files.CSV(strings.NewReader(c.in), "T.csv", "T")
			check(t, got, err, c.want, c.err)
		})
	}
	t.Run("ErrMany", func(t *testing.T) {
		_, err := files.CSV(strings.NewReader("a:long\n"+strings.Repeat("x\n", 1000)), "T.csv", "T")
		if n := strings.Count(err.Error(), "\n"); n != 20 || !strings.HasSuffix(err.Error(), "\nT.csv: has more than 19 mistakes; the rest is not read") {
			t.Errorf("%d lines: %v", n+1, err)
		}
	})
}

func TestNDJSON(t *testing.T) {
	every := table.Schema{
		{Name: "b", Type: table.Bool}, {Name: "i", Type: table.Int}, {Name: "l", Type: table.Long},
		{Name: "r", Type: table.Real}, {Name: "d", Type: table.Decimal}, {Name: "t", Type: table.DateTime},
		{Name: "s", Type: table.TimeSpan}, {Name: "g", Type: table.GUID}, {Name: "x", Type: table.String},
		{Name: "j", Type: table.Dynamic},
	}
	for name, c := range map[string]struct {
		in     string
		schema table.Schema
		want   string
		err    string
	}{
		"OKInferred": {
			in: `{"t":"2025-06-25T10:00:00+02:00","n":1,"r":1,"s":"x","b":true,"o":{"a": 1}}
				{"n":9223372036854775807,"r":2.5,"s":"2025-06-25","o":[1, 2],"late":"NaN"}

				{"t":null,"n":-1,"r":"-Infinity","s":"","b":false,"o":null}`,
			want: `t:datetime n:long r:real s:string b:bool o:dynamic late:string
				2025-06-25T08:00:00.0000000Z 1 1 "x" true {"a":1} ""
				∅ 9223372036854775807 2.5 "2025-06-25" ∅ [1,2] "NaN"
				∅ -1 -Inf "" false ∅ ""`,
		},
		"OKCompact":     {in: `{"o":{"a": 1,  "b": [ ]}, "s":"x", "p":[ 1 , 2 ],"l":5}`, want: "o:dynamic s:string p:dynamic l:long\n{\"a\":1,\"b\":[]} \"x\" [1,2] 5"},
		"OKNaNFirst":    {in: `{"r":"NaN"}` + "\n" + `{"r":1}` + "\n" + `{"r":"Infinity"}`, want: "r:real\nNaN\n1\n+Inf"},
		"OKNaNIsString": {in: `{"r":"NaN"}` + "\n" + `{"r":"x"}`, want: "r:string\n\"NaN\"\n\"x\""},
		"OKUnicode":     {in: "\ufeff" + `{"é":"\u00e9\n\ud83d\ude00"}` + "\r\n", want: "é:string\n\"é\\n😀\""},
		"ErrSchemaField": {
			schema: every,
			in: `{"b":true,"i":1,"l":"2","r":3,"d":4.50,"t":"2025-06-25","s":"1h","g":"123E27DE-1e4e-49d9-b579-fe0b331d3642","x":"2025-06-25T10:00:00Z","j":"text"}
				{}
				{"j":null,"r":"NaN","x":null,"j2":1}`,
			err: `T.ndjson:3:39: there is no column "j2" in the schema`,
		},
		"OKSchemaTypes": {
			schema: every,
			in: `{"b":true,"i":1,"l":"2","r":3,"d":4.50,"t":"2025-06-25","s":"1h","g":"123E27DE-1e4e-49d9-b579-fe0b331d3642","x":"2025-06-25T10:00:00Z","j":"text"}
				{}
				{"j":5, "x":null}`,
			want: `b:bool i:int l:long r:real d:decimal t:datetime s:timespan g:guid x:string j:dynamic
				true 1 2 3 4.50 2025-06-25T00:00:00.0000000Z 01:00:00 123e27de-1e4e-49d9-b579-fe0b331d3642 "2025-06-25T10:00:00Z" "text"
				∅ ∅ ∅ ∅ ∅ ∅ ∅ ∅ "" ∅
				∅ ∅ ∅ ∅ ∅ ∅ ∅ ∅ "" 5`,
		},
		"OKSchemaNoRows": {schema: every[:1], want: "b:bool"},

		"ErrNoRows": {in: "\n", err: `T.ndjson: has no rows, so its columns must be given in a schema`},
		"ErrMixed": {
			in: `{"a":1,"t":"2025-06-25T10:00:00Z","o":{}}
{"a":"one","t":"2025-06-25 10:00","o":1}
{"a":true}`,
			err: `T.ndjson:2:6: column "a": "one" is a string, but line 1 has 1, a long; a column has one type, which a schema can name
				T.ndjson:2:16: column "t": "2025-06-25 10:00" is a string, but line 1 has "2025-06-25T10:00:00Z", a datetime; a column has one type, which a schema can name
				T.ndjson:2:39: column "o": 1 is a long, but line 1 has {}, a dynamic; a column has one type, which a schema can name`,
		},
		"ErrAllNull":  {in: `{"a":1}` + "\n" + `{"b":null}`, err: `T.ndjson:2: column "b": is null in every row, so its type must be given in a schema`},
		"ErrTooLarge": {in: `{"a": 9223372036854775808}`, err: `T.ndjson:1:7: column "a": 9223372036854775808 is no long`},
		"ErrNoDay":    {in: `{"t":"2025-02-30T10:00:00Z"}`, err: `T.ndjson:1:6: column "t": "2025-02-30T10:00:00Z" is no datetime`},
		"ErrSchemaTypes": {
			schema: every,
			in:     `{"b":1,"i":2147483648,"l":1.5,"r":"","d":"x","t":5,"s":true,"g":{},"x":5}`,
			err: `T.ndjson:1:6: column "b": 1 is no bool
				T.ndjson:1:12: column "i": 2147483648 is no int
				T.ndjson:1:27: column "l": 1.5 is no long
				T.ndjson:1:35: column "r": "" is no real
				T.ndjson:1:42: column "d": "x" is no decimal
				T.ndjson:1:50: column "t": 5 is no datetime
				T.ndjson:1:56: column "s": true is no timespan
				T.ndjson:1:65: column "g": {} is no guid
				T.ndjson:1:72: column "x": 5 is no string`,
		},
		"ErrJSON": {
			in: `{"a":1}
[1]
{"a":1} {"a":2}
{"a":1,"a":2}
{"a":
{"a":x}
{"":1}
7`,
			err: `T.ndjson:2:1: each line must be one JSON object
				T.ndjson:3:9: each line must be one JSON object
				T.ndjson:4:8: duplicate object member name
				T.ndjson:5:5: the JSON object does not end on its line
				T.ndjson:6:6: invalid character 'x' at start of value
				T.ndjson:7:5: a field must have a name
				T.ndjson:8:1: each line must be one JSON object`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := files.NDJSON(strings.NewReader(c.in), "T.ndjson", "T", c.schema)
			check(t, got, err, c.want, strings.ReplaceAll(c.err, "\t", ""))
		})
	}
}

// write makes a directory of files.
func write(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		dir := write(t, map[string]string{
			"Top.csv":                      "a:long\n1\n",
			"TelemetryDB/Requests.csv":     "t:datetime\n",
			"TelemetryDB/Errors.ndjson":    `{"s":"x"}`,
			"TelemetryDB/Errors.schema":    "s:string, n:int\n",
			"eastus/TelemetryDB/Other.csv": "b:bool\n",
			"sandbox/AnalyticsDB/Own.csv":  "b:bool\n",
			"README.md":                    "#",
			".git/config":                  "x",
			"TelemetryDB/.hidden.csv":      "x",
		})
		d, err := files.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, db := range d.Catalog() {
			for _, def := range db.Tables {
				got = append(got, fmt.Sprintf("%s/%s/%s %v", db.Cluster, db.Name, def.Name, def.Schema))
			}
		}
		want := lines(`/AnalyticsDB/Own [{b bool}]
			/NetDefaultDB/Top [{a long}]
			/TelemetryDB/Errors [{s string} {n int}]
			/TelemetryDB/Requests [{t datetime}]
			eastus/TelemetryDB/Other [{b bool}]`)
		if g := strings.Join(got, "\n"); g != want {
			t.Errorf("got\n%s\nwant\n%s", g, want)
		}
	})
	for name, c := range map[string]struct {
		files map[string]string
		err   string
	}{
		"ErrEveryFile": {
			map[string]string{"A.csv": "a:long\nx\n", "B.ndjson": `{"a":}`, "DB/C.csv": "a:long\n1,2\n", "DB/C.tsv": "", "D.schema": "a:nope", "D.ndjson": "{}", "E.schema": "a:long\nb:long\n"},
			`DIR/D.schema:1:1: column "a": column type must be a kusto scalar type, got "nope"
			DIR/DB/C.tsv: must be .csv, .ndjson or .schema
			DIR/E.schema:2: a schema is one line of name:type, separated by commas
			DIR/A.csv:2:1: column "a": "x" is no long
			DIR/B.ndjson:1:6: invalid character '}' at start of value
			DIR/DB/C.csv:2: must have 1 fields as the header does, got 2
			DIR/E.schema: there is no E.ndjson beside it`,
		},
		"ErrNoTables":    {map[string]string{"README.md": ""}, `DIR: has no <Table>.csv and no <Table>.ndjson`},
		"ErrTwice":       {map[string]string{"DB/T.csv": "a:long\n", "DB/T.ndjson": `{"a":1}`}, `DIR/DB/T.ndjson: table "T" of database "DB" is there twice`},
		"ErrTwiceNames":  {map[string]string{"DB/T.csv": "a:long\n", "db/U.csv": "a:long\n"}, `DIR/db/U.csv: databases "DB" and "db" are the same to Kusto`},
		"ErrDeep":        {map[string]string{"a/b/c/T.csv": ""}, `DIR/a/b/c/T.csv: is too deep: a table is <Table>, <Database>/<Table> or <cluster>/<Database>/<Table>`},
		"ErrSchemaOfCSV": {map[string]string{"T.csv": "a:long\n", "T.schema": "a:long"}, `DIR/T.schema: there is no T.ndjson beside it`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, c.files)
			_, err := files.Load(dir)
			if want := lines(strings.ReplaceAll(c.err, "DIR", dir)); err == nil || err.Error() != want {
				t.Errorf("error\n got %v\nwant %s", err, want)
			}
		})
	}
	t.Run("ErrNoDirectory", func(t *testing.T) {
		dir := write(t, map[string]string{"T.csv": "a:long\n"})
		if _, err := files.Load(filepath.Join(dir, "T.csv")); err == nil || err.Error() != filepath.Join(dir, "T.csv")+": must be a directory" {
			t.Error(err)
		}
		if _, err := files.Load(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) || err.Error() != filepath.Join(dir, "none")+": no such file or directory" {
			t.Error(err)
		}
	})
}

func FuzzNDJSON(f *testing.F) {
	f.Add(`{"a":1,"b":"NaN"}` + "\n" + `{"a":2.5,"c":{"x":[1]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := files.NDJSON(strings.NewReader(text), "f", "T", nil)
		if err != nil {
			return
		}
		if err := got.Validate(); err != nil {
			t.Error(err)
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add("b:bool,r:real,s:timespan\n1,-inf,1h\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := files.CSV(strings.NewReader(text), "f", "T")
		if err != nil {
			return
		}
		if err := got.Validate(); err != nil {
			t.Error(err)
		}
	})
}
