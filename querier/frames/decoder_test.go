package frames_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// decode reads text and returns its batches as a stage would keep them.
func decode(t testing.TB, text string, columns ...string) ([]*wire.RowBatch, frames.Result, error) {
	t.Helper()
	return decodeQuery(t, text, frames.Query{Columns: columns})
}

func decodeQuery(t testing.TB, text string, q frames.Query) ([]*wire.RowBatch, frames.Result, error) {
	t.Helper()
	var batches []*wire.RowBatch
	q.Take = func(b frames.Batch) error {
		require.LessOrEqual(t, b.Number, len(batches))
		require.LessOrEqual(t, len(b.Data), schemas.MaxMessageBytes)
		m := new(wire.RowBatch)
		require.NoError(t, proto.Unmarshal(b.Data, m))
		require.Empty(t, m.ProtoReflect().GetUnknown())
		require.EqualValues(t, b.Rows, m.Rows)
		batches = append(batches[:b.Number], m)
		return nil
	}
	r, err := frames.NewDecoder().Decode(strings.NewReader(text), q)
	if err != nil {
		return nil, r, err
	}
	return batches[:r.Batches], r, nil
}

// values returns a column's values as a reader of the specification gets them.
func values(c *wire.Column, rows int) []any {
	list := make([]any, rows)
	instant := int64(0)
	for i := range list {
		var v any
		switch c.Type {
		case "real":
			v = c.Reals[i]
		case "string", "decimal", "guid", "dynamic":
			if i/8 >= len(c.Nulls) || c.Nulls[i/8]&(1<<(i%8)) == 0 {
				v = c.Dictionary[c.Indexes[i]]
			}
		case "datetime":
			instant += c.Integers[i]
			v = instant
		default:
			v = c.Integers[i]
		}
		if len(c.Nulls) > 0 && c.Nulls[i/8]&(1<<(i%8)) != 0 {
			v = nil
		}
		list[i] = v
	}
	return list
}

