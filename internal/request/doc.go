// Package request is what a replay and a backfill have in common: the windows of a
// past range, issued again once, on the backfill lane, and what becomes of them.
//
// How far a request is stands in one message, a [State] in the stream of jobs, on a
// subject of its own. A [Store] publishes jobs and the state that passes them as one
// atomic batch, which the stream takes only if the state is still the one that was
// read. So a window of a request is issued once, whoever is killed at whatever
// moment and however many work on the same request; whoever comes next goes on from
// the state.
//
// What became of the windows, the stages report as events. A [Tracker] adds them up.
package request
