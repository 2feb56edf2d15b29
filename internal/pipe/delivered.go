package pipe

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// maxDelivered bounds how many delivered batches a process remembers, of 32 bytes
// each. Of more the oldest are removed.
const maxDelivered = 100_000

// Delivered is what a process delivered to one exporter and acked. JetStream only
// tells up to where everything was acked: one batch that is tried again and again
// would keep all that was delivered after it in the stream, until that is full. Nil
// knows nothing.
type Delivered struct {
	mu   sync.Mutex
	list []deliveredBatch // the oldest first
}

type deliveredBatch struct {
	sequence uint64
	stored   time.Time
}

// Add says that m was delivered and its ack taken.
func (d *Delivered) Add(m *Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Almost always at the end.
	i := len(d.list)
	for i > 0 && d.list[i-1].sequence >= m.Sequence {
		i--
	}
	if i < len(d.list) && d.list[i].sequence == m.Sequence {
		return
	}
	d.list = slices.Insert(d.list, i, deliveredBatch{m.Sequence, m.Stored})
}

// above forgets those below a sequence and returns how many there are from there on.
func (d *Delivered) above(sequence uint64) int {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.list, func(b deliveredBatch) bool { return b.sequence >= sequence })
	if i < 0 {
		i = len(d.list)
	}
	d.list = slices.Delete(d.list, 0, i)
	return len(d.list)
}

// remove removes the n oldest from the stream, and those stored before a time.
func (d *Delivered) remove(ctx context.Context, st *otlpState, n uint64, before time.Time) error {
	var old []deliveredBatch
	d.mu.Lock()
	// What is older than the stream's first was in another stream of that name, which
	// somebody deleted: the sequence is that of another batch now.
	d.list = slices.DeleteFunc(d.list, func(b deliveredBatch) bool { return b.stored.Before(st.FirstTime) })
	n = max(n, uint64(max(len(d.list)-maxDelivered, 0)))
	for i, b := range d.list {
		if uint64(i) >= n && !b.stored.Before(before) {
			break
		}
		old = append(old, b)
	}
	d.mu.Unlock()
	err := st.remove(ctx, func(yield func(uint64) bool) {
		for _, b := range old {
			if !yield(b.sequence) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Others may have been added meanwhile, also among these.
	d.list = slices.DeleteFunc(d.list, func(b deliveredBatch) bool {
		_, removed := slices.BinarySearchFunc(old, b.sequence, func(o deliveredBatch, sequence uint64) int { return cmp.Compare(o.sequence, sequence) })
		return removed
	})
	return nil
}
