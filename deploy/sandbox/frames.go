package sandbox

import (
	"encoding/json"
	"io"
	"strconv"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// chunk is how much JSON is gathered before it is written.
const chunk = 32 << 10

// frames writes the frames of one v2 answer. It knows their JSON and order; what is to be written,
// and when to stop, is its caller's business. Errors of the writer stick and are returned by the
// next flush.
type frames struct {
	w            io.Writer
	req          *Request
	kind         FrameKind
	newlines     bool
	placement    Placement
	fragmentRows int
	replace      bool // send the first fragment of a table again, as DataReplace

	buf     []byte
	sent    int64 // bytes handed to w
	err     error
	first   bool
	tableID int
	comma   bool  // the open array of rows has one
	rows    int64 // of the open table
	started bool
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
	f.started, f.first = true, true
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
	f.rows = 0
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
			f.array(b, from, n)
		} else {
			n = min(to, from+f.fragmentRows)
			f.fragment("DataAppend", b, from, n)
			if f.replace && f.rows == 0 {
				f.fragment("DataReplace", b, from, n)
			}
		}
		f.rows += int64(n - from)
		from = n
	}
}

func (f *frames) fragment(typ string, b *table.Table, from, to int) {
	f.openFragment(typ)
	f.array(b, from, to)
	f.closeFragment()
}

// array writes the elements of an array of rows that is open.
func (f *frames) array(b *table.Table, from, to int) {
	for i := from; i < to && f.err == nil; i++ {
		if f.comma {
			f.buf = append(f.buf, ',')
		}
		f.comma = true
		f.buf = appendRow(f.buf, b, i)
		if len(f.buf) >= chunk {
			f.write()
		}
	}
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

// endTable ends a primary table, with the error that ended it early, if any. rowCountOff and
// completion are for faults.
func (f *frames) endTable(failure *Error, rowCountOff int64, completion bool) {
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
		if f.comma {
			f.put(",")
		}
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
	if !completion {
		return
	}
	f.open(`{"FrameType":"TableCompletion","TableId":`)
	f.buf = strconv.AppendInt(f.buf, int64(f.tableID), 10)
	f.put(`,"RowCount":`)
	f.buf = strconv.AppendInt(f.buf, f.rows+rowCountOff, 10)
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

// resourceUsage is the payload of QueryResourceConsumption, as far as the sandbox can tell.
type resourceUsage struct {
	ExecutionTime float64             `json:"ExecutionTime"` // seconds
	Datasets      []datasetStatistics `json:"dataset_statistics"`
}

type datasetStatistics struct {
	Rows  int64 `json:"table_row_count"`
	Bytes int64 `json:"table_size"`
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

// completion writes DataSetCompletion.
func (f *frames) completion(failure *Error, cancelled bool) {
	f.open(`{"FrameType":"DataSetCompletion","HasErrors":`)
	f.buf = strconv.AppendBool(f.buf, failure != nil)
	f.put(`,"Cancelled":`)
	f.buf = strconv.AppendBool(f.buf, cancelled)
	if failure != nil {
		f.put(`,"OneApiErrors":[`)
		f.buf = append(f.buf, failure.json(f.req)...)
		f.put("]")
	}
	f.put("}")
	f.close()
}

// end closes the array of frames.
func (f *frames) end() { f.put("]\n") }

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

// written is the number of bytes of the answer so far, before compression.
func (f *frames) written() int64 { return f.sent + int64(len(f.buf)) }

func (f *frames) put(s string) { f.buf = append(f.buf, s...) }

func (f *frames) write() {
	if f.err == nil && len(f.buf) > 0 {
		_, f.err = f.w.Write(f.buf)
		f.sent += int64(len(f.buf))
	}
	f.buf = f.buf[:0]
}
