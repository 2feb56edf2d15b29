package samples

import (
	"fmt"
	"math"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

type database struct {
	cluster string // as in the catalog: empty is the sandbox's own
	name    string
	tables  []*generator
}

var databases = []database{
	{"", "TelemetryDB", []*generator{serviceTelemetry, myTelemetryTable}},
	{"", "AnalyticsDB", []*generator{customerEvents, analyticsData}},
	{"", "InfrastructureDB", []*generator{systemMetrics}},
	{"", "GlobalMetrics", nil},
	{"", "Bench", bench},
	{"eastus-cluster", "TelemetryDB", []*generator{errorEvents("eastus-cluster", 1)}},
	{"westus-cluster", "TelemetryDB", []*generator{errorEvents("westus-cluster", 2)}},
	{"europe-cluster", "TelemetryDB", []*generator{errorEvents("europe-cluster", 3)}},
}

// find is a table by names as Kusto compares them: clusters and databases ignore case.
func find(cluster, db, name string) *generator {
	if strings.EqualFold(cluster, Cluster) {
		cluster = ""
	}
	for _, d := range databases {
		if !strings.EqualFold(d.cluster, cluster) || !strings.EqualFold(d.name, db) {
			continue
		}
		for _, g := range d.tables {
			if g.name == name {
				return g
			}
		}
	}
	return nil
}

const second = table.TicksPerSecond

var (
	services     = []string{"api-gateway", "checkout", "inventory", "payments", "search", "users"}
	serviceMs    = []float64{45, 180, 60, 240, 95, 35}
	environments = []string{"production", "staging", "development"}
	regions      = []string{"eastus", "westus"}
	locations    = []string{"datacenter-east", "datacenter-west", "datacenter-north"}
	tiers        = []string{"Premium", "Standard", "Basic"}
	zones        = []string{"eastus", "westus", "europe"}
)

const customers = 12

var serviceTelemetry = &generator{
	name: "ServiceTelemetry", doc: "one row for each sampled request of six services in three environments",
	time: "Timestamp", step: second, series: len(services) * len(environments), seed: 101,
	columns: []column{
		timestamp("Timestamp"),
		perSeries("ServiceName", func(s int) string { return services[s%len(services)] }, len(services)*len(environments)),
		perSeries("Environment", func(s int) string { return environments[s/len(services)] }, len(services)*len(environments)),
		realColumn("ResponseTimeMs", func(s int, noise uint64, load float64) float64 {
			return serviceMs[s%len(services)] * (0.7 + 0.6*load) * tail(noise) * (1 + 0.1*normal(mix(noise)))
		}),
	},
}

var myTelemetryTable = &generator{
	name: "MyTelemetryTable", doc: "one row for each sampled request of six services in two regions",
	time: "Timestamp", step: second, series: len(services) * len(regions), seed: 102,
	columns: []column{
		timestamp("Timestamp"),
		perSeries("ServiceName", func(s int) string { return services[s%len(services)] }, len(services)*len(regions)),
		perSeries("Region", func(s int) string { return regions[s/len(services)] }, len(services)*len(regions)),
		realColumn("ResponseTime", func(s int, noise uint64, load float64) float64 {
			return serviceMs[s%len(services)] * (0.7 + 0.6*load) * tail(noise)
		}),
	},
}

var customerEvents = &generator{
	name: "CustomerEvents", doc: "requests of twelve customers at three locations, counted every few seconds",
	time: "EventTime", step: 5 * second, series: len(locations) * customers, seed: 103,
	columns: []column{
		timestamp("EventTime"),
		perSeries("LocationId", func(s int) string { return locations[s/customers] }, len(locations)*customers),
		perSeries("CustomerResourceId", func(s int) string { return fmt.Sprintf("customer-%03d", s%customers+1) }, len(locations)*customers),
		perSeries("ServiceTier", func(s int) string { return tiers[s%customers%len(tiers)] }, len(locations)*customers),
		realColumn("SuccessRate", func(s int, noise uint64, load float64) float64 {
			return float64(succeeded(s, noise, load)) / float64(total(s, noise, load))
		}),
		longColumn("SuccessfulRequests", succeeded),
		longColumn("TotalRequests", total),
		realColumn("LatencyMs", func(s int, noise uint64, load float64) float64 {
			return float64(90+40*(s%customers%len(tiers))) * (0.7 + 0.6*load) * tail(mix(noise+2))
		}),
	},
}

var analyticsData = &generator{
	name: "AnalyticsData", doc: "requests of twelve customers, counted every ten seconds",
	time: "EventTime", step: 10 * second, series: customers, seed: 104,
	columns: []column{
		timestamp("EventTime"),
		perSeries("LocationId", func(s int) string { return locations[s%len(locations)] }, customers),
		perSeries("CustomerResourceId", func(s int) string { return fmt.Sprintf("customer-%03d", s+1) }, customers),
		realColumn("SuccessRate", func(s int, noise uint64, load float64) float64 {
			return float64(succeeded(s, noise, load)) / float64(total(s, noise, load))
		}),
		longColumn("SuccessCount", succeeded),
		longColumn("TotalCount", total),
	},
}

// total is how many requests one row of customer events stands for, succeeded how many of them did.
func total(s int, noise uint64, load float64) int64 {
	return 20 + int64(load*float64(40+15*(s%customers))*(1+0.2*unit(noise)))
}

func succeeded(s int, noise uint64, load float64) int64 {
	n := total(s, noise, load)
	// One customer in twelve has a bad time in busy hours.
	failing := 0.012 * unit(mix(noise+1))
	if s%customers == 7 {
		failing += 0.08 * load * load
	}
	return n - int64(math.Round(float64(n)*failing))
}

const nodes = 4 // of each cluster; there are two clusters a zone

var systemMetrics = &generator{
	name: "SystemMetrics", doc: "processor load of the nodes of six clusters, every five seconds",
	time: "Timestamp", step: 5 * second, series: len(zones) * 2 * nodes, seed: 105, steady: true,
	columns: []column{
		timestamp("Timestamp"),
		perSeries("NodeName", func(s int) string { return fmt.Sprintf("%s-node-%d", nodeCluster(s), s%nodes) }, len(zones)*2*nodes),
		perSeries("ClusterName", nodeCluster, len(zones)*2*nodes),
		perSeries("Region", func(s int) string { return zones[s/nodes/2] }, len(zones)*2*nodes),
		realColumn("CpuUtilization", func(s int, noise uint64, load float64) float64 {
			return math.Max(0.5, math.Min(100, 12+60*load+float64(5*(s%nodes))+4*normal(noise)))
		}),
	},
}

func nodeCluster(s int) string { return fmt.Sprintf("%s-aks-%d", zones[s/nodes/2], s/nodes%2) }

// errorEvents is the table of one cluster. Most events have the success that followed on a retry.
func errorEvents(cluster string, seed uint64) *generator {
	return &generator{
		name: "ErrorEvents", doc: "errors of six services, with the success that a retry led to",
		time: "Timestamp", step: 2 * second, series: len(services), seed: 200 + seed,
		columns: []column{
			timestamp("Timestamp"),
			perSeries("ClusterName", func(int) string { return cluster }, len(services)),
			perSeries("ServiceName", func(s int) string { return services[s] }, len(services)),
			{"SuccessEvent", table.String, func(b *block, v *table.Vector) {
				for i := range b.ticks {
					if b.noise[i]%10 < 3 {
						v.AppendString("")
						continue
					}
					v.AppendString(fmt.Sprintf("retry-%08x", uint32(b.noise[i]>>32)))
				}
			}},
		},
	}
}

func timestamp(name string) column {
	return column{name, table.DateTime, func(b *block, v *table.Vector) { v.Ints = append(v.Ints, b.ticks...) }}
}

// perSeries is a column that depends on nothing else; its n strings are made once.
func perSeries(name string, f func(series int) string, n int) column {
	values := make([]string, n)
	for s := range values {
		values[s] = f(s)
	}
	return column{name, table.String, func(b *block, v *table.Vector) {
		for _, s := range b.series {
			v.Strings = append(v.Strings, values[s])
		}
	}}
}

func realColumn(name string, f func(series int, noise uint64, load float64) float64) column {
	return column{name, table.Real, func(b *block, v *table.Vector) {
		for i, s := range b.series {
			v.Reals = append(v.Reals, round(f(int(s), b.noise[i], b.load[i])))
		}
	}}
}

func longColumn(name string, f func(series int, noise uint64, load float64) int64) column {
	return column{name, table.Long, func(b *block, v *table.Vector) {
		for i, s := range b.series {
			v.Ints = append(v.Ints, f(int(s), b.noise[i], b.load[i]))
		}
	}}
}
