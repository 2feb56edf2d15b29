package schemas

import "time"

// ExportersBucket is the KV bucket of exporters that cannot be reached: one
// ExporterState for each exporter and sender that finds it so.
const ExportersBucket = "k2o_exporters"

// ExporterStateTTL is how long an ExporterState counts; its sender writes it anew
// before.
const ExporterStateTTL = time.Minute

// ExporterStateKey is the key of an exporter's state as one sender sees it.
func ExporterStateKey(exporter, sender string) string { return Token(exporter) + "." + Token(sender) }

// ExporterState is what a sender knows of an exporter whose endpoint does not take
// batches, or has only just begun to. Its JSON is the bucket's value.
type ExporterState struct {
	Exporter string `json:"exporter"`
	// Sender is the process: its host's name, and what makes it unique.
	Sender string `json:"sender"`
	// State is down or recovering.
	State string `json:"state"`
	// Since is when the endpoint was found to be down.
	Since time.Time `json:"since"`
	// Reason is the last error.
	Reason string `json:"reason"`
	// Next is when a down endpoint is tried again.
	Next time.Time `json:"next,omitzero"`
}
