package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata"
	kustoerrors "github.com/Azure/azure-kusto-go/azkustodata/errors"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
)

func TestFaultAnswers(t *testing.T) {
	s := start(t, sandbox.Config{Engine: canned(numbers(1)), Fault: sandbox.Faults(
		&sandbox.Fault{Error: sandbox.Throttled(1500 * time.Millisecond)},
		&sandbox.Fault{Error: sandbox.Unavailable(0)},
		&sandbox.Fault{Status: 502, Body: "<html>bad gateway</html>", Header: http.Header{"Content-Type": {"text/html"}}},
		nil,
	)})
	for i, want := range []struct {
		status     int
		retryAfter string
		body       string
	}{
		{429, "2", `"@permanent":false`}, {503, "", `"@permanent":false`}, {502, "", "<html>bad gateway</html>"},
		{200, "", `"HasErrors":false`}, {200, "", `"HasErrors":false`},
	} {
		resp := post(t, s.URL()+"/v2/rest/query", `{"db":"D","csl":"T"}`, nil)
		text := readAll(t, resp)
		if resp.StatusCode != want.status || resp.Header.Get("Retry-After") != want.retryAfter || !strings.Contains(text, want.body) {
			t.Errorf("query %d: status %d, retry after %q: %s", i, resp.StatusCode, resp.Header.Get("Retry-After"), text)
		}
	}
}

// queryWith asks for fragments, as azkustodata does, from a server with one fault and 2,500 rows.
func queryWith(t *testing.T, f *sandbox.Fault, options string) (string, error) {
	t.Helper()
	s := start(t, sandbox.Config{Engine: canned(numbers(2500)), Fault: sandbox.Faults(f)})
	if options == "" {
		options = `{"results_v2_fragment_primary_tables":true,"results_v2_newlines_between_frames":true,"results_error_reporting_placement":"end_of_table"}`
	}
	resp := post(t, s.URL()+"/v2/rest/query", `{"db":"D","csl":"T","properties":{"Options":`+options+`}}`, nil)
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestFaultFrames(t *testing.T) {
	boom := sandbox.PartialFailure("boom")
	for name, c := range map[string]struct {
		fault   sandbox.Fault
		options string
		cut     bool
		has     []string
		not     []string
	}{
		"Plain":        {fault: sandbox.Fault{Frames: sandbox.Plain}, has: []string{`"FrameType":"DataTable","TableId":1,`, `"row 2499"`}, not: []string{"TableFragment"}},
		"Progressive":  {fault: sandbox.Fault{Frames: sandbox.Progressive}, has: []string{"TableProgress", `"IsProgressive":true`, `"row 2499"`}},
		"Replace":      {fault: sandbox.Fault{Frames: sandbox.Progressive, Replace: true}, has: []string{`"DataReplace","TableId":1,"Rows":[[0,"row 0"]`, `"RowCount":2500`}},
		"InBand":       {fault: sandbox.Fault{InBand: boom, After: 1001}, has: []string{`"row 1000"`, `"RowCount":1001,"OneApiErrors":[{"error"`, `"HasErrors":true`, "boom"}, not: []string{`"row 1001"`}},
		"InBandFirst":  {fault: sandbox.Fault{InBand: boom}, has: []string{`"RowCount":0,"OneApiErrors"`}, not: []string{"row"}},
		"InBandLast":   {fault: sandbox.Fault{InBand: boom, After: 1 << 40}, has: []string{`"row 2499"`, `"RowCount":2500,"OneApiErrors"`}},
		"InData":       {fault: sandbox.Fault{InBand: boom, After: 1001}, options: `{}`, has: []string{`[1000,"row 1000"],{"OneApiErrors":[{"error"`, `"HasErrors":true`}},
		"EndOfDataset": {fault: sandbox.Fault{InBand: boom, After: 1001}, options: `{"results_error_reporting_placement":"end_of_dataset"}`, has: []string{`[1000,"row 1000"]]}`, `"HasErrors":true`, "boom"}},
		"HasErrors":    {fault: sandbox.Fault{CompletionError: boom}, has: []string{`"row 2499"`, `"HasErrors":true`, "boom"}},
		"Cancelled":    {fault: sandbox.Fault{Cancelled: true}, has: []string{`"HasErrors":false,"Cancelled":true`}},
		"RowCount":     {fault: sandbox.Fault{RowCountOff: -1}, has: []string{`"RowCount":2499`}},
		"NoTableEnd":   {fault: sandbox.Fault{NoTableCompletion: true}, has: []string{"DataSetCompletion", "]\n"}, not: []string{"TableCompletion"}},
		"NoDataSetEnd": {fault: sandbox.Fault{NoDataSetCompletion: true}, has: []string{"TableCompletion", "]\n"}, not: []string{"DataSetCompletion"}},
		"Cut":          {fault: sandbox.Fault{Cut: true, After: 7}, cut: true, has: []string{`"row 6"`}, not: []string{`"row 7"`}},
		"CutAtEnd":     {fault: sandbox.Fault{CutBeforeCompletion: true}, cut: true, has: []string{"TableCompletion", "QueryCompletionInformation"}, not: []string{"DataSetCompletion"}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := queryWith(t, &c.fault, c.options)
			if c.cut != errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v", err)
			}
			for _, want := range c.has {
				if !strings.Contains(text, want) {
					t.Errorf("no %s in %s", want, text)
				}
			}
			for _, bad := range c.not {
				if strings.Contains(text, bad) {
					t.Errorf("%s in %s", bad, text)
				}
			}
			if !c.cut {
				frameNames(t, text)
			}
		})
	}
}

