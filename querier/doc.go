// Package querier asks Azure Data Explorer for the rows of windows. It is the only
// package that knows azkustodata.
//
// What arrives are window jobs on stream K2O_JOBS, by one durable consumer for
// each cluster, exporter and lane. A job's criteria are matched against this
// instance's labels once more, whoever published it; one that does not match stays
// for an instance that does. A cluster runs at most maxConcurrentQueries of this
// process at a time, live windows before backfills.
//
// What leaves, on stream K2O_ROWS, are the window's rows as row batches (package
// frames reads them from Kusto's answer as it streams in), all at once or not at
// all: every batch but the last is stored on a part subject, k2o.part.<run>.<n>,
// where no consumer looks, and then one message WindowRows, with the last batch in
// it, makes the run visible. A stream takes one message whole or not at all, so
// there is no number of batches for which this would not hold. The message's id is
// the window's, so that a second run of the same window, by a querier whose lease
// was lost, is a duplicate and shows nothing. No rows is a success without a
// message. An event "queried" tells the ledger in every case.
//
// What happens on a crash: before the WindowRows message, nothing is visible, and
// the job comes again within 15 s to whoever is there; between that message and
// the job's ack, the job comes again too, its query is run once more and found to
// be a duplicate. When the publish of WindowRows fails it may still have been
// stored: its parts are left alone then. Parts that no WindowRows will ever name
// are swept away some hours later; see sweep.go for why that is safe.
//
// Errors are sorted once, where the cluster is asked: see failure.go.
package querier
