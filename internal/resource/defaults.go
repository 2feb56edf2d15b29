package resource

import "github.com/kusto2otlp/kusto2otlp/schemas"

// SetDefaults makes every default of a MetricsExporter explicit, so that no
// later stage has defaults of its own. Temporality stays empty for a gauge,
// which has none.
func SetDefaults(m *schemas.MetricsExporter) {
	m.APIVersion, m.Kind = schemas.APIVersion, schemas.Kind
	if m.Namespace == "" {
		m.Namespace = "default"
	}
	if m.Spec.Schedule != "" && m.Spec.TimeZone == "" {
		m.Spec.TimeZone = "UTC"
	}
	if b := m.Spec.Backfill; b != nil && b.MaxInFlight == 0 {
		b.MaxInFlight = 1
	}
	if r := m.Spec.Reconcile; r != nil && r.Lookback.Duration == 0 {
		r.Lookback.Duration = r.After.Duration + defaultReconcileMargin
	}
	t := &m.Spec.Transform
	if t.Type == "" {
		t.Type = schemas.Gauge
	}
	switch {
	case t.Type == schemas.Sum && t.Temporality == "":
		t.Temporality = schemas.Delta
	case t.Type == schemas.Gauge && t.Temporality == schemas.Delta:
		t.Temporality = ""
	}
	if t.NullValue == "" {
		t.NullValue = schemas.NullSkip
	}
}
