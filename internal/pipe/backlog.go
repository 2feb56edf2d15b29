package pipe

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sort"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Backlog is what waits for delivery in an exporter's stream.
type Backlog struct {
	Messages uint64
	// Bytes is exact when nothing is kept for a replay, and else their share by the
	// mean size of the stream's messages.
	Bytes uint64
	// Windows is how many wait for their transform before that, and LiveWindows those
	// of them that are no backfill's.
	Windows, LiveWindows uint64
	// RowBytes is what all exporters' rows take on disk.
	RowBytes uint64
}

// otlpState is an exporter's stream and how far its consumers are.
type otlpState struct {
	stream jetstream.Stream
	jetstream.StreamState
	waiting uint64 // messages not delivered
	floor   uint64 // every message below was delivered
}

func (p *Pipe) otlpState(ctx context.Context, exporter string) (otlpState, error) {
	var st otlpState
	s, err := p.JS.Stream(ctx, schemas.OTLPStream(exporter))
	if err != nil {
		return st, fmt.Errorf("backlog of exporter %q: %w", exporter, err)
	}
	// The stream before the consumers: what comes between the two then lies above
	// the floor, and is not taken for delivered.
	info, err := s.Info(ctx)
	if err != nil {
		return st, fmt.Errorf("backlog of exporter %q: %w", exporter, err)
	}
	st.stream, st.StreamState = s, info.State
	floor, delivered := ^uint64(0), uint64(0)
	for _, lane := range schemas.Lanes {
		c, err := s.Consumer(ctx, schemas.SenderDurable(exporter, lane))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			floor = 0 // no sender has run yet: nothing was delivered
			continue
		}
		if err != nil {
			return st, fmt.Errorf("backlog of exporter %q: %w", exporter, err)
		}
		info := c.CachedInfo()
		if known, err := p.knowsWhatWaits(ctx, exporter, lane, info); err != nil {
			return st, fmt.Errorf("backlog of exporter %q: %w", exporter, err)
		} else if !known {
			floor = 0
			continue
		}
		delivered = max(delivered, info.Delivered.Stream)
		st.waiting += info.NumPending + uint64(info.NumAckPending)
		switch {
		case info.NumAckPending > 0:
			floor = min(floor, info.AckFloor.Stream+1)
		case info.NumPending > 0:
			floor = min(floor, info.Delivered.Stream+1)
		}
	}
	if floor == 0 {
		st.waiting = st.Msgs
	}
	// A consumer hears of a message only after the stream has it: that nothing is
	// pending says nothing about what came behind the last that was delivered.
	st.floor = min(floor, delivered+1, st.LastSeq+1)
	return st, nil
}

// knowsWhatWaits is false for a consumer that the server is still about to create: it
// says of it that nothing is pending.
func (p *Pipe) knowsWhatWaits(ctx context.Context, exporter string, lane schemas.Lane, info *jetstream.ConsumerInfo) (bool, error) {
	if info.Delivered.Consumer > 0 || info.NumPending > 0 {
		return true, nil
	}
	_, err := p.Get(ctx, schemas.OTLPStream(exporter), schemas.OTLPFilter(exporter, lane))
	if errors.Is(err, ErrNoMessage) {
		return true, nil
	}
	return false, err
}

// Backlog returns what waits for delivery to an exporter.
func (p *Pipe) Backlog(ctx context.Context, exporter string) (Backlog, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	var b Backlog
	if err := p.rowBacklog(ctx, exporter, &b); err != nil {
		return Backlog{}, err
	}
	st, err := p.otlpState(ctx, exporter)
	if err != nil || st.Msgs == 0 {
		return b, err
	}
	waiting := min(st.waiting, st.Msgs)
	b.Messages, b.Bytes = waiting, uint64(float64(st.Bytes)*float64(waiting)/float64(st.Msgs))
	return b, nil
}

// rowBacklog fills in what waits for the transform.
func (p *Pipe) rowBacklog(ctx context.Context, exporter string, b *Backlog) error {
	s, err := p.JS.Stream(ctx, schemas.RowsStream)
	if err != nil {
		return fmt.Errorf("backlog of exporter %q: %w", exporter, err)
	}
	b.RowBytes = s.CachedInfo().State.Bytes
	for _, lane := range schemas.Lanes {
		c, err := s.Consumer(ctx, schemas.TransformerDurable(exporter, lane))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue // no transformer has run yet: there are no rows to speak of, or soon will be one
		}
		if err != nil {
			return fmt.Errorf("backlog of exporter %q: %w", exporter, err)
		}
		windows := c.CachedInfo().NumPending + uint64(c.CachedInfo().NumAckPending)
		b.Windows += windows
		if lane == schemas.LaneLive {
			b.LiveWindows = windows
		}
	}
	return nil
}

