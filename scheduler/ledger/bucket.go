package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What is in the bucket. schemas/README.md is the specification.
const (
	epochKey     = "epoch"
	windowPrefix = "window."
	dayPrefix    = "day."
	partPrefix   = "part."
)

// The stream under the bucket, and what its subjects begin with.
const (
	stream        = "KV_" + schemas.LedgerBucket
	subjectPrefix = "$KV." + schemas.LedgerBucket + "."
)

// readAhead is how many values are read at a time.
const readAhead = 8

// opTimeout bounds one request to JetStream. A leader change takes about a second.
const opTimeout = 5 * time.Second

// bucket is the KV bucket of the ledger.
type bucket struct {
	js    jetstream.JetStream
	kv    jetstream.KeyValue
	epoch string
}

// ensureBucket creates the bucket if it is not there, and its epoch if it has
// none. Any number of processes may do so at once.
func ensureBucket(ctx context.Context, js jetstream.JetStream, replicas int) (*bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:      schemas.LedgerBucket,
		Description: "what became of each window",
		Storage:     jetstream.FileStorage,
		Replicas:    max(replicas, 1),
		History:     1,
		// Neither a TTL nor a limit of bytes: they would not spare what is unfinished.
		// sweep.go removes what is done and old.
	})
	if err != nil {
		return nil, fmt.Errorf("create or update bucket %s: %w", schemas.LedgerBucket, err)
	}
	b := &bucket{js: js, kv: kv}
	if b.epoch, err = b.readEpoch(ctx); err != nil || b.epoch != "" {
		return b, err
	}
	if _, err := kv.Create(ctx, epochKey, []byte(rand.Text())); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return nil, fmt.Errorf("begin an epoch of bucket %s: %w", schemas.LedgerBucket, err)
	}
	// Another process may have been first.
	if b.epoch, err = b.readEpoch(ctx); err == nil && b.epoch == "" {
		err = fmt.Errorf("bucket %s has no epoch", schemas.LedgerBucket)
	}
	return b, err
}

// openBucket opens the bucket to read it.
func openBucket(ctx context.Context, js jetstream.JetStream) (*bucket, error) {
	kv, err := js.KeyValue(ctx, schemas.LedgerBucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", schemas.LedgerBucket, err)
	}
	return &bucket{js: js, kv: kv}, nil
}

// readEpoch returns the epoch; empty if there is none.
func (b *bucket) readEpoch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	epoch, _, err := b.value(ctx, epochKey)
	if err != nil {
		return "", fmt.Errorf("read the epoch of bucket %s: %w", schemas.LedgerBucket, err)
	}
	return string(epoch), nil
}

// get reads a value into m and returns its bytes and revision; 0 when there is
// none.
func (b *bucket) get(ctx context.Context, key string, m proto.Message) ([]byte, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	data, revision, err := b.read(ctx, key)
	if err != nil || revision == 0 {
		return nil, 0, err
	}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, 0, fmt.Errorf("decode %s of bucket %s: %w", key, schemas.LedgerBucket, err)
	}
	return data, revision, nil
}

// errConflict says that a value is not the one that was read.
var errConflict = errors.New("another process has written it")

// put writes a value whose revision is the one given; 0: there is none.
func (b *bucket) put(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if len(data) > schemas.MaxMessageBytes {
		return b.putParts(ctx, key, data, revision)
	}
	return b.update(ctx, key, data, revision)
}

func (b *bucket) update(ctx context.Context, key string, data []byte, revision uint64) (uint64, error) {
	written, err := b.kv.Update(ctx, key, data, revision)
	if err != nil {
		// The server has two codes for it: the second is of a write under way.
		const wrongLastSequenceConstant = 10164
		var refused *jetstream.APIError
		if errors.As(err, &refused) && (refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == wrongLastSequenceConstant) {
			err = errConflict
		}
		return 0, fmt.Errorf("put %s: %w", key, err)
	}
	return written, nil
}

// entry is a value of the bucket; revision 0: there is none.
type entry struct {
	key      string
	revision uint64
	data     []byte
}

// each calls see with every value whose key the pattern selects, in no order. What
// is written meanwhile it may see or not, but never misses a key for it, as a
// watcher does.
func (b *bucket) each(ctx context.Context, pattern string, see func(key string, revision uint64, data []byte) error) error {
	keys, err := b.keys(ctx, pattern)
	if err != nil {
		return err
	}
	entries := make([]entry, len(keys))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for i, key := range keys {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(groupCtx, opTimeout)
			defer cancel()
			data, revision, err := b.read(ctx, key)
			entries[i] = entry{key, revision, data}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, e := range entries {
		if e.revision == 0 {
			continue // removed meanwhile
		}
		if err := see(e.key, e.revision, e.data); err != nil {
			return fmt.Errorf("read %s of bucket %s: %w", e.key, schemas.LedgerBucket, err)
		}
	}
	return nil
}

// keys returns the keys that the pattern selects.
func (b *bucket) keys(ctx context.Context, pattern string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("list %s of bucket %s: %w", pattern, schemas.LedgerBucket, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subjectPrefix+pattern))
	if err != nil {
		return nil, fmt.Errorf("list %s of bucket %s: %w", pattern, schemas.LedgerBucket, err)
	}
	keys := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(subject, subjectPrefix))
	}
	return keys, nil
}

// purge removes the values whose keys the pattern selects, unless they were
// written after the revision given. It leaves no markers behind.
func (b *bucket) purge(ctx context.Context, pattern string, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(subjectPrefix+pattern), jetstream.WithPurgeSequence(revision+1))
	}
	if err != nil {
		return fmt.Errorf("remove %s of bucket %s: %w", pattern, schemas.LedgerBucket, err)
	}
	return nil
}