func TestTypes(t *testing.T) {
	const year0001, year9999 = -621355968000000000, 2534023007999999999
	for _, tt := range []struct {
		typ  string
		rows []string
		want []any
	}{
		{"bool", []string{"true", "false", "null", "1", "0"}, []any{int64(1), int64(0), nil, int64(1), int64(0)}},
		{"int", []string{"0", "-2147483648", "2147483647", "null"}, []any{int64(0), int64(math.MinInt32), int64(math.MaxInt32), nil}},
		{"long", []string{"9223372036854775807", "-9223372036854775808", `"9223372036854775807"`, `"-1"`, "null", "9007199254740993"},
			[]any{int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt64), int64(-1), nil, int64(9007199254740993)}},
		{"real", []string{"0.1", "-2.5", "1E+16", "1e-7", `"NaN"`, `"Infinity"`, `"-Infinity"`, "null", "123456789012345678", "5e-324", "17976931348623157e292", "100", `"1.5"`, "-0.0"},
			[]any{0.1, -2.5, 1e16, 1e-7, math.NaN(), math.Inf(1), math.Inf(-1), nil, 123456789012345678.0, 5e-324, math.MaxFloat64, 100.0, 1.5, math.Copysign(0, -1)}},
		{"decimal", []string{`"2.00000000000001"`, "1.50", `"-7"`, "null", `"1E+3"`, "1.25e1", `"1.25e-4"`, `"12e-1"`, `"-0.5E1"`, `"0E5"`, `"+3"`, `"12345678901234567890123456789012.34"`, `"1E-3"`, `"1.5E1"`},
			[]any{"2.00000000000001", "1.50", "-7", nil, "1000", "12.5", "0.000125", "1.2", "-5", "0", "3", "12345678901234567890123456789012.34", "0.001", "15"}},
		{"string", []string{`"plain"`, `""`, `"a\"b\\c\/\n\u00e9"`, `"é😀"`, `"\ud83d\ude00"`, `"\ud800"`, "null", `"plain"`, `"ends in \\"`},
			[]any{"plain", "", "a\"b\\c/\né", "é😀", "😀", "\uFFFD", nil, "plain", `ends in \`}},
		{"datetime", []string{`"1970-01-01T00:00:00Z"`, `"2025-06-25T10:15:00.1234567Z"`, "null", `"2025-06-25T10:15:00.1Z"`, `"0001-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.9999999Z"`, `"2000-02-29T00:00:00.000Z"`, `"1969-12-31T23:59:59.9999999Z"`, `"1900-02-28T00:00:00"`},
			[]any{int64(0), int64(17508465001234567), nil, int64(17508465001000000), int64(year0001), int64(year9999), int64(9517824000000000), int64(-1), int64(-22039776000000000)}},
		{"timespan", []string{`"01:23:45.6789000"`, `"00:00:00"`, `"-00:00:00.0000001"`, `"1.00:00:00"`, "null", `"-10675199.02:48:05.4775808"`, `"10675199.02:48:05.4775807"`, `"00:00:00.5"`},
			[]any{int64(50256789000), int64(0), int64(-1), int64(864000000000), nil, int64(math.MinInt64), int64(math.MaxInt64), int64(5000000)}},
		{"guid", []string{`"123e27de-1e4e-49d9-b579-fe0b331d3642"`, `"123E27DE-1E4E-49D9-B579-FE0B331D3642"`, "null"},
			[]any{"123e27de-1e4e-49d9-b579-fe0b331d3642", "123e27de-1e4e-49d9-b579-fe0b331d3642", nil}},
		{"dynamic", []string{`{"a": 1, "b": [true, null]}`, `"{\"a\": 1}"`, `"bare"`, `"a\"b"`, "null", `"null"`, "3", `"3.50"`, "true", `[]`, `"[1, 2"`, `"2025-01-01"`, `""`, `"\"quoted\""`, `"nullable"`, `-1.0`},
			[]any{`{"a":1,"b":[true,null]}`, `{"a":1}`, `"bare"`, `"a\"b"`, nil, nil, "3", "3.50", "true", "[]", `"[1, 2"`, `"2025-01-01"`, `""`, `"quoted"`, `"nullable"`, "-1.0"}},
	} {
		t.Run(tt.typ, func(t *testing.T) {
			var rows []string
			for _, v := range tt.rows {
				rows = append(rows, "["+v+"]")
			}
			batches, r, err := decode(t, answer([]string{tt.typ}, rows...), "c0")
			require.NoError(t, err)
			require.EqualValues(t, len(rows), r.Rows)
			require.Len(t, batches, 1)
			c := batches[0].Columns[0]
			require.Equal(t, "c0", c.Name)
			require.Equal(t, tt.typ, c.Type)
			got := values(c, len(rows))
			for i, want := range tt.want {
				if f, ok := want.(float64); ok && math.IsNaN(f) {
					require.True(t, math.IsNaN(got[i].(float64)))
					continue
				}
				require.Equal(t, want, got[i], "row %d: %s", i, tt.rows[i])
				if f, ok := want.(float64); ok {
					require.Equal(t, math.Signbit(f), math.Signbit(got[i].(float64)))
				}
			}
		})
	}
	t.Run("synonyms", func(t *testing.T) {
		batches, _, err := decode(t, answer([]string{"boolean", "int32", "int64", "double", "date", "time", "uuid"}, `[true,1,1,1,null,null,null]`),
			"c0", "c1", "c2", "c3", "c4", "c5", "c6")
		require.NoError(t, err)
		for i, want := range []string{"bool", "int", "long", "real", "datetime", "timespan", "guid"} {
			require.Equal(t, want, batches[0].Columns[i].Type)
		}
	})
}

func TestBadValues(t *testing.T) {
	for typ, list := range map[string][]string{
		"bool":     {`"true"`, "2", "[]"},
		"int":      {"1.5", "1e3", `""`, "true", "{}", `"x"`},
		"long":     {"9223372036854775808", "-9223372036854775809", "99999999999999999999", `"1a"`},
		"real":     {`"x"`, "true", `"0x10"`, `""`, `"1_0"`, "1e999"},
		"decimal":  {`"1."`, `".5"`, `""`, `"1e"`, `"1e99999"`, `"NaN"`, "true", `"1-2"`},
		"string":   {"1", "true", "{}"},
		"datetime": {`"2025-06-25"`, `"2025-13-01T00:00:00Z"`, `"2025-02-29T00:00:00Z"`, `"0000-01-01T00:00:00Z"`, `"2025-06-25T24:00:00Z"`, `"2025-06-25T10:00:00.12345678Z"`, `"2025-06-25T10:00:00."`, `"2025-06-25T10:00:00+01:00"`, "5", `""`, `"x"`, `"2025-06-25T10:60:00Z"`, `"202a-06-25T10:00:00Z"`},
		"timespan": {`"1:00:00"`, `"25:00:00"`, `"10675199.02:48:05.4775808"`, `"-10675199.02:48:05.4775809"`, `"10675200.00:00:00"`, `"00:00"`, `"00:00:00.12345678"`, "5", `""`, `"x.00:00:00"`, `"--00:00:00"`},
		"guid":     {"1", "true"},
	} {
		for _, v := range list {
			t.Run("Err"+typ+v, func(t *testing.T) {
				_, _, err := decode(t, answer([]string{typ}, "["+v+"]"), "c0")
				require.ErrorContains(t, err, `table 1: row 1: column "c0": not a `+typ+": "+v)
				require.Equal(t, pipe.KindPermanent, kindOf(err))
			})
		}
	}
}

func kindOf(err error) pipe.Kind {
	k, _ := pipe.KindOf(err)
	return k
}

func TestColumns(t *testing.T) {
	t.Run("OKKeepsOnlyThoseWanted", func(t *testing.T) {
		batches, _, err := decode(t, answer([]string{"string", "dynamic", "long", "dynamic"}, `["a]\"[", {"x":["}",{}]} ,	1 , [[]] ]`, `["b",null,2,"["]`), "c2")
		require.NoError(t, err)
		require.Len(t, batches[0].Columns, 1)
		require.Equal(t, []any{int64(1), int64(2)}, values(batches[0].Columns[0], 2))
	})
	t.Run("OKChecksAnAnswerWithoutRows", func(t *testing.T) {
		var seen []schemas.ColumnType
		batches, r, err := decodeQuery(t, answer([]string{"date", "new"}), frames.Query{Check: func(c []schemas.ColumnType) error {
			seen = c
			return nil
		}})
		require.NoError(t, err)
		require.Empty(t, batches)
		require.Zero(t, r)
		require.Equal(t, []schemas.ColumnType{{Name: "c0", Type: "datetime"}, {Name: "c1", Type: "new"}}, seen)
	})
	t.Run("ErrCheck", func(t *testing.T) {
		_, _, err := decodeQuery(t, answer([]string{"long"}), frames.Query{Check: func([]schemas.ColumnType) error { return errors.New("no such column") }})
		require.EqualError(t, err, "no such column")
		require.Equal(t, pipe.KindPermanent, kindOf(err))
	})
	t.Run("ErrUnknownType", func(t *testing.T) {
		_, _, err := decode(t, answer([]string{"new"}, "[1]"), "c0")
		require.EqualError(t, err, `column "c0" has type "new", which is none of Kusto's that this version knows`)
		require.Equal(t, pipe.KindPermanent, kindOf(err))
	})
}