// Trim removes delivered batches that were stored before the given time, and as
// many more of the oldest as it takes to leave room for a backlog of maxBacklog
// bytes, and room on a disk that is nearly full. What was not delivered stays, and of
// what came after it all that known does not know to be delivered.
func (p *Pipe) Trim(ctx context.Context, exporter string, before time.Time, maxBacklog int64, known *Delivered) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	fail := func(err error) error { return fmt.Errorf("trim the stream of exporter %q: %w", exporter, err) }
	st, err := p.otlpState(ctx, exporter)
	if err != nil {
		return err
	}
	if st.Msgs == 0 {
		return nil
	}
	mark, wanted, was := (streamRoom-1)*maxBacklog, p.space.wanted(), st.Bytes
	if st.floor > st.FirstSeq {
		cut, err := st.firstSince(ctx, before)
		if err != nil {
			return fail(err)
		}
		if n := st.messages(max(int64(st.Bytes)-mark, wanted)); n > 0 {
			cut = max(cut, st.FirstSeq+n)
		}
		if err := st.removeBelow(ctx, min(cut, st.floor), wanted > 0); err != nil {
			return fail(err)
		}
	}
	if known.above(st.floor) == 0 {
		return nil
	}
	info, err := st.stream.Info(ctx)
	if err != nil {
		return fail(err)
	}
	st.StreamState = info.State
	n := st.messages(max(int64(st.Bytes)-mark, wanted-int64(was)+int64(st.Bytes)))
	if err := known.remove(ctx, &st, n, before); err != nil {
		return fail(err)
	}
	return nil
}

const (
	// removals is how many messages are removed at a time.
	removals = 32

	// maxRemovals is how many are removed one by one.
	maxRemovals = 2000
)

// removeBelow removes the messages below a sequence. One by one, since a purge has the
// server forget what it was about to deliver again: that comes after its lease then,
// behind all that is newer (nats-server v2.15.2, consumer.purge). A purge it is when there
// is no room on the disk, or so much to remove that it would take long.
func (st *otlpState) removeBelow(ctx context.Context, cut uint64, noRoom bool) error {
	if cut <= st.FirstSeq {
		return nil
	}
	if noRoom || cut-st.FirstSeq > maxRemovals {
		return st.stream.Purge(ctx, jetstream.WithPurgeSequence(cut))
	}
	return st.remove(ctx, func(yield func(uint64) bool) {
		for seq := st.FirstSeq; seq < cut && yield(seq); seq++ {
		}
	})
}

// remove removes messages; those that are gone are no error.
func (st *otlpState) remove(ctx context.Context, sequences iter.Seq[uint64]) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(removals)
	for seq := range sequences {
		if each.Err() != nil {
			break
		}
		g.Go(func() error {
			err := st.stream.DeleteMsg(each, seq)
			if err != nil {
				if _, gone := st.stream.GetMsg(each, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
					return nil
				}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err() // it may not have come to all
}

// messages returns how many messages take so many bytes, by their mean size.
func (st *otlpState) messages(bytes int64) uint64 {
	if bytes <= 0 || st.Msgs == 0 {
		return 0
	}
	mean := max(st.Bytes/st.Msgs, 1)
	return (uint64(bytes) + mean - 1) / mean
}

// firstSince returns the sequence of the first message below the floor that was
// stored at t or later; the floor if there is none.
func (st *otlpState) firstSince(ctx context.Context, t time.Time) (uint64, error) {
	if !st.FirstTime.Before(t) {
		return st.FirstSeq, nil
	}
	var failed error
	n := sort.Search(int(st.floor-st.FirstSeq), func(i int) bool {
		msg, err := st.stream.GetMsg(ctx, st.FirstSeq+uint64(i))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return false // removed meanwhile: older than what is left
		}
		if err != nil {
			failed = err
			return true
		}
		return !msg.Time.Before(t)
	})
	return st.FirstSeq + uint64(n), failed
}
