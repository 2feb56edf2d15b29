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
// [Transformer.Window] is the function, for whoever has row batches and wants OTLP;
// [Stage] is what runs it on the streams. It writes protobuf's wire format straight
// from the columns: a text is brought into form and encoded once for each
// dictionary entry, a label set once for each combination there is, and a point
// then is a copy and two numbers. A window of one batch takes a few times the batch
// of memory. A larger one takes 24 bytes for each value while the first pass looks
// for duplicates (24 MB for a million rows, and twice as much for a moment if there
// are more than that), one bit for each value after it, and up to 8 MiB of parts
// that are kept from one pass to the next.
//
// # What the specification leaves open
//
// Labels are compared as the text they become: a real 2 and a string "2" are one
// label. Only a row that gives a point supersedes another. Where valueColumns makes
// the names, all of a name is brought into snake case, prefix and base included; a
// name that is used alone stays verbatim. An empty string is a null: Kusto's
// strings have no other. The numbers of a dynamic are doubles, whole ones too, so
// that a series stays of one type. Text that is no UTF-8 gets U+FFFD in the place of
// each run of bad bytes and is not counted. Configured resource attributes win over
// service.name and service.version, and one that is empty takes its key away.
//
// # Windows that are looked at again
//
// Of a job of a reconciliation only those points leave that are other than what was
// exported of the window before, or new. What was exported is known from a hash of
// each point, which is written whenever a window of a MetricsExporter that
// reconciles is transformed, or from the OTLP batches that are kept. This takes up to
// 200 MB for a window of two million points, and the points beyond are sent again.
//
// # What a crash does
//
// The message is acked after the OTLP batches and the event are stored, and its
// parts are removed after that. Whoever takes it up again makes the same bytes, cut
// in the same places: their ids are the same, so the stream takes those it has for
// duplicates. Should parts be gone all the same, the window's job is published
// again and the window queried anew, which sends its points a second time and
// loses none.
package transformer
