package request

import (
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// Target is the version of a MetricsExporter whose windows are issued.
type Target struct {
	Namespace, Name string
	Cluster         string
	Exporter        string
	Spec            []byte // as jobs carry it
}

// Job returns the job for a window, on the backfill lane.
func (t Target) Job(w schemas.Window, generation uint64, id string) *wire.WindowJob {
	window := schemas.WindowID{Namespace: t.Namespace, Name: t.Name, Window: w, Generation: generation}
	return &wire.WindowJob{
		Window: window.String(), Namespace: t.Namespace, Name: t.Name, Generation: generation,
		StartUnixNano: w.Start.UnixNano(), EndUnixNano: w.End.UnixNano(),
		Lane: string(schemas.LaneBackfill), Cluster: t.Cluster, Request: id, Spec: t.Spec,
	}
}
