package pipe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// eachFetch is how many messages Each asks for at a time, eachHeaders how many
	// when they come without bodies.
	eachFetch   = 16
	eachHeaders = 500

	// eachWait is how long a message that the stream said it has may take to come:
	// it may have been removed since.
	eachWait = 2 * time.Second

	// eachInactive is after how long the server forgets the consumer of one that ended.
	eachInactive = time.Minute
)

// Selection says which messages of a stream Each reads.
type Selection struct {
	// Subjects select; none is all.
	Subjects []string
	// HeadersOnly leaves out the bodies; the header Nats-Msg-Size has their size.
	HeadersOnly bool
	// Since leaves out what was stored before; zero is nothing.
	Since time.Time
	// After leaves out what has this sequence or a lower one.
	After uint64
}

// Each calls see with every message that the stream holds at this moment, the
// oldest first, without taking any from those who consume the stream. The error
// of see ends it.
func (p *Pipe) Each(ctx context.Context, stream string, what Selection, see func(m jetstream.Msg, meta *jetstream.MsgMetadata) error) error {
	fail := func(err error) error { return fmt.Errorf("read stream %s: %w", stream, err) }
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: what.Subjects, HeadersOnly: what.HeadersOnly, InactiveThreshold: eachInactive}
	if !what.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &what.Since
	}
	if what.After > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, what.After+1
	}
	c, err := p.JS.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fail(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return fail(err)
	}
	most := eachFetch
	if what.HeadersOnly {
		most = eachHeaders
	}
	for left := info.NumPending; left > 0; {
		batch, err := c.Fetch(int(min(left, uint64(most))), jetstream.FetchMaxWait(eachWait))
		if err != nil {
			return fail(err)
		}
		n := uint64(0)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return fail(err)
			}
			if err := see(m, meta); err != nil {
				return err
			}
			n++
		}
		if err := batch.Error(); err != nil {
			return fail(err)
		}
		if ctx.Err() != nil {
			return fail(context.Cause(ctx))
		}
		if n == 0 {
			// Removed meanwhile, or late.
			if info, err := c.Info(ctx); err != nil || info.NumPending > 0 {
				return fail(cmp.Or(err, errors.New("what it has did not come in time")))
			}
			return nil
		}
		left -= min(n, left)
	}
	return nil
}
