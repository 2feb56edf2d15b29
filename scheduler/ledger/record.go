package ledger

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// maxReplays and maxRuns bound what is kept of one window; the oldest goes, but
	// for the one that makes it exported.
	maxReplays = 16
	maxRuns    = 16

	// maxErrors bounds the dead letters of one window, and the decisions about them,
	// that are told apart.
	maxErrors = 1024

	// maxBatches bounds the number of an OTLP batch, a hundred times what the
	// largest window has: an event that is wrong must not cost memory.
	maxBatches = 1 << 17

	// maxMessage bounds the text of an error in a record, in bytes.
	maxMessage = 1100
)

// apply folds one event into the record of its window. Whatever the order in
// which events are applied, and however often each is, the record is the same:
// every field is a minimum, a maximum or a union.
func apply(r *wire.WindowRecord, e *wire.Event) {
	r.Generation = max(r.Generation, e.Generation)
	r.Exporter = max(r.Exporter, e.Exporter)
	// A window whose row batches were lost is queried again for the same request.
	request, _, _ := strings.Cut(e.Request, schemas.AgainMark)
	applyCourse(course(r, request), e)
	if len(r.Replays) > maxReplays {
		r.Replays = withoutOldest(r.Replays, func(c *wire.WindowCourse) (bool, int64, string) {
			return exported(c) != nil, c.LastUnixNano, c.Request
		})
	}
}

// course returns what is known of a request for a window.
func course(r *wire.WindowRecord, request string) *wire.WindowCourse {
	if request == "" {
		if r.Schedule == nil {
			r.Schedule = &wire.WindowCourse{}
		}
		return r.Schedule
	}
	i, ok := slices.BinarySearchFunc(r.Replays, request, func(c *wire.WindowCourse, request string) int {
		return cmp.Compare(c.Request, request)
	})
	if !ok {
		r.Replays = slices.Insert(r.Replays, i, &wire.WindowCourse{Request: request})
	}
	return r.Replays[i]
}

// withoutOldest returns a list without its oldest element, other than the newest one
// that makes the window exported.
func withoutOldest[T any](list []*T, of func(*T) (exported bool, at int64, id string)) []*T {
	var oldest, newest *T
	compare := func(a, b *T) int {
		_, atA, idA := of(a)
		_, atB, idB := of(b)
		return cmp.Or(cmp.Compare(atA, atB), cmp.Compare(idA, idB))
	}
	for _, e := range list {
		if is, _, _ := of(e); is && (newest == nil || compare(e, newest) > 0) {
			newest = e
		}
	}
	for _, e := range list {
		if e != newest && (oldest == nil || compare(e, oldest) < 0) {
			oldest = e
		}
	}
	return slices.DeleteFunc(list, func(e *T) bool { return e == oldest })
}

func applyCourse(c *wire.WindowCourse, e *wire.Event) {
	at := e.AtUnixNano
	c.Lane = max(c.Lane, e.Lane)
	c.Attempts = max(c.Attempts, e.Attempt)
	c.LastUnixNano = max(c.LastUnixNano, at)
	switch schemas.EventType(e.Type) {
	case schemas.EventPlanned:
		c.PlannedUnixNano = first(c.PlannedUnixNano, at)
	case schemas.EventRunning:
		c.RunningUnixNano = first(c.RunningUnixNano, at)
		c.BegunUnixNano = max(c.BegunUnixNano, at)
	case schemas.EventQueried:
		c.QueriedUnixNano = max(c.QueriedUnixNano, at)
		// A second commit of rows that were transformed meanwhile does not know its run.
		if e.Run != "" {
			r := runOf(c, e.Run)
			r.QueriedUnixNano = max(r.QueriedUnixNano, at)
			r.Rows, r.RowBatches = max(r.Rows, e.Rows), max(r.RowBatches, e.Batches)
		}
	case schemas.EventTransformed:
		if e.Run != "" {
			applyTransformed(runOf(c, e.Run), e)
		}
	case schemas.EventExported:
		if e.Run != "" && e.Batch < maxBatches {
			applyExported(runOf(c, e.Run), e)
		}
	case schemas.EventRetrying:
		c.Retrying = later(c.Retrying, errorOf(e))
		if e.LetterUnixNano != 0 {
			c.PutBack, _ = latest(c.PutBack, errorOf(e))
		}
	case schemas.EventFailed:
		var more *wire.WindowError
		c.Failures, more = latest(c.Failures, errorOf(e))
		if more != nil {
			more.Batch = maxBatches // which no decision is about: the others are not known
			c.More = later(c.More, more)
		}
	case schemas.EventDropped:
		c.Dropped, _ = latest(c.Dropped, errorOf(e))
	}
}