func TestMaxRows(t *testing.T) {
	text := answer([]string{"long"}, "[1]", "[2]")
	_, r, err := decodeQuery(t, text, frames.Query{MaxRows: 2})
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Rows)
	_, _, err = decodeQuery(t, text, frames.Query{MaxRows: 1})
	require.EqualError(t, err, "table 1: the answer has more rows than limits.maxRows of 1")
	require.Equal(t, pipe.KindPermanent, kindOf(err))
}

func TestBatches(t *testing.T) {
	t.Run("OKClosedByRows", func(t *testing.T) {
		rows := make([]string, 2*schemas.RowBatchRows+1)
		for i := range rows {
			rows[i] = fmt.Sprintf(`[%d,"text %d","2025-06-25T10:15:00.%07dZ"]`, i, i, i)
		}
		batches, r, err := decode(t, answer([]string{"long", "string", "datetime"}, rows...), "c0", "c1", "c2")
		require.NoError(t, err)
		require.Equal(t, 3, r.Batches)
		require.EqualValues(t, len(rows), r.Rows)
		n := 0
		for _, b := range batches {
			longs, texts, times := values(b.Columns[0], int(b.Rows)), values(b.Columns[1], int(b.Rows)), values(b.Columns[2], int(b.Rows))
			for i := range b.Rows {
				require.EqualValues(t, n, longs[i])
				require.Equal(t, fmt.Sprintf("text %d", n), texts[i])
				require.EqualValues(t, 17508465000000000+n, times[i])
				n++
			}
		}
		require.Equal(t, len(rows), n)
	})
	t.Run("OKClosedByBytes", func(t *testing.T) {
		var rows []string
		for i := range 40 {
			rows = append(rows, fmt.Sprintf(`["%d%s"]`, i, strings.Repeat("x", 100<<10)))
		}
		batches, r, err := decode(t, answer([]string{"string"}, rows...), "c0")
		require.NoError(t, err)
		require.EqualValues(t, 40, r.Rows)
		require.Len(t, batches, 7)
		require.EqualValues(t, 6, batches[0].Rows)
	})
	t.Run("OKLargeRowsBesideSmall", func(t *testing.T) {
		large := `["` + strings.Repeat("y", 1000<<10) + `"]`
		batches, _, err := decode(t, answer([]string{"string"}, `["a"]`, large, large, `["b"]`), "c0")
		require.NoError(t, err)
		require.Len(t, batches, 4)
	})
	t.Run("OKDecimalThatGrows", func(t *testing.T) {
		var rows []string
		for i := range 400 {
			rows = append(rows, fmt.Sprintf(`["%dE+6100"]`, i+1))
		}
		_, r, err := decode(t, answer([]string{"decimal"}, rows...), "c0")
		require.NoError(t, err)
		require.EqualValues(t, 400, r.Rows)
	})
	t.Run("OKNotUTF8", func(t *testing.T) {
		batches, _, err := decode(t, answer([]string{"string"}, "[\"a\xffb\"]", "[\"a\xffb\"]", "[\"a\xfeb\"]"), "c0")
		require.NoError(t, err)
		require.Equal(t, []string{"a\uFFFDb"}, batches[0].Columns[0].Dictionary)
	})
	t.Run("OKLargeColumnNotWanted", func(t *testing.T) {
		_, r, err := decode(t, answer([]string{"string", "long"}, `["`+strings.Repeat("y", 2<<20)+`",1]`), "c1")
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Rows)
	})
	t.Run("ErrRowLargerThanAMessage", func(t *testing.T) {
		_, _, err := decode(t, answer([]string{"string"}, `["a"]`, `["`+strings.Repeat("y", schemas.MaxMessageBytes)+`"]`), "c0")
		require.EqualError(t, err, "table 1: row 2: it does not fit a message: 1032217 bytes encoded, at most 1032192")
		require.Equal(t, pipe.KindPermanent, kindOf(err))
	})
	t.Run("ErrRowWithoutEnd", func(t *testing.T) {
		_, _, err := decode(t, answer([]string{"string"}, `["`+strings.Repeat("y", 40<<20)+`"]`), "c0")
		require.EqualError(t, err, "row 1: one value of the answer is longer than 16 MiB")
		require.Equal(t, pipe.KindPermanent, kindOf(err))
	})
	t.Run("ErrTake", func(t *testing.T) {
		full := errors.New("full")
		_, err := frames.NewDecoder().Decode(strings.NewReader(answer([]string{"long"}, "[1]")), frames.Query{Columns: []string{"c0"}, Take: func(frames.Batch) error { return full }})
		require.ErrorIs(t, err, full)
	})
}

