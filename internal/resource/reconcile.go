package resource

import (
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Bounds of reconciliation.
const (
	minReconcileAfter = time.Minute
	maxReconcileAfter = 7 * 24 * time.Hour
	// minReconcileMargin is how much more than after lookback is at least: a window
	// that is looked at a moment late is not to be passed over for that.
	minReconcileMargin = time.Minute
	maxLookback        = 31 * 24 * time.Hour
	// defaultReconcileMargin is how long a downtime may be, by default, before windows
	// are not looked at again for it; as catchUp has it.
	defaultReconcileMargin = 24 * time.Hour
)

// reconcile checks when closed windows are looked at again.
func (c *checker) reconcile(spec schemas.MetricsExporterSpec) {
	r := spec.Reconcile
	if r == nil {
		return
	}
	const at = "spec.reconcile."
	after, lookback := r.After.Duration, r.Lookback.Duration
	switch {
	case after < minReconcileAfter || after > maxReconcileAfter:
		c.problem(at+"after", "must be between %s and %s, got %s", minReconcileAfter, maxReconcileAfter, after)
	case after <= spec.IngestionDelay.Duration:
		c.problem(at+"after", "must be more than ingestionDelay, which is %s, got %s", spec.IngestionDelay.Duration, after)
	case lookback < after+minReconcileMargin || lookback > maxLookback:
		c.problem(at+"lookback", "must be between %s (after and a minute) and %s, got %s", after+minReconcileMargin, maxLookback, lookback)
	}
	if spec.Transform.Type == schemas.Sum && spec.Transform.Temporality != schemas.Cumulative {
		// Who adds deltas up would count a point's first value and its second.
		c.problem("spec.reconcile", "applies to gauges and cumulative sums, got a delta sum: a delta that was exported cannot be corrected")
	}
}
