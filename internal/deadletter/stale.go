package deadletter

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// Stale returns the job of a letter that carries another spec than its
// MetricsExporter's windows are issued with by now; nil for any other letter. The letter
// must have its body.
func (d *Desk) Stale(ctx context.Context, l *Letter) (*wire.WindowJob, error) {
	if stream, err := l.stream(); err != nil || stream != schemas.JobsStream {
		return nil, nil
	}
	job := new(wire.WindowJob)
	if err := proto.Unmarshal(l.Data, job); err != nil {
		return nil, fmt.Errorf("decode window job: %w", err)
	}
	spec, err := schemas.JobSpec(job)
	if err != nil {
		return nil, err
	}
	hash, err := spec.Hash()
	if err != nil {
		return nil, err
	}
	store := request.Store{JS: d.Pipe.JS}
	generation, now, err := store.Cursor(ctx, job.Namespace, job.Name)
	if err != nil || generation == 0 || bytes.Equal(hash, now) {
		return nil, err
	}
	return job, nil
}
