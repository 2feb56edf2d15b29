package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// A value that is larger than a message, such as that of windows of a second which
// were replayed many times, is in parts under keys of their own; the value itself then
// says which. They are written before it and removed after it, and no key is used
// twice: a value is written at once, whatever its size.

// partsMark begins a value that is in parts, the ends of whose keys follow, separated
// by spaces. No encoded message begins with it.
const partsMark = 0

// read returns a value and its revision; 0 when there is none.
func (b *bucket) read(ctx context.Context, key string) ([]byte, uint64, error) {
	for n := range conflicts {
		data, revision, err := b.value(ctx, key)
		if err != nil || revision == 0 || len(data) == 0 || data[0] != partsMark {
			return data, revision, err
		}
		data, err = b.join(ctx, key, strings.Fields(string(data[1:])))
		if err == nil {
			return data, revision, nil
		}
		if !errors.Is(err, errNoPart) {
			return nil, 0, err
		}
		// The value was written anew meanwhile, or this replica is behind.
		wait(ctx, mrand.N(time.Millisecond<<min(n, 6)))
	}
	return nil, 0, fmt.Errorf("get %s of bucket %s: parts of it are missing; where that does not change, delete the bucket, which is then built again", key, schemas.LedgerBucket)
}

// value returns what is under a key and its revision; 0 when there is nothing. That
// there is nothing only the leader is believed: a replica that lags behind does not know
// better, and what it lacks would be missing from sums.
func (b *bucket) value(ctx context.Context, key string) ([]byte, uint64, error) {
	e, err := b.kv.Get(ctx, key)
	if err == nil {
		return e.Value(), e.Revision(), nil
	}
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, fmt.Errorf("get %s: %w", key, err)
	}
	m, err := pipe.GetFromLeader(ctx, b.js, stream, pipe.GetRequest{LastBySubject: subjectPrefix + key})
	if errors.Is(err, pipe.ErrNoMessage) || err == nil && pipe.Removed(m) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return m.Data, m.Sequence, nil
}

var errNoPart = errors.New("it is not there")

func (b *bucket) join(ctx context.Context, key string, parts []string) ([]byte, error) {
	var data []byte
	for _, part := range parts {
		value, revision, err := b.value(ctx, partPrefix+key+"."+part)
		if err == nil && revision == 0 {
			err = errNoPart
		}
		if err != nil {
			return nil, fmt.Errorf("get part %s of %s: %w", part, key, err)
		}
		data = append(data, value...)
	}
	return data, nil
}

// putParts is put for a value that does not fit a message.
func (b *bucket) putParts(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	value := []byte{partsMark}
	first := uint64(0)
	for part := range slices.Chunk(data, schemas.MaxMessageBytes) {
		name := rand.Text()
		written, err := b.update(ctx, partPrefix+key+"."+name, part, 0)
		if err != nil {
			return 0, err
		}
		first = cmp.Or(first, written)
		value = append(append(value, name...), ' ')
	}
	written, err := b.update(ctx, key, value, revision)
	if err != nil {
		// It may be written all the same, and needs its parts then.
		return 0, err
	}
	// What is older belongs to no value any more: whoever is about to write one with it
	// is refused. If this fails they are removed the next time, or with their day.
	_ = b.purge(ctx, partPrefix+key+".*", first-1)
	return written, nil
}
