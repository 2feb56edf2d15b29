package kql

import (
	"container/list"
	"sync"
)

// key is what an analysis depends on.
type key struct{ version, database, text string }

// cache keeps the most recently used analyses. The zero value keeps none.
type cache struct {
	mu    sync.Mutex
	max   int
	byKey map[key]*list.Element
	used  list.List // of *entry, most recent first
}

type entry struct {
	key   key
	query *Query
}

func newCache(size int) *cache {
	return &cache{max: size, byKey: make(map[key]*list.Element)}
}

func (c *cache) get(k key) *Query {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[k]
	if e == nil {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*entry).query
}

func (c *cache) put(k key, q *Query) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[k]; e != nil {
		e.Value.(*entry).query = q
		c.used.MoveToFront(e)
		return
	}
	c.byKey[k] = c.used.PushFront(&entry{k, q})
	for len(c.byKey) > c.max {
		oldest := c.used.Back()
		c.used.Remove(oldest)
		delete(c.byKey, oldest.Value.(*entry).key)
	}
}