func TestFaultWaits(t *testing.T) {
	hold, stall := make(chan struct{}), make(chan struct{})
	s := start(t, sandbox.Config{Engine: canned(numbers(10)), Fault: sandbox.Faults(
		&sandbox.Fault{Hold: hold}, &sandbox.Fault{Stall: stall, After: 5}, &sandbox.Fault{Delay: time.Hour}, &sandbox.Fault{Hold: make(chan struct{})},
	)})
	c := client(t, s.URL())
	ctx := context.Background()
	done := make(chan error, 1)
	go func() {
		_, err := c.Query(ctx, "D", kql.New("T"))
		done <- err
	}()
	close(hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	ds, err := c.IterativeQuery(ctx, "D", kql.New("T"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for res := range ds.Tables() {
		if res.Err() != nil {
			t.Fatal(res.Err())
		}
		if !res.Table().IsPrimaryResult() {
			continue
		}
		for row := range res.Table().Rows() {
			if row.Err() != nil {
				t.Fatal(row.Err())
			}
			if n++; n == 5 {
				close(stall) // which the server waits for: the five rows must have been flushed
			}
		}
	}
	if n != 10 {
		t.Errorf("%d rows", n)
	}

	for range 2 {
		_, err = c.Query(ctx, "D", kql.New("T"), azkustodata.ServerTimeout(time.Millisecond))
		wantHTTP(t, err, 504, false, "Query execution has exceeded the allowed time of 1ms.")
	}
}

// What azkustodata makes of each fault. Where it reports nothing (an answer without its end, a wrong number
// of rows), whoever uses it must look for themselves; querier does.
func TestFaultsSeenByAzkustodata(t *testing.T) {
	boom := sandbox.PartialFailure("boom")
	for name, c := range map[string]struct {
		fault  sandbox.Fault
		status int    // of an HttpError
		want   string // of any other error; empty: none
		rows   int
	}{
		"ErrThrottled":   {fault: sandbox.Fault{Error: sandbox.Throttled(2 * time.Second)}, status: 429},
		"ErrUnavailable": {fault: sandbox.Fault{Error: sandbox.Unavailable(time.Second)}, status: 503},
		"ErrInternal":    {fault: sandbox.Fault{Error: sandbox.Internal(errors.New("boom"))}, status: 500},
		"ErrProxy":       {fault: sandbox.Fault{Status: 502, Body: "<html>bad gateway</html>", Header: http.Header{"Content-Type": {"text/html"}}}, status: 502},
		"ErrTimeout":     {fault: sandbox.Fault{Error: sandbox.TimedOut(time.Minute)}, status: 504},
		"ErrInBand":      {fault: sandbox.Fault{InBand: boom, After: 1001}, want: "boom"},
		"ErrInBandFirst": {fault: sandbox.Fault{InBand: boom}, want: "boom"},
		"ErrInBandLast":  {fault: sandbox.Fault{InBand: boom, After: 1 << 40}, want: "boom"},
		"ErrHasErrors":   {fault: sandbox.Fault{CompletionError: boom}, want: "boom"},
		"ErrCut":         {fault: sandbox.Fault{Cut: true, After: 7}, want: "unexpected EOF"},
		"ErrPlain":       {fault: sandbox.Fault{Frames: sandbox.Plain}, want: "Expected true, got false"},
		"ErrProgressive": {fault: sandbox.Fault{Frames: sandbox.Progressive}, want: "Expected false, got true"},
		"OKRowCount":     {fault: sandbox.Fault{RowCountOff: -1}, rows: 2500},
		"ErrNoTableEnd":  {fault: sandbox.Fault{NoTableCompletion: true}, want: "expected TableFragment or TableCompletion"},
		"OKDelay":        {fault: sandbox.Fault{Delay: time.Millisecond}, rows: 2500},
		"OKCancelled":    {fault: sandbox.Fault{Cancelled: true}, rows: 2500},
		"OKNoEnd":        {fault: sandbox.Fault{NoDataSetCompletion: true}, rows: 2500},
		"OKCutAtEnd":     {fault: sandbox.Fault{CutBeforeCompletion: true}, rows: 2500},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, sandbox.Config{Engine: canned(numbers(2500)), Fault: sandbox.Faults(&c.fault)})
			ds, err := client(t, s.URL()).Query(context.Background(), "D", kql.New("T"))
			var h *kustoerrors.HttpError
			switch {
			case c.status != 0:
				if !errors.As(err, &h) || h.StatusCode != c.status {
					t.Errorf("error %v, want status %d", err, c.status)
				}
			case c.want != "":
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %s", err, c.want)
				}
			case err != nil || len(primaries(ds)[0].Rows()) != c.rows:
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFaultOption(t *testing.T) {
	s := start(t, sandbox.Config{Engine: canned(numbers(2500))})
	c := client(t, s.URL())
	for name, test := range map[string]struct {
		option string
		status int
		want   string // of the message, or of any other error; empty: none
	}{
		"OKNone":        {`{}`, 0, ""},
		"OKDelay":       {`{"delay":"1ms"}`, 0, ""},
		"ErrThrottled":  {`{"status":429,"retryAfter":"2s"}`, 429, "The request was denied due to throttling."},
		"ErrInternal":   {`{"status":500}`, 500, "a fault that the request asked for"},
		"ErrForbidden":  {`{"status":403}`, 403, "a fault that the request asked for"},
		"ErrBadRequest": {`{"status":400}`, 400, "Request is invalid and cannot be processed: a fault that the request asked for"},
		"ErrPartial":    {`{"error":"boom","after":1001}`, 0, "boom"},
		"ErrCut":        {`{"cut":true,"after":7}`, 0, "unexpected EOF"},
		"ErrSlow":       {`{"delay":"1h"}`, 504, "Query execution has exceeded the allowed time of 100ms."},

		"ErrUnknown":    {`{"stall":true}`, 400, `Request is invalid and cannot be processed: request option "sandbox_fault" is invalid, got "{\"stall\":true}": must be an object with delay, status, retryAfter, after, error and cut: json: unknown field "stall"`},
		"ErrStatus":     {`{"status":200}`, 400, `Request is invalid and cannot be processed: request option "sandbox_fault" is invalid, got "{\"status\":200}": status must be between 400 and 599, got 200`},
		"ErrDuration":   {`{"delay":"-1s"}`, 400, `Request is invalid and cannot be processed: request option "sandbox_fault" is invalid, got "{\"delay\":\"-1s\"}": delay must be a duration such as 2s, got "-1s"`},
		"ErrRetryAfter": {`{"retryAfter":"1s"}`, 400, `Request is invalid and cannot be processed: request option "sandbox_fault" is invalid, got "{\"retryAfter\":\"1s\"}": retryAfter belongs to status 429 or 503`},
		"ErrBoth":       {`{"cut":true,"error":"x"}`, 400, `Request is invalid and cannot be processed: request option "sandbox_fault" is invalid, got "{\"cut\":true,\"error\":\"x\"}": error and cut exclude each other`},
		"ErrAfter":      {`{"after":1}`, 400, `Request is invalid and cannot be processed: request option "sandbox_fault" is invalid, got "{\"after\":1}": after belongs to error or cut, and must not be negative`},
	} {
		t.Run(name, func(t *testing.T) {
			options := []azkustodata.QueryOption{azkustodata.CustomQueryOption("sandbox_fault", json.RawMessage(test.option))}
			if name == "ErrSlow" {
				options = append(options, azkustodata.ServerTimeout(100*time.Millisecond))
			}
			ds, err := c.Query(context.Background(), "D", kql.New("T"), options...)
			switch {
			case test.status != 0:
				wantHTTP(t, err, test.status, test.status < 500 && test.status != 429, test.want)
			case test.want != "":
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %s", err, test.want)
				}
			case err != nil || len(primaries(ds)[0].Rows()) != 2500:
				t.Errorf("error %v", err)
			}
		})
	}
	resp := post(t, s.URL()+"/v1/rest/query", `{"db":"D","csl":"T","properties":{"Options":{"sandbox_fault":{"status":503,"retryAfter":"1500ms"}}}}`, nil)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "2" {
		t.Errorf("status %d, retry after %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}
