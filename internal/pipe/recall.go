package pipe

import (
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// recall has a message delivered again that was given back with a delay, by a second
// answer, which nats.go's Msg does not give. The server takes the later of two: an answer
// before the message was given back would be undone by that, and so waits for it.
type recall struct {
	nc    *nats.Conn
	reply string

	mu     sync.Mutex
	given  bool // the message was given back
	wanted bool // before it was
	after  time.Duration
}

// call has the message delivered again after a delay.
func (r *recall) call(after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted, r.after = !r.given, after; r.given {
		r.answer()
	}
}

// givenBack says that the message was.
func (r *recall) givenBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given = true; r.wanted {
		r.answer()
	}
}

// answer tells the server. If it fails, the first answer's delay ends all the same.
func (r *recall) answer() { _ = r.nc.Publish(r.reply, fmt.Appendf(nil, `-NAK {"delay":%d}`, r.after)) }
