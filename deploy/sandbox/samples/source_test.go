package samples_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

var now = time.Date(2025, 6, 25, 10, 0, 0, 0, time.UTC)

// read is every row of a scan.
func read(t testing.TB, req engine.ScanRequest) *table.Table {
	t.Helper()
	var all *table.Table
	err := samples.Source{}.Scan(context.Background(), req, func(b *table.Table) error {
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		if all == nil {
			all = table.New(b.Name, b.Schema(), b.Rows())
		}
		all.AppendTable(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if all == nil {
		all = &table.Table{Name: req.Table}
	}
	return all
}

func request(cluster, db string, d table.Definition, from, to time.Time) engine.ScanRequest {
	req := engine.ScanRequest{Cluster: cluster, Database: db, Table: d.Name, Now: now}
	for _, f := range d.Schema {
		req.Columns = append(req.Columns, f.Name)
	}
	if !from.IsZero() {
		req.Ranges = []engine.TimeRange{{Column: d.Schema[0].Name, From: table.Ticks(from), To: table.Ticks(to) - 1}}
	}
	return req
}

func TestPureFunctionOfTime(t *testing.T) {
	for _, db := range (samples.Source{}).Catalog() {
		if db.Name == "Bench" {
			continue
		}
		for _, d := range db.Tables {
			t.Run(db.Cluster+"/"+db.Name+"/"+d.Name, func(t *testing.T) {
				from, mid, to := now.Add(-15*time.Minute), now.Add(-7*time.Minute-333*time.Millisecond), now
				whole := read(t, request(db.Cluster, db.Name, d, from, to))
				parts := read(t, request(db.Cluster, db.Name, d, from, mid))
				parts.AppendTable(read(t, request(db.Cluster, db.Name, d, mid, to)))
				if whole.Rows() == 0 || rowSet(whole) != rowSet(parts) {
					t.Errorf("%d rows at once, %d in two parts, or not the same", whole.Rows(), parts.Rows())
				}
				for _, x := range whole.Columns[0].Vec.Ints {
					if x < table.Ticks(from) || x >= table.Ticks(to) {
						t.Fatalf("row at %v", table.Time(x))
					}
				}
				if !reflect.DeepEqual(whole.Schema(), d.Schema) {
					t.Errorf("schema %v, want %v", whole.Schema(), d.Schema)
				}
				last := request(db.Cluster, db.Name, d, from, to)
				last.Columns = last.Columns[len(last.Columns)-1:]
				if got := read(t, last); !reflect.DeepEqual(got.Columns[0].Vec, whole.Columns[len(whole.Columns)-1].Vec) {
					t.Error("a column alone has other values")
				}
				last.Columns = nil
				if got := read(t, last); got.Rows() != whole.Rows() {
					t.Errorf("%d rows without columns", got.Rows())
				}
			})
		}
	}
}

// rowSet does not depend on the order of rows, which changes where a step is cut in two.
func rowSet(t *table.Table) string {
	var sum uint64
	for i := range t.Rows() {
		h := uint64(14695981039346656037)
		for _, c := range t.Columns {
			for _, b := range []byte(fmt.Sprint(c.Vec.Value(i))) {
				h = (h ^ uint64(b)) * 1099511628211
			}
		}
		sum += h
	}
	return fmt.Sprint(t.Rows(), sum)
}

// Every window of the design document's use cases has data for every series, also at night.
func TestWindowsHaveData(t *testing.T) {
	for _, c := range []struct {
		db, table string
		window    time.Duration
		labels    []string
		series    int
	}{
		{"TelemetryDB", "ServiceTelemetry", time.Minute, []string{"ServiceName", "Environment"}, 18},
		{"AnalyticsDB", "CustomerEvents", 15 * time.Minute, []string{"LocationId", "CustomerResourceId", "ServiceTier"}, 36},
		{"InfrastructureDB", "SystemMetrics", 30 * time.Second, []string{"NodeName", "ClusterName", "Region"}, 24},
		{"eastus-cluster/TelemetryDB", "ErrorEvents", 2 * time.Minute, []string{"ServiceName"}, 6},
	} {
		for hour := range 24 {
			start := time.Date(2025, 6, 25, hour, 0, 0, 0, time.UTC)
			req := engine.ScanRequest{Database: c.db, Table: c.table, Columns: c.labels, Now: now}
			if c.table == "ErrorEvents" {
				req.Cluster, req.Database = "EastUS-cluster", "TelemetryDB"
			}
			col := "Timestamp"
			if c.table == "CustomerEvents" {
				col = "EventTime"
			}
			req.Ranges = []engine.TimeRange{{Column: col, From: table.Ticks(start), To: table.Ticks(start.Add(c.window)) - 1}}
			rows := read(t, req)
			seen := map[string]bool{}
			for i := range rows.Rows() {
				key := ""
				for _, col := range rows.Columns {
					key += col.Vec.Strings[i] + "/"
				}
				seen[key] = true
			}
			if len(seen) != c.series {
				t.Errorf("%s at %d:00: %d series, want %d", c.table, hour, len(seen), c.series)
			}
		}
	}
}

func TestValues(t *testing.T) {
	rows := read(t, engine.ScanRequest{Database: "AnalyticsDB", Table: "CustomerEvents", Columns: []string{"SuccessRate", "SuccessfulRequests", "TotalRequests", "LatencyMs"}, Now: now})
	for i := range rows.Rows() {
		rate, ok, all, ms := rows.Columns[0].Vec.Reals[i], rows.Columns[1].Vec.Ints[i], rows.Columns[2].Vec.Ints[i], rows.Columns[3].Vec.Reals[i]
		if rate < 0.5 || rate > 1 || ok < 0 || ok > all || ms <= 0 || ms > 10000 {
			t.Fatalf("row %d: rate %v, %d of %d, %v ms", i, rate, ok, all, ms)
		}
	}
	cpu := read(t, engine.ScanRequest{Database: "InfrastructureDB", Table: "SystemMetrics", Columns: []string{"CpuUtilization"}, Now: now})
	for _, x := range cpu.Columns[0].Vec.Reals {
		if x <= 0 || x > 100 {
			t.Fatalf("cpu %v", x)
		}
	}
}

func TestUnbounded(t *testing.T) {
	d := (samples.Source{}).Catalog().Database("", "InfrastructureDB").Tables[0]
	all := read(t, request("", "InfrastructureDB", d, time.Time{}, time.Time{}))
	if want := 24 * 720; all.Rows() != want {
		t.Errorf("%d rows in the last hour, want %d", all.Rows(), want)
	}
	for _, x := range all.Columns[0].Vec.Ints {
		if x <= table.Ticks(now.Add(-time.Hour)) || x > table.Ticks(now) {
			t.Fatalf("row at %v", table.Time(x))
		}
	}
	empty := request("", "InfrastructureDB", d, now, now)
	if got := read(t, empty).Rows(); got != 0 {
		t.Errorf("%d rows in an empty range", got)
	}
}

func TestBench(t *testing.T) {
	for _, d := range (samples.Source{}).Catalog().Database("", "Bench").Tables[:3] {
		for _, span := range []time.Duration{time.Minute, time.Hour} {
			rows := read(t, request(samples.Cluster, "Bench", d, now.Add(-span), now))
			if want := map[string]int{"Thousand": 1_000, "TenThousand": 10_000, "HundredThousand": 100_000}[d.Name]; rows.Rows() != want || len(rows.Columns) != 8 {
				t.Errorf("%s: %d rows, want %d", d.Name, rows.Rows(), want)
			}
			ticks := rows.Columns[0].Vec.Ints
			if ticks[0] != table.Ticks(now.Add(-span)) || ticks[len(ticks)-1] >= table.Ticks(now) {
				t.Errorf("%s: from %v to %v", d.Name, table.Time(ticks[0]), table.Time(ticks[len(ticks)-1]))
			}
		}
	}
}

func TestScanErrors(t *testing.T) {
	ctx := context.Background()
	none := func(*table.Table) error { return nil }
	for want, req := range map[string]engine.ScanRequest{
		`table "T" of database "TelemetryDB" on cluster "" is not there`: {Database: "TelemetryDB", Table: "T"},
		`table "ServiceTelemetry" has no column "X"`:                     {Database: "TelemetryDB", Table: "ServiceTelemetry", Columns: []string{"X"}},
	} {
		if err := (samples.Source{}).Scan(ctx, req, none); err == nil || err.Error() != want {
			t.Errorf("error\n got %v\nwant %s", err, want)
		}
	}
	enough := errors.New("enough")
	req := engine.ScanRequest{Database: "Bench", Table: "TenMillion", Now: now}
	if err := (samples.Source{}).Scan(ctx, req, func(*table.Table) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	if err := (samples.Source{}).Scan(ctx, req, func(*table.Table) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkMillion(b *testing.B) {
	b.ReportAllocs()
	d := (samples.Source{}).Catalog().Database("", "Bench").Table("Million")
	req := request("", "Bench", *d, now.Add(-time.Hour), now)
	for b.Loop() {
		rows := 0
		if err := (samples.Source{}).Scan(context.Background(), req, func(t *table.Table) error { rows += t.Rows(); return nil }); err != nil || rows != 1_000_000 {
			b.Fatal(rows, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/row")
}
