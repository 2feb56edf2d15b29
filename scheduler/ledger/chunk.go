package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// chunkSpan is the time whose windows are one value of the bucket. A window of
	// 1 s would make a key a second, for months; so few are one message, a hundred
	// bytes each, which is rewritten twice a second while they are under way.
	chunkSpan = 10 * time.Minute

	// shortMessage is what is left of an error's text in a chunk that would not fit
	// a message, in bytes.
	shortMessage = 100
)

// A chunkID names a chunk: a MetricsExporter's windows that start within a span.
type chunkID struct {
	dayID
	number int
}

// A dayID names a day of a MetricsExporter.
type dayID struct {
	namespace, name string
	day             int64 // days since the Unix epoch
}

// chunkOf returns the chunk of a window of an event.
func chunkOf(e *wire.Event) chunkID {
	const day = int64(24 * time.Hour)
	n := floorDiv(e.StartUnixNano, day)
	return chunkID{dayID{e.Namespace, e.Name, n}, int((e.StartUnixNano - n*day) / int64(chunkSpan))}
}

func floorDiv(a, b int64) int64 {
	n := a / b
	if a%b < 0 {
		n--
	}
	return n
}

// date returns the day as YYYYMMDD.
func (d dayID) date() string { return time.Unix(d.day*86400, 0).UTC().Format("20060102") }

func (d dayID) exporterKey() string { return schemas.Token(d.namespace) + "." + schemas.Token(d.name) }

// key returns the key of a day's LedgerDay.
func (d dayID) key() string { return dayPrefix + d.exporterKey() + "." + d.date() }

// key returns the key of a chunk: its day and the minute it starts at.
func (c chunkID) key() string {
	at := time.Duration(c.number) * chunkSpan
	return fmt.Sprintf("%s%s.%s.%02d%02d", windowPrefix, c.exporterKey(), c.date(), int(at.Hours()), int(at.Minutes())%60)
}

// validate refuses an event that cannot be of a window.
func validate(e *wire.Event) error {
	switch {
	case e.Namespace == "" || e.Name == "":
		return errors.New("it names no MetricsExporter")
	case e.StartUnixNano >= e.EndUnixNano:
		return fmt.Errorf("its window ends at %s, not after its start at %s", time.Unix(0, e.EndUnixNano).UTC().Format(time.RFC3339Nano),
			time.Unix(0, e.StartUnixNano).UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// applyChunk folds the event of a window into its chunk.
func applyChunk(c *wire.LedgerChunk, e *wire.Event) {
	i, ok := slices.BinarySearchFunc(c.Windows, e, func(r *wire.WindowRecord, e *wire.Event) int {
		return cmp.Or(cmp.Compare(r.StartUnixNano, e.StartUnixNano), cmp.Compare(r.EndUnixNano, e.EndUnixNano))
	})
	if !ok {
		c.Windows = slices.Insert(c.Windows, i, &wire.WindowRecord{StartUnixNano: e.StartUnixNano, EndUnixNano: e.EndUnixNano})
	}
	apply(c.Windows[i], e)
}

// encode returns the bytes of a value, the same for equal ones.
func encode(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// encodeChunk encodes a chunk such that it fits a message, if that takes no more than
// shorter texts of its errors.
func encodeChunk(c *wire.LedgerChunk) ([]byte, error) {
	data, err := encode(c)
	if err != nil || len(data) <= schemas.MaxMessageBytes {
		return data, err
	}
	for _, w := range c.Windows {
		for _, course := range append([]*wire.WindowCourse{w.Schedule}, w.Replays...) {
			for _, e := range slices.Concat([]*wire.WindowError{course.GetRetrying(), course.GetMore()}, course.GetFailures(), course.GetDropped(), course.GetPutBack()) {
				if e != nil && len(e.Message) > shortMessage {
					e.Message = strings.ToValidUTF8(e.Message[:shortMessage], "")
				}
			}
		}
	}
	return encode(c)
}

// digest sums up a chunk.
func digest(c *wire.LedgerChunk, number int, revision uint64) *wire.ChunkDigest {
	d := &wire.ChunkDigest{Number: uint32(number), Revision: revision, States: map[string]uint64{}}
	for _, r := range c.Windows {
		w := newWindow("", "", r)
		d.Exporter = r.Exporter
		d.States[string(w.State)]++
		d.Rows += w.Rows
		d.Points += w.Points
		for _, n := range w.Rejected {
			d.Rejected += n
		}
		for _, course := range append([]*wire.WindowCourse{r.Schedule}, r.Replays...) {
			d.LastUnixNano = max(d.LastUnixNano, course.GetLastUnixNano())
		}
		if w.GivenUp {
			d.Dropped++
		}
		if w.State == StateExported {
			d.ExportedUnixNano = max(d.ExportedUnixNano, w.Exported.UnixNano())
		}
		if w.State == StateQueried {
			d.RowBatches += max(w.RowBatches, 1)
		}
		if w.State == StateTransformed && w.Batches > w.Accepted {
			d.OtlpBatches += w.Batches - w.Accepted
		}
		if r.Schedule == nil {
			if w.State == StateExported {
				d.Replayed = cover(d.Replayed, r.StartUnixNano, r.EndUnixNano)
			}
			continue
		}
		d.Covered = cover(d.Covered, r.StartUnixNano, r.EndUnixNano)
		at := r.Schedule.PlannedUnixNano
		if at == 0 {
			at = r.Schedule.LastUnixNano
		}
		d.PlannedUnixNano = first(d.PlannedUnixNano, at)
		if w.State != StateExported && !w.GivenUp {
			d.OpenUnixNano = first(d.OpenUnixNano, r.StartUnixNano)
		}
		switch {
		case w.GivenUp:
			d.DroppedRanges = cover(d.DroppedRanges, r.StartUnixNano, r.EndUnixNano)
		case w.State == StateFailed:
			d.Failed++
			d.FailedRanges = cover(d.FailedRanges, r.StartUnixNano, r.EndUnixNano)
		case w.State == StateExported:
			d.Failed = 0
		}
	}
	return d
}

// cover adds a range to ranges, which are ordered by their start.
func cover(spans []*wire.Span, start, end int64) []*wire.Span {
	if n := len(spans); n > 0 && start <= spans[n-1].EndUnixNano {
		spans[n-1].EndUnixNano = max(spans[n-1].EndUnixNano, end)
		return spans
	}
	return append(spans, &wire.Span{StartUnixNano: start, EndUnixNano: end})
}
