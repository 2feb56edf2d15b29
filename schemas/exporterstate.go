package schemas

import "time"

// ExportersBucket is the KV bucket of exporters that take no batches, or not those of
// everybody: one ExporterState for each exporter and sender that finds it so.
const ExportersBucket = "k2o_exporters"

// ExporterStateTTL is how long an ExporterState counts; its sender writes it anew
// before.
const ExporterStateTTL = time.Minute

// ExporterStateKey is the key of an exporter's state as one sender sees it.
func ExporterStateKey(exporter, sender string) string { return Token(exporter) + "." + Token(sender) }

// The values of ExporterState.State.
const (
	ExporterDown       = "down"       // the endpoint takes no batches
	ExporterRecovering = "recovering" // it takes them again, and is given more and more
	ExporterUp         = "up"         // it takes them, but not those of ExporterState.Stuck; or the sender has ended
)

// ExporterState is what a sender knows of an exporter whose endpoint does not take
// batches, or has only just begun to, or does not take those of some MetricsExporters.
// Its JSON is the bucket's value.
type ExporterState struct {
	Exporter string `json:"exporter"`
	// Sender is the process: its host's name, and what makes it unique.
	Sender string `json:"sender"`
	// State is ExporterDown, ExporterRecovering or ExporterUp.
	State string `json:"state"`
	// Since is when the endpoint was found to be down; zero when it is up.
	Since time.Time `json:"since,omitzero"`
	// Reason is the last error of one that is or was down.
	Reason string `json:"reason,omitempty"`
	// Next is when a down endpoint is tried again.
	Next time.Time `json:"next,omitzero"`
	// Stuck are the MetricsExporters whose batches fail while those of others are
	// accepted, those with the most bytes first. Of one that is down it is as before.
	Stuck []Stuck `json:"stuck,omitempty"`
}

// Stuck is a MetricsExporter whose batches an endpoint does not take, though it takes
// others'.
type Stuck struct {
	// MetricsExporter is its namespace and name, with a slash between.
	MetricsExporter string `json:"metricsExporter"`
	// Batches and Bytes are how much of it the sender has seen waiting; 0 when the
	// sender has ended.
	Batches int    `json:"batches"`
	Bytes   uint64 `json:"bytes"`
	// Since is when the first of them failed; zero when the sender has ended.
	Since time.Time `json:"since,omitzero"`
	// Reason is the last error.
	Reason string `json:"reason,omitempty"`
}