// runOf returns what is known of a run.
func runOf(c *wire.WindowCourse, run string) *wire.RunRecord {
	i, ok := slices.BinarySearchFunc(c.Runs, run, func(r *wire.RunRecord, run string) int { return cmp.Compare(r.Run, run) })
	if ok {
		return c.Runs[i]
	}
	if len(c.Runs) >= maxRuns {
		c.Runs = withoutOldest(c.Runs, func(r *wire.RunRecord) (bool, int64, string) {
			return complete(r), r.QueriedUnixNano, r.Run
		})
		return runOf(c, run)
	}
	c.Runs = slices.Insert(c.Runs, i, &wire.RunRecord{Run: run})
	return c.Runs[i]
}

// applyTransformed takes the larger count where a run was transformed twice, with
// another compression in between: all batches of either are sent.
func applyTransformed(r *wire.RunRecord, e *wire.Event) {
	r.TransformedUnixNano = first(r.TransformedUnixNano, e.AtUnixNano)
	r.Rows = max(r.Rows, e.Rows)
	r.Batches, r.Points = max(r.Batches, e.Batches), max(r.Points, e.Points)
	for reason, n := range e.Rejected {
		if r.Rejected == nil {
			r.Rejected = map[string]uint64{}
		}
		r.Rejected[reason] = max(r.Rejected[reason], n)
	}
}

// applyExported notes the batch by its number, so that one that was sent twice is
// counted once.
func applyExported(r *wire.RunRecord, e *wire.Event) {
	r.ExportedUnixNano = max(r.ExportedUnixNano, e.AtUnixNano)
	if n := int(e.Batch) + 1 - len(r.Accepted); n > 0 {
		r.Accepted = append(r.Accepted, make([]uint64, n)...)
	}
	r.Accepted[e.Batch] = max(r.Accepted[e.Batch], e.Points+1)
	for reason, n := range e.Rejected {
		i, ok := slices.BinarySearchFunc(r.Refused, e.Batch, func(b *wire.BatchRefusal, batch uint64) int {
			return cmp.Or(cmp.Compare(b.Batch, batch), cmp.Compare(b.Reason, reason))
		})
		if !ok {
			r.Refused = slices.Insert(r.Refused, i, &wire.BatchRefusal{Batch: e.Batch, Reason: reason})
		}
		r.Refused[i].Points = max(r.Refused[i].Points, n)
	}
}

// latest adds an error to those of a window, of which each stage, run and batch has
// its latest. What is too many for the list it returns: of all there ever were, the
// first in order are kept, whatever order they come in.
func latest(list []*wire.WindowError, err *wire.WindowError) (kept []*wire.WindowError, tooMany *wire.WindowError) {
	i, ok := slices.BinarySearchFunc(list, err, about)
	if ok {
		// Of decisions the one about the later failure counts, whoever's clock it has.
		if old := list[i].LetterUnixNano; old == err.LetterUnixNano {
			list[i] = later(list[i], err)
		} else if old < err.LetterUnixNano {
			list[i] = err
		}
		return list, nil
	}
	list = slices.Insert(list, i, err)
	if len(list) > maxErrors {
		return list[:maxErrors], list[maxErrors]
	}
	return list, nil
}

// about orders errors by the message that they are about: 0 if it is the same.
func about(a, b *wire.WindowError) int {
	return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Run, b.Run), cmp.Compare(a.Batch, b.Batch))
}

// find returns the error about the same message; nil if there is none.
func find(list []*wire.WindowError, err *wire.WindowError) *wire.WindowError {
	if i, ok := slices.BinarySearchFunc(list, err, about); ok {
		return list[i]
	}
	return nil
}

func errorOf(e *wire.Event) *wire.WindowError {
	message := e.Message
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "")
	}
	return &wire.WindowError{Stage: e.Stage, Kind: e.Kind, Message: message, AtUnixNano: e.AtUnixNano,
		Run: e.Run, Batch: e.Batch, LetterUnixNano: e.LetterUnixNano}
}

// later returns the later of two errors, either of which may be nil; of two at the
// same time always the same one.
func later(a, b *wire.WindowError) *wire.WindowError {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	if cmp.Or(cmp.Compare(a.AtUnixNano, b.AtUnixNano), about(a, b), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Message, b.Message), cmp.Compare(a.LetterUnixNano, b.LetterUnixNano)) < 0 {
		return b
	}
	return a
}

// first returns the earlier of two times, of which 0 is none.
func first(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
