// Package transformer turns the rows of a window into OTLP metrics: a pure
// function, and the stage around it.
//
// # What arrives
//
// A [wire.WindowRows] on stream K2O_ROWS: the window's job with the spec in it,
// and its rows as row batches, by column. Small windows have one batch, inside
// the message. Of larger ones only the last is; the parts before it lie under the
// run's part subjects, which no consumer reads.
//
// # What leaves
//
// OTLP batches on the exporter's own stream, each a serialized and compressed
// ExportMetricsServiceRequest, ready to be sent as it is; then one "transformed"
// event with the number of points and batches and, for every reason, how many
// points there were not and one sample of why. A row that cannot become a point
// never fails its window. What is wrong with the window as a whole (a missing
// column, more series than its limit, a null under nullValue "fail") fails it
// before anything of it leaves.
//
// That is why a window of several row batches is read twice. The first pass
// checks every row and finds those that a later one supersedes; the second
// encodes. A window of one batch is decoded once and held.
//
// # What a crash does
//
// The message is acked last, after the OTLP batches, the event and the removal of
// the parts. Whoever takes it up again makes the same bytes, cut in the same
// places: their ids are the same, so the stream takes those it has for
// duplicates. A crash between the removal of the parts and the ack leaves a
// message whose parts are gone; the window's job is then published again and the
// window queried anew, which sends its points a second time and loses none.
package transformer
