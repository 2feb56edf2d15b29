package frames_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/kusto2otlp/kusto2otlp/querier/frames"
)

// BenchmarkDecode reads answers of 8 columns from memory. Compared with
// azkustodata's reader over HTTP it is in package querier.
func BenchmarkDecode(b *testing.B) {
	const rows = 20000
	types := []string{"datetime", "string", "string", "string", "string", "long", "real", "real"}
	columns := make([]string, len(types))
	for i := range types {
		columns[i] = fmt.Sprintf("c%d", i)
	}
	var list []string
	for i := range rows {
		list = append(list, fmt.Sprintf(`["2025-06-25T10:%02d:%02d.%07dZ","service_response_time_avg","service-%d","production","eastus-%d",%d,%d.%d,0.%d]`,
			i/60%60, i%60, i%10000000, i%50, i%7, i*37, i%1000, i%89, i%997))
	}
	data := []byte(answer(types, list...))
	d := frames.NewDecoder()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := d.Decode(bytes.NewReader(data), frames.Query{Columns: columns, Take: func(frames.Batch) error { return nil }})
		if err != nil || r.Rows != rows {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

// answer is a fragmented answer with columns c0, c1, … of the given types.
func answer(types []string, rows ...string) string {
	return fmt.Sprintf(`[{"FrameType":"DataSetHeader","IsProgressive":false,"Version":"v2.0","IsFragmented":true,"ErrorReportingPlacement":"EndOfTable"}
,{"FrameType":"DataTable","TableId":0,"TableKind":"QueryProperties","TableName":"@ExtendedProperties","Columns":[{"ColumnName":"TableId","ColumnType":"int"}],"Rows":[[1]]}
,{"FrameType":"TableHeader","TableId":1,"TableKind":"PrimaryResult","TableName":"PrimaryResult","Columns":[%s]}
,{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[%s]}
,{"FrameType":"TableCompletion","TableId":1,"RowCount":%d}
,{"FrameType":"DataTable","TableId":2,"TableKind":"QueryCompletionInformation","TableName":"QueryCompletionInformation","Columns":[{"ColumnName":"Payload","ColumnType":"string"}],"Rows":[["{\"Count\":1}"]]}
,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}
]`, columnsJSON(types), strings.Join(rows, ","), len(rows))
}

func columnsJSON(types []string) string {
	list := make([]string, len(types))
	for i, typ := range types {
		list[i] = fmt.Sprintf(`{"ColumnName":"c%d","ColumnType":"%s"}`, i, typ)
	}
	return strings.Join(list, ",")
}
