package sandbox_test

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata"
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
	for name, test := range map[string]struct {
		db, body string
		window   time.Duration
		rows     int
		columns  string
	}{
		"OKUseCase1": {"TelemetryDB", `ServiceTelemetry
			| where Timestamp between (_startTime .. _endTime)
			| summarize metric_value = avg(ResponseTimeMs) by ServiceName, Environment, timestamp = bin(Timestamp, 1m)
			| extend metric_name = "service_response_time_avg"`, time.Minute, 18,
			"ServiceName string, Environment string, timestamp datetime, metric_value real, metric_name string"},
		"OKUseCase2": {"AnalyticsDB", `CustomerEvents
			| where EventTime between (_startTime .. _endTime)
			| summarize
				Value = avg(SuccessRate),
				Numerator = sum(SuccessfulRequests),
				Denominator = sum(TotalRequests),
				StartTimeUTC = min(EventTime),
				EndTimeUTC = max(EventTime),
				AvgLatency = avg(LatencyMs)
				by LocationId, CustomerResourceId, ServiceTier
			| extend metric_name = strcat("customer_success_rate_", tolower(ServiceTier))`, 15 * time.Minute, 36,
			"LocationId string, CustomerResourceId string, ServiceTier string, Value real, Numerator long, Denominator long, StartTimeUTC datetime, EndTimeUTC datetime, AvgLatency real, metric_name string"},
		"OKUseCase3": {"InfrastructureDB", `SystemMetrics
			| where Timestamp between (_startTime .. _endTime)
			| summarize metric_value = avg(CpuUtilization) by NodeName, ClusterName, Region, timestamp = bin(Timestamp, 30s)
			| extend metric_name = "node_cpu_utilization"`, 30 * time.Second, 24,
			"NodeName string, ClusterName string, Region string, timestamp datetime, metric_value real, metric_name string"},
		"OKUseCase4": {"GlobalMetrics", `union
				cluster('eastus-cluster').database('TelemetryDB').ErrorEvents,
				cluster('westus-cluster').database('TelemetryDB').ErrorEvents,
				cluster('europe-cluster').database('TelemetryDB').ErrorEvents
			| where Timestamp between (_startTime .. _endTime)
			| summarize
				metric_value = count() * 1.0,
				error_rate = count() * 100.0 / countif(isnotempty(SuccessEvent))
				by Region = tostring(split(ClusterName, '-')[0]), ServiceName, timestamp = bin(Timestamp, 1m)
			| extend metric_name = "global_error_count"`, 2 * time.Minute, 36,
			"Region string, ServiceName string, timestamp datetime, metric_value real, error_rate real, metric_name string"},
	} {
		t.Run(name, func(t *testing.T) {
			params := kql.NewParameters().AddDateTime("_startTime", now.Add(-test.window)).AddDateTime("_endTime", now.Add(-100*time.Nanosecond))
			read := func() string {
				ds, err := c.Query(ctx, test.db, kql.New("").AddUnsafe(test.body), azkustodata.QueryParameters(params))
				if err != nil {
					t.Fatal(err)
				}
				var columns []string
				for _, col := range primaries(ds)[0].Columns() {
					columns = append(columns, col.Name()+" "+string(col.Type()))
				}
				if got := strings.Join(columns, ", "); got != test.columns {
					t.Errorf("columns\n got %s\nwant %s", got, test.columns)
				}
				var rows []string
				for _, r := range primaries(ds)[0].Rows() {
					rows = append(rows, fmt.Sprint(r.Values()))
				}
				if len(rows) != test.rows {
					t.Errorf("%d rows, want %d", len(rows), test.rows)
				}
				sort.Strings(rows)
				return strings.Join(rows, "\n")
			}
			if first, second := read(), read(); first != second {
				t.Errorf("the same window gave\n%s\nand then\n%s", first, second)
			}
		})
	}
	t.Run("OKBench", func(t *testing.T) {
		ds, err := c.Query(ctx, "Bench", kql.New("HundredThousand | summarize n = count(), top = max(Timestamp), low = min(Timestamp)"))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(primaries(ds)[0].Rows()[0].Values()); got != "[100000 2025-06-25T14:59:59.9640001Z 2025-06-25T14:00:00.0000001Z]" {
			t.Error(got)
		}
	})
	t.Run("OKOtherCluster", func(t *testing.T) {
		ds, err := client(t, s.URL()+"/westus-cluster").Query(ctx, "TelemetryDB", kql.New("ErrorEvents | take 3 | project ClusterName"))
		if err != nil {
			t.Fatal(err)
		}
		if rows := primaries(ds)[0].Rows(); len(rows) != 3 || fmt.Sprint(rows[0].Values()) != "[westus-cluster]" {
			t.Errorf("rows %v", rows)
		}
	})
	t.Run("OKSetNotruncation", func(t *testing.T) {
		_, err := c.Query(ctx, "Bench", kql.New("Thousand"), azkustodata.TruncationMaxRecords(10))
		if err == nil || !strings.Contains(err.Error(), "set limit of 10 records") {
			t.Errorf("error %v", err)
		}
		ds, err := c.Query(ctx, "Bench", kql.New("set notruncation; Thousand"), azkustodata.TruncationMaxRecords(10))
		if err != nil || len(primaries(ds)[0].Rows()) != 1000 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("OKSeveralStatements", func(t *testing.T) {
		ds, err := c.Query(ctx, "TelemetryDB", kql.New("print a = 1; print b = 'x', c = 2.5"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range primaries(ds) {
			got = append(got, fmt.Sprint(p.Rows()[0].Values()))
		}
		if fmt.Sprint(got) != "[[1] [x 2.5]]" {
			t.Errorf("%v", got)
		}
	})
	t.Run("ErrCluster", func(t *testing.T) {
		resp := post(t, s.URL()+"/nope/v2/rest/query", `{"db":"TelemetryDB","csl":"print 1"}`, nil)
		if text := readAll(t, resp); resp.StatusCode != 400 || !strings.Contains(text, "Entity ID 'TelemetryDB' of kind 'Database' was not found.") {
			t.Errorf("status %d: %s", resp.StatusCode, text)
		}
	})
}
