package kql

import (
	"container/list"
	"sync"
)

// key is what an analysis depends on.
type key struct{ version, database, text string }

// cache keeps the most recently used analyses of one kind. The zero value keeps none.
type cache[T any] struct {
	mu    sync.Mutex
	max   int
	byKey map[key]*list.Element
	used  list.List // of *entry[T], most recent first
}

type entry[T any] struct {
	key   key
	value *T
}

func newCache[T any](size int) *cache[T] {
	return &cache[T]{max: size, byKey: make(map[key]*list.Element)}
}

// get returns nil for what is not kept.
func (c *cache[T]) get(k key) *T {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[k]
	if e == nil {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*entry[T]).value
}

func (c *cache[T]) put(k key, value *T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[k]; e != nil {
		e.Value.(*entry[T]).value = value
		c.used.MoveToFront(e)
		return
	}
	c.byKey[k] = c.used.PushFront(&entry[T]{k, value})
	for len(c.byKey) > c.max {
		oldest := c.used.Back()
		c.used.Remove(oldest)
		delete(c.byKey, oldest.Value.(*entry[T]).key)
	}
}
