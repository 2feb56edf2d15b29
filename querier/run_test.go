package querier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestOneRun(t *testing.T) {
	t.Run("OKNoRows", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(0))}).URL())
		require.NoError(t, w.handle(t.Context(), message(t, jobOf(t, spec()))))
		require.Empty(t, subjects(t, p, schemas.RowsStream))
		list := events(t, p)
		require.Len(t, list, 1)
		require.Equal(t, "queried", list[0].Type)
		require.Zero(t, list[0].Rows)
		require.NotEmpty(t, list[0].Run)
	})
	t.Run("OKOneBatch", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(3))}).URL())
		require.NoError(t, w.handle(t.Context(), message(t, jobOf(t, spec()))))
		windows, _ := visible(t, p)
		require.Len(t, windows, 1)
		require.Zero(t, windows[0].Parts)
		require.EqualValues(t, 3, windows[0].Last.Rows)
		require.Len(t, subjects(t, p, schemas.RowsStream), 1)
	})
	t.Run("OKLastDoesNotFitBesideTheJob", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		tab := metrics(0)
		for range 4 {
			require.NoError(t, tab.AppendRow(1.0, strings.Repeat("x", 120<<10)+fmt.Sprint(tab.Rows()), window.Start))
		}
		w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(tab)}).URL())
		long := spec()
		long.Body = "T //" + strings.Repeat("y", 600<<10)
		require.NoError(t, w.handle(t.Context(), message(t, jobOf(t, long))))
		windows, batches := visible(t, p)
		require.EqualValues(t, 1, windows[0].Parts)
		require.Nil(t, windows[0].Last)
		require.EqualValues(t, 4, batches[0][0].Rows)
		require.EqualValues(t, 1, events(t, p)[0].Batches)
	})
	t.Run("ErrJobTooLong", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(1))}).URL())
		long := spec()
		long.Body = "T //" + strings.Repeat("y", schemas.MaxMessageBytes)
		err := w.handle(t.Context(), message(t, jobOf(t, long)))
		require.ErrorContains(t, err, "does not fit a message")
		require.Equal(t, pipe.KindPermanent, kindOf(err))
		require.Empty(t, subjects(t, p, schemas.RowsStream))
	})
	t.Run("OKProgressive", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		rows := func(n, from int) string {
			list := make([]string, n)
			for i := range list {
				list[i] = fmt.Sprintf(`[%d,"2025-06-25T10:00:00Z","a"]`, from+i)
			}
			return strings.Join(list, ",")
		}
		const header = `[{"FrameType":"TableHeader","TableId":1,"TableKind":"PrimaryResult","Columns":[{"ColumnName":"metric_value","ColumnType":"long"},{"ColumnName":"timestamp","ColumnType":"datetime"},{"ColumnName":"Service","ColumnType":"string"}]}`
		for name, tt := range map[string]struct {
			replace string
			rows    int
			parts   int
		}{
			"fewer":   {rows(3, 100000), 3, 0},
			"more":    {rows(2*schemas.RowBatchRows+5, 100000), 2*schemas.RowBatchRows + 5, 2},
			"nothing": {"", 0, 0},
		} {
			s := mustServe(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, `%s,{"FrameType":"TableFragment","TableFragmentType":"DataAppend","TableId":1,"Rows":[%s]}`, header, rows(3*schemas.RowBatchRows+1, 0))
				_, _ = fmt.Fprintf(w, `,{"FrameType":"TableFragment","TableFragmentType":"DataReplace","TableId":1,"Rows":[%s]},{"FrameType":"TableCompletion","TableId":1,"RowCount":%d}`, tt.replace, tt.rows)
				_, _ = io.WriteString(w, `,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}]`)
			})
			job := jobOf(t, spec())
			job.Request = name
			require.NoError(t, mustWorker(t, p, s.URL).handle(t.Context(), message(t, job)))
			windows, batches := visible(t, p)
			if tt.rows == 0 {
				require.Empty(t, subjects(t, p, schemas.RowsStream))
				continue
			}
			require.Len(t, windows, 1)
			require.EqualValues(t, tt.rows, windows[0].Rows)
			require.EqualValues(t, tt.parts, windows[0].Parts)
			require.EqualValues(t, 100000, batches[0][0].Columns[0].Integers[0])
			require.NoError(t, p.Purge(t.Context(), schemas.RowsStream, ">"))
		}
	})
	t.Run("OKSecondTableReplacedByNothing", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		const columns = `"TableKind":"PrimaryResult","Columns":[{"ColumnName":"metric_value","ColumnType":"long"},{"ColumnName":"timestamp","ColumnType":"datetime"},{"ColumnName":"Service","ColumnType":"string"}]`
		const row = `[1,"2025-06-25T10:00:00Z","a"]`
		s := mustServe(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `[{"FrameType":"DataTable","TableId":1,%s,"Rows":[%s]},{"FrameType":"TableHeader","TableId":2,%s}`, columns, row, columns)
			_, _ = fmt.Fprintf(w, `,{"FrameType":"TableFragment","TableId":2,"Rows":[%s%s]}`, strings.Repeat(row+",", 2*schemas.RowBatchRows), row)
			_, _ = io.WriteString(w, `,{"FrameType":"TableFragment","TableFragmentType":"DataReplace","TableId":2,"Rows":[]},{"FrameType":"TableCompletion","TableId":2,"RowCount":0}`)
			_, _ = io.WriteString(w, `,{"FrameType":"DataSetCompletion","HasErrors":false,"Cancelled":false}]`)
		})
		require.NoError(t, mustWorker(t, p, s.URL).handle(t.Context(), message(t, jobOf(t, spec()))))
		windows, batches := visible(t, p)
		require.EqualValues(t, 1, windows[0].Rows)
		require.EqualValues(t, 1, windows[0].Parts)
		require.Nil(t, windows[0].Last)
		require.Len(t, batches[0], 1)
	})
	t.Run("OKSeveralTables", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(3), metrics(2))}).URL())
		require.NoError(t, w.handle(t.Context(), message(t, jobOf(t, spec()))))
		windows, batches := visible(t, p)
		require.EqualValues(t, 5, windows[0].Rows)
		require.Len(t, batches[0], 2)
	})
}

