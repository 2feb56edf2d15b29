package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// DefaultRetention is how long what is done stays in the ledger, where the
	// configuration does not say.
	DefaultRetention = 90 * 24 * time.Hour

	// lease is how long a folder may take over a batch; another takes up what a dead
	// one held after it.
	lease = 15 * time.Second

	// batchEvents is how many events are folded at a time, and linger how long more
	// are waited for: a chunk is then written once for several events.
	batchEvents = 1000
	linger      = 250 * time.Millisecond

	// maxAckPending bounds the events that all folders hold.
	maxAckPending = 32 * batchEvents

	// fetchWait is how long one request for events waits, and how often the bucket's
	// epoch is looked at.
	fetchWait = 5 * time.Second

	// graceTime bounds what is finished after a stop was asked for.
	graceTime = 5 * time.Second

	minBackoff = 500 * time.Millisecond
	maxBackoff = 15 * time.Second

	// durablePrefix begins the name of the folders' consumer; the bucket's epoch
	// follows.
	durablePrefix = "ledger-"
)

// Config is what a Folder needs. Pipe has no default.
type Config struct {
	Pipe *pipe.Pipe
	// Replicas of the bucket. 0: 1.
	Replicas int
	// Retention is how long what is done stays. 0: DefaultRetention.
	Retention time.Duration
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: nothing is logged
}

// Folder folds events into the ledger.
type Folder struct {
	cfg Config
	// probe, where set, is called between any two steps; its error ends the work
	// there, as a crash would. For tests.
	probe func(point) error
	// folded, where set, is told how many events were folded. For tests.
	folded func(n int)
	lease  time.Duration
	swept  time.Time // when the last sweep was
}

// A point is a place between two steps.
type point string

const (
	pointFetched point = "before events are folded"
	pointChunk   point = "after a chunk was written"
	pointFolded  point = "before events are acked"
)

func (f *Folder) at(p point) error {
	if f.probe == nil {
		return nil
	}
	return f.probe(p)
}

// New returns a Folder, which does nothing until Run.
func New(cfg Config) (*Folder, error) {
	if cfg.Pipe == nil {
		return nil, errors.New("ledger: a pipe is needed")
	}
	if cfg.Retention < 0 {
		return nil, fmt.Errorf("ledger: retention must not be negative, got %s", cfg.Retention)
	}
	if cfg.Retention == 0 {
		cfg.Retention = DefaultRetention
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Folder{cfg: cfg, lease: lease}, nil
}

// session is a bucket and the consumer that is filling it.
type session struct {
	bucket   *bucket
	consumer jetstream.Consumer
	checked  time.Time // when the epoch was last seen to be right
}

// Run folds until ctx ends, then finishes what it has begun. Whatever fails is
// tried again: the ledger is behind then, and nothing else stands still for it.
func (f *Folder) Run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		err := f.session(ctx, func() { failures = 0 })
		if err == nil || ctx.Err() != nil {
			continue
		}
		if failures++; failures == 1 {
			f.cfg.Logger.Warn("the ledger cannot be kept, trying again", "error", err)
		}
		wait(ctx, minBackoff<<min(failures-1, 5)/2+rand.N(minBackoff))
	}
	return nil
}

// errEpoch says that the bucket is not the one that the consumer has filled.
var errEpoch = errors.New("the bucket of the ledger is another")

// session folds until ctx ends or something fails.
func (f *Folder) session(ctx context.Context, works func()) error {
	s, err := f.open(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := f.check(ctx, s); err != nil {
			return err
		}
		messages, err := s.fetch(ctx)
		if len(messages) > 0 {
			err = errors.Join(err, f.handle(ctx, s.bucket, messages))
		}
		if err != nil {
			return err
		}
		works()
		f.maybeSweep(ctx, s.bucket)
	}
	return nil
}

