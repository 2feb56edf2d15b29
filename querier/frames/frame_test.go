package frames_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const header = `[{"FrameType":"DataSetHeader","Version":"v2.0"},`
const end = `,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}]`
const columns = `"TableKind":"PrimaryResult","Columns":[{"ColumnName":"c0","ColumnType":"long"}]`

const plain = header + `{"FrameType":"DataTable","TableId":1,` + columns + `,"Rows":[[1],[2]]}` + end

const progressive = header + `{"FrameType":"TableHeader","TableId":1,` + columns + `},
{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[[1],[2]]},
{"FrameType":"TableProgress","TableId":1,"TableProgress":50.0},
{"FrameType":"TableFragment","TableFragmentType":"DataReplace","TableId":1,"Rows":[[3]]},
{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[[4]]},
{"FrameType":"TableCompletion","TableId":1,"RowCount":2}` + end

// table is a fragmented table with the frames given between its header and end.
func table(frames string, completion string) string {
	return header + `{"FrameType":"TableHeader","TableId":1,` + columns + `}` + frames + `,{"FrameType":"TableCompletion","TableId":1` + completion + `}`
}

func fragment(rows string) string {
	return `,{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[` + rows + `]}`
}

const oneError = `"OneApiErrors":[{"error":{"code":"LimitsExceeded","message":"Request is invalid.","@message":"too much\nof it","@permanent":false}}]`
const permanentError = `"OneApiErrors":[{"error":{"code":"Bad","message":"Request is invalid.","@permanent":true}}]`
const truncated = `"OneApiErrors":[{"error":{"code":"LimitsExceeded","@message":"exceeded (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003)","@permanent":false}}]`

