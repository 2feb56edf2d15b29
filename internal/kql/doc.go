// Package kql is Microsoft's KQL parser and binder, without a cluster.
//
// What arrives: the text of a query, the database it runs in and a [Schema]. What leaves: a [Query]
// with every diagnostic Kusto itself would give, at its line and column, and, when none is an error,
// the bound tree: for every expression its type, for every name what it refers to, for every
// operator the columns it returns. Values of query parameters are no part of it, so each window's
// run of the same text finds its analysis in a cache.
//
// The parser is the npm package @kusto/language-service-next, compiled from C# to JavaScript by its
// authors and run here by a JavaScript engine in pure Go. It is not in this repository: `make kql`
// fetches it (fetch.sh) into assets/, which is embedded. A binary built without it works, but
// [Open] fails with [ErrNotBuiltIn]. [Notices] are its licences.
//
// The engine takes about a second to load and 100 MB, so it is loaded by the first [Parser.Analyze]
// and kept until [Parser.Close]. It does one thing at a time: analyses queue for it, and for those more that
// [Config] allows, which are processes of their own if it names a program that calls [Serve]. One that
// outlives its context or [Config.Timeout] is interrupted and its engine thrown away, as an
// interrupted script may have left anything half done; the next analysis loads a new one.
//
// Under the race detector the JavaScript engine, which is C translated to Go, is hundreds of times
// slower. `go test -race -tags fastparser -gcflags='modernc.org/...=-race=false'` leaves it alone, and only it.
package kql
