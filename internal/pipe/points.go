package pipe

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// pointsBytes bounds the stream of points' hashes, of 16 bytes each: the oldest go.
const pointsBytes = 256 << 20

// EnsurePoints creates the stream of points' hashes. It is not among those of
// EnsureStreams because the server sets its room aside, and only MetricsExporters
// that reconcile need it.
func (p *Pipe) EnsurePoints(ctx context.Context) error {
	return p.ensureStream(ctx, jetstream.StreamConfig{
		Name:        schemas.PointsStream,
		Description: "a hash of each point that was exported, for reconciliation",
		Subjects:    []string{schemas.AllPoints},
		Storage:     jetstream.FileStorage,
		Replicas:    p.replicas,
		AllowDirect: true,
		// Each has a time to live of its own.
		AllowMsgTTL:       true,
		MaxMsgsPerSubject: 1,
		MaxBytes:          pointsBytes,
		Discard:           jetstream.DiscardOld,
	})
}