func TestFrames(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []any
	}{
		"OKPlain":       {plain, []any{int64(1), int64(2)}},
		"OKProgressive": {progressive, []any{int64(3), int64(4)}},
		"OKReplacedByNothing": {table(fragment("[1]")+`,{"FrameType":"TableFragment","TableFragmentType":"DataReplace","TableId":1,"Rows":[]}`, `,"RowCount":0`) + end,
			nil},
		"OKUnknownFramesAndProperties": {header + `{"FrameType":"New","Rows":[[{"x":[1]}]],"Other":{"a":[]}},{"FrameType":"DataTable","TableId":1,"New":[{}],` + columns + `,"Rows":[[7]]}` + end, []any{int64(7)}},
		"OKEmptyErrorLists":            {table(fragment("[1]"), `,"RowCount":1,"OneApiErrors":[]`) + `,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false,"OneApiErrors":[]}]`, []any{int64(1)}},
		"OKNoRows":                     {header + `{"FrameType":"DataTable","TableId":1,` + columns + `,"Rows":[]}` + end, nil},
		"OKNoRowsProperty":             {header + `{"FrameType":"DataTable","TableId":1,` + columns + `}` + end, nil},
		"OKSecondaryInFragments": {header + `{"FrameType":"TableHeader","TableId":5,"TableKind":"Other","Columns":[]},{"FrameType":"TableFragment","TableId":5,"Rows":[[1],{}]},{"FrameType":"TableCompletion","TableId":5,"RowCount":9},` +
			plain[len(header):], []any{int64(1), int64(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			batches, r, err := decode(t, tt.text, "c0")
			require.NoError(t, err)
			require.EqualValues(t, len(tt.want), r.Rows)
			var got []any
			for _, b := range batches {
				got = append(got, values(b.Columns[0], int(b.Rows))...)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestSeveralTables(t *testing.T) {
	second := `,{"FrameType":"TableHeader","TableId":2,"TableKind":"PrimaryResult","Columns":[{"ColumnName":"x","ColumnType":"string"},{"ColumnName":"c0","ColumnType":"real"}]}`
	more := `,{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":2,"Rows":[["a",1.5]]}`
	done := `,{"FrameType":"TableCompletion","TableId":2,"RowCount":1}`
	t.Run("OKOneAfterTheOther", func(t *testing.T) {
		batches, r, err := decode(t, table(fragment("[1],[2]"), `,"RowCount":2`)+second+more+done+end, "c0")
		require.NoError(t, err)
		require.EqualValues(t, 3, r.Rows)
		require.Len(t, batches, 2)
		require.Equal(t, "long", batches[0].Columns[0].Type)
		require.Equal(t, []float64{1.5}, batches[1].Columns[0].Reals)
	})
	t.Run("OKMixed", func(t *testing.T) {
		batches, r, err := decode(t, table(fragment("[1]")+second+more+fragment("[2]")+done, `,"RowCount":2`)+end, "c0")
		require.NoError(t, err)
		require.EqualValues(t, 3, r.Rows)
		require.Len(t, batches, 3)
	})
	t.Run("OKReplaceBatchesHandedOut", func(t *testing.T) {
		long := strings.Repeat("[1],", 2*schemas.RowBatchRows) + "[1]"
		batches, r, err := decode(t, table(fragment(long)+`,{"FrameType":"TableFragment","TableFragmentType":"DataReplace","TableId":1,"Rows":[[9]]}`, `,"RowCount":1`)+end, "c0")
		require.NoError(t, err)
		require.Equal(t, frames.Result{Rows: 1, Batches: 1}, r)
		require.Equal(t, []int64{9}, batches[0].Columns[0].Integers)
	})
	replace := `,{"FrameType":"TableFragment","TableFragmentType":"DataReplace","TableId":1,"Rows":[[9]]}`
	t.Run("ErrReplaceBehindAnother", func(t *testing.T) {
		_, _, err := decode(t, table(fragment("[1]")+second+more+fragment("[2]")+done+replace, `,"RowCount":1`)+end, "c0")
		require.EqualError(t, err, "frame 7 (TableFragment): table 1 replaces rows that came before those of another table")
		require.Equal(t, pipe.KindPermanent, kindOf(err))
	})
	t.Run("OKReplaceTheLast", func(t *testing.T) {
		replace2 := strings.NewReplacer(`"TableId":1`, `"TableId":2`, "[[9]]", `[["b",7],["c",8]]`).Replace(replace)
		batches, r, err := decode(t, table(fragment("[1],[2]"), `,"RowCount":2`)+second+more+replace2+strings.Replace(done, ":1}", ":2}", 1)+end, "c0")
		require.NoError(t, err)
		require.EqualValues(t, 4, r.Rows)
		require.Equal(t, []float64{7, 8}, batches[1].Columns[0].Reals)
	})
}

func TestBadFrames(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
		kind       pipe.Kind
	}{
		"ErrInRows": {table(fragment("[1],{"+oneError+"}"), `,"RowCount":1`) + end,
			"kusto reported an error among the rows: LimitsExceeded: too much of it", pipe.KindRetry},
		"ErrInRowsEmpty": {table(fragment(`[1],{"OneApiErrors":[]}`), `,"RowCount":1`) + end,
			`kusto reported an error among the rows that cannot be read: {"OneApiErrors":[]}`, pipe.KindRetry},
		"ErrInRowsOfPlainTable": {header + `{"FrameType":"DataTable","TableId":1,` + columns + `,"Rows":[{` + permanentError + `}]}` + end,
			"kusto reported an error among the rows: Bad: Request is invalid.", pipe.KindPermanent},
		"ErrInTableCompletion": {table(fragment("[1]"), `,"RowCount":1,`+oneError) + end,
			"kusto reported an error in frame 3 (TableCompletion): LimitsExceeded: too much of it", pipe.KindRetry},
		"ErrTruncated": {table(fragment("[1]"), `,"RowCount":1,`+truncated) + end,
			"kusto reported an error in frame 3 (TableCompletion): LimitsExceeded: exceeded (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003) (set noTruncation: true on the cluster, or summarize to fewer rows)", pipe.KindPermanent},
		"ErrInDataSetCompletion": {table(fragment("[1]"), `,"RowCount":1`) + `,{"FrameType":"DataSetCompletion","HasErrors":true,"Cancelled":false,` + permanentError + `}]`,
			"kusto reported an error in frame 4 (DataSetCompletion): Bad: Request is invalid.", pipe.KindPermanent},
		"ErrErrorsWithoutHasErrors": {table("", `,"RowCount":0`) + `,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false,` + oneError + `}]`,
			"kusto reported an error in frame 3 (DataSetCompletion): LimitsExceeded: too much of it", pipe.KindRetry},
		"ErrAsFrame": {header + `{` + oneError + `}]`, "kusto reported an error in frame 1: LimitsExceeded: too much of it", pipe.KindRetry},
		"ErrAsFrameAlone": {header + `{"error":{"code":"Bad","@permanent":true}}]`,
			"kusto reported an error in frame 1: Bad", pipe.KindPermanent},
		"ErrAsAnswer":    {`{"error":{"code":"Bad","message":"why","@permanent":true}}`, "Bad: why", pipe.KindPermanent},
		"ErrOtherObject": {`{"a":1}`, `the answer is no array of frames but {"a":1}`, pipe.KindRetry},
		"ErrHasErrors": {table("", `,"RowCount":0`) + `,{"FrameType":"DataSetCompletion","HasErrors":true,"Cancelled":false}]`,
			"kusto reported that the query failed (HasErrors) and not why", pipe.KindRetry},
		"ErrCancelled": {table("", `,"RowCount":0`) + `,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":true}]`,
			"kusto reported that the query was cancelled", pipe.KindRetry},
		"ErrNoHasErrors":         {header + `{"FrameType":"DataSetCompletion"}]`, "frame 1 (DataSetCompletion): HasErrors is missing", pipe.KindRetry},
		"ErrNoDataSetCompletion": {table(fragment("[1]"), `,"RowCount":1`) + `]`, "the answer ended without DataSetCompletion", pipe.KindRetry},
		"ErrEmpty":               {`[]`, "the answer ended without DataSetCompletion", pipe.KindRetry},
		"ErrNothing":             {``, "the answer was cut off after byte 0: unexpected EOF", pipe.KindRetry},
		"ErrNoTableCompletion": {header + `{"FrameType":"TableHeader","TableId":1,` + columns + `}` + fragment("[1]") + end,
			"frame 3 (DataSetCompletion): table 1 has no TableCompletion", pipe.KindRetry},
		"ErrRowCount": {table(fragment("[1]"), `,"RowCount":2`) + end,
			"frame 3 (TableCompletion): table 1 has RowCount 2, and 1 rows were read", pipe.KindRetry},
		"ErrNoRowCount": {table(fragment("[1]"), ``) + end,
			"frame 3 (TableCompletion): table 1 has RowCount -1, and 1 rows were read", pipe.KindRetry},
		"ErrFrameAfterEnd": {table("", `,"RowCount":0`) + end[:len(end)-1] + `,{"FrameType":"TableProgress"}]`,
			"frame 4 comes after DataSetCompletion", pipe.KindRetry},
		"ErrMoreAfterEnd":  {plain + `[]`, "the answer goes on after its last frame", pipe.KindRetry},
		"ErrNoTable":       {header + end[1:], "the query answered with no table: its last statement must be a tabular expression", pipe.KindPermanent},
		"ErrRowTooShort":   {table(fragment("[]"), `,"RowCount":1`) + end, "table 1: row 1: it has 0 values and the table 1 columns", pipe.KindRetry},
		"ErrRowTooLong":    {table(fragment("[1,2]"), `,"RowCount":1`) + end, "table 1: row 1: it has 2 values and the table 1 columns", pipe.KindRetry},
		"ErrRowIsNull":     {table(fragment("null"), `,"RowCount":1`) + end, "table 1: a row is null, want an array", pipe.KindRetry},
		"ErrNoHeader":      {header + fragment("[1]")[1:] + end, "frame 1 (TableFragment): a fragment of table 1, which has no header", pipe.KindRetry},
		"ErrEndOfNoHeader": {header + `{"FrameType":"TableCompletion","TableId":1,"RowCount":0}` + end, "frame 1 (TableCompletion): the end of a table that has no header", pipe.KindRetry},
		"ErrHeaderTwice": {header + `{"FrameType":"TableHeader","TableId":1,` + columns + `},{"FrameType":"TableHeader","TableId":1,` + columns + `}` + end,
			"frame 2 (TableHeader): table 1 begins twice", pipe.KindRetry},
		"ErrEndTwice": {table("", `,"RowCount":0`) + `,{"FrameType":"TableCompletion","TableId":1,"RowCount":0}` + end,
			"frame 3 (TableCompletion): table 1 ends twice", pipe.KindRetry},
		"ErrRowsAfterEnd": {table("", `,"RowCount":0`) + fragment("[1]") + end,
			"frame 3 (TableFragment): rows after the table's end", pipe.KindRetry},
		"ErrNoColumns": {header + `{"FrameType":"TableHeader","TableId":1,"TableKind":"PrimaryResult"}` + end,
			"frame 1 (TableHeader): a table without TableId and Columns before its rows", pipe.KindRetry},
		"ErrRowsFirst":        {header + `{"Rows":[[1]],"FrameType":"DataTable"}` + end, "frame 1: Rows come before FrameType", pipe.KindRetry},
		"ErrRowsBeforeKind":   {header + `{"FrameType":"DataTable","Rows":[[1]]}` + end, "frame 1 (DataTable): Rows come before TableKind", pipe.KindRetry},
		"ErrRowsBeforeID":     {header + `{"FrameType":"TableFragment","Rows":[[1]]}` + end, "frame 1 (TableFragment): Rows come before TableId", pipe.KindRetry},
		"ErrTypeAfterRows":    {table(`,{"FrameType":"TableFragment","TableId":1,"Rows":[],"TableFragmentType":"DataReplace"}`, ``) + end, "frame 2 (TableFragment): TableFragmentType comes after Rows", pipe.KindRetry},
		"ErrFragmentType":     {table(`,{"FrameType":"TableFragment","TableId":1,"TableFragmentType":"DataPatch"}`, ``) + end, `frame 2 (TableFragment): TableFragmentType "DataPatch" is not known`, pipe.KindRetry},
		"ErrFragmentNoRows":   {table(`,{"FrameType":"TableFragment","TableId":1}`, ``) + end, `frame 2 (TableFragment): it has no Rows`, pipe.KindRetry},
		"ErrNoFrameType":      {header + `{"a":1}` + end, "frame 1: it has no FrameType", pipe.KindRetry},
		"ErrVersion":          {`[{"FrameType":"DataSetHeader","Version":"v3.0"}]`, `frame 0 (DataSetHeader): the answer has version "v3.0" of the protocol, want v2`, pipe.KindRetry},
		"ErrTableID":          {header + `{"FrameType":"TableHeader","TableId":"x"}` + end, `frame 1 (TableHeader): TableId is "x", want a number`, pipe.KindRetry},
		"ErrCancelledText":    {header + `{"FrameType":"DataSetCompletion","Cancelled":"x"}` + end, `frame 1 (DataSetCompletion): Cancelled is "x", want true or false`, pipe.KindRetry},
		"ErrFrameTypeNumber":  {header + `{"FrameType":1}` + end, `frame 1: FrameType is 1, want a string`, pipe.KindRetry},
		"ErrFrameIsNumber":    {`[1]`, "the answer has number where a { belongs", pipe.KindRetry},
		"ErrUnreadableErrors": {header + `{"FrameType":"DataSetCompletion","OneApiErrors":1}` + end, "kusto reported an error in frame 1 (DataSetCompletion): kusto reported an error that cannot be read: 1", pipe.KindRetry},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := decode(t, tt.text, "c0")
			require.EqualError(t, err, tt.want)
			require.Equal(t, tt.kind, kindOf(err))
		})
	}
	t.Run("ErrNoJSON", func(t *testing.T) {
		_, _, err := decode(t, `<html>`)
		require.ErrorContains(t, err, "invalid character '<' at start of value")
	})
}

func TestOneLine(t *testing.T) {
	require.Equal(t, "a b c", frames.OneLine(" a\r\n\tb  c\xff"))
	require.Len(t, frames.OneLine(strings.Repeat("x", 5000)), 1024+len("…"))
}
