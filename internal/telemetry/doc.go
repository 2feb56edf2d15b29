// Package telemetry is what a process says about itself: its metrics, its logger,
// and the HTTP server for /healthz, /readyz and /metrics.
package telemetry
