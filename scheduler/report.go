package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// plannedEvent says that a window job was issued.
func plannedEvent(job *wire.WindowJob, exporter string, at time.Time) *wire.Event {
	e := schemas.JobEvent(job, schemas.Scheduler, schemas.EventPlanned, at)
	e.Exporter = exporter
	return e
}

// skippedEvent says that windows are passed over.
func skippedEvent(t *target, s Skip, generation uint64, catchUp time.Duration, at time.Time) *wire.Event {
	windows := "1 window was"
	if s.Count != 1 {
		windows = fmt.Sprintf("%d windows were", s.Count)
	}
	return &wire.Event{
		Type: string(schemas.EventSkipped), Stage: string(schemas.Scheduler), AtUnixNano: at.UnixNano(),
		Namespace: t.namespace, Name: t.name, Generation: generation,
		StartUnixNano: s.Start.UnixNano(), EndUnixNano: s.End.UnixNano(),
		Exporter: t.exporter,
		Message:  fmt.Sprintf("%s due more than catchUp, %s, ago", windows, catchUp),
	}
}

const (
	// duplicateInProcess is the server's refusal of a message whose id is just
	// being stored by the nodes of a cluster: another scheduler reports the same.
	duplicateInProcess = 10158

	// reportAgain is how long that takes, about.
	reportAgain = 100 * time.Millisecond
)

// report publishes events and waits until all are stored.
func report(ctx context.Context, p *pipe.Pipe, events []*wire.Event) error {
	for {
		err := publishEvents(ctx, p, events)
		var refused *jetstream.APIError
		if !errors.As(err, &refused) || refused.ErrorCode != duplicateInProcess {
			return err
		}
		// Whether the other one succeeds only the stream can tell.
		timer := time.NewTimer(reportAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func publishEvents(ctx context.Context, p *pipe.Pipe, events []*wire.Event) error {
	publisher := p.Publisher()
	for _, e := range events {
		data, err := proto.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode %s event: %w", e.Type, err)
		}
		of := schemas.WindowID{Namespace: e.Namespace, Name: e.Name, Generation: e.Generation,
			Window: schemas.Window{Start: time.Unix(0, e.StartUnixNano), End: time.Unix(0, e.EndUnixNano)}}.String()
		header := nats.Header{}
		if e.Window != "" {
			header.Set(schemas.HeaderWindow, e.Window)
		}
		if err := publisher.Add(ctx, pipe.Outgoing{
			Subject: schemas.EventSubject(e.Namespace, e.Name, schemas.EventType(e.Type)),
			// Several schedulers may report the same; most of it is kept out by the id.
			ID: e.Type + " " + of, Header: header, Data: data,
		}); err != nil {
			return err
		}
	}
	return publisher.Flush(ctx)
}
