// Package validate tells everything that is wrong with MetricsExporters before they run.
//
// What arrives are files; what leaves are [Finding]s, every one there is, in the order of the files
// and their text: what resource finds in a document, what Microsoft's KQL parser finds in its query
// (syntax always; names, when there is a schema), and what does not fit between the columns that the
// query returns and those that the transform wants. A finding is at the character in the YAML file
// that it is about, also within a query.
//
// Nothing here writes anything or, but for [Config.Asker], connects to anything. What fails, beside
// findings, is the whole: a parser that cannot be started, or a caller who has had enough. Half an
// answer would look like a good one.
package validate
