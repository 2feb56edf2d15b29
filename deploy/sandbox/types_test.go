package sandbox_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

var everyType = table.Schema{
	{Name: "b", Type: table.Bool}, {Name: "i", Type: table.Int}, {Name: "l", Type: table.Long},
	{Name: "r", Type: table.Real}, {Name: "d", Type: table.Decimal}, {Name: "t", Type: table.DateTime},
	{Name: "s", Type: table.TimeSpan}, {Name: "g", Type: table.GUID}, {Name: "x", Type: table.String},
	{Name: "j", Type: table.Dynamic},
}

// every is a table with every type and its edges, and the strings that azkustodata shows for them.
func every(tb testing.TB) (*table.Table, [][]string) {
	tb.Helper()
	const guid = "123e27de-1e4e-49d9-b579-fe0b331d3642"
	t := table.New("Every", everyType, 4)
	rows := []struct {
		values []any
		want   []string
	}{
		{
			[]any{true, 2147483647, int64(math.MaxInt64), 0.1, "2.00000000000001", time.Date(2020, 3, 4, 14, 5, 1, 310996500, time.UTC), time.Hour + 100*time.Nanosecond, guid, "é\"\\\n\t\x01\u2028", `{"a": [1,
 null, "x"]}`},
			[]string{"true", "2147483647", "9223372036854775807", "0.1", "2.00000000000001", "2020-03-04T14:05:01.3109965Z", "1h0m0.0000001s", guid, "é\"\\\n\t\x01\u2028", `{"a":[1,null,"x"]}`},
		},
		{
			[]any{nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
			[]string{"", "", "", "", "", "", "", "", "", ""},
		},
		{
			[]any{false, -2147483648, int64(math.MinInt64), math.NaN(), "-0.5", table.Time(table.MinDateTime), -25 * time.Hour, guid, "", `9007199254740993`},
			[]string{"false", "-2147483648", "-9223372036854775808", "NaN", "-0.5", "0001-01-01T00:00:00Z", "-25h0m0s", guid, "", "9007199254740993"},
		},
		{
			[]any{false, 0, int64(0), math.Inf(1), "0", table.Time(table.MaxDateTime), time.Duration(0), guid, "[1,2]", `[]`},
			[]string{"false", "0", "0", "+Inf", "0", "9999-12-31T23:59:59.9999999Z", "0s", guid, "[1,2]", "[]"},
		},
		{
			[]any{false, 0, int64(0), math.Inf(-1), "0", time.Unix(0, 0), time.Duration(0), guid, "", `true`},
			[]string{"false", "0", "0", "-Inf", "0", "1970-01-01T00:00:00Z", "0s", guid, "", "true"},
		},
		{
			[]any{false, 0, int64(0), 1e300, "0", time.Unix(0, 0), time.Duration(0), guid, "", `{}`},
			[]string{"false", "0", "0", "1e+300", "0", "1970-01-01T00:00:00Z", "0s", guid, "", "{}"},
		},
		{
			[]any{false, 0, int64(0), 2.0, "0", time.Unix(0, 0), time.Duration(0), guid, "", `{}`},
			[]string{"false", "0", "0", "2", "0", "1970-01-01T00:00:00Z", "0s", guid, "", "{}"},
		},
	}
	var want [][]string
	for _, r := range rows {
		if err := t.AppendRow(r.values...); err != nil {
			tb.Fatal(err)
		}
		want = append(want, r.want)
	}
	return t, want
}

func TestQueryEveryType(t *testing.T) {
	src, want := every(t)
	s := start(t, sandbox.Config{Engine: canned(src)})
	ds, err := client(t, s.URL()).Query(context.Background(), "Any", kql.New("Every"))
	if err != nil {
		t.Fatal(err)
	}
	primary := primaries(ds)
	if len(primary) != 1 {
		t.Fatalf("%d primary tables", len(primary))
	}
	for i, c := range primary[0].Columns() {
		if c.Name() != everyType[i].Name || string(c.Type()) != everyType[i].Type.String() {
			t.Errorf("column %d is %s %s, want %v", i, c.Name(), c.Type(), everyType[i])
		}
	}
	rows := primary[0].Rows()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, r := range rows {
		for j, v := range r.Values() {
			if v.String() != want[i][j] {
				t.Errorf("row %d column %s = %q, want %q", i, everyType[j].Name, v.String(), want[i][j])
			}
			if i == 1 && everyType[j].Type != table.String && v.GetValue() != nil && fmt.Sprint(v.GetValue()) != "<nil>" && fmt.Sprint(v.GetValue()) != "[]" {
				t.Errorf("null of column %s is %v", everyType[j].Name, v.GetValue())
			}
		}
	}
}
