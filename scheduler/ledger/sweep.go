package ledger

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	requests "github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// sweepEvery is how often old days and requests are looked for.
	sweepEvery = time.Hour

	// maxRequests bounds the replays and backfills of a MetricsExporter that are done.
	maxRequests = 100
)

// maybeSweep sweeps if it is time to. A sweep that fails is done again later.
func (f *Folder) maybeSweep(ctx context.Context, b *bucket) {
	now := f.cfg.Now()
	if now.Sub(f.swept) < sweepEvery && !now.Before(f.swept) {
		return
	}
	f.swept = now
	before := now.Add(-f.cfg.Retention)
	if err := sweep(ctx, b, before); err != nil && ctx.Err() == nil {
		f.cfg.Logger.Warn("old records of the ledger could not be removed, trying again later", "error", err)
	}
	store := requests.Store{JS: f.cfg.Pipe.JS}
	if err := store.Prune(ctx, before, maxRequests); err != nil && ctx.Err() == nil {
		f.cfg.Logger.Warn("old replays and backfills could not be removed, trying again later", "error", err)
	}
}

// sweep removes the records of days of which everything is exported, skipped or
// given up and nothing was reported since before. Of days after one that is not, what they add
// up to stays, since else they would look like a gap.
//
// Any number of processes may do this at once, at any time: a day that is written
// meanwhile stays, and an event of such an old window that comes again does not,
// for events themselves are kept for a few days only.
func sweep(ctx context.Context, b *bucket, before time.Time) error {
	type found struct {
		key      string
		day      *wire.LedgerDay
		revision uint64
	}
	days := map[string][]found{}
	err := b.each(ctx, dayPrefix+">", func(key string, revision uint64, data []byte) error {
		day := new(wire.LedgerDay)
		if err := proto.Unmarshal(data, day); err != nil {
			return err
		}
		of := key[:strings.LastIndexByte(key, '.')]
		days[of] = append(days[of], found{key, day, revision})
		return nil
	})
	if err != nil {
		return err
	}
	for _, list := range days {
		slices.SortFunc(list, func(a, b found) int { return cmp.Compare(a.key, b.key) })
		oldest := true
		for _, d := range list {
			if !settled(d.day, before) {
				oldest = false
				continue
			}
			chunks := uint64(0)
			for _, c := range d.day.Chunks {
				chunks = max(chunks, c.Revision)
			}
			windows := windowPrefix + strings.TrimPrefix(d.key, dayPrefix)
			if chunks > 0 {
				if err := errors.Join(b.purge(ctx, windows+".*", chunks), b.purge(ctx, partPrefix+windows+".>", chunks)); err != nil {
					return err
				}
			}
			if !oldest {
				continue
			}
			if err := errors.Join(b.purge(ctx, d.key, d.revision), b.purge(ctx, partPrefix+d.key+".>", d.revision)); err != nil {
				return err
			}
		}
	}
	return nil
}

// settled says whether nothing of a day is under way or failed, and nothing was
// reported since.
func settled(d *wire.LedgerDay, before time.Time) bool {
	for _, c := range d.Chunks {
		if !time.Unix(0, c.LastUnixNano).Before(before) {
			return false
		}
		for state, n := range c.States {
			if state == string(StateFailed) {
				n -= min(n, c.Dropped)
			}
			if n > 0 && state != string(StateExported) {
				return false
			}
		}
	}
	for _, s := range d.Skipped {
		if !time.Unix(0, s.AtUnixNano).Before(before) {
			return false
		}
	}
	return true
}
