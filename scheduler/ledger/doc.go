// Package ledger keeps the record of every window of every MetricsExporter: how far
// it is, what it gave, what went wrong; and what the records add up to, above all the
// watermark.
//
// # What arrives, what leaves
//
// Stages report on stream K2O_EVENTS, at least once and in no order that could be
// relied on. A [Folder] in each scheduler folds the events into the KV bucket
// K2O_LEDGER; all of them share one durable consumer, and so the work. A [Reader]
// reads the bucket: windows ([Reader.Windows]) and what they add up to
// ([Reader.Summary]).
//
// # A window's record
//
// A record is made of events such that every field is a minimum, a maximum or a
// union of them: in whatever order they come, and however often, the record is the
// same. Its state is not kept but read from it (state.go). A window is exported when
// the endpoint has accepted every OTLP batch of one run of its query: the
// transformed event says how many there are, and each exported event names one. A run
// without rows has none and is exported at once.
//
// A window failed when a message of it became a dead letter, until that went on:
// it was put back, its query was begun again or gave other rows, or it was exported after
// all. Each batch is one of its own: of two dead ones, the one that is put back or
// given up says nothing of the other. What a replay or backfill did to a window (events with a request) is kept
// beside what the schedule's job did. It can make a window exported, and never
// takes that away.
//
// # The watermark
//
// Every window that ends at or before the watermark is exported. A window that
// failed holds it, until it succeeds or somebody gives it up, so lag tells of it.
// Windows that were skipped do not: passing them over was decided by catchUp, and they
// would hold it for ever. They are gaps instead, as are the windows that failed or
// were given up, until a replay has exported them. Between windows of which there are
// reports and earlier ones the watermark waits for those in between; when there is
// none for an hour, because the stream of jobs was lost, they are a gap too.
//
// # What is in the bucket
//
// The records of the windows that start within the same ten minutes are one value;
// each has a digest, and a day's digests are one value (a LedgerDay). A summary
// reads a value a day, whether the windows are of an hour or of a second. A value that
// is larger than a message is in parts (parts.go). A folder
// takes up to 1000 events at a time, so that each value is written once for many.
//
// # What happens in a crash
//
// Values are written with the revision that was read; of two folders one is refused
// and reads again. Events are acked after all is written. What a dead folder had not
// acked comes to another within 15 s, and changes nothing that was written already.
// Chunks are written before the day: whoever gets the events again finds chunks
// newer than their digests, and digests them.
//
// The bucket has an epoch, and the consumer is named after it. When the bucket is
// deleted, a new one gets a new epoch, and a new consumer all events there are: it
// is built again of the last 7 days, and of all that is on its way or dead, however
// old (seed.go). What is older and done, given up or skipped is lost with it.
//
// A record is removed 90 days after the last event about its day, if every window
// of that day is exported, skipped or given up. Nothing else is removed, by age or by
// size.
package ledger
