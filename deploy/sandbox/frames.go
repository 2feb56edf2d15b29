package sandbox

import (
	"encoding/json"
	"strconv"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// frames is the encoder of the v2 protocol.
type frames struct {
	*stream
	req          *Request
	kind         FrameKind
	newlines     bool
	placement    Placement
	fragmentRows int
	replace      bool // send the first fragment of a table again, as DataReplace

	first   bool
	tableID int
	count   int64 // rows of the open table
}

// kindOf is the kind of frames that a request asked for.
func kindOf(o Options) FrameKind {
	switch {
	case o.Progressive:
		return Progressive
	case o.Fragmented:
		return Fragmented
	}
	return Plain
}

var placementNames = [...]string{InData: "InData", EndOfTable: "EndOfTable", EndOfDataset: "EndOfDataset"}

// visualization is the QueryProperties value of a table that nobody asked to render.
const visualization = `{"Visualization":null,"Title":null,"XColumn":null,"Series":null,"YColumns":null,"AnomalyColumns":null,"XTitle":null,"YTitle":null,"XAxis":null,"YAxis":null,"Legend":null,"YSplit":null,"Accumulate":false,"IsQuerySorted":false,"Kind":null,"Ymin":"NaN","Ymax":"NaN","Xmin":null,"Xmax":null}`

// begin writes DataSetHeader and the QueryProperties of the tables to come.
func (f *frames) begin(tables int) {
	f.first = true
	f.open(`{"FrameType":"DataSetHeader","IsProgressive":`)
	f.buf = strconv.AppendBool(f.buf, f.kind == Progressive)
	f.put(`,"Version":"v2.0","IsFragmented":`)
	f.buf = strconv.AppendBool(f.buf, f.kind == Fragmented)
	f.put(`,"ErrorReportingPlacement":"` + placementNames[f.placement] + `"}`)
	f.close()

	f.header("DataTable", "QueryProperties", "@ExtendedProperties", propertiesSchema)
	f.put(`,"Rows":[`)
	for i := range tables {
		if i > 0 {
			f.put(",")
		}
		f.put(`[`)
		f.buf = strconv.AppendInt(f.buf, int64(i+1), 10)
		f.put(`,"Visualization",`)
		f.buf = appendString(f.buf, visualization)
		f.put(`]`)
	}
	f.put(`]}`)
	f.close()
}

var propertiesSchema = table.Schema{
	{Name: "TableId", Type: table.Int}, {Name: "Key", Type: table.String}, {Name: "Value", Type: table.Dynamic},
}

// table begins a primary table.
func (f *frames) table(schema table.Schema) {
	f.tableID++
	f.count = 0
	if f.kind == Plain {
		f.header("DataTable", "PrimaryResult", "PrimaryResult", schema)
		f.put(`,"Rows":[`)
		f.comma = false
		return
	}
	f.header("TableHeader", "PrimaryResult", "PrimaryResult", schema)
	f.put("}")
	f.close()
}

// batch writes rows [from, to) in as many fragments as they need.
func (f *frames) batch(b *table.Table, from, to int) {
	for from < to && f.err == nil {
		n := to
		if f.kind == Plain {
			f.rows(b, from, n)
		} else {
			n = min(to, from+f.fragmentRows)
			f.fragment("DataAppend", b, from, n)
			if f.replace && f.count == 0 {
				f.fragment("DataReplace", b, from, n)
			}
		}
		f.count += int64(n - from)
		from = n
	}
}

func (f *frames) fragment(typ string, b *table.Table, from, to int) {
	f.openFragment(typ)
	f.rows(b, from, to)
	f.closeFragment()
}

func (f *frames) openFragment(typ string) {
	f.open(`{"FrameType":"TableFragment","TableFragmentType":"` + typ + `","TableId":`)
	f.buf = strconv.AppendInt(f.buf, int64(f.tableID), 10)
	f.put(`,"Rows":[`)
	f.comma = false
}

func (f *frames) closeFragment() {
	f.put("]}")
	f.close()
	if f.kind == Progressive {
		// Kusto estimates; what matters to a reader is that the frame may come between fragments.
		f.open(`{"FrameType":"TableProgress","TableId":`)
		f.buf = strconv.AppendInt(f.buf, int64(f.tableID), 10)
		f.put(`,"TableProgress":50.0}`)
		f.close()
	}
}

// endTable implements encoder.
func (f *frames) endTable(failure *Error, fault *Fault) {
	var errs []byte
	if failure != nil {
		errs = append(errs, `"OneApiErrors":[`...)
		errs = append(errs, failure.json(f.req)...)
		errs = append(errs, ']')
	}
	if errs != nil && f.placement == InData {
		if f.kind != Plain {
			f.openFragment("DataAppend")
		}
		f.element()
		f.put("{" + string(errs) + "}")
		if f.kind != Plain {
			f.closeFragment()
		}
	}
	if f.kind == Plain {
		f.put("]}")
		f.close()
		return
	}
	if fault.NoTableCompletion {
		return
	}
	f.open(`{"FrameType":"TableCompletion","TableId":`)
	f.buf = strconv.AppendInt(f.buf, int64(f.tableID), 10)
	f.put(`,"RowCount":`)
	f.buf = strconv.AppendInt(f.buf, f.count+fault.RowCountOff, 10)
	if errs != nil && f.placement == EndOfTable {
		f.put("," + string(errs))
	}
	f.put("}")
	f.close()
}

var completionSchema = table.Schema{
	{Name: "Timestamp", Type: table.DateTime}, {Name: "ClientRequestId", Type: table.String},
	{Name: "ActivityId", Type: table.GUID}, {Name: "SubActivityId", Type: table.GUID},
	{Name: "ParentActivityId", Type: table.GUID}, {Name: "Level", Type: table.Int},
	{Name: "LevelName", Type: table.String}, {Name: "StatusCode", Type: table.Int},
	{Name: "StatusCodeName", Type: table.String}, {Name: "EventType", Type: table.Int},
	{Name: "EventTypeName", Type: table.String}, {Name: "Payload", Type: table.String},
}

// information writes QueryCompletionInformation: that the query completed, and what it used.
func (f *frames) information(resources resourceUsage) {
	f.tableID++
	usage, err := json.Marshal(resources)
	if err != nil {
		panic(err) // numbers and strings always marshal
	}
	f.header("DataTable", "QueryCompletionInformation", "QueryCompletionInformation", completionSchema)
	f.put(`,"Rows":[`)
	f.event(4, "QueryInfo", `{"Count":1,"Text":"Query completed successfully"}`)
	f.put(",")
	f.event(5, "QueryResourceConsumption", string(usage))
	f.put("]}")
	f.close()
}

func (f *frames) event(id int, name, payload string) {
	f.put(`["`)
	f.buf = table.AppendDateTime(f.buf, table.Ticks(f.req.Now))
	f.put(`",`)
	f.buf = appendString(f.buf, f.req.ClientRequestID)
	for range 3 {
		f.put(",")
		f.buf = appendString(f.buf, f.req.ActivityID)
	}
	f.put(`,4,"Info",0,"S_OK (0)",`)
	f.buf = strconv.AppendInt(f.buf, int64(id), 10)
	f.put(",")
	f.buf = appendString(f.buf, name)
	f.put(",")
	f.buf = appendString(f.buf, payload)
	f.put("]")
}

// end writes DataSetCompletion and closes the array of frames.
func (f *frames) end(failure *Error, fault *Fault) {
	if !fault.NoDataSetCompletion {
		f.open(`{"FrameType":"DataSetCompletion","HasErrors":`)
		f.buf = strconv.AppendBool(f.buf, failure != nil)
		f.put(`,"Cancelled":`)
		f.buf = strconv.AppendBool(f.buf, fault.Cancelled)
		if failure != nil {
			f.put(`,"OneApiErrors":[`)
			f.buf = append(f.buf, failure.json(f.req)...)
			f.put("]")
		}
		f.put("}")
		f.close()
	}
	f.put("]\n")
}

// header opens a frame that describes a table, up to its columns. Readers rely on this order.
func (f *frames) header(frame, kind, name string, schema table.Schema) {
	f.open(`{"FrameType":"` + frame + `","TableId":`)
	f.buf = strconv.AppendInt(f.buf, int64(f.tableID), 10)
	f.put(`,"TableKind":"` + kind + `","TableName":"` + name + `","Columns":[`)
	for i, field := range schema {
		if i > 0 {
			f.put(",")
		}
		f.put(`{"ColumnName":`)
		f.buf = appendString(f.buf, field.Name)
		f.put(`,"ColumnType":"` + field.Type.String() + `"}`)
	}
	f.put("]")
}

func (f *frames) open(s string) {
	if f.first {
		f.put("[")
		f.first = false
	} else {
		f.put(",")
	}
	f.put(s)
}

func (f *frames) close() {
	if f.newlines {
		f.put("\n")
	}
	if len(f.buf) >= chunk {
		f.write()
	}
}