// open opens the bucket, and the consumer that belongs to its epoch: where the
// bucket is new so is the consumer, and gets every event there is.
func (f *Folder) open(ctx context.Context) (*session, error) {
	b, err := ensureBucket(ctx, f.cfg.Pipe.JS, f.cfg.Replicas)
	if err != nil {
		return nil, err
	}
	s, err := f.cfg.Pipe.JS.Stream(ctx, schemas.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", schemas.EventsStream, err)
	}
	durable := durablePrefix + b.epoch
	if _, err := s.Consumer(ctx, durable); errors.Is(err, jetstream.ErrConsumerNotFound) {
		if err := f.seed(ctx, b); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	consumer, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       durable,
		Description:   "folds events into the ledger",
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait:       f.lease,
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	})
	if err != nil {
		return nil, fmt.Errorf("create consumer %q of stream %s: %w", durable, schemas.EventsStream, err)
	}
	// Those of other epochs fill no bucket any more. Whoever still uses one finds it
	// gone and opens anew.
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if strings.HasPrefix(name, durablePrefix) && name != durable {
			if err := s.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil, fmt.Errorf("remove consumer %q of stream %s: %w", name, schemas.EventsStream, err)
			}
			f.cfg.Logger.Info("the ledger is built again from the events", "epoch", b.epoch)
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("list the consumers of stream %s: %w", schemas.EventsStream, err)
	}
	return &session{bucket: b, consumer: consumer, checked: time.Now()}, nil
}

// check makes sure, now and then, that the bucket is still the one it was.
func (f *Folder) check(ctx context.Context, s *session) error {
	if time.Since(s.checked) < fetchWait {
		return nil
	}
	epoch, err := s.bucket.readEpoch(ctx)
	if err == nil && epoch != s.bucket.epoch {
		return fmt.Errorf("%w: its epoch was %s", errEpoch, s.bucket.epoch)
	}
	if err != nil {
		return err
	}
	s.checked = time.Now()
	return nil
}

// fetch waits for events, and a little longer for more.
func (s *session) fetch(ctx context.Context) ([]jetstream.Msg, error) {
	first, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	messages, err := drain(s.consumer.Fetch(1, jetstream.FetchContext(first)))
	if err != nil || len(messages) == 0 {
		if ctx.Err() != nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		return messages, err
	}
	// Not with ctx: what the server has sent by then is folded.
	more, err := drain(s.consumer.Fetch(batchEvents-1, jetstream.FetchMaxWait(linger)))
	if errors.Is(err, nats.ErrTimeout) {
		err = nil
	}
	return append(messages, more...), err
}

func drain(batch jetstream.MessageBatch, err error) ([]jetstream.Msg, error) {
	if err != nil {
		return nil, fmt.Errorf("fetch events: %w", err)
	}
	var messages []jetstream.Msg
	for m := range batch.Messages() {
		messages = append(messages, m)
	}
	if err := batch.Error(); err != nil {
		return messages, fmt.Errorf("fetch events: %w", err)
	}
	return messages, nil
}

// handle folds events and acks them after all are in the bucket.
func (f *Folder) handle(ctx context.Context, b *bucket, messages []jetstream.Msg) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(graceTime, lease))
	defer cancel()
	if err := f.at(pointFetched); err != nil {
		return err
	}
	events := make([]*wire.Event, 0, len(messages))
	done := messages[:0]
	for _, m := range messages {
		e, err := decode(m)
		switch {
		case errors.Is(err, errNewer):
			f.cfg.Logger.Warn("an event waits for a newer version of this program", "subject", m.Subject(), "error", err)
			_ = m.NakWithDelay(maxBackoff) // if it fails, the event comes again sooner
			continue
		case err != nil:
			f.cfg.Logger.Warn("skipped an event that cannot be read", "subject", m.Subject(), "error", err)
		default:
			events = append(events, e)
		}
		done = append(done, m)
	}
	if err := f.fold(ctx, b, events); err != nil {
		for _, m := range done {
			_ = m.NakWithDelay(minBackoff) // if it fails, the event comes again later
		}
		return err
	}
	if err := f.at(pointFolded); err != nil {
		return err
	}
	for _, m := range done {
		// An ack that is lost means that the event comes again, and changes nothing.
		_ = m.Ack()
	}
	if f.folded != nil {
		f.folded(len(events))
	}
	return nil
}

var errNewer = errors.New("it has a newer version than this process reads")

func decode(m jetstream.Msg) (*wire.Event, error) {
	if v, err := strconv.Atoi(m.Headers().Get(schemas.HeaderVersion)); err == nil && v > schemas.Version {
		return nil, fmt.Errorf("%w: %d and %d", errNewer, v, schemas.Version)
	}
	e := new(wire.Event)
	if err := proto.Unmarshal(m.Data(), e); err != nil {
		return nil, err
	}
	return e, validate(e)
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
