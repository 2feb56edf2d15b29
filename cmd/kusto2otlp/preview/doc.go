// Package preview runs one window of a MetricsExporter and sends nothing.
//
// What arrives is a spec, a window and a client of the cluster; what leaves is the
// OTLP that the pipeline would send, request by request, and what it would report.
// The query goes through the querier's own client, with its parameters and options,
// and the rows through the transformer's own function; only the streams between the
// stages are left out. So its errors are sorted as those of the stages are.
//
// It keeps a window's rows in memory, encoded, about 25 bytes a row, and of its OTLP
// one batch at a time. It stores nothing, so there is nothing to recover after a crash.
package preview
