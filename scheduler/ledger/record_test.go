package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// states tells the story of a window, event by event, and the state after each.
func TestState(t *testing.T) {
	const (
		planned, running, queried     = schemas.EventPlanned, schemas.EventRunning, schemas.EventQueried
		transformed, exported, failed = schemas.EventTransformed, schemas.EventExported, schemas.EventFailed
		retrying, dropped             = schemas.EventRetrying, schemas.EventDropped
		sender, transformer           = schemas.Sender, schemas.Transformer
	)
	a, b := run("a"), run("b")
	for name, tt := range map[string]struct {
		story *story
		want  string
	}{
		"OK": {newStory("x").export(0), "planned running queried transformed exported"},
		"OKSeveralBatches": {newStory("x").event(0, planned, 1).event(0, queried, 2, a, rows(9, 2)).event(0, exported, 3, a, batch(1, 4)).
			event(0, transformed, 4, a, rows(9, 3)).event(0, exported, 5, a, batch(1, 4)).event(0, exported, 6, a, batch(0, 4)).event(0, exported, 7, a, batch(2, 1)),
			"planned queried queried transformed transformed transformed exported"},
		"OKNoRows":       {newStory("x").event(0, planned, 1).event(0, queried, 2, a), "planned exported"},
		"OKAllRejected":  {newStory("x").event(0, queried, 1, a, rows(3, 1)).event(0, transformed, 2, a, rows(3, 0)), "queried exported"},
		"OKLatePlanned":  {newStory("x").event(0, queried, 2, a).event(0, planned, 1), "exported exported"},
		"OKOtherRunDone": {newStory("x").event(0, queried, 1, a, rows(3, 1)).event(0, queried, 2, b, rows(3, 1)).event(0, transformed, 3, b, rows(3, 1)).event(0, exported, 4, b, batch(0, 3)), "queried queried transformed exported"},
		"OKDuplicateCommit": {newStory("x").event(0, queried, 1, a, rows(3, 1)).event(0, transformed, 2, a, rows(3, 1)).event(0, running, 3).event(0, queried, 4, run(""), rows(3, 1)).event(0, exported, 5, a, batch(0, 3)),
			"queried transformed transformed transformed exported"},
		"OKRowsAfterNone": {newStory("x").event(0, queried, 1, a).event(0, queried, 2, b, rows(3, 1)).event(0, transformed, 3, b, rows(3, 1)).event(0, exported, 4, b, batch(0, 3)),
			"exported queried transformed exported"},
		"OKPartsLost": {newStory("x").event(0, planned, 1).event(0, queried, 2, a, rows(9, 3)).event(0, exported, 3, a, batch(0, 3)).event(0, running, 4, request("~again-a")).
			event(0, queried, 5, b, request("~again-a"), rows(9, 3)).event(0, transformed, 6, b, request("~again-a"), rows(9, 1)).event(0, exported, 7, b, request("~again-a"), batch(0, 9)),
			"planned queried queried running queried transformed exported"},
		"ErrQuery": {newStory("x").event(0, planned, 1).event(0, running, 2).event(0, failed, 3).event(0, running, 10).event(0, failed, 11).event(0, running, 20).event(0, queried, 21, a),
			"planned running failed running failed running exported"},
		"ErrTransform": {newStory("x").event(0, queried, 1, a, rows(3, 1)).event(0, failed, 2, a, because(transformer, "permanent", "x")).event(0, transformed, 3, a, rows(3, 1)).event(0, exported, 4, a, batch(0, 3)),
			"queried failed transformed exported"},
		"ErrSend": {newStory("x").event(0, queried, 1, a, rows(3, 2)).event(0, failed, 2, a, because(sender, "permanent", "x")).event(0, transformed, 3, a, rows(3, 2)).
			event(0, exported, 4, a, batch(1, 1)).event(0, running, 5).event(0, exported, 6, a, batch(0, 2)),
			"queried failed failed failed failed exported"},
		"ErrSendAfterOther": {newStory("x").event(0, queried, 1, b, rows(3, 1)).event(0, transformed, 2, a, rows(3, 1)).event(0, failed, 3, a, because(sender, "permanent", "x")),
			"queried transformed failed"},
		"ErrSendQueriedAgain": {newStory("x").event(0, transformed, 1, a, rows(3, 1)).event(0, failed, 2, a, because(sender, "permanent", "x")).event(0, queried, 3, b, rows(3, 1)),
			"transformed failed transformed"},
		"ErrSendPutBack": {newStory("x").event(0, transformed, 1, a, rows(3, 1)).event(0, failed, 2, a, because(sender, "permanent", "x")).
			event(0, retrying, 3, a, because(sender, "retry", "x")).event(0, retrying, 4, a, because(sender, "permanent", "put back"), letter(2)).event(0, failed, 5, a, because(sender, "permanent", "x")),
			"transformed failed failed transformed failed"},
		"ErrQueryPutBack": {newStory("x").event(0, running, 1).event(0, failed, 2, because(schemas.Querier, "permanent", "x")).event(0, retrying, 3, because(schemas.Querier, "permanent", "x"), letter(2)), "running failed running"},
		"ErrQueryRenewed": {newStory("x").event(0, running, 1).event(0, failed, 2, because(schemas.Querier, "permanent", "x")).
			event(0, retrying, 3, because(schemas.Querier, schemas.KindRenewed, "x"), letter(2)).event(0, running, 4).event(0, queried, 5, a), "running failed planned running exported"},
		"ErrTransformRenewed": {newStory("x").event(0, running, 1).event(0, queried, 2, a, rows(3, 1)).event(0, failed, 3, a, because(transformer, "permanent", "x")).
			event(0, retrying, 4, a, because(transformer, schemas.KindRenewed, "x"), letter(3)).event(0, running, 5).event(0, queried, 6, b, rows(3, 1)).
			event(0, transformed, 7, b, rows(3, 1)).event(0, exported, 8, b, batch(0, 3)), "running queried failed planned running queried transformed exported"},
		"ErrTransformRenewedNoRows": {newStory("x").event(0, running, 1).event(0, queried, 2, a, rows(3, 1)).event(0, failed, 3, a, because(transformer, "permanent", "x")).
			event(0, retrying, 4, a, because(transformer, schemas.KindRenewed, "x"), letter(3)).event(0, running, 5).event(0, queried, 6, b), "running queried failed planned running exported"},
		"ErrTransformPutBack": {newStory("x").event(0, running, 1).event(0, queried, 2, a, rows(3, 1)).event(0, failed, 3, a, because(transformer, "permanent", "x")).
			event(0, retrying, 4, a, because(transformer, "permanent", "x"), letter(3)).event(0, queried, 5, b), "running queried failed queried queried"},
		"ErrDropped": {newStory("x").event(0, running, 1).event(0, failed, 2).event(0, dropped, 3, letter(3)).event(0, running, 4).event(0, queried, 5, a), "running failed failed running exported"},
		"ErrBatches": {newStory("x").event(0, transformed, 1, a, rows(3, 3)).event(0, exported, 2, a, batch(2, 1)).
			event(0, failed, 3, a, because(sender, "permanent", "x"), batch(0, 0)).event(0, failed, 3, a, because(sender, "permanent", "x"), batch(1, 0)).
			event(0, retrying, 4, a, because(sender, "permanent", "x"), batch(0, 0), letter(3)).event(0, exported, 5, a, batch(0, 1)).
			event(0, retrying, 6, a, because(sender, "permanent", "x"), batch(1, 0), letter(3)).event(0, failed, 7, a, because(sender, "permanent", "x"), batch(1, 0)).
			event(0, retrying, 8, a, because(sender, "permanent", "x"), batch(1, 0), letter(7)).event(0, exported, 9, a, batch(1, 1)),
			"transformed transformed failed failed failed failed transformed failed transformed exported"},
		"ErrPutBackReportedLate": {newStory("x").event(0, transformed, 1, a, rows(3, 1)).event(0, failed, 2, a, because(sender, "permanent", "x")).event(0, failed, 4, a, because(sender, "permanent", "x")).
			event(0, retrying, 9, a, because(sender, "permanent", "x"), letter(2)).event(0, retrying, 3, a, because(sender, "permanent", "x"), letter(4)).event(0, retrying, 12, a, because(sender, "permanent", "x"), letter(2)),
			"transformed failed failed failed transformed transformed"},
		"OKAcceptedAfterAll": {newStory("x").event(0, transformed, 1, a, rows(3, 2)).event(0, failed, 2, a, because(sender, "permanent", "x"), batch(1, 0)).event(0, exported, 3, a, batch(1, 1)).event(0, exported, 4, a, batch(0, 1)),
			"transformed failed transformed exported"},
		"OKRetrying": {newStory("x").event(0, planned, 1).event(0, running, 2).event(0, retrying, 3).event(0, queried, 4, a), "planned running running exported"},
		"OKReplay":   {newStory("x").export(0).event(0, planned, 60, request("r")).event(0, failed, 61, request("r")), "planned running queried transformed exported exported exported"},
		"OKReplayed": {newStory("x").event(0, failed, 1).event(0, planned, 2, request("r")).event(0, running, 3, request("r")).event(0, queried, 4, request("r"), a).event(0, running, 5, request("s")), "failed failed failed exported exported"},
		"OKOnlyReplay": {newStory("x").event(0, planned, 2, request("r")).event(0, failed, 3, request("r")).event(0, queried, 4, request("s"), a),
			"planned failed exported"},
		"OKNotYetKnown": {newStory("x").event(0, exported, 1, a, batch(0, 1)).event(0, transformed, 1, a, rows(1, 1)), "queried exported"},
	} {
		t.Run(name, func(t *testing.T) {
			var states []string
			for i := range tt.story.events {
				w, _ := records(t, began, tt.story.events[:i+1])
				require.Len(t, w, 1)
				states = append(states, string(w[0].State))
			}
			require.Equal(t, tt.want, strings.Join(states, " "))
		})
	}
}

