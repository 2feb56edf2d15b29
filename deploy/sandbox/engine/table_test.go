package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// serviceTelemetry has n rows, one every ms from from on, of 4 services in 2 environments.
func serviceTelemetry(n int, from time.Time) *table.Table {
	t := table.New("ServiceTelemetry", table.Schema{
		{Name: "Timestamp", Type: table.DateTime}, {Name: "ServiceName", Type: table.String},
		{Name: "Environment", Type: table.String}, {Name: "ResponseTimeMs", Type: table.Real},
		{Name: "Status", Type: table.Long}, {Name: "Message", Type: table.String},
	}, n)
	services, environments := []string{"api", "auth", "cart", "pay"}, []string{"production", "staging"}
	start := table.Ticks(from)
	for i := range n {
		t.Columns[0].Vec.AppendInt(start + int64(i)*10_000)
		t.Columns[1].Vec.AppendString(services[i%len(services)])
		t.Columns[2].Vec.AppendString(environments[i/7%len(environments)])
		t.Columns[3].Vec.AppendReal(float64(i % 1000))
		t.Columns[4].Vec.AppendInt(int64(200 + i%3))
		t.Columns[5].Vec.AppendString("message")
	}
	return t
}

func errorEvents(tb testing.TB) *table.Table {
	t := table.New("ErrorEvents", table.Schema{
		{Name: "Timestamp", Type: table.DateTime}, {Name: "ClusterName", Type: table.String},
		{Name: "ServiceName", Type: table.String}, {Name: "SuccessEvent", Type: table.String},
	}, 0)
	at := now.Add(-10 * time.Minute)
	mustRow(tb, t, at, "eastus-cluster", "api", "ok")
	mustRow(tb, t, at.Add(time.Second), "eastus-cluster", "api", "")
	mustRow(tb, t, at.Add(time.Minute), "west-cluster", "api", "")
	mustRow(tb, t, nil, "west-cluster", "api", "ok")
	return t
}

var window = map[string]string{"_startTime": "datetime(2025-06-25T10:00:00Z)", "_endTime": "datetime(2025-06-25T10:09:59.9999999Z)"}

const declared = "declare query_parameters(_startTime:datetime, _endTime:datetime);\n"

