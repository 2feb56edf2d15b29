// Package samples is the data of the sandbox: one table for each of the design document's queries,
// and larger ones for benchmarks.
//
// What arrives: the name of a table, the columns and the time range that a query needs. What leaves:
// its rows in that range, batch after batch, computed as they are read; nothing is stored.
//
// A row of a sample table is a pure function of the table, its time and its series (service, node,
// customer, …), so the same range always has the same rows, in any process, and a window that has
// just closed is as full as one a year ago. Load follows the hours of the day in UTC, with noise and
// a long tail on latencies. A query without an upper bound on the table's time column sees rows up to
// now(); one without a lower bound sees the hour before the upper one ([Unbounded]), as a table without
// a beginning cannot be read whole.
//
//	cluster              database          table              time       rows per second
//	(the sandbox's own)  TelemetryDB       ServiceTelemetry   Timestamp  up to 18
//	                     TelemetryDB       MyTelemetryTable   Timestamp  up to 12
//	                     AnalyticsDB       CustomerEvents     EventTime  up to 7.2
//	                     AnalyticsDB       AnalyticsData      EventTime  up to 1.2
//	                     InfrastructureDB  SystemMetrics      Timestamp  4.8, never fewer
//	                     GlobalMetrics     (none: its queries reach into the clusters below)
//	                     Bench             Thousand, …        Timestamp  see below
//	eastus-cluster       TelemetryDB       ErrorEvents        Timestamp  up to 3
//	westus-cluster       TelemetryDB       ErrorEvents        Timestamp  up to 3
//	europe-cluster       TelemetryDB       ErrorEvents        Timestamp  up to 3
//
// The tables of Bench (Thousand, TenThousand, HundredThousand, Million, TenMillion) have as many rows as
// their names say and eight columns. Their rows are spread evenly over whatever range is asked for, so that
// every window has exactly that many; they are the exception to the rule above.
//
// Failures: a table that is not there, and the errors of the reader and of its context.
package samples