func TestRecord(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		id := run("a")
		s := newStory("x").event(0, schemas.EventPlanned, 1).event(0, schemas.EventRunning, 2).
			event(0, schemas.EventRetrying, 3, because(schemas.Querier, "retry", "busy")).event(0, schemas.EventRunning, 4, attempt(2)).
			event(0, schemas.EventQueried, 5, id, rows(20, 2), attempt(2)).
			event(0, schemas.EventTransformed, 6, id, rows(20, 2), func(e *wire.Event) { e.Points = 18 }, rejected("null_value", 2)).
			event(0, schemas.EventExported, 7, id, batch(1, 7), rejected("endpoint", 1)).
			event(0, schemas.EventExported, 8, id, batch(0, 10), attempt(5)).event(0, schemas.EventExported, 9, id, batch(0, 10), attempt(6))
		windows, sum := records(t, began.Add(10*time.Minute), s.events)
		end := began.Add(time.Minute)
		require.Equal(t, []Window{{
			ID:   schemas.WindowID{Namespace: "ns", Name: "x", Window: schemas.Window{Start: began, End: end}, Generation: 1},
			Lane: schemas.LaneLive, Exporter: "prom", State: StateExported, Scheduled: true,
			Planned: end.Add(time.Second), Running: end.Add(2 * time.Second), Queried: end.Add(5 * time.Second),
			Transformed: end.Add(6 * time.Second), Exported: end.Add(9 * time.Second),
			Rows: 20, RowBatches: 2, Batches: 2, Accepted: 2, Points: 17,
			Rejected: map[string]uint64{"null_value": 2, "endpoint": 1}, Attempts: 6,
		}}, windows)
		require.Equal(t, end, sum.Watermark)
		require.Equal(t, 9*time.Minute, sum.Lag)
		require.True(t, sum.Ready)
		require.Equal(t, &Error{schemas.Querier, "retry", "busy", end.Add(3 * time.Second)}, sum.LastError, "also when it was made good")
		require.Equal(t, []uint64{20, 17, 3}, []uint64{sum.Rows, sum.Points, sum.Rejected})
	})

	t.Run("OKBounded", func(t *testing.T) {
		s := newStory("x")
		for i := range 100 {
			id := run(string(rune('a'+i%26)) + strings.Repeat("x", i))
			s.event(0, schemas.EventQueried, i, id, rows(1, 1)).event(0, schemas.EventFailed, i, id, because(schemas.Sender, "permanent", strings.Repeat("x", 5000))).
				event(0, schemas.EventPlanned, i, request(string(rune('a'+i%26))+strings.Repeat("x", i)))
		}
		s.event(0, schemas.EventExported, 1, run("a"), batch(1<<60, 1))
		c := &wire.LedgerChunk{}
		for _, e := range s.events {
			applyChunk(c, e)
		}
		r := c.Windows[0]
		require.Len(t, r.Replays, maxReplays)
		require.Len(t, r.Schedule.Runs, maxRuns)
		require.Len(t, r.Schedule.Failures, 100)
		data, err := encodeChunk(c)
		require.NoError(t, err)
		require.Less(t, len(data), 200_000)
	})
}