func TestReads(t *testing.T) {
	text := answer([]string{"string", "long"}, `["a\n",1]`, `["b",2]`)
	t.Run("OKByteByByte", func(t *testing.T) {
		n := 0
		r, err := frames.NewDecoder().Decode(iotest.OneByteReader(strings.NewReader(text)), frames.Query{Columns: []string{"c0"}, Take: func(b frames.Batch) error { n += b.Rows; return nil }})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.EqualValues(t, 2, r.Rows)
	})
	t.Run("OKManyFragments", func(t *testing.T) {
		for _, size := range []int{0, 1, 3, 40, 400} {
			var b strings.Builder
			b.WriteString(`[{"FrameType":"TableHeader","TableId":1,"TableKind":"PrimaryResult","Columns":[{"ColumnName":"c0","ColumnType":"long"},{"ColumnName":"c1","ColumnType":"string"}]}`)
			n := 0
			for range 30 {
				b.WriteString(`,{"FrameType":"TableFragment","TableId":1,"Rows":[`)
				for i := range size {
					if i > 0 {
						b.WriteByte(',')
					}
					fmt.Fprintf(&b, `[%d,"%s"]`, n, strings.Repeat("x", n%200))
					n++
				}
				b.WriteString(`],"Other":[1]}`)
			}
			fmt.Fprintf(&b, `,{"FrameType":"TableCompletion","TableId":1,"RowCount":%d},{"FrameType":"DataSetCompletion","HasErrors":false}]`, n)
			for name, reader := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
				"one byte": iotest.OneByteReader, "odd": func(r io.Reader) io.Reader { return oddReader{r} },
			} {
				if name == "one byte" && size > 40 {
					continue // slow, and nothing new
				}
				next := 0
				r, err := frames.NewDecoder().Decode(reader(strings.NewReader(b.String())), frames.Query{Columns: []string{"c0", "c1"}, Take: func(b frames.Batch) error {
					m := new(wire.RowBatch)
					require.NoError(t, proto.Unmarshal(b.Data, m))
					for i, v := range m.Columns[0].Integers {
						require.EqualValues(t, next, v)
						require.Equal(t, strings.Repeat("x", next%200), m.Columns[1].Dictionary[m.Columns[1].Indexes[i]])
						next++
					}
					return nil
				}})
				require.NoError(t, err, "%s, %d rows a fragment", name, size)
				require.EqualValues(t, n, r.Rows)
				require.Equal(t, n, next)
			}
		}
	})
	t.Run("ErrRead", func(t *testing.T) {
		_, err := frames.NewDecoder().Decode(iotest.TimeoutReader(strings.NewReader(text)), frames.Query{})
		require.ErrorIs(t, err, iotest.ErrTimeout)
		require.ErrorContains(t, err, "the answer broke off after byte ")
	})
	t.Run("ErrCutAnywhere", func(t *testing.T) {
		d := frames.NewDecoder()
		for n := range len(text) {
			_, err := d.Decode(strings.NewReader(text[:n]), frames.Query{Columns: []string{"c0", "c1"}, Take: func(frames.Batch) error { return nil }})
			require.Error(t, err, "cut after byte %d", n)
			require.Equal(t, pipe.KindRetry, kindOf(err), "cut after byte %d: %v", n, err)
		}
		_, err := d.Decode(strings.NewReader(text), frames.Query{Columns: []string{"c0", "c1"}, Take: func(frames.Batch) error { return nil }})
		require.NoError(t, err)
	})
}

