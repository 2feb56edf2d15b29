package table_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestParseType(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		for _, want := range table.Types() {
			if got, err := table.ParseType(want.String()); err != nil || got != want {
				t.Errorf("ParseType(%q) = %v, %v", want, got, err)
			}
		}
		if got, err := table.ParseType("int64"); err != nil || got != table.Long {
			t.Errorf("ParseType(int64) = %v, %v", got, err)
		}
	})
	t.Run("ErrUnknown", func(t *testing.T) {
		_, err := table.ParseType("float")
		wantError(t, err, `column type must be a kusto scalar type, got "float"`)
	})
}

func TestTimes(t *testing.T) {
	for text, ticks := range map[string]int64{
		"0001-01-01T00:00:00.0000000Z": table.MinDateTime,
		"9999-12-31T23:59:59.9999999Z": table.MaxDateTime,
		"1970-01-01T00:00:00.0000000Z": 0,
		"1969-12-31T23:59:59.9999999Z": -1,
		"2025-06-25T10:00:00.0000000Z": 17508456000000000,
	} {
		if got := string(table.AppendDateTime(nil, ticks)); got != text {
			t.Errorf("AppendDateTime(%d) = %s, want %s", ticks, got, text)
		}
		if got := table.Ticks(table.Time(ticks)); got != ticks {
			t.Errorf("Ticks(Time(%d)) = %d", ticks, got)
		}
	}
	for text, ticks := range map[string]int64{
		"00:00:00":                   0,
		"-00:00:00.0000001":          -1,
		"00:01:00":                   60 * table.TicksPerSecond,
		"1.02:03:04.5000000":         ((26*60+3)*60+4)*table.TicksPerSecond + 5_000_000,
		"10675199.02:48:05.4775807":  math.MaxInt64,
		"-10675199.02:48:05.4775808": math.MinInt64,
		"-1.00:00:00":                -86400 * table.TicksPerSecond,
	} {
		if got := table.Span(ticks).String(); got != text {
			t.Errorf("Span(%d) = %s, want %s", ticks, got, text)
		}
	}
	if got := table.SpanTicks(-1); got != -1 {
		t.Errorf("SpanTicks(-1ns) = %d, want -1", got)
	}
	if got := table.Ticks(time.Unix(0, -1)); got != -1 {
		t.Errorf("Ticks(-1ns) = %d, want -1", got)
	}
}

var everyType = table.Schema{
	{Name: "b", Type: table.Bool}, {Name: "i", Type: table.Int}, {Name: "l", Type: table.Long},
	{Name: "r", Type: table.Real}, {Name: "d", Type: table.Decimal}, {Name: "t", Type: table.DateTime},
	{Name: "s", Type: table.TimeSpan}, {Name: "g", Type: table.GUID}, {Name: "x", Type: table.String},
	{Name: "j", Type: table.Dynamic},
}

func everyRow() *table.Table {
	t := table.New("Every", everyType, 0)
	rows := [][]any{
		{true, int32(-1), int64(math.MaxInt64), 1.5, "-12.50", time.Unix(1, 100).UTC(), table.Span(7), "123e27de-1e4e-49d9-b579-fe0b331d3642", "é", json.RawMessage(`{"a":[1]}`)},
		{nil, nil, nil, nil, nil, nil, nil, nil, "", nil},
		{false, int32(math.MinInt32), int64(math.MinInt64), math.Inf(-1), "0", table.Time(table.MinDateTime), table.Span(-7), "00000000-0000-0000-0000-000000000000", "x", json.RawMessage(`null`)},
	}
	for _, r := range rows {
		if err := t.AppendRow(r...); err != nil {
			panic(err)
		}
	}
	return t
}

func row(t *table.Table, i int) []any {
	var r []any
	for _, c := range t.Columns {
		r = append(r, c.Vec.Value(i))
	}
	return r
}

