// Package unittest runs the tests of MetricsExporters that users write.
//
// What arrives: files of kind MetricsTest ([schemas.MetricsTest]), which name a
// MetricsExporter and give rows, a window and the points that must come of them.
// What leaves: for each test an [Outcome] with the differences; and, when asked for,
// the file with the points that there are as those that are expected ([File.Update]).
//
// A test's tables are served by a sandbox of its own on loopback, so that the query
// takes the pipeline's own way, through the querier's client and the transformer's
// function (package preview). Only the KQL parser, which takes a second to load, is
// shared by all tests of an [Engine].
//
// What fails: a file that is not as it should be gives every problem with its line and
// column, and none of its tests is run. A test whose query or transform fails has the
// error as its outcome.
package unittest
