// Package sandbox is a Kusto endpoint on a laptop: an HTTP server that clients of Azure Data Explorer
// talk to as they talk to a cluster. It stands in for one in the demo, in tests and in CI; no stage
// of the pipeline imports it.
//
// What arrives: GET /v1/rest/auth/metadata, from clients that want to know how to log in (over plain
// HTTP they do not); POST /v2/rest/query with a KQL query, its parameters and its request options;
// POST /v1/rest/mgmt with a `.show` command. A path prefix, as in http://127.0.0.1:8080/eastus-cluster,
// asks as if on the cluster of that name.
//
// What leaves: Kusto's v2 frames, plain, fragmented or progressive as the options say, row by row as
// an [Engine] gives them and never whole in memory; errors as Kusto's JSON with the status and the
// `@permanent` that Kusto would give. Results beyond 500,000 rows or 64 MiB end in Kusto's truncation
// error unless the request says `notruncation`; they are never cut silently.
//
// What fails: a query that the analysis refuses, an unknown database or an option that the sandbox
// would have to ignore is answered 400 and permanent; a query that runs out of its servertimeout, 504;
// too many at once, 429. Once rows are on the wire an error comes in band, and DataSetCompletion says
// HasErrors. A client that goes away cancels its query. Nothing is written anywhere, so there is
// nothing to recover after a crash.
//
// For tests, [Config.Fault] makes any query go wrong in any of the ways that real clusters and the
// networks before them do.
package sandbox