func TestTable(t *testing.T) {
	src := everyRow()
	if err := src.Validate(); err != nil {
		t.Fatal(err)
	}
	if src.Rows() != 3 || !reflect.DeepEqual(src.Schema(), everyType) {
		t.Fatalf("rows %d, schema %v", src.Rows(), src.Schema())
	}
	t.Run("Take", func(t *testing.T) {
		got := src.Take([]int32{2, -1, 0})
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		for i, from := range []int{2, 1, 0} {
			if !reflect.DeepEqual(row(got, i), row(src, from)) {
				t.Errorf("row %d = %v, want %v", i, row(got, i), row(src, from))
			}
		}
	})
	t.Run("Slice", func(t *testing.T) {
		got := src.Slice(1, 3)
		got.AppendTable(src.Slice(0, 1))
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		for i, from := range []int{1, 2, 0} {
			if !reflect.DeepEqual(row(got, i), row(src, from)) {
				t.Errorf("row %d = %v, want %v", i, row(got, i), row(src, from))
			}
		}
		if !reflect.DeepEqual(row(src, 1), row(everyRow(), 1)) || src.Rows() != 3 {
			t.Error("appending to a slice changed the table")
		}
	})
	t.Run("ErrAppendRow", func(t *testing.T) {
		tb := everyRow()
		good := row(tb, 0)
		for _, c := range []struct {
			col  int
			x    any
			want string
		}{
			{1, int64(1) << 31, `table "Every": column "i": int must be between -2147483648 and 2147483647, got 2147483648`},
			{3, "1.5", `table "Every": column "r": a column of real cannot hold a string`},
			{4, "1e5", `table "Every": column "d": decimal must be plain decimal digits, got "1e5"`},
			{5, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), `table "Every": column "t": datetime must be within years 1 and 9999, got 10000-01-01T00:00:00Z`},
			{7, "123", `table "Every": column "g": guid must be 8-4-4-4-12 hexadecimal digits, got "123"`},
			{9, "{", `table "Every": column "j": dynamic must be json, got "{"`},
		} {
			bad := append([]any(nil), good...)
			bad[c.col] = c.x
			wantError(t, tb.AppendRow(bad...), c.want)
			if err := tb.Validate(); err != nil || tb.Rows() != 3 {
				t.Fatalf("after a refused row: %d rows, %v", tb.Rows(), err)
			}
		}
		wantError(t, tb.AppendRow(true), `table "Every": a row must have 10 values, got 1`)
	})
	t.Run("ErrValidate", func(t *testing.T) {
		tb := table.New("T", table.Schema{{Name: "a", Type: table.Int}, {Name: "b", Type: table.String}}, 0)
		tb.Columns[0].Vec.AppendInt(1)
		wantError(t, tb.Validate(), `table "T": column "b" must have 1 rows, got 0`)
		tb.Columns[1].Vec.AppendNull()
		if err := tb.Validate(); err != nil {
			t.Fatal(err)
		}
		tb.Columns[1].Vec.Nulls.Set(0)
		wantError(t, tb.Validate(), `table "T": column "b": a string is never null, got 1 nulls`)
		tb.Columns[1].Name = "a"
		wantError(t, tb.Validate(), `table "T": column "a" appears twice`)
	})
}

func TestBitmap(t *testing.T) {
	var b table.Bitmap
	v := table.NewVector(table.Long, 0)
	for i := range 300 {
		if i%7 == 3 {
			b.Set(i)
			v.AppendNull()
		} else {
			v.AppendInt(int64(i))
		}
	}
	if !reflect.DeepEqual(b.Selection(300), v.Nulls.Selection(300)) || b.Count() != 43 {
		t.Fatalf("count %d, selection %v", b.Count(), v.Nulls.Selection(300))
	}
	for _, r := range [][2]int{{0, 300}, {1, 65}, {3, 4}, {64, 128}, {100, 299}, {300, 300}} {
		s := v.Slice(r[0], r[1])
		for i := range s.Len() {
			if s.IsNull(i) != v.IsNull(r[0]+i) {
				t.Errorf("slice %v: row %d null %v", r, i, s.IsNull(i))
			}
		}
		if within := len(s.Nulls.Selection(s.Len())); within != s.Nulls.Count() {
			t.Errorf("slice %v: nulls beyond the end", r)
		}
	}
	if b.Clone().Get(1000) || table.Bitmap(nil).Any() {
		t.Error("rows beyond the end must not be in the set")
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("error\n got %v\nwant %s", err, want)
	}
}
