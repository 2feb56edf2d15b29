// Package engine evaluates analysed KQL (package kql's bound tree) over columns (package table).
//
// What arrives: a [kql.Query] without errors, the values of its query parameters, the time that
// now() stands for, and a [Source] of tables. What leaves: one table for each of the query's tabular
// statements, whose columns have the names and types that Microsoft's binder promised.
//
// A query is compiled before it runs. Compiling turns every expression into a function from a batch
// of rows to a vector, and every operator into a stage that takes batches and passes batches on; it
// is also where everything that the sandbox does not support is refused by name, so that no row is
// ever read for a query that cannot be answered faithfully. Nothing is approximated.
//
// The values of toscalar and of `in (table)` are constants of a query, and what is said of constants (a number of rows to
// take, the time range to read) holds for them too. They need rows, though. Such a query is compiled twice: at first with
// stand-ins, to refuse it if need be, and again in each run, where a value is computed when its expression is met.
//
// Batches are pushed from the source through the stages. Only stages that must remember rows do
// (summarize keeps its groups, sort and take what they return, join its right side, materialize and functions of neighbouring
// rows all they are given), so memory follows the answer and not the table. A scan ends early when the query has what it needs or its context is done.
//
// Failures: [*UnsupportedError] for KQL the sandbox does not evaluate; a [*ValueError] for a
// parameter that is missing or does not fit its type, or a value that a function refuses; the source's own
// errors, wrapped; the context's error. There are no panics on any query or data.
package engine
