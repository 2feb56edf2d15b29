// Package schemafile is the file in which a cluster's schema is kept for those who have no cluster.
//
// What arrives are the answers to `.show database ['X'] schema as json`, which [FromKusto] reads;
// what leaves is a [File], one JSON document with its version, in an order that depends on nothing
// but its content, so that two of them can be compared line by line. [Read] reads it again, and
// [File.Schema] makes of it what the KQL binder looks names up in.
//
// What fails: a file of another version, an unknown field, a column whose type is none of Kusto's.
package schemafile