// A window of which one batch was given up and another is dead has failed; one is
// given up when all that is dead of it is.
func TestGivenUp(t *testing.T) {
	dead := func(s *story, kind schemas.EventType, after int, n uint64, change ...func(*wire.Event)) *story {
		return s.event(0, kind, after, append(change, run("a"), because(schemas.Sender, "permanent", string(kind)), batch(n, 0))...)
	}
	s := newStory("x").event(0, schemas.EventTransformed, 1, run("a"), rows(9, 3)).event(0, schemas.EventExported, 2, run("a"), batch(2, 3))
	dead(s, schemas.EventFailed, 3, 0)
	dead(s, schemas.EventFailed, 4, 1)
	dead(s, schemas.EventDropped, 5, 1, letter(4))
	w, sum := records(t, began.Add(time.Hour), s.events)
	require.Equal(t, StateFailed, w[0].State)
	require.False(t, w[0].GivenUp)
	require.Equal(t, "sender: failed", w[0].Error.String())
	require.Equal(t, "failed", sum.Gaps[0].Message)
	require.Equal(t, 1*time.Hour, sum.Lag, "the failed batch holds the watermark")

	dead(s, schemas.EventDropped, 6, 0, letter(3))
	w, sum = records(t, began.Add(time.Hour), s.events)
	require.True(t, w[0].GivenUp)
	require.Equal(t, "sender: given up: dropped", w[0].Error.String())
	require.Equal(t, "given up", sum.Gaps[0].Message)
	require.Equal(t, 59*time.Minute, sum.Lag)

	// Of the one that was put back there is more to come.
	dead(s, schemas.EventRetrying, 7, 0, letter(3))
	w, _ = records(t, began.Add(time.Hour), s.events)
	require.True(t, w[0].GivenUp, "the other is given up")
	dead(s, schemas.EventFailed, 8, 0)
	w, _ = records(t, began.Add(time.Hour), s.events)
	require.False(t, w[0].GivenUp)
	require.Equal(t, "sender: failed", w[0].Error.String())
}

