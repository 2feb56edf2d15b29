package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// ErrNotFound says that the ledger knows nothing of a MetricsExporter.
var ErrNotFound = errors.New("the ledger has no window of it")

// Reader reads the ledger.
type Reader struct{ bucket *bucket }

// OpenReader opens the ledger to read it. Without one, where no scheduler has ever
// run, there is nothing in it.
func OpenReader(ctx context.Context, p *pipe.Pipe) (*Reader, error) {
	b, err := openBucket(ctx, p.JS)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return &Reader{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &Reader{b}, nil
}

// Summaries returns how far every MetricsExporter is, ordered by name.
func (r *Reader) Summaries(ctx context.Context, now time.Time) ([]Summary, error) {
	return r.summaries(ctx, dayPrefix+">", now)
}

// Summary returns how far one MetricsExporter is; ErrNotFound if nothing is known
// of it.
func (r *Reader) Summary(ctx context.Context, namespace, name string, now time.Time) (Summary, error) {
	list, err := r.summaries(ctx, daysKey(namespace, name), now)
	if err != nil {
		return Summary{}, err
	}
	if len(list) == 0 {
		return Summary{}, fmt.Errorf("%s/%s: %w", namespace, name, ErrNotFound)
	}
	return list[0], nil
}

func daysKey(namespace, name string) string {
	return dayPrefix + dayID{namespace: namespace, name: name}.exporterKey() + ".*"
}

func (r *Reader) summaries(ctx context.Context, pattern string, now time.Time) ([]Summary, error) {
	if r.bucket == nil {
		return nil, nil
	}
	type key struct{ namespace, name string }
	found := map[key][]*wire.LedgerDay{}
	err := r.bucket.each(ctx, pattern, func(text string, _ uint64, data []byte) error {
		id, err := parseDay(text)
		if err != nil {
			return err
		}
		day := new(wire.LedgerDay)
		if err := proto.Unmarshal(data, day); err != nil {
			return fmt.Errorf("decode %s of bucket %s: %w", text, schemas.LedgerBucket, err)
		}
		k := key{id.namespace, id.name}
		found[k] = append(found[k], day)
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]Summary, 0, len(found))
	for k, days := range found {
		list = append(list, summarize(k.namespace, k.name, days, now))
	}
	slices.SortFunc(list, func(a, b Summary) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// parseDay is the inverse of dayID.key.
func parseDay(key string) (dayID, error) {
	tokens := strings.Split(strings.TrimPrefix(key, dayPrefix), ".")
	if len(tokens) == 3 {
		namespace, err1 := schemas.ParseToken(tokens[0])
		name, err2 := schemas.ParseToken(tokens[1])
		date, err3 := time.Parse("20060102", tokens[2])
		if errors.Join(err1, err2, err3) == nil {
			return dayID{namespace, name, floorDiv(date.Unix(), 86400)}, nil
		}
	}
	return dayID{}, fmt.Errorf("key %q of bucket %s is not %s<namespace>.<name>.<YYYYMMDD>", key, schemas.LedgerBucket, dayPrefix)
}

// Filter selects windows.
type Filter struct {
	// States; none: all.
	States []State
	// Start and End select windows that overlap [Start, End). Zero: no bound.
	Start, End time.Time
}

func (f Filter) match(w Window) bool {
	return (len(f.States) == 0 || slices.Contains(f.States, w.State)) &&
		(f.Start.IsZero() || w.ID.Window.End.After(f.Start)) &&
		(f.End.IsZero() || w.ID.Window.Start.Before(f.End))
}

// states says whether there may be one of the states among those counted.
func (f Filter) states(counts map[string]uint64) bool {
	return len(f.States) == 0 || slices.ContainsFunc(f.States, func(s State) bool { return counts[string(s)] > 0 })
}

// Windows returns the windows of a MetricsExporter, ordered by their start; with
// newest, from the last to the first. They are read as they are asked for, so that
// months of them take no memory. The error is ErrNotFound if nothing at all is
// known of the MetricsExporter.
func (r *Reader) Windows(ctx context.Context, namespace, name string, filter Filter, newest bool) iter.Seq2[Window, error] {
	return func(yield func(Window, error) bool) {
		if err := r.windows(ctx, namespace, name, filter, newest, func(w Window) bool { return yield(w, nil) }); err != nil {
			yield(Window{}, err)
		}
	}
}

// windows calls see until it returns false.
func (r *Reader) windows(ctx context.Context, namespace, name string, filter Filter, newest bool, see func(Window) bool) error {
	type dated struct {
		dayID
		*wire.LedgerDay
	}
	var days []dated
	if r.bucket != nil {
		err := r.bucket.each(ctx, daysKey(namespace, name), func(key string, _ uint64, data []byte) error {
			id, err := parseDay(key)
			if err != nil {
				return err
			}
			day := new(wire.LedgerDay)
			days = append(days, dated{id, day})
			return proto.Unmarshal(data, day)
		})
		if err != nil {
			return err
		}
	}
	if len(days) == 0 {
		return fmt.Errorf("%s/%s: %w", namespace, name, ErrNotFound)
	}
	slices.SortFunc(days, func(a, b dated) int { return cmp.Compare(a.day, b.day) })
	// What overrules a skipped range can be of a later day.
	var known []stretch
	var skipped []*wire.SkippedRange
	for _, d := range days {
		skipped = append(skipped, d.Skipped...)
		for _, c := range d.Chunks {
			for _, s := range slices.Concat(c.Covered, c.Replayed) {
				known = append(known, stretch{start: s.StartUnixNano, end: s.EndUnixNano})
			}
		}
	}
	left := passedOver(skipped, known)
	if newest {
		slices.Reverse(days)
	}
	for _, d := range days {
		windows, err := r.day(ctx, d.dayID, d.LedgerDay, filter, left)
		if err != nil {
			return err
		}
		if newest {
			slices.Reverse(windows)
		}
		for _, w := range windows {
			if !see(w) {
				return nil
			}
		}
	}
	return nil
}

// day returns the windows of a day, and what is left of its skipped ranges.
func (r *Reader) day(ctx context.Context, id dayID, d *wire.LedgerDay, filter Filter, skipped map[*wire.SkippedRange][]schemas.Window) ([]Window, error) {
	lists := make([][]Window, len(d.Chunks))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for i, c := range d.Chunks {
		// What was counted when the day was summed up may have changed a moment later,
		// as it may a moment after this.
		if !filter.states(c.States) || !filter.reaches(id, c) {
			continue
		}
		g.Go(func() error {
			chunk := new(wire.LedgerChunk)
			if _, _, err := r.bucket.get(groupCtx, chunkID{id, int(c.Number)}.key(), chunk); err != nil {
				return err
			}
			for _, record := range chunk.Windows {
				if w := newWindow(id.namespace, id.name, record); filter.match(w) {
					lists[i] = append(lists[i], w)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	windows := slices.Concat(lists...)
	for _, s := range d.Skipped {
		for _, left := range skipped[s] {
			w := Window{
				ID:       schemas.WindowID{Namespace: id.namespace, Name: id.name, Window: left, Generation: s.Generation},
				Exporter: s.Exporter, State: StateSkipped, Scheduled: true, Planned: instant(s.AtUnixNano), Rejected: map[string]uint64{},
				Lane:  schemas.LaneBackfill,
				Error: &Error{Message: s.Message, At: instant(s.AtUnixNano)},
			}
			if filter.match(w) {
				windows = append(windows, w)
			}
		}
	}
	slices.SortStableFunc(windows, func(a, b Window) int { return a.ID.Window.Start.Compare(b.ID.Window.Start) })
	return windows, nil
}

// reaches says whether a chunk may have windows of the filter's time.
func (f Filter) reaches(id dayID, c *wire.ChunkDigest) bool {
	start := time.Unix(id.day*86400, 0).Add(time.Duration(c.Number) * chunkSpan)
	if !f.End.IsZero() && !start.Before(f.End) {
		return false
	}
	if f.Start.IsZero() || start.Add(chunkSpan).After(f.Start) {
		return true
	}
	// A window may be longer than a chunk's span.
	for _, s := range slices.Concat(c.Covered, c.Replayed) {
		if time.Unix(0, s.EndUnixNano).After(f.Start) {
			return true
		}
	}
	return false
}
