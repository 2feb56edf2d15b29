// Package replay issues the windows of a past range again: by asking Kusto again
// ([FromQuery]) or by sending again what was kept ([FromSend]).
//
// What arrives is a range and a MetricsExporter. What leaves are window jobs or OTLP
// batches, on the backfill lane, at a bounded rate, under the id of a request. How
// far it is stands in the stream of jobs (package request), so that whoever runs the
// same request again goes on where it was: after a crash, after Ctrl-C, or beside
// another who runs it.
//
// A window job is issued once: it and the state that passes it are one atomic batch.
// An OTLP batch is published before the state passes its window. In between a crash
// may fall; who goes on finds the copies that are in the stream already and publishes
// only the others, and their ids, made of the original and the request, keep out the
// rest.
package replay
