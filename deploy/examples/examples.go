// Package examples holds the four use cases of the design document as
// MetricsExporters, with valid KQL, and the pipeline configuration to run them
// with. The demo runs them over the sandbox's tables.
package examples

import "embed"

// Files are the MetricsExporters, one a file.
//
//go:embed *.yaml
var Files embed.FS
