package resource_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
)

func TestBackfill(t *testing.T) {
	parse := func(window, backfill string) ([]resource.Document, []string) {
		documents, problems := resource.Parse("f.yaml", []byte("apiVersion: adx-mon.azure.com/v1\nkind: MetricsExporter\nmetadata: {name: a}\nspec:\n  "+window+
			"\n  database: D\n  exporter: e\n  body: T\n  transform: {valueColumn: v, timestampColumn: t, defaultMetricName: m}\n  backfill: "+backfill+"\n"), resource.Context{})
		var text []string
		for _, p := range problems {
			text = append(text, p.Error())
		}
		return documents, text
	}
	t.Run("OK", func(t *testing.T) {
		documents, problems := parse("interval: 1m", "{requestId: may, startTime: 2026-05-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z}")
		require.Empty(t, problems)
		require.Equal(t, 1, documents[0].MetricsExporter.Spec.Backfill.MaxInFlight)
	})
	for name, tt := range map[string]struct{ window, backfill, want string }{
		"ErrRequestID":      {"interval: 1m", "{startTime: 2026-05-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z}", "spec.backfill.requestId: is needed"},
		"ErrRequestIDSpace": {"interval: 1m", "{requestId: a b, startTime: 2026-05-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z}", `spec.backfill.requestId: must be printable ASCII without spaces, got "a b"`},
		"ErrNoStart":        {"interval: 1m", "{requestId: may, endTime: 2026-06-01T00:00:00Z}", "spec.backfill.startTime: is needed"},
		"ErrNoEnd":          {"interval: 1m", "{requestId: may, startTime: 2026-06-01T00:00:00Z}", "spec.backfill.endTime: is needed"},
		"ErrOrder":          {"interval: 1m", "{requestId: may, startTime: 2026-06-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z}", "spec.backfill.endTime: must be after startTime, got 2026-06-01T00:00:00Z/2026-06-01T00:00:00Z"},
		"ErrNegative":       {"interval: 1m", "{requestId: may, startTime: 2026-05-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z, maxInFlight: -1}", "spec.backfill.maxInFlight: must be between 1 and 100, got -1"},
		"ErrMany":           {"interval: 1m", "{requestId: may, startTime: 2026-05-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z, maxInFlight: 101}", "spec.backfill.maxInFlight: must be between 1 and 100, got 101"},
		"ErrWindows":        {"interval: 1s", "{requestId: may, startTime: 2026-05-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z}", "spec.backfill.startTime: there must not be more than 1000000 windows, 2026-05-01T00:00:00Z/2026-06-01T00:00:00Z has more"},
		"ErrWindowsCron":    {`schedule: "* * * * *"`, "{requestId: may, startTime: 2022-05-01T00:00:00Z, endTime: 2026-06-01T00:00:00Z}", "spec.backfill.startTime: there must not be more than 1000000 windows, 2022-05-01T00:00:00Z/2026-06-01T00:00:00Z has more"},
		"ErrNoWindow":       {"interval: 1h", "{requestId: may, startTime: 2026-05-01T00:30:00Z, endTime: 2026-05-01T01:30:00Z}", "spec.backfill.startTime: no whole window lies within 2026-05-01T00:30:00Z/2026-05-01T01:30:00Z; the one at its start is 2026-05-01T00:00:00Z/2026-05-01T01:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := parse(tt.window, tt.backfill)
			require.Len(t, problems, 1)
			require.True(t, strings.HasSuffix(problems[0], ": "+tt.want), problems[0])
		})
	}
}
