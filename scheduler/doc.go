// Package scheduler turns MetricsExporters into window jobs: one for every
// window, when it is due, once.
//
// # What arrives, what leaves
//
// A [Source] tells which MetricsExporters there are, again whenever that
// changes. What leaves are window jobs and, beside them in the same stream, one
// cursor for each MetricsExporter, which says how far its windows were issued;
// and events: planned for each window issued, skipped for each range of windows
// passed over. [Position.At] decides which windows those are, and is a pure
// function.
//
// # What happens in a crash
//
// Jobs and the cursor that passes them are published as one atomic batch, which
// the stream takes only if the cursor is still the one the scheduler read. So a
// job exists if and only if the cursor has passed it. Any number of schedulers
// may run at once, without a leader: of two that issue the same windows one is
// refused, reads the cursor and goes on from there. An ack that does not come
// says nothing; the cursor is read again. No step relies on a time window within
// which the server would drop duplicates.
//
// Events go to another stream and so cannot be in the batch.
//
//   - A skipped event is published, and its ack awaited, before the cursor
//     passes its range. A scheduler that is killed or refused in between has
//     reported windows that another skips too, in a range of its own; or issues
//     after all, if it has a longer catchUp or was a moment earlier. So whatever
//     else is reported of a window overrules a skip.
//   - A planned event is published after the batch, so that there is none for a
//     window that was never issued: a ledger would wait for it for ever. Whoever
//     reads a cursor that it did not write (after a start, a refusal or a lost
//     ack) reports the jobs of its batch, which come right before the cursor in
//     the stream, before it issues anything. A job that is gone by then has been
//     handled by a querier, and reported by it.
//
// Both come at least once, a planned event maybe after those of the stages that
// follow. Their message ids keep most repetitions out.
//
// # Generations
//
// The generation in a window's id counts the specs that its MetricsExporter had.
// It rises when the cursor's hash of the spec is another than that of the spec at
// hand. The hash leaves out what does not change a window: suspend, reconcile and
// backfill.
//
// While a new version of a file is rolled out, schedulers differ about the spec.
// A scheduler claims the cursor for a spec when it first sees it, be it at its
// start or when a file changes. Finding the cursor claimed for another spec later,
// it gives way: it issues a window only when that is half a minute overdue, that
// is when whoever has the other spec is gone. So each start and each change raises
// the generation once at most, and the newest claim wins, without anyone having
// to know which version of a file is the newer one.
//
// # Backfills
//
// The windows that spec.backfill asks for are issued beside the schedule's, on the
// backfill lane and under the backfill's requestId. How far one is stands in a
// message of its own, which is advanced in one atomic batch with its jobs, like a
// cursor; so it runs once, survives restarts, and is not doubled by a second
// scheduler. That message names the windows in flight: those that were issued and
// of which no event has said yet that they were exported or failed. There are
// maxInFlight of them at most, however far the events lag behind: a window is only
// taken off when its end was reported.
//
// # Looking at windows again
//
// A MetricsExporter that reconciles has a second cursor, of the windows that were
// looked at again. It follows the first at a distance and moves in the same way, with
// its jobs in one atomic batch, so what is said above of crashes and of several
// schedulers is true of it too. The first cursor tells it where its generation began
// and which ranges were passed over: no window is looked at again that was not issued,
// or was with another spec.
//
// # What failed with a former spec
//
// A query or a transform that can never work leaves a dead letter for each window. When
// the cursor has another spec than the one that a letter's job carries, and this
// process has it too, the window is issued again: as a job of the present generation, on the
// backfill lane, in place of the letter. That takes three steps, of which each may be
// repeated (package deadletter); several schedulers may do it at once.
//
// # Clocks
//
// No window is issued before its end by this process's clock. When the clock is
// set back, the cursor is ahead of it and nothing is issued until time has passed
// it again. A clock that leaps forward would issue windows before their rows
// exist, so a leap, and the time at the start, have to be confirmed by a second
// clock, if [Config] names one, before anything is issued.
package scheduler
