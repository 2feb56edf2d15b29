package pipe

import "github.com/kusto2otlp/kusto2otlp/schemas"

const (
	// stuckShare is how much of an exporter's high-water mark, in percent, may be of
	// MetricsExporters whose batches the endpoint does not take though it takes others'.
	stuckShare = 50

	// maxStuckBatches is how many of their batches may wait: half of what a sender's lane may
	// have unacked before it gets nothing more.
	maxStuckBatches = 25_000
)

// stuck is what an exporter does not take.
type stuck struct {
	batches uint64
	bytes   uint64
	whose   map[string]bool // MetricsExporters, as namespace/name
}

// sumStuck adds up what the senders of one exporter tell. Of those that have ended nothing waits.
func sumStuck(states []schemas.ExporterState) stuck {
	sum := stuck{whose: map[string]bool{}}
	for _, state := range states {
		for _, s := range state.Stuck {
			if s.Batches == 0 {
				continue
			}
			sum.batches += uint64(max(s.Batches, 0))
			sum.bytes += s.Bytes
			sum.whose[s.MetricsExporter] = true
		}
	}
	return sum
}

// stuckMatters says whether so many batches, however large, can be a quarter of the mark, or
// far too many. Below that it makes no difference what of them is stuck.
func stuckMatters(batches, mark uint64) bool {
	return batches*schemas.MaxMessageBytes >= mark/4 || batches >= maxStuckBatches
}

// full says whether there is no more room for what is stuck.
func (s stuck) full(mark uint64) bool {
	return s.bytes*100 >= mark*stuckShare || s.batches >= maxStuckBatches
}

// without returns how many of a backlog's bytes are not stuck, by the mean size.
func (s stuck) without(b Backlog) uint64 {
	if s.batches == 0 || b.Messages == 0 {
		return b.Bytes
	}
	rest := b.Messages - min(s.batches, b.Messages)
	return uint64(float64(b.Bytes) * float64(rest) / float64(b.Messages))
}
