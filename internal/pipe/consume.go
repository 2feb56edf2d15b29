package pipe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// lease is how long a worker may hold a message without a sign of life; what a
	// dead process held is taken up again after it. It is renewed three times over.
	lease = 15 * time.Second

	// fetchWait is how long one request for a message waits at the server.
	fetchWait = 30 * time.Second

	// fetchHeartbeat is how often a server says that it still has the request; without
	// two of them the consumer is looked after.
	fetchHeartbeat = 3 * time.Second

	// minBackoff is the first wait between two attempts, before jitter.
	minBackoff = 500 * time.Millisecond

	// maxRetryAfter bounds the delay a server may ask for: a backlog that waits for
	// ever because of one wrong header is a loss by another name.
	maxRetryAfter = 15 * time.Minute

	defaultMaxBackoff    = 15 * time.Second
	defaultMaxAckPending = 1000

	// gatePoll is how often a closed gate is asked again.
	gatePoll = time.Second
)

// Handler handles one message. When it returns nil, everything that follows from
// the message is stored downstream and the message is acked; an error is sorted
// by KindOf. Its context ends when the process gives up waiting for it, not when
// it is asked to stop: what has begun is finished within the shutdown timeout.
type Handler func(ctx context.Context, m *Message) error

// ConsumerConfig describes a durable consumer and how its messages are handled.
type ConsumerConfig struct {
	Stage  schemas.Stage
	Stream string
	// Durable is the consumer's name; processes with the same share its messages.
	Durable string
	// Filter selects subjects of the stream.
	Filter string
	// Concurrency is how many messages this process handles at a time, and with a
	// message's size limit what bounds the bytes it fetches. 0: 1.
	Concurrency int
	// MaxAckPending is how many messages may be unacked over all processes, those
	// that wait for a retry included. 0: 1000.
	MaxAckPending int
	// MaxBackoff bounds the exponential backoff between retries. 0: 15 s.
	MaxBackoff time.Duration
	// Gate, where set, is asked before a message is fetched; while it returns false
	// the messages stay in the stream.
	Gate func(ctx context.Context) bool
	// Handle handles one message.
	Handle Handler
}

func (c ConsumerConfig) withDefaults() ConsumerConfig {
	c.Concurrency = max(c.Concurrency, 1)
	if c.MaxAckPending == 0 {
		c.MaxAckPending = defaultMaxAckPending
	}
	if c.MaxBackoff == 0 {
		c.MaxBackoff = defaultMaxBackoff
	}
	return c
}

// Consume creates or updates the consumer and handles its messages until ctx
// ends. Then it fetches no more, lets what has begun finish within the pipe's
// grace, and returns nil. It returns an error only if the consumer's
// configuration is refused; a server that cannot be reached is waited for.
func (p *Pipe) Consume(ctx context.Context, cfg ConsumerConfig) error {
	cfg = cfg.withDefaults()
	c := &consumer{ConsumerConfig: cfg, p: p, log: p.log.With("stage", string(cfg.Stage), "consumer", cfg.Durable)}
	if err := c.create(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	work, cancel := p.workContext(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for range cfg.Concurrency {
		wg.Go(func() { c.run(ctx, work) })
	}
	wg.Wait()
	return nil
}

// workContext returns the context of handlers: it ends a grace after ctx does.
func (p *Pipe) workContext(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(p.grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel(errGrace)
		case <-work.Done():
		}
	})
	return work, func() { stop(); cancel(nil) }
}

var errGrace = errors.New("the process is stopping")

type consumer struct {
	ConsumerConfig
	p   *Pipe
	log *slog.Logger

	mu   sync.Mutex
	cons jetstream.Consumer // shared by the workers, made anew when the server lost it
}

func (c *consumer) current() jetstream.Consumer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cons
}

// create creates or updates the durable consumer, and waits for a server that
// cannot be reached.
func (c *consumer) create(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cfg := jetstream.ConsumerConfig{
		Durable:       c.Durable,
		FilterSubject: c.Filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait:       lease,
		MaxDeliver:    -1,
		MaxAckPending: c.MaxAckPending,
	}
	for attempt := uint64(1); ; attempt++ {
		try, cancel := context.WithTimeout(ctx, askTimeout(attempt))
		cons, err := c.p.createOrUpdateConsumer(try, c.Stream, cfg)
		cancel()
		if err == nil {
			c.cons = cons
			return nil
		}
		err = fmt.Errorf("create consumer %q of stream %s: %w", c.Durable, c.Stream, err)
		if refused(err) {
			return err
		}
		if attempt == 1 {
			c.log.Warn("waiting for jetstream", "error", err)
		}
		if !wait(ctx, backoff(attempt, c.MaxBackoff)) {
			return ctx.Err()
		}
	}
}

