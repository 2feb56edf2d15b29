package pipe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Strays describes what waits in the streams for a cluster or an exporter that
// the configuration does not have: it was renamed or removed, and nobody will
// take it up.
func (p *Pipe) Strays(ctx context.Context, clusters, exporters []string) ([]string, error) {
	clusters, exporters = tokens(clusters), tokens(exporters)
	counts := map[string]uint64{}
	for _, q := range []struct {
		stream, filter string
		of             func(subject []string) string // what is missing; empty: nothing
	}{
		{schemas.JobsStream, schemas.AllJobs, func(s []string) string {
			switch {
			case len(s) > 3 && !slices.Contains(clusters, s[2]):
				return "window jobs of cluster " + s[2]
			case len(s) > 3 && !slices.Contains(exporters, s[3]):
				return "window jobs of exporter " + s[3]
			}
			return ""
		}},
		{schemas.RowsStream, schemas.AllRows, func(s []string) string {
			if len(s) > 2 && !slices.Contains(exporters, s[2]) {
				return "windows' rows of exporter " + s[2]
			}
			return ""
		}},
	} {
		s, err := p.JS.Stream(ctx, q.stream)
		if err != nil {
			return nil, fmt.Errorf("look for strays in stream %s: %w", q.stream, err)
		}
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(q.filter))
		if err != nil {
			return nil, fmt.Errorf("look for strays in stream %s: %w", q.stream, err)
		}
		for subject, n := range info.State.Subjects {
			if what := q.of(strings.Split(subject, ".")); what != "" {
				counts[what] += n
			}
		}
	}
	names := p.JS.StreamNames(ctx)
	for name := range names.Name() {
		if token, ok := strings.CutPrefix(name, schemas.OTLPStream("")); ok && !slices.Contains(exporters, token) {
			if s, err := p.JS.Stream(ctx, name); err == nil {
				counts["OTLP batches of exporter "+token] += s.CachedInfo().State.Msgs
			}
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("look for strays: %w", err)
	}
	var strays []string
	for what, n := range counts {
		if n > 0 {
			strays = append(strays, fmt.Sprintf("%d %s", n, what))
		}
	}
	slices.Sort(strays)
	return strays, nil
}

func tokens(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = schemas.Token(name)
	}
	return out
}
