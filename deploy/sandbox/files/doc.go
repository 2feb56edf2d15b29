// Package files reads tables from CSV and NDJSON, for the sandbox (`--data DIR`) and for tests of
// MetricsExporters.
//
// What arrives: a directory ([Load]) or one reader ([CSV], [NDJSON]). What leaves: [Data], which has
// the catalog and the source that the evaluator needs; [Data.Replay] is a source whose rows never
// end. A directory is laid out as the tables are named:
//
//	DIR/<Table>.csv                         in the database NetDefaultDB, Kusto's own default
//	DIR/<Database>/<Table>.ndjson           in that database
//	DIR/<cluster>/<Database>/<Table>.csv    in cluster('<cluster>').database('<Database>')
//
// CSV is RFC 4180. The first record is the header, each of whose fields is `name:type` with any of
// Kusto's ten types. A value is written as between the brackets of a KQL literal; an empty field is
// null, or the empty string in a string column.
//
// NDJSON is one object on a line. A field that an object lacks is null there, as is JSON's null.
// <Table>.schema beside <Table>.ndjson, a line like the header of a CSV, gives the columns and their
// types; without it they are inferred from all rows, in the order in which fields first appear:
//
//	true, false                                         bool
//	numbers without a point and an exponent             long
//	other numbers, and "NaN", "Infinity", "-Infinity"
//	beside numbers; a column of both is real            real
//	strings that are all `2025-06-25T10:00:00[.…]` with
//	Z or an offset                                      datetime
//	other strings                                       string
//	objects and arrays                                  dynamic
//
// Anything else that mixes is an error, as is a field that is null everywhere, and as is a string column
// of which only some values are datetimes: a column whose type depends on which rows happen to be there
// is no use to a query.
//
// Failures: [Errors] with every mistake of every file, each at its line and column (in bytes, both
// from 1). Nothing is loaded then. Files are read once and kept in memory.
package files
