package scheduler

import (
	"fmt"
	"testing"
	"time"
)

// Windows issued in a second, on an embedded server that syncs what it acks:
// many of one MetricsExporter, as after a downtime, and one of each of many.
func BenchmarkIssue(b *testing.B) {
	for _, bb := range []struct {
		name      string
		resources int
		windows   time.Duration
	}{{"catch up 256 windows", 1, 256}, {"200 resources", 200, 1}} {
		b.Run(bb.name, func(b *testing.B) {
			s := newStage(b, "2025-06-25T10:00:00Z")
			var specs []string
			for i := range bb.resources {
				specs = append(specs, spec(fmt.Sprint("a", i), "interval: 1s"))
			}
			r := s.start(nil, specs...)
			r.settle()
			windows := 0
			for b.Loop() {
				s.clock.advance(bb.windows * time.Second)
				r.settle()
				windows += bb.resources * int(bb.windows)
			}
			b.ReportMetric(float64(windows)/b.Elapsed().Seconds(), "windows/s")
		})
	}
}
