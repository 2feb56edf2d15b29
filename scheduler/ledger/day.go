package ledger

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// applyDigest takes a digest over unless there is a newer one: of two folders that
// wrote a chunk, the one that wrote it last has seen what the other had.
func applyDigest(d *wire.LedgerDay, digest *wire.ChunkDigest) {
	i, ok := slices.BinarySearchFunc(d.Chunks, digest, func(a, b *wire.ChunkDigest) int { return cmp.Compare(a.Number, b.Number) })
	switch {
	case !ok:
		d.Chunks = slices.Insert(d.Chunks, i, digest)
	case digest.Revision > d.Chunks[i].Revision:
		d.Chunks[i] = withSwept(digest, d.Chunks[i])
	}
}

// withSwept returns a digest with what an earlier one covered and this one does not. No
// window leaves a chunk but with the whole chunk, which sweep removes once all of it is
// exported or given up; a replay then begins it anew. How many windows there were, and
// what was in them, is not known again.
func withSwept(digest, before *wire.ChunkDigest) *wire.ChunkDigest {
	swept := without(before.Covered, digest.Covered)
	if len(swept) == 0 {
		return digest
	}
	d := proto.CloneOf(digest) // the caller may have to apply it again
	d.Covered = covers(slices.Concat(digest.Covered, swept))
	d.DroppedRanges = covers(slices.Concat(digest.DroppedRanges, without(before.DroppedRanges, slices.Concat(digest.Covered, digest.Replayed))))
	d.PlannedUnixNano = first(before.PlannedUnixNano, digest.PlannedUnixNano)
	d.ExportedUnixNano = max(before.ExportedUnixNano, digest.ExportedUnixNano)
	return d
}

// without returns what is left of ranges without others.
func without(spans, others []*wire.Span) []*wire.Span {
	done := make([]stretch, len(others))
	for i, o := range others {
		done[i] = stretch{start: o.StartUnixNano, end: o.EndUnixNano}
	}
	var left []*wire.Span
	for _, s := range spans {
		for _, w := range minus(s.StartUnixNano, s.EndUnixNano, done) {
			left = append(left, &wire.Span{StartUnixNano: w.Start.UnixNano(), EndUnixNano: w.End.UnixNano()})
		}
	}
	return left
}

// covers orders ranges, and makes one of those that touch.
func covers(spans []*wire.Span) []*wire.Span {
	slices.SortFunc(spans, func(a, b *wire.Span) int { return cmp.Compare(a.StartUnixNano, b.StartUnixNano) })
	var list []*wire.Span
	for _, s := range spans {
		list = cover(list, s.StartUnixNano, s.EndUnixNano)
	}
	return list
}

// applySkipped adds a range of windows that were passed over.
func applySkipped(d *wire.LedgerDay, e *wire.Event) {
	s := &wire.SkippedRange{
		StartUnixNano: e.StartUnixNano, EndUnixNano: e.EndUnixNano, Generation: e.Generation,
		Exporter: e.Exporter, Message: errorOf(e).Message, AtUnixNano: e.AtUnixNano,
	}
	i, ok := slices.BinarySearchFunc(d.Skipped, s, func(a, b *wire.SkippedRange) int {
		return cmp.Or(cmp.Compare(a.StartUnixNano, b.StartUnixNano), cmp.Compare(a.EndUnixNano, b.EndUnixNano))
	})
	if !ok {
		d.Skipped = slices.Insert(d.Skipped, i, s)
		return
	}
	// Two schedulers may say the same of a range; the first did.
	old := d.Skipped[i]
	if cmp.Or(cmp.Compare(s.AtUnixNano, old.AtUnixNano), cmp.Compare(s.Generation, old.Generation), cmp.Compare(s.Message, old.Message)) < 0 {
		d.Skipped[i] = s
	}
}
