// Package sender delivers OTLP batches to the endpoints of named exporters.
//
// What arrives: OTLP batches, each one ExportMetricsServiceRequest already
// compressed, on the stream of its exporter. What leaves: a request to the
// endpoint, and an exported event for each batch that was accepted.
//
// A batch is acked only after the endpoint has accepted it. When the process ends
// in between, the batch is sent again: the same series, timestamps and values,
// which OTLP backends take for the same points. What the endpoint cannot take now
// waits in the stream, however long that is; what it will never take becomes a
// dead letter, whole.
//
// Delivered batches stay in the stream for a replay, until they are older than
// the retention or their room is needed.
package sender
