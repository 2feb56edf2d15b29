package sandbox

import (
	"encoding/json"
	"strconv"

	"github.com/google/uuid"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// tables is the encoder of the v1 protocol: the tables of the result one after the other, then those
// that say what the query was, the last of which is the table of contents.
type tables struct {
	*stream
	req   *Request
	count int // tables begun
}

// dotnet is the DataType that v1 gives beside the ColumnType.
var dotnet = map[table.Type]string{
	table.Bool: "SByte", table.Int: "Int32", table.Long: "Int64", table.Real: "Double",
	table.Decimal: "SqlDecimal", table.DateTime: "DateTime", table.TimeSpan: "TimeSpan",
	table.GUID: "Guid", table.String: "String", table.Dynamic: "Object",
}

// begin implements encoder.
func (t *tables) begin(int) { t.put(`{"Tables":[`) }

// table implements encoder.
func (t *tables) table(schema table.Schema) {
	if t.count > 0 {
		t.put(",")
	}
	t.put(`{"TableName":"Table_`)
	t.buf = strconv.AppendInt(t.buf, int64(t.count), 10)
	t.put(`","Columns":[`)
	for i, f := range schema {
		if i > 0 {
			t.put(",")
		}
		t.put(`{"ColumnName":`)
		t.buf = appendString(t.buf, f.Name)
		t.put(`,"DataType":"` + dotnet[f.Type] + `","ColumnType":"` + f.Type.String() + `"}`)
	}
	t.put(`],"Rows":[`)
	t.count++
	t.comma = false
}

// batch implements encoder.
func (t *tables) batch(b *table.Table, from, to int) { t.rows(b, from, to) }

// endTable implements encoder. An error is among the rows, wherever the request wants it: v1 knows no
// other place.
func (t *tables) endTable(failure *Error, _ *Fault) {
	if failure != nil {
		t.element()
		t.put("{")
		t.exceptions(failure)
		t.put("}")
	}
	t.put("]}")
}

// exceptions writes what went wrong as a member of an object.
func (t *tables) exceptions(failure *Error) {
	t.put(`"Exceptions":[`)
	t.buf = appendString(t.buf, failure.Message+"\r\n[0]"+failure.Type+": "+failure.Message)
	t.put("]")
}

// information implements encoder: @ExtendedProperties, QueryStatus and the table of contents.
func (t *tables) information(resources resourceUsage) {
	contents := table.New("", table.Schema{
		{Name: "Ordinal", Type: table.Long}, {Name: "Kind", Type: table.String}, {Name: "Name", Type: table.String},
		{Name: "Id", Type: table.String}, {Name: "PrettyName", Type: table.String},
	}, t.count+2)
	results := t.count
	properties := table.New("", table.Schema{{Name: "Value", Type: table.String}}, results)
	for i := range results {
		mustAppend(properties, visualization)
		mustAppend(contents, i, "QueryResult", "PrimaryResult", uuid.NewString(), "")
	}
	mustAppend(contents, results, "QueryProperties", "@ExtendedProperties", uuid.NewString(), "")
	mustAppend(contents, results+1, "QueryStatus", "QueryStatus", uuid.Nil.String(), "")

	status := table.New("", table.Schema{
		{Name: "Timestamp", Type: table.DateTime}, {Name: "Severity", Type: table.Int}, {Name: "SeverityName", Type: table.String},
		{Name: "StatusCode", Type: table.Int}, {Name: "StatusDescription", Type: table.String}, {Name: "Count", Type: table.Int},
		{Name: "RequestId", Type: table.GUID}, {Name: "ActivityId", Type: table.GUID}, {Name: "SubActivityId", Type: table.GUID},
		{Name: "ClientActivityId", Type: table.String},
	}, 2)
	used, err := json.Marshal(resources)
	if err != nil {
		panic(err) // numbers always marshal
	}
	id := t.req.ActivityID
	mustAppend(status, t.req.Now, 4, "Info", 0, "Query completed successfully", 1, id, id, id, t.req.ClientRequestID)
	mustAppend(status, t.req.Now, 6, "Stats", 0, string(used), 1, id, id, id, t.req.ClientRequestID)
	for _, b := range []*table.Table{properties, status, contents} {
		t.table(b.Schema())
		t.rows(b, 0, b.Rows())
		t.put("]}")
	}
}

// mustAppend adds a row that is known to fit.
func mustAppend(t *table.Table, values ...any) {
	if err := t.AppendRow(values...); err != nil {
		panic(err)
	}
}

// end implements encoder.
func (t *tables) end(failure *Error, _ *Fault) {
	t.put("]")
	if failure != nil {
		t.put(",")
		t.exceptions(failure)
	}
	t.put("}\n")
}