// oddReader reads a few thousand bytes at a time, more than the tokenizer and less
// than the rows' buffer take.
type oddReader struct{ r io.Reader }

func (o oddReader) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 4999)]) }

func FuzzFrames(f *testing.F) {
	f.Add(answer([]string{"long", "string", "datetime", "real", "dynamic", "decimal", "timespan", "guid", "bool"},
		`[1,"a","2025-06-25T10:15:00Z",1.5,{"a":1},"1.5","00:00:01","123e27de-1e4e-49d9-b579-fe0b331d3642",true]`, `[null,null,null,null,null,null,null,null,null]`))
	f.Add(plain)
	f.Add(progressive)
	f.Add(`{"error":{"code":"x"}}`)
	f.Add(`[]`)
	d := frames.NewDecoder()
	f.Fuzz(func(t *testing.T, text string) {
		rows := 0
		numbers := map[int]int{}
		r, err := d.Decode(strings.NewReader(text), frames.Query{
			Columns: []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"},
			Take: func(b frames.Batch) error {
				m := new(wire.RowBatch)
				if err := proto.Unmarshal(b.Data, m); err != nil {
					t.Fatal(err)
				}
				for _, c := range m.Columns {
					if n := len(c.Integers) + len(c.Reals) + len(c.Indexes); n != int(m.Rows) {
						t.Fatalf("%d values of %d rows in %v", n, m.Rows, c)
					}
					values(c, int(m.Rows))
				}
				numbers[b.Number] = b.Rows
				return nil
			},
		})
		if err != nil {
			return
		}
		if !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
			t.Fatal("accepted what is not JSON")
		}
		for n := range r.Batches {
			rows += numbers[n]
		}
		if int64(rows) != r.Rows {
			t.Fatalf("%d rows in batches, %d in the result", rows, r.Rows)
		}
		if !strings.Contains(text, "DataSetCompletion") && !strings.Contains(text, `\u`) {
			t.Fatal("accepted without DataSetCompletion")
		}
	})
}
