package pipetest

import (
	"testing"

	"go.uber.org/goleak"
)

// VerifyTestMain is goleak's, and leaves alone what the NATS server leaves behind:
// workers of the process, and the store of a stream that was created while the
// server was shutting down.
func VerifyTestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(server+".(*ipQueue[...]).pop"),
		goleak.IgnoreTopFunction(server+".(*Server).startGoRoutine"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}
