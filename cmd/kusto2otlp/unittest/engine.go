package unittest

import (
	"context"
	"time"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"

	"github.com/kusto2otlp/kusto2otlp/cmd/kusto2otlp/preview"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
	"github.com/kusto2otlp/kusto2otlp/querier"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Engine runs tests, one after the other.
type Engine struct{ parser *kql.Parser }

// NewEngine returns an Engine whose sandboxes use a parser.
func NewEngine(parser *kql.Parser) *Engine { return &Engine{parser} }

// Run runs a test. An error says that it could not be run at all; what the test
// itself meets is in its outcome.
func (e *Engine) Run(ctx context.Context, t *Test) (*Outcome, error) {
	began := time.Now()
	o := &Outcome{Test: t}
	data, err := t.data()
	if err != nil {
		return nil, err
	}
	catalog := data.Catalog()
	m := t.metricsExporter.MetricsExporter
	if catalog.Database("", m.Spec.Database) == nil {
		// A query may reach into other databases only.
		catalog = append(catalog, table.Database{Name: m.Spec.Database})
	}
	s, err := sandbox.New(sandbox.Config{
		Listen: "127.0.0.1:0", Source: data.Source(), Catalog: catalog, Parser: e.parser,
		Now: func() time.Time { return t.spec.Now },
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	if err := s.Start(); err != nil {
		return nil, err
	}
	k := config.DefaultKusto()
	k.Name, k.Endpoint, k.Auth.Type = "test", config.Address(s.URL()), config.AuthNone
	client, err := querier.NewClient(querier.ClientConfig{Cluster: k, LabelParameters: (&config.Config{Labels: t.labels}).LabelParameters()})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	result, err := preview.Run(ctx, preview.Config{
		Client: client, MetricsExporter: m,
		Window: schemas.Window{Start: t.spec.Window.Start, End: t.spec.Window.End},
		Take: func(req *colmetrics.ExportMetricsServiceRequest) error {
			for p := range preview.Points(req) {
				o.points = append(o.points, actual(p))
			}
			return nil
		},
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if o.Err = err; err == nil {
		o.rejected = result.Rejected.Counts()
	}
	o.compare(t.spec.Expect)
	o.Took = time.Since(began)
	return o, nil
}
