package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/grid"
	"github.com/kusto2otlp/kusto2otlp/internal/resource"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// maxStepWindows bounds the windows issued by one atomic batch, of which the
	// server takes up to 1000 messages.
	maxStepWindows = 256

	// maxStepBytes bounds the bytes of one batch, for each window carries the spec.
	maxStepBytes = 4 << 20
)

// A target is one version of a MetricsExporter that is scheduled here. It is
// never changed.
type target struct {
	namespace, name string
	exporter        string
	cluster         string
	grid            grid.Grid
	delay           time.Duration
	spec            []byte // as jobs carry it
	hash            []byte
	backfill        *schemas.Backfill // nil: none
	reconcile       schemas.Reconcile // no window is looked at again when After is 0
}

func newTarget(d resource.Document, cluster string) (*target, error) {
	m := d.MetricsExporter
	t := &target{
		namespace: m.Namespace, name: m.Name,
		exporter: m.Spec.Exporter, cluster: cluster,
		grid: d.Grid, delay: m.Spec.IngestionDelay.Duration,
		backfill: m.Spec.Backfill,
	}
	if m.Spec.Reconcile != nil {
		t.reconcile = *m.Spec.Reconcile
	}
	var err error
	if t.spec, err = json.Marshal(m.Spec); err == nil {
		t.hash, err = m.Spec.Hash()
	}
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	// Room for the rest of the job.
	if most := schemas.MaxMessageBytes - 4<<10; len(t.spec) > most {
		return nil, fmt.Errorf("spec must not be larger than %d bytes as JSON, is %d", most, len(t.spec))
	}
	return t, nil
}

// same says whether nothing changed that windows or jobs depend on.
func (t *target) same(o *target) bool {
	return t != nil && o != nil && t.cluster == o.cluster && bytes.Equal(t.spec, o.spec)
}

// stepWindows is how many windows one batch may issue.
func (t *target) stepWindows() int {
	return max(1, min(maxStepWindows, maxStepBytes/len(t.spec)))
}

func (t *target) job(w PlannedWindow, generation uint64) *wire.WindowJob {
	id := schemas.WindowID{Namespace: t.namespace, Name: t.name, Window: w.Window, Generation: generation}
	return &wire.WindowJob{
		Window: id.String(), Namespace: t.namespace, Name: t.name, Generation: generation,
		StartUnixNano: w.Start.UnixNano(), EndUnixNano: w.End.UnixNano(),
		Lane: string(w.Lane), Cluster: t.cluster, Spec: t.spec,
	}
}