// createOrUpdateConsumer changes nothing where nothing is to be changed, as
// createOrUpdateStream does.
func (p *Pipe) createOrUpdateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	cons, err := p.JS.Consumer(ctx, stream, cfg.Durable)
	if err == nil && sameConsumer(cons.CachedInfo().Config, cfg) {
		return cons, nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, err
	}
	return p.JS.CreateOrUpdateConsumer(ctx, stream, cfg)
}

func sameConsumer(is, want jetstream.ConsumerConfig) bool {
	return is.FilterSubject == want.FilterSubject &&
		len(is.FilterSubjects) == 0 &&
		is.AckPolicy == want.AckPolicy &&
		is.DeliverPolicy == want.DeliverPolicy &&
		is.AckWait == want.AckWait &&
		is.MaxDeliver == want.MaxDeliver &&
		is.MaxAckPending == want.MaxAckPending &&
		len(is.BackOff) == 0
}

// run is one worker: it fetches one message, handles it and acks it. One at a
// time, since the lease of a message fetched ahead would run out unattended.
func (c *consumer) run(ctx, work context.Context) {
	failures := uint64(0)
	for ctx.Err() == nil {
		if c.Gate != nil && !c.Gate(ctx) {
			wait(ctx, gatePoll)
			continue
		}
		msg, err := c.fetch(ctx)
		switch {
		case msg != nil:
			failures = 0
			c.handle(ctx, work, msg)
		case err != nil && ctx.Err() == nil:
			if failures++; failures == 1 {
				c.log.Warn("cannot fetch messages, trying again", "error", err)
			}
			if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, nats.ErrNoResponders) {
				// Of an exporter's stream that keeps what was delivered, a consumer somebody
				// deleted begins anew: better sent twice than never.
				c.log.Warn("the consumer is gone, making it anew: messages may be handled again", "error", err)
				_ = c.create(ctx)
			}
			wait(ctx, backoff(failures, c.MaxBackoff))
		}
	}
}

// fetch returns the next message; neither message nor error when there is none.
func (c *consumer) fetch(ctx context.Context) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	// A caller whose own end is near gets fewer heartbeats: a request must outlast two.
	beat := fetchHeartbeat
	if end, ok := ctx.Deadline(); ok {
		beat = min(beat, max(time.Until(end)/4, time.Millisecond))
	}
	batch, err := c.current().Fetch(1, jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(beat))
	if err != nil {
		return nil, err
	}
	for msg := range batch.Messages() {
		return msg, nil
	}
	if err := batch.Error(); err != nil && ctx.Err() == nil && !errors.Is(err, nats.ErrTimeout) {
		return nil, err
	}
	return nil, nil
}

