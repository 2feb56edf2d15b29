package ledger

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// FailingAfter is how many windows in a row have to fail for a MetricsExporter to
	// be failing.
	FailingAfter = 3

	// missingAfter is how long the watermark waits for reports of windows of which
	// there are none, when there are of later ones. They come in any order, but not
	// that late: nobody issued such windows, since the stream of jobs was lost.
	missingAfter = time.Hour
)

// Summary is how far the windows of one MetricsExporter are.
type Summary struct {
	Namespace, Name string
	// Exporter is that of the newest windows.
	Exporter string
	// Watermark: every window that ends at or before it is exported, but for the Gaps
	// that are skipped, given up or missing. A failed window holds it. Zero: the first
	// window is not exported yet.
	Watermark time.Time
	// Lag is the time from the watermark until now, or from the start of the first
	// window. It includes the length of the window that is not over yet.
	Lag time.Duration
	// States counts windows; a skipped range counts as one.
	States map[State]uint64
	// Gaps are the ranges that were skipped, failed, given up or are missing, the
	// oldest first.
	Gaps []Gap
	// Backlog is what waits, by the stage it waits for.
	Backlog map[schemas.Stage]Backlog
	// Rows, Points and Rejected of all windows.
	Rows, Points, Rejected uint64
	// LastExported is when a window was last exported.
	LastExported time.Time
	// LastError is the latest error of all, also if it was made good since.
	LastError *Error
	// FailedInARow counts the failed windows after the newest exported one.
	FailedInARow uint64
	// Ready: something was exported, nothing went wrong since, and nothing failed that
	// nobody has decided about. Whether it is late the ledger does not know.
	Ready bool
	// Unready says why it is not Ready; empty: it is.
	Unready string
	// Failing: several windows in a row failed, up to the newest.
	Failing bool
}

// Backlog is what waits for a stage.
type Backlog struct {
	Windows uint64
	// Batches of rows for the transformer, of OTLP for the sender; jobs for the
	// querier.
	Batches uint64
}

// Waiting returns the number of windows under way.
func (s *Summary) Waiting() uint64 {
	n := uint64(0)
	for state, count := range s.States {
		if state.Waiting() {
			n += count
		}
	}
	return n
}

// Gap is a range of time of which not every window is exported, nor will be by
// itself.
type Gap struct {
	schemas.Window
	State   State // StateFailed or StateSkipped; empty: nothing is known of it
	Message string
}

// summarize adds up the days of a MetricsExporter, in any order.
func summarize(namespace, name string, days []*wire.LedgerDay, now time.Time) Summary {
	s := Summary{Namespace: namespace, Name: name, States: map[State]uint64{}, Backlog: map[schemas.Stage]Backlog{}}
	var chunks []*wire.ChunkDigest
	var lastError *wire.WindowError
	var skipped []*wire.SkippedRange
	for _, d := range days {
		chunks = append(chunks, d.Chunks...)
		skipped = append(skipped, d.Skipped...)
		lastError = later(lastError, d.LastError)
	}
	slices.SortFunc(chunks, func(a, b *wire.ChunkDigest) int { return cmp.Compare(chunkStart(a), chunkStart(b)) })
	row := true
	for _, c := range slices.Backward(chunks) {
		s.add(c)
		if row {
			s.FailedInARow += c.Failed
			// Others of it were exported or are to be: before them the row ends.
			row = c.States[string(StateExported)] == 0
		}
		s.Exporter = cmp.Or(s.Exporter, c.Exporter)
	}
	s.LastError = newError(lastError)
	s.advance(chunks, skipped, now)
	if len(chunks) == 0 && len(skipped) > 0 {
		s.Exporter = skipped[len(skipped)-1].Exporter
	}
	s.Failing = s.FailedInARow >= FailingAfter
	s.Unready = s.unready(chunks)
	s.Ready = s.Unready == ""
	return s
}

func (s *Summary) unready(chunks []*wire.ChunkDigest) string {
	undecided := s.States[StateFailed]
	for _, c := range chunks {
		undecided -= min(undecided, c.Dropped)
	}
	switch {
	case s.Failing:
		return fmt.Sprintf("the last %d windows failed", s.FailedInARow)
	case s.LastExported.IsZero():
		return "no window of it was exported yet"
	case undecided > 0:
		return fmt.Sprintf("failed windows whose dead letters were neither put back nor dropped: %d", undecided)
	case s.LastError != nil && s.LastError.At.After(s.LastExported):
		return "no window of it was exported since the last error"
	}
	return ""
}

// chunkStart orders the chunks of a MetricsExporter.
func chunkStart(c *wire.ChunkDigest) int64 {
	for _, spans := range [][]*wire.Span{c.Covered, c.Replayed} {
		if len(spans) > 0 {
			return spans[0].StartUnixNano
		}
	}
	return 0 // nothing scheduled: it makes no difference where
}

func (s *Summary) add(c *wire.ChunkDigest) {
	for state, n := range c.States {
		s.States[State(state)] += n
	}
	add := func(stage schemas.Stage, windows, batches uint64) {
		b := s.Backlog[stage]
		s.Backlog[stage] = Backlog{b.Windows + windows, b.Batches + batches}
	}
	jobs := c.States[string(StatePlanned)] + c.States[string(StateRunning)]
	add(schemas.Querier, jobs, jobs)
	add(schemas.Transformer, c.States[string(StateQueried)], c.RowBatches)
	add(schemas.Sender, c.States[string(StateTransformed)], c.OtlpBatches)
	s.Rows, s.Points, s.Rejected = s.Rows+c.Rows, s.Points+c.Points, s.Rejected+c.Rejected
	if at := instant(c.ExportedUnixNano); at.After(s.LastExported) {
		s.LastExported = at
	}
}

