package schemas

import "strings"

// The durable consumers: one for each cluster, exporter and lane, since messages
// that wait for a retry count against a consumer's limit, and what is dead must
// stall nobody but itself.

// QuerierDurable names the consumer of a cluster's jobs for one exporter and lane.
// The cluster's own hyphens are escaped, so that no two give the same.
func QuerierDurable(cluster, exporter string, lane Lane) string {
	return "querier-" + strings.ReplaceAll(Token(cluster), "-", "=2D") + "-" + Token(exporter) + "-" + string(lane)
}

// TransformerDurable names the consumer of an exporter's rows in one lane.
func TransformerDurable(exporter string, lane Lane) string {
	return "transformer-" + Token(exporter) + "-" + string(lane)
}

// SenderDurable names the consumer that sends one exporter's OTLP batches of one
// lane; what it has acked was delivered.
func SenderDurable(exporter string, lane Lane) string {
	return "sender-" + Token(exporter) + "-" + string(lane)
}
