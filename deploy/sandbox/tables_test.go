package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
)

// toQuery sends what azkustodata means for the commands to the queries of the same protocol: azkustodata itself
// reads v1 answers but asks queries in v2 alone.
type toQuery struct{ http.RoundTripper }

func (t toQuery) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Path = strings.Replace(r.URL.Path, "/v1/rest/mgmt", "/v1/rest/query", 1)
	return t.RoundTripper.RoundTrip(r)
}

// v1Client is an azkustodata client whose Mgmt asks queries.
func v1Client(t *testing.T, url string) *azkustodata.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	c, err := azkustodata.New(azkustodata.NewConnectionStringBuilder(url), azkustodata.WithHttpClient(&http.Client{Transport: toQuery{transport}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestV1(t *testing.T) {
	ctx := context.Background()
	t.Run("OKEveryType", func(t *testing.T) {
		src, want := every(t)
		s := start(t, sandbox.Config{Engine: canned(src, numbers(2500))})
		ds, err := v1Client(t, s.URL()).Mgmt(ctx, "Any", kql.New("Every"))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(ds.Tables()); n != 2 {
			t.Fatalf("%d tables", n)
		}
		for i, c := range ds.Tables()[0].Columns() {
			if c.Name() != everyType[i].Name || string(c.Type()) != everyType[i].Type.String() {
				t.Errorf("column %d is %s %s, want %v", i, c.Name(), c.Type(), everyType[i])
			}
		}
		rows := ds.Tables()[0].Rows()
		if len(rows) != len(want) {
			t.Fatalf("%d rows, want %d", len(rows), len(want))
		}
		for i, r := range rows {
			for j, v := range r.Values() {
				if v.String() != want[i][j] {
					t.Errorf("row %d column %s = %q, want %q", i, everyType[j].Name, v.String(), want[i][j])
				}
			}
		}
		if n := len(ds.Tables()[1].Rows()); n != 2500 {
			t.Errorf("%d rows", n)
		}
		if got := fmt.Sprintln(len(ds.Info()), len(ds.Status()), len(ds.Index()), ds.Status()[0].StatusDescription, ds.Index()[3].Kind, ds.Index()[1].Name); got != "2 2 4 Query completed successfully QueryStatus PrimaryResult\n" {
			t.Error(got)
		}
		var used struct {
			Datasets []struct {
				Rows int64 `json:"table_row_count"`
			} `json:"dataset_statistics"`
		}
		if err := json.Unmarshal([]byte(ds.Status()[1].StatusDescription), &used); err != nil || len(used.Datasets) != 2 || used.Datasets[1].Rows != 2500 {
			t.Errorf("%v: %s", err, ds.Status()[1].StatusDescription)
		}
	})
	for name, test := range map[string]struct {
		fault   *sandbox.Fault
		options []azkustodata.QueryOption
		want    string
	}{
		"ErrTruncated":  {nil, []azkustodata.QueryOption{azkustodata.TruncationMaxRecords(5)}, "set limit of 5 records"},
		"ErrInBand":     {&sandbox.Fault{InBand: sandbox.PartialFailure("boom"), After: 3}, nil, "boom"},
		"ErrAtFirst":    {&sandbox.Fault{InBand: sandbox.PartialFailure("boom")}, nil, "boom"},
		"ErrCompletion": {&sandbox.Fault{CompletionError: sandbox.PartialFailure("boom")}, nil, "boom"},
		"ErrCut":        {&sandbox.Fault{Cut: true, After: 3}, nil, "unexpected EOF"},
		"ErrCutAtEnd":   {&sandbox.Fault{CutBeforeCompletion: true}, nil, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, sandbox.Config{Engine: canned(numbers(10)), Fault: sandbox.Faults(test.fault)})
			_, err := v1Client(t, s.URL()).Mgmt(ctx, "D", kql.New("T"), test.options...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
	t.Run("ErrInBandJSON", func(t *testing.T) {
		s := start(t, sandbox.Config{Engine: canned(numbers(10)), Fault: sandbox.Faults(&sandbox.Fault{InBand: sandbox.PartialFailure("boom"), After: 1})})
		text := readAll(t, post(t, s.URL()+"/v1/rest/query", `{"db":"D","csl":"T"}`, nil))
		if !json.Valid([]byte(text)) || !strings.Contains(text, `[0,"row 0"],{"Exceptions":["boom`) || !strings.Contains(text, `}]}],"Exceptions":["boom`) {
			t.Error(text)
		}
	})
	t.Run("ErrDatabase", func(t *testing.T) {
		s := start(t, sandbox.Config{Engine: canned(numbers(1)), Catalog: catalog})
		_, err := v1Client(t, s.URL()).Mgmt(ctx, "X", kql.New("T"))
		wantHTTP(t, err, 400, true, "Entity ID 'X' of kind 'Database' was not found.")
		_, err = v1Client(t, s.URL()).Mgmt(ctx, "A", kql.New(".show tables"))
		wantHTTP(t, err, 400, true, "Request is invalid and cannot be processed: Control commands (starting with a dot '.') do not support api_version=v1")
	})
}