// A stretch is a range of time of which something is known.
type stretch struct {
	start, end int64
	skip       *wire.SkippedRange
	chunk      *wire.ChunkDigest
}

// advance moves the watermark from the first window to the first that is not
// exported, and finds the gaps.
func (s *Summary) advance(chunks []*wire.ChunkDigest, skipped []*wire.SkippedRange, now time.Time) {
	var known, replayed []stretch
	open := int64(0)
	for _, c := range chunks {
		open = first(open, c.OpenUnixNano)
		for _, span := range c.Covered {
			known = append(known, stretch{span.StartUnixNano, span.EndUnixNano, nil, c})
		}
		for _, span := range c.Replayed {
			replayed = append(replayed, stretch{start: span.StartUnixNano, end: span.EndUnixNano})
		}
		for _, r := range c.FailedRanges {
			s.Gaps = append(s.Gaps, Gap{span(r.StartUnixNano, r.EndUnixNano), StateFailed, "failed"})
		}
		for _, r := range c.DroppedRanges {
			s.Gaps = append(s.Gaps, Gap{span(r.StartUnixNano, r.EndUnixNano), StateFailed, "given up"})
		}
	}
	// Whatever else is known of a window overrules a skip.
	done := append(slices.Clone(known), replayed...)
	left := passedOver(skipped, done)
	s.States[StateSkipped] += uint64(len(left))
	for r, ranges := range left {
		for _, left := range ranges {
			s.Gaps = append(s.Gaps, Gap{left, StateSkipped, r.Message})
		}
	}
	for _, r := range skipped {
		known = append(known, stretch{r.StartUnixNano, r.EndUnixNano, r, nil})
	}
	byStart := func(a, b stretch) int { return cmp.Compare(a.start, b.start) }
	slices.SortFunc(known, byStart)
	if len(known) > 0 {
		reached := known[0].start
		held := open
		for _, k := range known {
			if k.start > reached {
				at := int64(0)
				if k.chunk != nil {
					at = k.chunk.PlannedUnixNano
				} else {
					at = k.skip.AtUnixNano
				}
				missing := minus(reached, k.start, replayed)
				if len(missing) > 0 && now.Sub(time.Unix(0, at)) < missingAfter {
					// The reports of what lies between may be on their way.
					held = first(held, reached)
					break
				}
				for _, left := range missing {
					s.Gaps = append(s.Gaps, Gap{left, "", "nothing was reported of any window"})
				}
			}
			reached = max(reached, k.end)
		}
		if held != 0 {
			reached = min(reached, held)
		}
		s.Lag = max(now.Sub(time.Unix(0, reached)), 0)
		if !s.LastExported.IsZero() && reached > known[0].start {
			s.Watermark = instant(reached)
		}
	}
	s.Gaps = join(s.Gaps)
}

// join orders gaps, and makes one of those that follow each other for the same reason:
// they come chunk by chunk.
func join(gaps []Gap) []Gap {
	slices.SortFunc(gaps, func(a, b Gap) int { return a.Start.Compare(b.Start) })
	var joined []Gap
	for _, g := range gaps {
		if n := len(joined); n > 0 && joined[n-1].State == g.State && joined[n-1].Message == g.Message && !joined[n-1].End.Before(g.Start) {
			if g.End.After(joined[n-1].End) {
				joined[n-1].End = g.End
			}
			continue
		}
		joined = append(joined, g)
	}
	return joined
}

// passedOver returns what is left of each skipped range without what is done and
// without the other ranges; one of which nothing is left is not among them. A
// scheduler that ends, or is overtaken, between the event of a skip and the skip itself
// leaves one to the next that says the same of a longer range.
func passedOver(skipped []*wire.SkippedRange, done []stretch) map[*wire.SkippedRange][]schemas.Window {
	skipped = slices.Clone(skipped)
	slices.SortFunc(skipped, func(a, b *wire.SkippedRange) int {
		return cmp.Or(cmp.Compare(a.StartUnixNano, b.StartUnixNano), -cmp.Compare(a.EndUnixNano, b.EndUnixNano))
	})
	left := map[*wire.SkippedRange][]schemas.Window{}
	reached := int64(math.MinInt64)
	for _, r := range skipped {
		if ranges := minus(max(r.StartUnixNano, reached), r.EndUnixNano, done); len(ranges) > 0 {
			left[r] = ranges
		}
		reached = max(reached, r.EndUnixNano)
	}
	return left
}

// minus returns what is left of a range without those that are done.
func minus(start, end int64, done []stretch) []schemas.Window {
	done = slices.DeleteFunc(slices.Clone(done), func(d stretch) bool { return d.end <= start || d.start >= end })
	slices.SortFunc(done, func(a, b stretch) int { return cmp.Compare(a.start, b.start) })
	var left []schemas.Window
	for _, d := range done {
		if d.start > start {
			left = append(left, span(start, d.start))
		}
		start = max(start, d.end)
	}
	if start < end {
		left = append(left, span(start, end))
	}
	return left
}

func span(start, end int64) schemas.Window {
	return schemas.Window{Start: time.Unix(0, start).UTC(), End: time.Unix(0, end).UTC()}
}
