package preview

import (
	"context"
	"fmt"
	"time"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/querier"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/transformer"
)

// Config says what to run. All but MaxRows and Take is needed.
type Config struct {
	Client *querier.Client
	// Output says what the OTLP looks like. It is not compressed, whatever it says.
	Output transformer.Output
	// MetricsExporter with every default explicit.
	MetricsExporter *schemas.MetricsExporter
	Window          schemas.Window
	// MaxRows is the most rows the answer may have, beside limits.maxRows; 0 is no limit.
	MaxRows int64
	// Take sees every request, in the pipeline's order.
	Take func(*colmetrics.ExportMetricsServiceRequest) error
}

// Result says what became of the window.
type Result struct {
	transformer.Result
	// Columns of the answer, also those that the transform does not read.
	Columns []schemas.ColumnType
	// Series is how many distinct names with labels there are.
	Series int
	// Bytes of the OTLP requests, before compression.
	Bytes int64
	// Query and Transform are how long each took.
	Query, Transform time.Duration
	// Usage is what the query took of the cluster; nil when Kusto does not say.
	Usage *frames.Usage
}

// Run runs the window. An error is marked as package pipe sorts them.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	m := cfg.MetricsExporter
	out := cfg.Output
	out.Compression = transformer.None
	t, err := transformer.NewTransformer(out)
	if err != nil {
		return nil, err
	}
	var batches []frames.Batch
	// Who looks at Kusto's log of queries can tell it from the pipeline's.
	id := "preview;" + schemas.WindowID{Namespace: m.Namespace, Name: m.Name, Window: cfg.Window}.String()
	q := querier.WindowQuery(id, cfg.Window, &m.Spec, func(b frames.Batch) error {
		batches = append(batches[:b.Number], b)
		rows := int64(0)
		for _, b := range batches {
			rows += int64(b.Rows)
		}
		if cfg.MaxRows > 0 && rows > cfg.MaxRows {
			return pipe.Permanent(fmt.Errorf("the answer has more than %d rows (--max-rows)", cfg.MaxRows))
		}
		return nil
	})
	r := &Result{}
	check := q.Answer.Check
	q.Answer.Usage = true
	q.Answer.Check = func(columns []schemas.ColumnType) error {
		r.Columns = columns
		return check(columns)
	}
	began := time.Now()
	answer, err := cfg.Client.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	r.Query, r.Usage = time.Since(began), answer.Usage
	series := newSeries()
	began = time.Now()
	result, err := t.Window(transformer.Window{
		Spec: &m.Spec, Start: cfg.Window.Start, Batches: answer.Batches, Rows: uint64(answer.Rows),
		Batch: func(n int) ([]byte, error) { return batches[n].Data, nil },
	}, func(b transformer.Batch) error {
		r.Bytes += int64(len(b.Data))
		req := new(colmetrics.ExportMetricsServiceRequest)
		if err := proto.Unmarshal(b.Data, req); err != nil {
			return fmt.Errorf("read OTLP batch %d: %w", b.N, err)
		}
		series.add(req)
		if cfg.Take == nil {
			return nil
		}
		return cfg.Take(req)
	})
	if err != nil {
		return nil, fmt.Errorf("transform: %w", err)
	}
	r.Transform, r.Result, r.Series = time.Since(began), *result, len(series.seen)
	return r, nil
}
