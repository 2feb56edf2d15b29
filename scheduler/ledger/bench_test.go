package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
)

// BenchmarkFold folds the five events of each window of a second, on disk.
func BenchmarkFold(b *testing.B) {
	p := pipetest.MustOpen(b)
	s := newStory("x")
	s.length = time.Second
	for n := range b.N {
		s.export(n)
	}
	publish(b, p, s.events)
	b.ResetTimer()
	now := began.Add(time.Duration(b.N) * time.Second)
	f := start(b, Config{Pipe: p, Now: func() time.Time { return now }}, nil)
	settle(b, p)
	b.StopTimer()
	b.ReportMetric(float64(5*b.N)/b.Elapsed().Seconds(), "events/s")
	f.stop(b)
}

// TestThousands is half an hour of windows of a second, and three folders.
func TestThousands(t *testing.T) {
	p := pipetest.MustOpen(t)
	s := newStory("x")
	s.length = time.Second
	const windows = 1800
	for n := range windows {
		s.export(n)
	}
	now := began.Add(windows * time.Second)
	for range 3 {
		start(t, Config{Pipe: p, Now: func() time.Time { return now }}, nil)
	}
	publish(t, p, s.events)
	settle(t, p)
	began := time.Now()
	r, err := OpenReader(t.Context(), p)
	require.NoError(t, err)
	sum, err := r.Summary(t.Context(), "ns", "x", now)
	require.NoError(t, err)
	t.Logf("a summary took %s", time.Since(began))
	require.Equal(t, now, sum.Watermark)
	require.Zero(t, sum.Lag)
	require.EqualValues(t, windows, sum.States[StateExported])
	require.EqualValues(t, windows*9, sum.Points)

	n := 0
	for w, err := range r.Windows(t.Context(), "ns", "x", Filter{Start: now.Add(-90 * time.Second), States: []State{StateExported}}, true) {
		require.NoError(t, err)
		n++
		require.Equal(t, now.Add(-time.Duration(n)*time.Second), w.ID.Window.Start)
	}
	require.Equal(t, 90, n)
}