// laterEachTime is a clock that is an hour on whenever it is asked.
func laterEachTime() func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time { now = now.Add(time.Hour); return now }
}

func TestTwice(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(10000))}).URL())
	w.cluster.shares.now = laterEachTime() // nobody rests
	job := jobOf(t, spec())

	// Between the publish of the rows and the ack of the job, a process can end, or
	// its event not be stored.
	require.NoError(t, p.JS.DeleteStream(t.Context(), schemas.EventsStream))
	require.ErrorContains(t, w.handle(t.Context(), message(t, job)), "report window "+windowID)
	first, _ := visible(t, p)
	require.Len(t, first, 1)
	require.NoError(t, p.EnsureStreams(t.Context(), nil))

	t.Run("OKSecondRunIsADuplicate", func(t *testing.T) {
		require.NoError(t, w.handle(t.Context(), message(t, job)))
		again, _ := visible(t, p)
		require.Len(t, again, 1)
		require.Equal(t, first[0].Run, again[0].Run)
		require.Len(t, subjects(t, p, schemas.RowsStream), 2, "the second run's parts are gone")
		list := events(t, p)
		require.Len(t, list, 1)
		require.Equal(t, first[0].Run, list[0].Run)
		require.EqualValues(t, 10000, list[0].Rows)
		require.EqualValues(t, 2, list[0].Batches)
	})
	t.Run("OKSecondRunAfterTheTransform", func(t *testing.T) {
		require.NoError(t, p.Purge(t.Context(), schemas.RowsStream, ">"))
		require.NoError(t, w.handle(t.Context(), message(t, job)))
		require.Empty(t, subjects(t, p, schemas.RowsStream))
		list := events(t, p)
		require.Len(t, list, 2)
		require.Empty(t, list[1].Run)
		require.EqualValues(t, 10000, list[1].Rows)
	})
	t.Run("OKReplayIsNoDuplicate", func(t *testing.T) {
		job := jobOf(t, spec())
		job.Request = "may"
		require.NoError(t, w.handle(t.Context(), message(t, job)))
		windows, _ := visible(t, p)
		require.Len(t, windows, 1)
		require.Equal(t, "may", windows[0].Job.Request)
	})
}

