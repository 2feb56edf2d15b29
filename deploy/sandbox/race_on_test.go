//go:build race && !fastparser

package sandbox_test

// slowParser keeps the parser out of tests with the race detector, which slows it down a hundredfold. It
// stays in when it is not instrumented itself:
//
//	go test -race -tags fastparser -gcflags='modernc.org/...=-race=false' ./deploy/sandbox
const slowParser = true
