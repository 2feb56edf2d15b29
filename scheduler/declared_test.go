package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What a scheduler has is known, and since when, also by the process after it.
func TestDeclared(t *testing.T) {
	s := newStage(t, "2025-06-25T10:00:30Z")
	began := s.clock.Now()
	minute := metav1.Duration{Duration: time.Minute}
	declared := func() map[string]schemas.Declared {
		list, _, _, err := s.pipe.Declared(t.Context())
		require.NoError(t, err)
		m := map[string]schemas.Declared{}
		for _, d := range list {
			m[d.Name] = d
		}
		return m
	}
	r := s.start(nil)
	r.declare(spec("a", minutely), spec("b", minutely, "suspend: true"), spec("c", minutely, "criteria: {region: [mars]}"))
	require.Eventually(t, func() bool { return len(declared()) == 3 }, time.Minute, 5*time.Millisecond)
	require.Equal(t, map[string]schemas.Declared{
		"a": {Namespace: "ns", Name: "a", Exporter: "out", State: schemas.DeclaredScheduled, Since: began, Interval: minute},
		"b": {Namespace: "ns", Name: "b", Exporter: "out", State: schemas.DeclaredSuspended, Since: began, Interval: minute},
		"c": {Namespace: "ns", Name: "c", Exporter: "out", State: schemas.DeclaredElsewhere, Since: began, Interval: minute},
	}, declared())

	s.clock.advance(time.Minute)
	r.settle()
	r.declare(spec("a", minutely), spec("b", minutely))
	require.Eventually(t, func() bool { return len(declared()) == 2 }, time.Minute, 5*time.Millisecond, "what is gone is declared no more")
	require.Equal(t, began, declared()["a"].Since)
	require.Equal(t, schemas.Declared{Namespace: "ns", Name: "b", Exporter: "out", State: schemas.DeclaredScheduled, Since: began.Add(time.Minute), Interval: minute}, declared()["b"])

	r.stop()
	s.clock.advance(time.Minute)
	d := newDeclarer(r.cfg)
	d.set(resource.Set{Documents: documents(t, spec("a", minutely), spec("b", minutely, "ingestionDelay: 1h"))},
		map[string]string{"ns/a": stateScheduled, "ns/b": "database: none"}, s.clock.Now())
	inherited := false
	got, err := d.current(t.Context(), &inherited)
	require.NoError(t, err)
	require.True(t, inherited)
	require.Equal(t, []schemas.Declared{
		{Namespace: "ns", Name: "a", Exporter: "out", State: schemas.DeclaredScheduled, Since: began, Interval: minute},
		{Namespace: "ns", Name: "b", Exporter: "out", State: schemas.DeclaredInvalid, Reason: "database: none", Since: began.Add(2 * time.Minute), Interval: minute, IngestionDelay: metav1.Duration{Duration: time.Hour}},
	}, got.MetricsExporters)
}