// More dead letters of a window than are told apart: it has failed until it is
// exported.
func TestManyDeadLetters(t *testing.T) {
	s := newStory("x").event(0, schemas.EventTransformed, 1, run("a"), rows(9, maxErrors+2))
	for n := range uint64(maxErrors + 2) {
		s.event(0, schemas.EventFailed, 2, run("a"), because(schemas.Sender, "permanent", "no"), batch(n, 0))
	}
	// Those that are told apart arrived, and one of the others was put back.
	some := &story{name: s.name, length: s.length, events: slices.Clone(s.events)}
	for n := range uint64(maxErrors) {
		some.event(0, schemas.EventExported, 3, run("a"), batch(n, 1))
	}
	some.event(0, schemas.EventRetrying, 3, run("a"), because(schemas.Sender, "permanent", "put back"), batch(maxErrors+1, 0), letter(2))
	w, _ := records(t, began, some.events)
	require.Equal(t, StateFailed, w[0].State)

	for n := range uint64(maxErrors + 2) {
		s.event(0, schemas.EventRetrying, 3, run("a"), because(schemas.Sender, "permanent", "put back"), batch(n, 0), letter(2))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		w, _ := records(t, began, shuffled(s.events, r))
		require.Equal(t, StateFailed, w[0].State)
	}
	for n := range uint64(maxErrors + 2) {
		s.event(0, schemas.EventExported, 4, run("a"), batch(n, 1))
	}
	w, _ = records(t, began, shuffled(s.events, r))
	require.Equal(t, StateExported, w[0].State)
	w, _ = records(t, began, slices.DeleteFunc(s.events, func(e *wire.Event) bool { return e.Batch >= maxErrors && e.Type != string(schemas.EventTransformed) }))
	require.Equal(t, StateTransformed, w[0].State, "that many are told apart")
}

