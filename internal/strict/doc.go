// Package strict reads YAML and JSON documents that people write, and refuses
// what it does not understand.
//
// What arrives is the text of a file; what leaves is its [Document]s, each of
// which decodes into a Go struct by its json tags, and every [Problem] there
// is with it, at once: syntax errors, unknown and duplicate keys (with the
// nearest known name), wrong types, malformed durations and sizes. A problem
// says where it is, as file:line:column: field: message, and a later check of
// the decoded value can say the same with [Document.Problem].
//
// What fails: one document with broken syntax does not hide the others in its
// file. Everything is bounded: bytes of a file, depth, values an alias may
// expand to, problems of a document. A value that came from a reference such
// as ${env:TOKEN}, and a value of a secret type, is never quoted in a message.
package strict
