package pipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// temporary is a KV bucket whose entries are gone unless they are written anew.
type temporary struct {
	name, description string
	ttl               time.Duration
}

// inBucket calls do with a bucket, which it creates if it is not there.
func (p *Pipe) inBucket(ctx context.Context, b temporary, do func(context.Context, jetstream.KeyValue) error) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	kv, err := p.JS.KeyValue(ctx, b.name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = p.JS.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket:      b.name,
			Description: b.description,
			TTL:         b.ttl,
			Storage:     jetstream.FileStorage,
			Replicas:    p.replicas,
		})
	}
	if err == nil {
		err = do(ctx, kv)
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, err)
	}
	return nil
}

// eachEntry calls see with every entry of a bucket, in no order.
func eachEntry[T any](ctx context.Context, p *Pipe, b temporary, see func(T)) error {
	return p.inBucket(ctx, b, func(ctx context.Context, kv jetstream.KeyValue) error {
		keys, err := kv.Keys(ctx)
		if errors.Is(err, jetstream.ErrNoKeysFound) {
			return nil
		}
		for _, key := range keys {
			entry, err := kv.Get(ctx, key)
			if errors.Is(err, jetstream.ErrKeyNotFound) {
				continue // gone meanwhile
			}
			if err != nil {
				return err
			}
			var v T
			if err := json.Unmarshal(entry.Value(), &v); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			see(v)
		}
		return err
	})
}
