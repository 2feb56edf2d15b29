// Package resource reads MetricsExporters from files and keeps them current.
//
// What arrives is a list of paths and patterns; what leaves is a [Set]: the
// documents that are valid, with every default made explicit and with their
// window grid and criteria compiled, and the problems of those that are not.
// [Load] reads once. A [Watcher] reads again whenever a file changes.
//
// A document of kind MetricsTest, which has tests of a MetricsExporter, is passed over.
//
// What fails: an invalid document is left out and its problems are told by
// file, document, line and field; the others of its file go on. Of documents
// with the same namespace and name the first counts, by the order of the
// patterns, of the paths and within the file.
//
// A watcher must not take a mistake for a wish. While it runs:
//
//   - a changed file counts once its content has been the same for 200 ms, so
//     that a half-written one is not read;
//   - a document that became invalid keeps the version that was valid, until it
//     is valid again or gone; so do all documents of a file that is unreadable,
//     or in which a document is too broken to tell its name, unless the file
//     declares them anew;
//   - a document that is gone, with its file or without, is let go of only when
//     it has been gone for two seconds: editors, and tools that deploy files,
//     may delete before they write.
//
// The truth is the content, which is read every second; events of the file
// system only make the reading prompt. So a change takes effect within three
// seconds on any kind of mount, also when a symlink somewhere in the path is
// swapped, as Kubernetes does with a ConfigMap.
//
// A process that starts knows no earlier version: what is invalid then does not
// run.
package resource
