package querier

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// frame is one primary table of an answer, as it comes when fragments and line breaks were asked for.
func frame(id, columns, rows string) string {
	return `{"FrameType":"TableHeader","TableId":` + id + `,"TableKind":"PrimaryResult","TableName":"PrimaryResult","Columns":[` + columns + `]}
,{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":` + id + `,"Rows":[` + rows + `]}
,{"FrameType":"TableCompletion","TableId":` + id + `,"RowCount":` + map[bool]string{true: "2", false: "0"}[rows != ""] + `}`
}

func answer(tables ...string) string {
	return `[{"FrameType":"DataSetHeader","IsProgressive":false,"Version":"v2.0","IsFragmented":true,"ErrorReportingPlacement":"EndOfTable"}
,` + strings.Join(tables, "\n,") + `
,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}
]`
}

func TestResultColumns(t *testing.T) {
	const getSchema = `{"ColumnName":"ColumnName","ColumnType":"string"},{"ColumnName":"ColumnOrdinal","ColumnType":"long"},{"ColumnName":"DataType","ColumnType":"string"},{"ColumnName":"ColumnType","ColumnType":"string"}`
	want := [][]schemas.ColumnType{{{Name: "v", Type: "real"}, {Name: "t", Type: "datetime"}}}
	for name, tt := range map[string]struct {
		answer string
		want   [][]schemas.ColumnType
	}{
		"OK": {answer(frame("1", getSchema, `["v",0,"System.Double","real"],["t",1,"System.DateTime","datetime"]`)), want},
		"OKTwo": {answer(frame("1", getSchema, `["v",0,"System.Double","real"],["t",1,"System.DateTime","datetime"]`), frame("2", getSchema, `["v",0,"System.Double","real"],["t",1,"System.DateTime","datetime"]`)),
			append(want, want[0])},
		"OKNotKnown": {answer(frame("1", `{"ColumnName":"v","ColumnType":"real"},{"ColumnName":"t","ColumnType":"datetime"}`, "")), want},
	} {
		t.Run(name, func(t *testing.T) {
			var asked string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/rest/query" {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				text, _ := io.ReadAll(r.Body)
				asked = string(text)
				_, _ = io.WriteString(w, tt.answer)
			}))
			defer s.Close()
			c := mustClient(t, ClientConfig{Cluster: cluster(s.URL)})
			got, err := c.ResultColumns(t.Context(), Query{ID: windowID, Database: "TelemetryDB", Window: window, Body: "T"})
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.Contains(t, asked, `"query_results_apply_getschema":true`)
			require.Contains(t, asked, `declare query_parameters(_endTime:datetime, _startTime:datetime);\nT`)
			http.DefaultClient.CloseIdleConnections()
		})
	}
	t.Run("ErrPlace", func(t *testing.T) {
		fault := sandbox.Fault{Error: sandbox.SyntaxError("SYN0002: A recognition error occurred. [line:position=3:4]. Query: 'x'")}
		s := mustSandbox(t, sandbox.Config{Engine: canned(metrics(1)), Fault: func(*sandbox.Request) *sandbox.Fault { return &fault }})
		c := mustClient(t, ClientConfig{Cluster: cluster(s.URL())})
		_, _, err := ask(t.Context(), c)
		require.ErrorContains(t, err, "[line:position=2:4]")
		var e *frames.Error
		require.True(t, errors.As(err, &e))
		line, column, ok := e.Place()
		require.Equal(t, []any{2, 5, true}, []any{line, column, ok})
	})
}

func TestDatabaseSchema(t *testing.T) {
	for name, tt := range map[string]struct{ answer, want, fails string }{
		"OK":        {`{"Tables":[{"TableName":"Table_0","Columns":[{"ColumnName":"DatabaseSchema","DataType":"String","ColumnType":"string"}],"Rows":[["{\"Databases\":{}}"]]}]}`, `{"Databases":{}}`, ""},
		"ErrColumn": {`{"Tables":[{"TableName":"Table_0","Columns":[{"ColumnName":"X","DataType":"String","ColumnType":"string"}],"Rows":[["a"]]}]}`, "", "the answer has no column DatabaseSchema"},
		"ErrRow":    {`{"Tables":[{"TableName":"Table_0","Columns":[{"ColumnName":"DatabaseSchema","DataType":"String","ColumnType":"string"}],"Rows":[]}]}`, "", `query database "it's" on cluster "telemetry": the answer has no row`},
	} {
		t.Run(name, func(t *testing.T) {
			var asked string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/rest/mgmt" {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				text, _ := io.ReadAll(r.Body)
				asked = string(text)
				_, _ = io.WriteString(w, tt.answer)
			}))
			defer s.Close()
			got, err := mustClient(t, ClientConfig{Cluster: cluster(s.URL)}).DatabaseSchema(context.Background(), "it's")
			require.Contains(t, asked, `.show database ['it\\'s'] schema as json`)
			if tt.fails != "" {
				require.ErrorContains(t, err, tt.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
		})
	}
}