// The design document's use cases, in the form that Kusto accepts.
func TestUseCases(t *testing.T) {
	events := table.New("CustomerEvents", table.Schema{
		{Name: "EventTime", Type: table.DateTime}, {Name: "LocationId", Type: table.String}, {Name: "CustomerResourceId", Type: table.String},
		{Name: "ServiceTier", Type: table.String}, {Name: "SuccessRate", Type: table.Real}, {Name: "SuccessfulRequests", Type: table.Long},
		{Name: "TotalRequests", Type: table.Long}, {Name: "LatencyMs", Type: table.Real},
	}, 0)
	start := now.Add(-15 * time.Minute)
	mustRow(t, events, start, "l1", "c1", "Premium", 99.5, int64(199), int64(200), 10.0)
	mustRow(t, events, start.Add(time.Minute), "l1", "c1", "Premium", 98.5, int64(985), int64(1000), nil)
	mustRow(t, events, start.Add(10*time.Minute), "l1", "c1", "Premium", 1.0, int64(1), int64(100), 1.0) // the next window's
	mustRow(t, events, start.Add(10*time.Minute-100*time.Nanosecond), "l2", "c1", "Basic", nil, int64(0), int64(0), nil)
	metrics := table.New("SystemMetrics", table.Schema{
		{Name: "Timestamp", Type: table.DateTime}, {Name: "NodeName", Type: table.String}, {Name: "ClusterName", Type: table.String},
		{Name: "Region", Type: table.String}, {Name: "CpuUtilization", Type: table.Real},
	}, 0)
	mustRow(t, metrics, start.Add(29*time.Second), "n1", "c", "eastus", 10.0)
	mustRow(t, metrics, start.Add(30*time.Second), "n1", "c", "eastus", 20.0)
	mustRow(t, metrics, start.Add(59*time.Second), "n1", "c", "eastus", 40.0)
	w := mustWorld(t, []*table.Table{events, metrics, errorEvents(t), serviceTelemetry(2000, start.Add(59*time.Second))}, "eastus-cluster", "westus-cluster")

	for _, tt := range []struct{ name, query, want string }{
		{"ServiceResponseTimes", `ServiceTelemetry
			| where Timestamp between (_startTime .. _endTime)
			| summarize metric_value = avg(ResponseTimeMs) by ServiceName, Environment, timestamp = bin(Timestamp, 1m)
			| extend metric_name = "service_response_time_avg"
			| where Environment == "production" | order by timestamp asc, ServiceName asc | take 3`,
			"api|production|2025-06-25T10:00:00.0000000Z|496.5034965034965|service_response_time_avg\n" +
				"auth|production|2025-06-25T10:00:00.0000000Z|497.6666666666667|service_response_time_avg\n" +
				"cart|production|2025-06-25T10:00:00.0000000Z|500.0|service_response_time_avg"},
		{"CustomerAnalytics", `CustomerEvents
			| where EventTime between (_startTime .. _endTime)
			| summarize Value = avg(SuccessRate), Numerator = sum(SuccessfulRequests), Denominator = sum(TotalRequests),
			    StartTimeUTC = min(EventTime), EndTimeUTC = max(EventTime), AvgLatency = avg(LatencyMs)
			    by LocationId, CustomerResourceId, ServiceTier
			| extend metric_name = strcat("customer_success_rate_", tolower(ServiceTier))`,
			"l1|c1|Premium|99.0|1184|1200|2025-06-25T10:00:00.0000000Z|2025-06-25T10:01:00.0000000Z|10.0|customer_success_rate_premium\n" +
				"l2|c1|Basic|NaN|0|0|2025-06-25T10:09:59.9999999Z|2025-06-25T10:09:59.9999999Z|NaN|customer_success_rate_basic"},
		{"NodeCPU", `SystemMetrics
			| where Timestamp between (_startTime .. _endTime)
			| summarize metric_value = avg(CpuUtilization) by NodeName, ClusterName, Region, timestamp = bin(Timestamp, 30s)
			| extend metric_name = "node_cpu_utilization"`,
			"n1|c|eastus|2025-06-25T10:00:00.0000000Z|10.0|node_cpu_utilization\nn1|c|eastus|2025-06-25T10:00:30.0000000Z|30.0|node_cpu_utilization"},
		{"GlobalErrorRates", `union cluster('eastus-cluster').database('TelemetryDB').ErrorEvents, cluster('westus-cluster').database('TelemetryDB').ErrorEvents
			| where Timestamp between (_startTime .. _endTime)
			| summarize metric_value = count() * 1.0, error_rate = count() * 100.0 / countif(isnotempty(SuccessEvent))
			    by Region = tostring(split(ClusterName, '-')[0]), ServiceName, timestamp = bin(Timestamp, 1m)
			| extend metric_name = "global_error_count"`,
			"eastus|api|2025-06-25T10:05:00.0000000Z|4.0|200.0|global_error_count\nwest|api|2025-06-25T10:06:00.0000000Z|2.0|Infinity|global_error_count"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.tb = t
			if got := text(w.run(declared+tt.query, window)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// asked records what a source was asked for.
type asked struct {
	Tables
	mu   sync.Mutex
	reqs []ScanRequest
}

func (a *asked) Scan(ctx context.Context, req ScanRequest, yield func(*table.Table) error) error {
	a.mu.Lock()
	a.reqs = append(a.reqs, req)
	a.mu.Unlock()
	return a.Tables.Scan(ctx, req, yield)
}

func TestScanRequests(t *testing.T) {
	w := mustWorld(t, []*table.Table{errorEvents(t), serviceTelemetry(10, now)}, "x")
	const open = "Timestamp 2025-06-25T10:00:00.0000000Z 9999-12-31T23:59:59.9999999Z"
	for _, tt := range []struct{ query, want string }{
		{`ErrorEvents`, "[Timestamp ClusterName ServiceName SuccessEvent]"},
		{`ErrorEvents | count`, "[]"},
		{`ErrorEvents | where Timestamp between (_startTime .. _endTime) | summarize count() by ServiceName`,
			"[Timestamp ServiceName] Timestamp 2025-06-25T10:00:00.0000000Z 2025-06-25T10:09:59.9999999Z"},
		{`ErrorEvents | where Timestamp >= _startTime | where _endTime > Timestamp and ServiceName == "x" | project a = ClusterName`,
			"[Timestamp ClusterName ServiceName] Timestamp 0001-01-01T00:00:00.0000000Z 2025-06-25T10:09:59.9999998Z " + open},
		{`ErrorEvents | where Timestamp > ago(15m) - 1tick | count`, "[Timestamp] " + open},
		{`ErrorEvents | where Timestamp == datetime(2025-06-25) | count`, "[Timestamp] Timestamp 2025-06-25T00:00:00.0000000Z 2025-06-25T00:00:00.0000000Z"},
		{`ErrorEvents | where Timestamp between (_startTime .. 1m) | count`, "[Timestamp] " + open},
		// No hint where rows outside of the range can matter, or where the name means something else.
		{`ErrorEvents | where Timestamp >= _startTime or ServiceName == "x" | count`, "[Timestamp ServiceName]"},
		{`ErrorEvents | where not(Timestamp >= _startTime) | count`, "[Timestamp]"},
		{`ErrorEvents | take 2 | where Timestamp >= _startTime | count`, "[Timestamp]"},
		{`ErrorEvents | top 2 by ServiceName | where Timestamp >= _startTime | count`, "[Timestamp ServiceName]"},
		{`ErrorEvents | extend Timestamp = now() | where Timestamp >= _startTime | count`, "[Timestamp]"},
		{`ErrorEvents | project Timestamp = now() | where Timestamp >= _startTime | count`, "[Timestamp]"},
		{`ErrorEvents | summarize Timestamp = max(Timestamp) by ServiceName | where Timestamp >= _startTime`, "[Timestamp ServiceName]"},
		{`ErrorEvents | where Timestamp !between (_startTime .. _endTime) | count`, "[Timestamp]"},
		{`ErrorEvents | where Timestamp != _startTime | count`, "[Timestamp]"},
		// Through what changes nothing about it.
		{`ErrorEvents | extend b = 1 | order by b | project-away ClusterName | where Timestamp >= _startTime | project b, ServiceName`,
			"[Timestamp ServiceName SuccessEvent] " + open},
		{`union cluster('x').database('TelemetryDB').ErrorEvents, (ServiceTelemetry | where Status == 1) | where Timestamp >= _startTime | summarize count() by ServiceName`,
			"[Timestamp ServiceName] " + open + "; [Timestamp ServiceName Status] " + open},
		{`let t = ErrorEvents; t | where Timestamp >= _startTime | count`, "[Timestamp] " + open},
		{`ErrorEvents | project T = Timestamp, ServiceName | project-rename U = T | parse ServiceName with a | mv-expand d = split(a, "-") | where U >= _startTime | count`, "[Timestamp ServiceName] " + open},
		{`ErrorEvents | mv-apply d = split(ServiceName, "-") on (summarize n = count()) | where Timestamp >= _startTime | count`, "[Timestamp ClusterName ServiceName SuccessEvent] " + open},
		{`let f = (A:(Timestamp:datetime), s:datetime) { A | where Timestamp >= s }; ErrorEvents | as E | render table | invoke f(_startTime) | count`, "[Timestamp] " + open},
		{`let s = toscalar(print _startTime); ErrorEvents | where Timestamp >= s | count`, "[Timestamp] " + open},
		{`ErrorEvents | mv-expand Timestamp = split(ServiceName, "-") to typeof(datetime) | where Timestamp >= _startTime | count`, "[Timestamp ServiceName]"},
		// Through a join, to the sides whose rows it does not invent.
		{`ErrorEvents | join kind=inner (ServiceTelemetry | project Timestamp, ServiceName) on ServiceName | where Timestamp >= _startTime and Timestamp1 < _endTime | count`,
			"[Timestamp ServiceName] Timestamp 0001-01-01T00:00:00.0000000Z 2025-06-25T10:09:59.9999998Z; [Timestamp ServiceName] " + open},
		{`ErrorEvents | join kind=leftouter ServiceTelemetry on ServiceName | where Timestamp >= _startTime and Timestamp1 >= _startTime | count`, "[Timestamp ServiceName]; [Timestamp ServiceName] " + open},
		{`ErrorEvents | join kind=rightouter ServiceTelemetry on ServiceName | where Timestamp >= _startTime and Timestamp1 >= _startTime | count`, "[Timestamp ServiceName] " + open + "; [Timestamp ServiceName]"},
		{`ErrorEvents | join kind=fullouter ServiceTelemetry on ServiceName | where Timestamp >= _startTime and Timestamp1 >= _startTime | count`, "[Timestamp ServiceName]; [Timestamp ServiceName]"},
		{`ErrorEvents | join ServiceTelemetry on ServiceName | where Timestamp >= _startTime and Timestamp1 >= _startTime | count`, "[Timestamp ServiceName] " + open + "; [Timestamp ServiceName]"},
		{`ErrorEvents | join kind=leftanti ServiceTelemetry on ServiceName | where Timestamp >= _startTime | count`, "[ServiceName]; [Timestamp ServiceName] " + open},
		{`ErrorEvents | lookup ServiceTelemetry on ServiceName | where Timestamp >= _startTime and Timestamp1 >= _startTime | count`, "[Timestamp ServiceName]; [Timestamp ServiceName] " + open},
		// A union that renames columns asks for everything.
		{`union (ErrorEvents | project Timestamp, a = 1), (ErrorEvents | project Timestamp = "x", a = 2) | where Timestamp_datetime >= _startTime | count`, "[Timestamp]; [Timestamp]"},
	} {
		src := &asked{Tables: w.tables}
		q := w.analyze(declared + tt.query)
		out, err := Run(context.Background(), q, src, Options{Now: now, Parameters: window})
		if err != nil {
			t.Errorf("%s: %v", tt.query, err)
			continue
		}
		if err := wrongResult(q, out); err != nil {
			t.Errorf("%s: %v", tt.query, err)
		}
		var got []string
		for _, r := range src.reqs {
			s := fmt.Sprint(r.Columns)
			for _, x := range r.Ranges {
				s += " " + fmtRange(x)
			}
			got = append(got, s)
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%s\ngot  %s\nwant %s", tt.query, s, tt.want)
		}
	}
	r := ScanRequest{Ranges: []TimeRange{{"a", 5, 10}, {"b", 0, 1}, {"a", 7, 20}}}.Range("a")
	if r != (TimeRange{"a", 7, 10}) {
		t.Errorf("the intersection is %+v", r)
	}
}

// pruned is a source that takes the ranges at their word. Answers must not depend on it.
type pruned struct{ Tables }

func (p pruned) Scan(ctx context.Context, req ScanRequest, yield func(*table.Table) error) error {
	return p.Tables.Scan(ctx, req, func(b *table.Table) error {
		var sel []int32
	rows:
		for i := range b.Rows() {
			for _, r := range req.Ranges {
				v := b.Column(r.Column)
				if v.IsNull(i) || v.Ints[i] < r.From || v.Ints[i] > r.To {
					continue rows
				}
			}
			sel = append(sel, int32(i))
		}
		return yield(b.Take(sel))
	})
}

func TestPrunedSource(t *testing.T) {
	w := mustWorld(t, []*table.Table{errorEvents(t), serviceTelemetry(5000, now.Add(-15*time.Minute-2*time.Second))}, "x")
	for _, query := range []string{
		`union ErrorEvents, cluster('x').database('TelemetryDB').ErrorEvents | where Timestamp between (_startTime .. _endTime) | summarize count() by ServiceName, bin(Timestamp, 1m)`,
		`ServiceTelemetry | where _startTime <= Timestamp and (Timestamp < _startTime + 1s) | summarize n = count(), min(Timestamp), max(Timestamp)`,
		`ServiceTelemetry | extend t = Timestamp | where t > _startTime | where Timestamp < _startTime + 1s | count`,
		`ServiceTelemetry | order by Timestamp asc | where Timestamp >= _startTime | take 3`,
		`ServiceTelemetry | take 2500 | where Timestamp >= _startTime | count`,
		// A row that is dropped later is a neighbour before.
		`ServiceTelemetry | sort by Timestamp asc | extend p = prev(Status), n = row_number() | where Timestamp >= _startTime + 1s | take 2`,
		`ServiceTelemetry | sort by Timestamp asc | project Timestamp, c = row_cumsum(Status) | where Timestamp >= _startTime + 1s | take 2`,
		`ServiceTelemetry | sort by Timestamp asc | where row_number() > 7 and Timestamp >= _startTime + 1ms | take 2`,
		`let f = (s:long) { row_cumsum(s) }; ServiceTelemetry | sort by Timestamp asc | extend c = f(Status) | where Timestamp >= _startTime + 1s | take 2`,
		`ServiceTelemetry | join (ServiceTelemetry) on ServiceName, Status | where Timestamp >= _startTime + 2s and Timestamp1 >= _startTime + 1s | summarize count(), min(Timestamp), max(Timestamp1)`,
		`ErrorEvents | join kind=fullouter (ServiceTelemetry | take 3) on ServiceName | where Timestamp1 >= _startTime or isnull(Timestamp1) | count`,
		`ErrorEvents | join kind=leftouter (ServiceTelemetry | where Timestamp >= _endTime) on ServiceName | where Timestamp >= _startTime | count`,
		`ErrorEvents | join kind=rightanti (ServiceTelemetry) on ServiceName | where Timestamp >= _startTime | count`,
		`ErrorEvents | mv-expand with_itemindex=i d = split(ClusterName, "-") | project t = Timestamp, i | where t >= _startTime | summarize sum(i), count()`,
	} {
		q := w.analyze(declared + query)
		var got []string
		for _, src := range []Source{w.tables, pruned{w.tables}} {
			out, err := Run(context.Background(), q, src, Options{Now: now, Parameters: window})
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			if err := wrongResult(q, out); err != nil {
				t.Errorf("%s: %v", query, err)
			}
			got = append(got, text(out[0]))
		}
		if got[0] != got[1] || got[0] == "" {
			t.Errorf("%s\nwhole\n%s\npruned\n%s", query, got[0], got[1])
		}
	}
}

// endless never runs out of rows; it must be told to stop.
type endless struct {
	batch *table.Table
	n     int
	after func(n int)
}

func (e *endless) Scan(_ context.Context, _ ScanRequest, yield func(*table.Table) error) error {
	for {
		e.n++
		if e.after != nil {
			e.after(e.n)
		}
		if err := yield(e.batch); err != nil {
			return fmt.Errorf("wrapped: %w", err)
		}
	}
}

func TestScanEnds(t *testing.T) {
	batch := serviceTelemetry(100, now)
	w := mustWorld(t, []*table.Table{batch})
	run := func(query string, ctx context.Context, e *endless, maxRows int) (*table.Table, error) {
		t.Helper()
		out, err := Run(ctx, w.analyze(query), e, Options{Now: now, MaxRows: maxRows})
		if err != nil {
			return nil, err
		}
		return out[0], nil
	}
	t.Run("Take", func(t *testing.T) {
		e := &endless{batch: batch}
		out, err := run(`ServiceTelemetry | where Status == 200 | take 40 | count`, context.Background(), e, 0)
		if err != nil || text(out) != "40" || e.n != 2 {
			t.Fatalf("got %v after %d batches: %v", out, e.n, err)
		}
	})
	t.Run("TakeInUnion", func(t *testing.T) {
		// The end of one leg is not the end of the other.
		e := &endless{batch: batch}
		out, err := run(`union (ServiceTelemetry | take 30), (ServiceTelemetry | take 150) | count`, context.Background(), e, 0)
		if err != nil || text(out) != "180" || e.n != 3 {
			t.Fatalf("got %v after %d batches: %v", out, e.n, err)
		}
	})
	t.Run("TakeOfTake", func(t *testing.T) {
		e := &endless{batch: batch}
		out, err := run(`ServiceTelemetry | take 500 | take 7 | count`, context.Background(), e, 0)
		if err != nil || text(out) != "7" || e.n != 1 {
			t.Fatalf("got %v after %d batches: %v", out, e.n, err)
		}
	})
	t.Run("ErrCanceled", func(t *testing.T) {
		for _, query := range []string{`ServiceTelemetry | where Status == 1`, `ServiceTelemetry | count`, `ServiceTelemetry | summarize avg(ResponseTimeMs) by ServiceName`} {
			ctx, cancel := context.WithCancel(context.Background())
			e := &endless{batch: batch, after: func(n int) {
				if n == 3 {
					cancel()
				}
			}}
			if _, err := run(query, ctx, e, 0); !errors.Is(err, context.Canceled) || e.n != 3 {
				t.Errorf("%s: got %v after %d batches", query, err, e.n)
			}
		}
	})
	t.Run("ErrLimit", func(t *testing.T) {
		for query, want := range map[string]string{
			`ServiceTelemetry`:                        "the result holds more than 1000 rows, the sandbox's limit",
			`ServiceTelemetry | order by Status`:      "sort holds more than 1000 rows, the sandbox's limit",
			`range x from 1 to 100000 step 1 | count`: "range holds more than 1000 rows, the sandbox's limit",
		} {
			_, err := run(query, context.Background(), &endless{batch: batch}, 1000)
			var le *LimitError
			if !errors.As(err, &le) || err.Error() != want {
				t.Errorf("%s: got %v", query, err)
			}
		}
		big := serviceTelemetry(5000, now)
		_, err := run(`ServiceTelemetry | summarize count() by ServiceName, Timestamp`, context.Background(), &endless{batch: big}, 1000)
		if err == nil || err.Error() != "summarize holds more than 1000 rows, the sandbox's limit" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrSwallowed", func(t *testing.T) {
		// A source that forgets yield's error must not turn a refusal into an answer.
		_, err := Run(context.Background(), w.analyze(`ServiceTelemetry`), forgetful{batch}, Options{Now: now, MaxRows: 150})
		if want := "the result holds more than 150 rows, the sandbox's limit"; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrSource", func(t *testing.T) {
		_, err := Run(context.Background(), w.analyze(`ServiceTelemetry | count`), Tables{}, Options{Now: now})
		if want := `scan table "ServiceTelemetry": table "ServiceTelemetry" of database "TelemetryDB" on cluster "local" is not there`; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
		wrong := &endless{batch: table.New("ServiceTelemetry", table.Schema{{Name: "Status", Type: table.Real}}, 0)}
		_, err = Run(context.Background(), w.analyze(`ServiceTelemetry | summarize sum(Status)`), wrong, Options{Now: now})
		if want := `scan table "ServiceTelemetry": wrapped: column "Status" must be a long of 0 rows`; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
}

type forgetful struct{ batch *table.Table }

func (f forgetful) Scan(_ context.Context, _ ScanRequest, yield func(*table.Table) error) error {
	for range 2 {
		_ = yield(f.batch)
	}
	return nil
}

// A source may use its batch again; nothing of a result may point into it.
type reusing struct{ Tables }

func (s reusing) Scan(ctx context.Context, req ScanRequest, yield func(*table.Table) error) error {
	return s.Tables.Scan(ctx, req, func(b *table.Table) error {
		all := make([]int32, b.Rows())
		for i := range all {
			all[i] = int32(i)
		}
		own := b.Take(all)
		if err := yield(own); err != nil {
			return err
		}
		for _, c := range own.Columns {
			for i := range c.Vec.Len() {
				c.Vec.SetNull(i)
			}
		}
		return nil
	})
}

func TestBatchesAreNotKept(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(3*tablesBatch/2, now)})
	for _, query := range []string{
		`ServiceTelemetry | take 17000`, `ServiceTelemetry | order by ResponseTimeMs asc, Timestamp asc | take 50`, `ServiceTelemetry | extend a = Status, b = ServiceName | project a, b, Timestamp`,
		`ServiceTelemetry | summarize min(ServiceName), max(Timestamp), sum(Status) by Environment, Status`, `union ServiceTelemetry, ServiceTelemetry | distinct ServiceName, Environment`,
	} {
		q := w.analyze(query)
		var got []string
		for _, src := range []Source{w.tables, reusing{w.tables}} {
			out, err := Run(context.Background(), q, src, Options{Now: now})
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			if err := wrongResult(q, out); err != nil {
				t.Errorf("%s: %v", query, err)
			}
			got = append(got, text(out[0]))
		}
		if got[0] != got[1] {
			t.Errorf("%s: the answer changed with its source's memory", query)
		}
	}
}

func TestPlanScan(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(3*tablesBatch, now)})
	p, err := Compile(w.analyze(`print a = 1; ServiceTelemetry | where Status == 200 | project Timestamp, Status`), Options{Now: now, MaxRows: 10})
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Schemas(); len(s) != 2 || fmt.Sprint(s[0], s[1]) != "[{a long}] [{Timestamp datetime} {Status long}]" {
		t.Errorf("the schemas are %v", s)
	}
	rows, batches := 0, 0
	err = p.Scan(context.Background(), 1, w.tables, func(b *table.Table) error {
		rows, batches = rows+b.Rows(), batches+1
		return b.Validate()
	})
	// More rows than MaxRows, which bounds what is remembered: nothing is.
	if err != nil || rows != tablesBatch || batches != 3 {
		t.Errorf("got %d rows in %d batches: %v", rows, batches, err)
	}
	enough := errors.New("enough")
	if err := p.Scan(context.Background(), 1, w.tables, func(*table.Table) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(enough)
	for i := range 2 {
		if err := p.Scan(ctx, i, w.tables, func(*table.Table) error { return nil }); !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
			t.Errorf("statement %d: got %v", i, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(20000, now)})
	p, err := Compile(w.analyze(`ServiceTelemetry | where Status != 201 | summarize n = count(), avg(ResponseTimeMs) by ServiceName, Environment, tolower(ServiceName), bin(Timestamp, 1s) | order by n, ServiceName | take 20`), Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	got := make([]string, 64)
	for i := range got {
		wg.Go(func() {
			out, err := p.Run(context.Background(), w.tables)
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = text(out[0])
		})
	}
	wg.Wait()
	for i, g := range got {
		if g != got[0] || g == "" {
			t.Fatalf("run %d differs", i)
		}
	}
}

// Plans that keep state in a run: joins, materialized tables, subqueries, constants that are found in the run. 64 runs of
// each at once, of plans that are shared and of queries that are compiled meanwhile, over a source that uses its memory again.
func TestConcurrentState(t *testing.T) {
	w := mustWorld(t, []*table.Table{serviceTelemetry(3000, now)})
	queries := []string{
		`ServiceTelemetry | join kind=fullouter (ServiceTelemetry | summarize n = count() by ServiceName, Status | where Status > 200) on ServiceName, Status | summarize count(), sum(n), sum(ResponseTimeMs) by ServiceName1`,
		`let m = materialize(ServiceTelemetry | summarize n = count() by ServiceName, Status); m | join kind=inner m on Status | union m | summarize sum(n), count() by ServiceName`,
		`let top1 = toscalar(ServiceTelemetry | summarize max(ResponseTimeMs)); let f = (s:string) { toscalar(ServiceTelemetry | where ServiceName == s | count) }; ServiceTelemetry | where ResponseTimeMs == top1 | extend a = f("api"), p = f("pay") | summarize count(), max(a), max(p)`,
		`ServiceTelemetry | where ServiceName in ((ServiceTelemetry | where Status == 200 | take 1 | project ServiceName)) | take 500 | extend d = split(Message, "s") | mv-apply d to typeof(string) on (where d != "" | summarize n = count()) | summarize sum(n) by ServiceName`,
		`ServiceTelemetry | make-series n = count(), avg(ResponseTimeMs) on Status from 200 to 203 step 1 by ServiceName | mv-expand n to typeof(long) | summarize sum(n) by ServiceName`,
		`ServiceTelemetry | parse Message with "mess" a "ge" | sort by ResponseTimeMs asc, Timestamp asc | extend p = prev(ResponseTimeMs), n = row_number(), c = row_cumsum(Status) | summarize max(n), max(c), sum(p) by a`,
	}
	var wg sync.WaitGroup
	got := make([][]string, len(queries))
	for i, query := range queries {
		q := w.analyze(query)
		shared, err := Compile(q, Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		got[i] = make([]string, 64)
		for k := range got[i] {
			wg.Go(func() {
				p := shared
				if k%2 == 1 {
					var err error
					if p, err = Compile(q, Options{Now: now}); err != nil {
						t.Error(err)
						return
					}
				}
				out, err := p.Run(context.Background(), batches{w.tables, 700})
				if err == nil {
					err = wrongResult(q, out)
				}
				if err != nil {
					t.Error(err)
					return
				}
				got[i][k] = text(out[0])
			})
		}
	}
	wg.Wait()
	for i, runs := range got {
		want := text(w.run(queries[i], nil))
		for k, g := range runs {
			if g != want || g == "" {
				t.Fatalf("%s: run %d\ngot\n%s\nwant\n%s", queries[i], k, g, want)
			}
		}
	}
}

func FuzzLiterals(f *testing.F) {
	for _, s := range []string{"1.5h", "-1.02:03:04.5", "2025-06-25T10:00:00.1234567Z", "0x1F", "nan", `h@"a""b"`, `"\u0041\'"`, "datetime(", "9223372036854775807d", "-10675199.02:48:05.4775808"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, typ := range table.Types() {
			v, err := parseLiteral(typ, s)
			if err != nil {
				continue
			}
			if err := (&table.Table{Columns: []table.Column{{Name: "x", Vec: v}}}).Validate(); err != nil || v.Len() != 1 {
				t.Fatalf("%v from %q: %d rows, %v", typ, s, v.Len(), err)
			}
			// What is written must be read back as the same.
			if typ == table.TimeSpan && !v.IsNull(0) && v.Ints[0] > -9e18 && v.Ints[0] < 9e18 {
				again, ok := parseTimeSpan(string(table.AppendTimeSpan(nil, v.Ints[0])))
				if !ok || again != v.Ints[0] {
					t.Fatalf("timespan %d from %q reads back as %d, %v", v.Ints[0], s, again, ok)
				}
			}
		}
	})
}

func BenchmarkSummarize(b *testing.B) {
	const n = 1_000_000
	w := mustWorld(b, []*table.Table{serviceTelemetry(n, now.Add(-15*time.Minute)), errorEvents(b)})
	for _, bb := range []struct{ name, query string }{
		{"TwoKeysAndBin", `ServiceTelemetry | where Timestamp between (datetime(2025-06-25) .. datetime(2025-06-26))
			| summarize metric_value = avg(ResponseTimeMs) by ServiceName, Environment, timestamp = bin(Timestamp, 1m)
			| extend metric_name = "service_response_time_avg"`},
		{"SplitKey", `ServiceTelemetry | summarize count() * 100.0 / countif(isnotempty(Message)) by Region = tostring(split(ServiceName, '-')[0]), bin(Timestamp, 1m)`},
		{"ManyGroups", `ServiceTelemetry | summarize sum(Status), max(Timestamp) by ServiceName, bin(Timestamp, 10ms)`},
		{"Rows", `ServiceTelemetry | where Status == 200 | project Timestamp, ServiceName, ResponseTimeMs`},
		{"Sort", `ServiceTelemetry | order by ResponseTimeMs, Timestamp asc | take 10`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			q := w.analyze(bb.query)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Run(context.Background(), q, w.tables, Options{Now: now}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
