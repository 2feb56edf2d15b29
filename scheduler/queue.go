package scheduler

import (
	"container/heap"
	"time"
)

// A queue holds the entries that wait, the one to look at first in front.
type queue struct{ entries []*entry }

// put adds an entry or moves it.
func (q *queue) put(e *entry, at time.Time) {
	e.at = at
	if e.index >= 0 {
		heap.Fix((*entryHeap)(q), e.index)
		return
	}
	heap.Push((*entryHeap)(q), e)
}

// drop removes an entry if it is in the queue.
func (q *queue) drop(e *entry) {
	if e.index >= 0 {
		heap.Remove((*entryHeap)(q), e.index)
	}
}

// take removes and returns the first entry if it is to be looked at.
func (q *queue) take(now time.Time) *entry {
	if len(q.entries) == 0 || q.entries[0].at.After(now) {
		return nil
	}
	return heap.Pop((*entryHeap)(q)).(*entry)
}

// wake has every entry looked at.
func (q *queue) wake(now time.Time) {
	for _, e := range q.entries {
		if e.at.After(now) {
			e.at = now
		}
	}
	heap.Init((*entryHeap)(q))
}

// wait returns how long it is until the first entry, at most limit.
func (q *queue) wait(now time.Time, limit time.Duration) time.Duration {
	if len(q.entries) == 0 {
		return limit
	}
	return max(0, min(limit, q.entries[0].at.Sub(now)))
}

type entryHeap queue

func (h *entryHeap) Len() int           { return len(h.entries) }
func (h *entryHeap) Less(i, j int) bool { return h.entries[i].at.Before(h.entries[j].at) }
func (h *entryHeap) Swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	h.entries[i].index, h.entries[j].index = i, j
}

func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(h.entries)
	h.entries = append(h.entries, e)
}

func (h *entryHeap) Pop() any {
	last := len(h.entries) - 1
	e := h.entries[last]
	h.entries[last] = nil
	h.entries = h.entries[:last]
	e.index = -1
	return e
}
