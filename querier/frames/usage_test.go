package frames_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/querier/frames"
)

// informed is an answer of one row whose completion information has the rows given.
func informed(rows string) string {
	const columns = `"Columns":[{"ColumnName":"Timestamp","ColumnType":"datetime"},{"ColumnName":"EventTypeName","ColumnType":"string"},{"ColumnName":"Payload","ColumnType":"string"}]`
	return strings.Replace(answer([]string{"long"}, `[1]`),
		`"Columns":[{"ColumnName":"Payload","ColumnType":"string"}],"Rows":[["{\"Count\":1}"]]`, columns+`,"Rows":`+rows, 1)
}

func TestUsage(t *testing.T) {
	const payload = `{"ExecutionTime":0.5,"resource_usage":{"cache":{"shards":{"hot":{"hitbytes":0}}},"cpu":{"user":"00:00:00.0312500","kernel":"00:00:00","total cpu":"1.00:00:01.5000000"},"memory":{"peak_per_node":16777376}},` +
		`"input_dataset_statistics":{"extents":{"total":2,"scanned":1},"rows":{"total":100,"scanned":11}},"dataset_statistics":[{"table_row_count":1,"table_size":8}]}`
	row := func(event, payload string) string {
		return fmt.Sprintf(`["2025-06-25T10:00:00Z",%q,%s]`, event, payload)
	}
	whole := &frames.Usage{Execution: 500 * time.Millisecond, CPU: 24*time.Hour + 1500*time.Millisecond, PeakMemory: 16777376, ScannedRows: 11, TotalRows: 100}
	for _, tt := range []struct {
		name, rows string
		want       *frames.Usage
	}{
		{"OKText", "[" + row("QueryInfo", `"{\"Count\":1}"`) + "," + row("QueryResourceConsumption", strconv.Quote(payload)) + "]", whole},
		{"OKDynamic", "[" + row("QueryResourceConsumption", payload) + "]", whole},
		{"OKLittle", "[" + row("QueryResourceConsumption", `"{\"ExecutionTime\":1.0}"`) + "]", &frames.Usage{Execution: time.Second}},
		// What cannot be read is no usage, and never an error of the answer.
		{"OKNone", "[]", nil},
		{"OKNull", "null", nil},
		{"OKShortRow", `[["2025-06-25T10:00:00Z","QueryResourceConsumption"]]`, nil},
		{"OKNoJSON", "[" + row("QueryResourceConsumption", `"{"`) + "]", nil},
		{"OKNull2", "[" + row("QueryResourceConsumption", `null`) + "]", &frames.Usage{}},
		{"OKOtherTypes", "[" + row("QueryResourceConsumption", `"{\"ExecutionTime\":\"long\"}"`) + "]", nil},
		{"OKErrorRow", `[{"x":1}]`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r, err := decodeQuery(t, informed(tt.rows), frames.Query{Columns: []string{"c0"}, Usage: true})
			require.NoError(t, err)
			require.Equal(t, frames.Result{Rows: 1, Batches: 1, Usage: tt.want}, r)
			// Whoever does not ask has none, nor a second answer of a decoder the first one's.
			d := frames.NewDecoder()
			for _, asks := range []bool{true, false} {
				r, err = d.Decode(strings.NewReader(informed(tt.rows)), frames.Query{Columns: []string{"c0"}, Usage: asks, Take: func(frames.Batch) error { return nil }})
				require.NoError(t, err)
			}
			require.Nil(t, r.Usage)
		})
	}
}
