package sandbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata/kql"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
)

// now is a moment in the afternoon, when the samples are busy.
var now = time.Date(2025, 6, 25, 15, 0, 0, 0, time.UTC)

func TestEvaluator(t *testing.T) {
	if slowParser {
		t.Skip("the parser, compiled from C, is far too slow with the race detector in it")
	}
	// One server for all: loading the parser takes a second.
	s := start(t, sandbox.Config{Now: func() time.Time { return now }})
	c := client(t, s.URL())
	ctx := context.Background()

	for name, test := range map[string]struct{ db, query, message string }{
		"ErrSyntax":   {"TelemetryDB", "ServiceTelemetry | where", "Syntax error: 1:25: Missing expression (KS006)"},
		"ErrOperator": {"TelemetryDB", "ServiceTelemetry | whre x", "Syntax error: 1:20: Query operator expected. (KS176); 1:25: Expected: ; (KS005); 1:25: The name 'x' does not refer to any known column, table, variable or function. (KS142)"},
		"ErrColumn":   {"TelemetryDB", "ServiceTelemetry\n| where Nope > 1", "Semantic error: 2:9: The name 'Nope' does not refer to any known column, table, variable or function. (KS142)"},
		"ErrTable":    {"AnalyticsDB", "ServiceTelemetry", "Semantic error: 1:1: The name 'ServiceTelemetry' does not refer to any known column, table, variable or function. (KS142)"},
		"ErrBinIsNoAggregate": {"TelemetryDB", "ServiceTelemetry | summarize v = avg(ResponseTimeMs), timestamp = bin(Timestamp, 1m) by ServiceName",
			"Semantic error: 1:71: The name 'Timestamp' is not an aggregate or scalar function. (KS236)"},
		"ErrClusterPath": {"GlobalMetrics", "cluster('eastus-cluster').TelemetryDB.ErrorEvents",
			"Semantic error: 1:27: The name 'TelemetryDB' does not refer to any known column, table, variable or function. (KS142)"},
		"ErrDatabase": {"Nope", "print 1", "Entity ID 'Nope' of kind 'Database' was not found."},
		"ErrSet":      {"TelemetryDB", "set query_take_max_records = 5; print 1", `Request is invalid and cannot be processed: not supported by the sandbox: request option "query_take_max_records"`},
		"ErrSetValue": {"TelemetryDB", "set truncationmaxrecords = 0; print 1", `Request is invalid and cannot be processed: request option "truncationmaxrecords" is invalid, got "0": must be at least 1`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Query(ctx, test.db, kql.New("").AddUnsafe(test.query))
			wantHTTP(t, err, 400, true, test.message)
		})
	}
	t.Run("ErrCluster", func(t *testing.T) {
		resp := post(t, s.URL()+"/nope/v2/rest/query", `{"db":"TelemetryDB","csl":"print 1"}`, nil)
		if text := readAll(t, resp); resp.StatusCode != 400 || !strings.Contains(text, "Entity ID 'TelemetryDB' of kind 'Database' was not found.") {
			t.Errorf("status %d: %s", resp.StatusCode, text)
		}
	})
}
