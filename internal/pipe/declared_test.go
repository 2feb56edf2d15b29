package pipe_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestDeclared(t *testing.T) {
	p := pipetest.MustOpen(t)
	list, problems, running, err := p.Declared(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
	require.Empty(t, problems)
	require.Zero(t, running)

	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	declared := func(name string, state schemas.DeclaredState, since int) schemas.Declared {
		return schemas.Declared{Namespace: "ns", Name: name, State: state, Since: at.Add(time.Duration(since) * time.Minute)}
	}
	a := schemas.Declaration{Scheduler: "host-a", Problems: []string{"x", "y"}, MetricsExporters: []schemas.Declared{
		declared("a", schemas.DeclaredElsewhere, 1), declared("b", schemas.DeclaredScheduled, 5), declared("c", schemas.DeclaredSuspended, 1),
	}}
	b := schemas.Declaration{Scheduler: "host.b", Problems: []string{"x"}, MetricsExporters: []schemas.Declared{
		declared("a", schemas.DeclaredScheduled, 2), declared("b", schemas.DeclaredScheduled, 3), declared("c", schemas.DeclaredInvalid, 2),
	}}
	const many = 2*schemas.DeclaredPage + 1
	for n := range many {
		b.MetricsExporters = append(b.MetricsExporters, declared(fmt.Sprintf("m%05d", n), schemas.DeclaredScheduled, 0))
	}
	_, err = p.Declare(t.Context(), a, 0)
	require.NoError(t, err)
	pages, err := p.Declare(t.Context(), b, 0)
	require.NoError(t, err)
	require.Equal(t, 3, pages)
	list, problems, running, err = p.Declared(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"x", "y"}, problems)
	require.Equal(t, 2, running)
	require.Len(t, list, 3+many)
	require.Equal(t, []schemas.Declared{declared("a", schemas.DeclaredScheduled, 2), declared("b", schemas.DeclaredScheduled, 3), declared("c", schemas.DeclaredInvalid, 2)}, list[:3])

	// Those that are declared no more are gone.
	b.MetricsExporters = b.MetricsExporters[:2]
	pages, err = p.Declare(t.Context(), b, pages)
	require.NoError(t, err)
	require.Equal(t, 1, pages)
	list, _, _, err = p.Declared(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 3)
}