func (c *consumer) handle(ctx, work context.Context, msg jetstream.Msg) {
	m := &Message{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(), Attempt: 1}
	if meta, err := msg.Metadata(); err == nil {
		m.Attempt, m.Stored, m.Sequence = meta.NumDelivered, meta.Timestamp, meta.Sequence.Stream
	}
	again := &recall{nc: c.p.nc, reply: msg.Reply()}
	m.recall = again.call
	log := c.about(m)

	renew := keepLease(msg)
	start := time.Now()
	m.retried = func(ctx context.Context, cause error) {
		kind, _ := KindOf(cause)
		c.failed(ctx, m, kind, cause, "failed, is tried again")
		if c.p.metrics != nil {
			c.p.metrics.Handled(c.Stage, m.Header.Get(schemas.HeaderExporter), string(kind), time.Since(start))
		}
		start = time.Now()
	}
	err := c.guard(work, m)
	took := time.Since(start)
	var outcome Kind
	var delay time.Duration
	if err != nil {
		outcome, delay = KindOf(err)
	}
	buried := false
	// What a handler says after its context ended proves nothing about the message.
	if (outcome == KindPermanent || outcome == KindPanic) && work.Err() == nil {
		if derr := c.p.bury(work, c.Stage, m, outcome, err); derr != nil {
			err, outcome = fmt.Errorf("%w (and no dead letter: %w)", err, derr), KindRetry
		} else {
			buried = true
		}
	}
	renew()

	if c.p.metrics != nil && outcome != KindLater {
		c.p.metrics.Handled(c.Stage, m.Header.Get(schemas.HeaderExporter), string(outcome), took)
	}
	var ackErr error
	switch {
	case err == nil:
		if m.Attempt > 1 {
			log.Info("done after a retry", "took", took)
		}
		if ackErr = ack(msg); ackErr == nil {
			m.Acked(work)
		}
	case buried:
		log.Error("failed for good, kept as a dead letter", "kind", outcome, "error", err)
		ackErr = ack(msg)
	case work.Err() != nil:
		// Stopping: another process, or this one's next life, starts at once.
		ackErr = msg.Nak()
	case outcome == KindLater:
		ackErr = msg.NakWithDelay(delay)
		again.givenBack()
	default:
		delay = RetryDelay(outcome, delay, m.Attempt, c.MaxBackoff)
		c.failed(work, m, outcome, err, "failed, will be tried again", "delay", delay)
		ackErr = msg.NakWithDelay(delay)
	}
	if ackErr != nil {
		// Not acked is delivered again: everything downstream takes it for the same.
		log.Warn("could not ack, the message will come again", "error", ackErr)
	}
}

// about returns a logger with the keys that tell which message it is about.
func (c *consumer) about(m *Message) *slog.Logger {
	log := c.log.With("window", m.Window(), "attempt", m.Attempt)
	if id, err := schemas.ParseWindowID(m.Window()); err == nil {
		log = log.With("metrics_exporter", id.Namespace+"/"+id.Name)
	}
	if e := m.Header.Get(schemas.HeaderExporter); e != "" {
		log = log.With("exporter", e)
	}
	return log
}

// failed logs a failed attempt that another will follow. The first is reported too.
func (c *consumer) failed(ctx context.Context, m *Message, kind Kind, cause error, text string, more ...any) {
	log := c.about(m).With("kind", kind, "error", cause).With(more...)
	if m.Attempt > 1 {
		log.Debug(text)
		return
	}
	log.Warn(text)
	if err := c.p.report(ctx, c.Stage, m, schemas.EventRetrying, kind, cause, instant(m)); err != nil {
		log.Debug("could not report a retry", "error", err)
	}
}

// guard runs the handler; a panic becomes an error.
func (c *consumer) guard(ctx context.Context, m *Message) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.about(m).Error("handler panicked", "panic", r, "stack", string(debug.Stack()))
			err = mark(fmt.Errorf("panic in the %s: %v", c.Stage, r), KindPanic, 0)
		}
	}()
	if err := m.checkVersion(); err != nil {
		return err
	}
	return c.Handle(ctx, m)
}

// ack waits for the server to have taken the ack, with a context of its own: a
// stop must not turn done work into a redelivery.
func ack(msg jetstream.Msg) error {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	return msg.DoubleAck(ctx)
}

// keepLease renews the lease on msg until the returned function is called, which
// waits for the renewal under way.
func keepLease(msg jetstream.Msg) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(lease / 3)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				_ = msg.InProgress() // if it fails, the message comes again: no harm
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// RetryDelay returns the wait after the given attempt, counted from 1, which
// failed with an error of the given kind and delay (KindOf). Limit bounds the
// backoff; a delay that a server named is only bounded by 15 minutes.
func RetryDelay(kind Kind, delay time.Duration, attempt uint64, limit time.Duration) time.Duration {
	if kind == KindRetryAfter {
		return min(delay, maxRetryAfter) + rand.N(minBackoff)
	}
	return backoff(attempt, limit)
}

// backoff returns the wait after the given attempt, counted from 1: doubling from
// minBackoff up to limit, of which a random half is taken away so that what failed
// together does not come back together.
func backoff(attempt uint64, limit time.Duration) time.Duration {
	d := limit
	if attempt < 32 {
		d = min(limit, minBackoff<<(attempt-1))
	}
	return d/2 + rand.N(d/2+1)
}

// wait returns true after d, or false as soon as ctx ends.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
