package resource

import (
	"context"
	"log/slog"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// defaultPoll is how often the files are read to see whether they changed,
	// whatever the file system says: it may say nothing (network mounts, bind
	// mounts, exhausted inotify). With settle and gone it keeps a change below the
	// five seconds it may take.
	defaultPoll = time.Second
	// debounce is how long after a first event the files are read, so that the
	// many events of one change cause one reading.
	debounce = 100 * time.Millisecond
)

// WatcherConfig says what a Watcher watches. Only Globs is needed.
type WatcherConfig struct {
	// Globs are the paths and patterns, as for Load.
	Globs []string
	// Context is what documents are checked against.
	Context Context
	// Every is how often the files are read; default 1s.
	Every time.Duration
	// Poll, when set, is the only thing that makes the watcher read, and the
	// times it delivers are its only clock. For tests.
	Poll <-chan time.Time
	// Logger is told when the file system cannot be watched, and polling is all
	// there is. Default: nobody.
	Logger *slog.Logger

	// observed is called when what Poll made the watcher do is done. For tests.
	observed func()
}

// A Watcher reads files again whenever they change.
type Watcher struct{ config WatcherConfig }

// NewWatcher returns a Watcher, which does nothing until Run.
func NewWatcher(config WatcherConfig) *Watcher {
	if config.Every <= 0 {
		config.Every = defaultPoll
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.observed == nil {
		config.observed = func() {}
	}
	return &Watcher{config}
}

// Run calls apply with what the files declare, at once and then whenever that,
// or the list of problems, is another. It calls from its own goroutine, one
// call at a time, and returns nil when ctx ends, with nothing left running.
func (w *Watcher) Run(ctx context.Context, apply func(Set)) error {
	t := newTracker(w.config.Globs, w.config.Context)
	poll := w.config.Poll
	var events <-chan fsnotify.Event
	var lost <-chan error
	var watch func()
	// A recheck is due when a change has to be looked at once more.
	recheck := time.NewTimer(0)
	recheck.Stop()
	defer recheck.Stop()
	if poll == nil {
		ticker := time.NewTicker(w.config.Every)
		defer ticker.Stop()
		poll = ticker.C
		if notifier, err := fsnotify.NewWatcher(); err != nil {
			w.config.Logger.Warn("file system cannot be watched, polling only", "every", w.config.Every, "error", err)
		} else {
			defer func() { _ = notifier.Close() }()
			events, lost = notifier.Events, notifier.Errors
			watch = func() { watchDirectories(notifier, t.directories()) }
			watch()
		}
	}
	// After the watches are set, so that no change falls between.
	set, _, _ := t.observe(time.Now())
	apply(set)
	armed := false
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return nil
		case now = <-poll:
		case now = <-recheck.C:
			armed = false
		case <-events:
			if !armed {
				recheck.Reset(debounce)
				armed = true
			}
			continue
		case <-lost: //nolint:errcheck // which events does not matter
			// Events were lost; the next poll sees what they were about.
			continue
		}
		set, changed, again := t.observe(now)
		if changed {
			apply(set)
		}
		if w.config.Poll != nil {
			w.config.observed()
			continue
		}
		if again > 0 && !armed {
			recheck.Reset(again)
			armed = true
		}
		if watch != nil {
			watch()
		}
	}
}

// watchDirectories watches directories rather than files: a file that is
// replaced by another takes its watch with it. Errors are left to the poll,
// since a directory may come and go at any time.
func watchDirectories(notifier *fsnotify.Watcher, directories []string) {
	watched := map[string]bool{}
	for _, d := range notifier.WatchList() {
		watched[d] = true
	}
	for _, d := range directories {
		if !watched[d] {
			_ = notifier.Add(d)
		}
		delete(watched, d)
	}
	for d := range watched {
		_ = notifier.Remove(d)
	}
}
