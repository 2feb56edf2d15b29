// Package frames reads the answer of a Kusto query, version 2 of its protocol,
// into row batches.
//
// What arrives is the body of an answer: a JSON array of frames, plain, fragmented
// or progressive (https://learn.microsoft.com/azure/data-explorer/kusto/api/rest/response-v2).
// What leaves are encoded [wire.RowBatch] messages, one after the other while the
// answer is still being read: never more than one row of JSON and one batch are in
// memory. Only the columns asked for are kept. The frames are read with jsontext;
// within their rows, which are all but everything, a scanner of our own finds the
// values in one pass and leaves to jsontext what is not simple.
//
// What fails: everything that is not a whole answer. An error that Kusto reports
// in band (among the rows, at the end of a table or of the data set), HasErrors,
// Cancelled, a RowCount that differs from the rows read, a stream that ends before
// its DataSetCompletion or goes on after it, JSON that is none. Batches that were
// handed out before are void then; it is for their taker to show none of them
// before [Decoder.Decode] returns nil.
//
// [wire.RowBatch]: https://pkg.go.dev/github.com/kusto2otlp/kusto2otlp/schemas/wire#RowBatch
package frames
