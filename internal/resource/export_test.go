package resource

// Observed makes c call f whenever what Poll made the watcher do is done.
func Observed(c WatcherConfig, f func()) WatcherConfig {
	c.observed = f
	return c
}