// The replay that made a window exported is not forgotten for those that failed since.
func TestManyReplays(t *testing.T) {
	s := newStory("x").event(0, schemas.EventFailed, 1).event(0, schemas.EventQueried, 2, request("good"), run("r"))
	for n := range 3 * maxReplays {
		s.event(0, schemas.EventFailed, 3+n, request(fmt.Sprint("bad-", n)))
	}
	w, _ := records(t, began, s.events)
	require.Equal(t, StateExported, w[0].State)
	require.Len(t, w[0].Replays, maxReplays)

	s = newStory("x").event(0, schemas.EventTransformed, 1, run("good"), rows(1, 1)).event(0, schemas.EventExported, 2, run("good"), batch(0, 1))
	for n := range 3 * maxRuns {
		s.event(0, schemas.EventQueried, 3+n, run(fmt.Sprint("later-", n)), rows(1, 1))
	}
	w, _ = records(t, began, s.events)
	require.Equal(t, StateExported, w[0].State)
}

// Whatever order events come in, and however often: the records are the same.
func TestOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		s := randomStory(r)
		now := began.Add(24 * time.Hour)
		windows, sum := records(t, now, s.events)
		for range 5 {
			again, sumAgain := records(t, now, shuffled(s.events, r))
			require.Equal(t, windows, again)
			require.Equal(t, sum, sumAgain)
		}
	}
}

// randomStory makes events of every kind that make no sense.
func randomStory(r *rand.Rand) *story {
	s := newStory("x")
	kinds := []schemas.EventType{schemas.EventPlanned, schemas.EventRunning, schemas.EventQueried, schemas.EventTransformed,
		schemas.EventExported, schemas.EventExported, schemas.EventFailed, schemas.EventRetrying, schemas.EventDropped, schemas.EventSkipped}
	requests := []string{"", "", "", "", "~again-a", "replay", "replay~again-b"}
	stages := []schemas.Stage{schemas.Querier, schemas.Transformer, schemas.Sender}
	for range 5 + r.IntN(40) {
		n := r.IntN(30)
		s.event(n, kinds[r.IntN(len(kinds))], r.IntN(60), request(requests[r.IntN(len(requests))]), attempt(uint64(r.IntN(4))), func(e *wire.Event) {
			switch schemas.EventType(e.Type) {
			case schemas.EventPlanned, schemas.EventRunning:
				return
			case schemas.EventSkipped:
				e.EndUnixNano += int64(r.IntN(5)) * int64(time.Minute)
				e.Message = "passed over"
				return
			case schemas.EventFailed, schemas.EventRetrying, schemas.EventDropped:
				e.Stage, e.Message, e.Kind = string(stages[r.IntN(3)]), "no", []string{"permanent", "retry"}[r.IntN(2)]
				if e.Type != string(schemas.EventFailed) && r.IntN(2) == 0 {
					e.LetterUnixNano = e.AtUnixNano - int64(r.IntN(30))*int64(time.Second)
				}
			}
			e.Run = []string{"", "a", "b"}[r.IntN(3)]
			e.Rows, e.Batches, e.Points = uint64(r.IntN(3)), uint64(r.IntN(3)), uint64(r.IntN(5))
			e.Batch = uint64(r.IntN(3))
			if e.Stage == string(schemas.Sender) {
				e.Rejected = map[string]uint64{"endpoint": uint64(r.IntN(3))}
			}
		})
	}
	return s
}
