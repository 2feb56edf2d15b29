package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Sizes are the mean sizes of messages, by stream, in bytes.
type Sizes map[string]float64

// ReadSizes measures the streams whose messages make up the backlogs.
func ReadSizes(ctx context.Context, p *pipe.Pipe, backlogs []Summary) (Sizes, error) {
	sizes := Sizes{}
	names := []string{schemas.JobsStream, schemas.RowsStream}
	for _, s := range backlogs {
		names = append(names, schemas.OTLPStream(s.Exporter))
	}
	for _, name := range names {
		if _, ok := sizes[name]; ok {
			continue
		}
		if err := sizes.measure(ctx, p, name); err != nil {
			return nil, fmt.Errorf("measure stream %s: %w", name, err)
		}
	}
	return sizes, nil
}

func (s Sizes) measure(ctx context.Context, p *pipe.Pipe, name string) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	s[name] = 0
	stream, err := p.JS.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // an exporter that was removed from the configuration
	}
	if err != nil {
		return err
	}
	if state := stream.CachedInfo().State; state.Msgs > 0 {
		s[name] = float64(state.Bytes) / float64(state.Msgs)
	}
	return nil
}

// Bytes estimates what waits of a MetricsExporter: the number of messages that the
// ledger knows to wait by the mean size in their stream.
func (s Sizes) Bytes(of Summary) uint64 {
	return uint64(float64(of.Backlog[schemas.Querier].Batches)*s[schemas.JobsStream] +
		float64(of.Backlog[schemas.Transformer].Batches)*s[schemas.RowsStream] +
		float64(of.Backlog[schemas.Sender].Batches)*s[schemas.OTLPStream(of.Exporter)])
}
