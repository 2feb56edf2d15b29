package ledger

import (
	"cmp"
	"slices"

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
		d.Chunks[i] = digest
	}
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
