package pipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// SetExporterState makes a sender's view of an exporter known for a minute.
func (p *Pipe) SetExporterState(ctx context.Context, s schemas.ExporterState) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return p.exporterStates(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		_, err := kv.Put(ctx, schemas.ExporterStateKey(s.Exporter, s.Sender), data)
		return err
	})
}

// ClearExporterState says that an exporter is up again, as far as a sender knows.
func (p *Pipe) ClearExporterState(ctx context.Context, exporter, sender string) error {
	return p.exporterStates(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, schemas.ExporterStateKey(exporter, sender))
	})
}

// ExporterStates returns the exporters that some sender cannot reach, by name and
// sender.
func (p *Pipe) ExporterStates(ctx context.Context) ([]schemas.ExporterState, error) {
	var states []schemas.ExporterState
	err := p.exporterStates(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		keys, err := kv.Keys(ctx)
		if errors.Is(err, jetstream.ErrNoKeysFound) {
			return nil
		}
		for _, key := range keys {
			entry, err := kv.Get(ctx, key)
			if errors.Is(err, jetstream.ErrKeyNotFound) {
				continue // up again meanwhile
			}
			if err != nil {
				return err
			}
			var s schemas.ExporterState
			if err := json.Unmarshal(entry.Value(), &s); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			states = append(states, s)
		}
		return err
	})
	sort.Slice(states, func(i, j int) bool {
		return schemas.ExporterStateKey(states[i].Exporter, states[i].Sender) < schemas.ExporterStateKey(states[j].Exporter, states[j].Sender)
	})
	return states, err
}

func (p *Pipe) exporterStates(ctx context.Context, do func(context.Context, jetstream.KeyValue) error) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	kv, err := p.JS.KeyValue(ctx, schemas.ExportersBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = p.JS.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket:      schemas.ExportersBucket,
			Description: "exporters whose endpoint takes no batches, as each sender finds",
			TTL:         schemas.ExporterStateTTL,
			Storage:     jetstream.FileStorage,
			Replicas:    p.replicas,
		})
	}
	if err == nil {
		err = do(ctx, kv)
	}
	if err != nil {
		return fmt.Errorf("states of exporters: %w", err)
	}
	return nil
}
