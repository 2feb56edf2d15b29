// Package examples holds the four use cases of the design document as
// MetricsExporters, with valid KQL, and a test of each (*.test.yaml, for
// `kusto2otlp test`). The demo runs them over the sandbox's tables.
package examples

import "embed"

// Files are the MetricsExporters, one a file, without their tests.
//
//go:embed customer-analytics.yaml global-error-rates.yaml infrastructure-monitoring.yaml service-response-times.yaml
var Files embed.FS
