package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/validate"
	"github.com/kusto2otlp/kusto2otlp/querier"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// asker asks the clusters of a configuration what queries return.
type asker struct {
	cfg *config.Config

	mu      sync.Mutex
	clients map[string]*querier.Client // by cluster
}

func newAsker(cfg *config.Config) *asker {
	return &asker{cfg: cfg, clients: map[string]*querier.Client{}}
}

// client returns the client of a cluster.
func (a *asker) client(k config.Kusto) (*querier.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.clients[k.Name]; c != nil {
		return c, nil
	}
	c, err := querier.NewClient(querier.ClientConfig{Cluster: k, LabelParameters: a.cfg.LabelParameters(), Version: version})
	if err == nil {
		a.clients[k.Name] = c
	}
	return c, err
}

func (a *asker) close() {
	for _, c := range a.clients {
		_ = c.Close() // it only gives connections back, as the process's end does
	}
}

// ResultColumns implements validate.Asker.
func (a *asker) ResultColumns(ctx context.Context, m *schemas.MetricsExporter) ([][]schemas.ColumnType, error) {
	k, ok := a.cfg.ClusterFor(m.Spec.Database)
	if !ok {
		return nil, fmt.Errorf("nobody can be asked: no cluster of the configuration serves database %q", m.Spec.Database)
	}
	c, err := a.client(k)
	if err != nil {
		return nil, err
	}
	// No row is read, so any window will do.
	end := time.Now().UTC().Truncate(time.Hour)
	tables, err := c.ResultColumns(ctx, querier.Query{
		ID: "validate " + m.Key(), Database: m.Spec.Database, Body: m.Spec.Body,
		Window: schemas.Window{Start: end.Add(-time.Hour), End: end},
	})
	var e *frames.Error
	if kind, _ := pipe.KindOf(err); kind == pipe.KindPermanent && errors.As(err, &e) {
		r := &validate.Refusal{Message: "Kusto refuses it: " + e.Unplaced()}
		if line, column, ok := e.Place(); ok {
			r.Line, r.Column = line, column
		}
		return nil, r
	}
	return tables, err
}