// TestUnknownCommit: an error of the publish that makes rows visible does not mean
// that they are not.
func TestUnknownCommit(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(10000))}).URL())
	s, err := p.JS.Stream(t.Context(), schemas.RowsStream)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	cfg.Subjects = []string{schemas.AllParts}
	_, err = p.JS.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	err = w.handle(t.Context(), message(t, jobOf(t, spec())))
	require.ErrorContains(t, err, "store the rows of window "+windowID+": publish k2o.rows.")
	require.Equal(t, pipe.KindRetry, kindOf(err))
	require.Len(t, subjects(t, p, schemas.RowsStream), 1, "the part is kept")
}

// TestPartRefused: rows become visible only after every part is known to be stored.
func TestPartRefused(t *testing.T) {
	p := pipetest.MustOpen(t, exporter)
	w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(2*schemas.RowBatchRows + 1))}).URL())
	s, err := p.JS.Stream(t.Context(), schemas.RowsStream)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	cfg.MaxMsgSize = 4096 // the last batch fits, and the parts do not
	_, err = p.JS.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	err = w.handle(t.Context(), message(t, jobOf(t, spec())))
	require.ErrorContains(t, err, "publish k2o.part.")
	require.Equal(t, pipe.KindRetry, kindOf(err))
	require.Empty(t, subjects(t, p, schemas.RowsStream))
}

func TestNothingVisible(t *testing.T) {
	late := metrics(20000)
	for name, tt := range map[string]struct {
		change func(*schemas.MetricsExporterSpec)
		fault  sandbox.Fault
		want   string
		kind   pipe.Kind
	}{
		"ErrInBand":  {fault: sandbox.Fault{InBand: sandbox.PartialFailure("boom"), After: 19000}, want: "boom", kind: pipe.KindRetry},
		"ErrCut":     {fault: sandbox.Fault{Cut: true, After: 19000}, want: "broke off", kind: pipe.KindRetry},
		"ErrNoEnd":   {fault: sandbox.Fault{NoDataSetCompletion: true}, want: "without DataSetCompletion", kind: pipe.KindRetry},
		"ErrMaxRows": {change: func(s *schemas.MetricsExporterSpec) { s.Limits.MaxRows = 19999 }, want: "more rows than limits.maxRows of 19999", kind: pipe.KindPermanent},
		"ErrColumn": {change: func(s *schemas.MetricsExporterSpec) { s.Transform.ValueColumn = "value" },
			want: `transform.valueColumn: the answer has no column "value"; it has metric_value (real), Service (string), timestamp (datetime)`, kind: pipe.KindPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			p := pipetest.MustOpen(t, exporter)
			w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(late), Fault: sandbox.Faults(&tt.fault)}).URL())
			s := spec()
			if tt.change != nil {
				tt.change(s)
			}
			err := w.handle(t.Context(), message(t, jobOf(t, s)))
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, tt.kind, kindOf(err))
			require.Empty(t, subjects(t, p, schemas.RowsStream))
			require.Empty(t, events(t, p))
		})
	}
	t.Run("ErrColumnWithoutRows", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		w := mustWorker(t, p, mustSandbox(t, sandbox.Config{Engine: canned(metrics(0))}).URL())
		s := spec()
		s.Transform.TimestampColumn = "Service"
		err := w.handle(t.Context(), message(t, jobOf(t, s)))
		require.EqualError(t, err, `query database "TelemetryDB" on cluster "telemetry": transform.timestampColumn: column "Service" is string, want datetime`)
		require.Equal(t, pipe.KindPermanent, kindOf(err))
	})
	t.Run("ErrStopped", func(t *testing.T) {
		p := pipetest.MustOpen(t, exporter)
		ctx, stop := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		s := mustSandbox(t, sandbox.Config{Engine: canned(late), Fault: func(*sandbox.Request) *sandbox.Fault {
			stop(enough)
			return nil
		}})
		require.ErrorIs(t, mustWorker(t, p, s.URL()).handle(ctx, message(t, jobOf(t, spec()))), enough)
		require.Empty(t, subjects(t, p, schemas.RowsStream))
	})
}
