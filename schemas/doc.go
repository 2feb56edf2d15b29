// Package schemas is the contract between the stages, and with the user: the
// MetricsExporter resource, the messages, and the streams, subjects and headers
// they travel with. README.md is its specification, wire the generated messages.
//
// It imports nothing else of this module. Whatever two stages must agree on is
// here or nowhere.
package schemas
