//go:build race && !fastparser

package kql

// slowParser skips the tests that need the parser where the race detector is in it, too: they would
// take an hour. `go test -race -tags fastparser -gcflags='modernc.org/...=-race=false'` runs them.
const slowParser = true
