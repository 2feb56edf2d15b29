package pipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

var exportersBucket = temporary{schemas.ExportersBucket, "exporters whose endpoint takes no batches, as each sender finds", schemas.ExporterStateTTL}

// SetExporterState makes a sender's view of an exporter known for a minute.
func (p *Pipe) SetExporterState(ctx context.Context, s schemas.ExporterState) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return p.inBucket(ctx, exportersBucket, func(ctx context.Context, kv jetstream.KeyValue) error {
		_, err := kv.Put(ctx, schemas.ExporterStateKey(s.Exporter, s.Sender), data)
		return err
	})
}

// ClearExporterState says that an exporter is up again, as far as a sender knows.
func (p *Pipe) ClearExporterState(ctx context.Context, exporter, sender string) error {
	return p.inBucket(ctx, exportersBucket, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, schemas.ExporterStateKey(exporter, sender))
	})
}

// ExporterStates returns the exporters that some sender cannot reach, or that do not take
// everybody's batches, by name and sender.
func (p *Pipe) ExporterStates(ctx context.Context) ([]schemas.ExporterState, error) {
	var states []schemas.ExporterState
	err := eachEntry(ctx, p, exportersBucket, func(s schemas.ExporterState) { states = append(states, s) })
	sort.Slice(states, func(i, j int) bool {
		return schemas.ExporterStateKey(states[i].Exporter, states[i].Sender) < schemas.ExporterStateKey(states[j].Exporter, states[j].Sender)
	})
	return states, err
}

// statesTime bounds ExporterStatesOf.
const statesTime = 2 * time.Second

// ExporterStatesOf returns what the senders say of one exporter. It is for those who ask
// often: a single request, and an error after 2 s, or while no sender has said anything
// of any exporter.
func (p *Pipe) ExporterStatesOf(ctx context.Context, exporter string) ([]schemas.ExporterState, error) {
	ctx, cancel := context.WithTimeout(ctx, statesTime)
	defer cancel()
	fail := func(err error) error { return fmt.Errorf("bucket %s: %w", exportersBucket.name, err) }
	entries, err := jetstreamext.GetLastMsgsFor(ctx, p.JS, "KV_"+exportersBucket.name,
		[]string{"$KV." + exportersBucket.name + "." + schemas.Token(exporter) + ".*"})
	if err != nil {
		return nil, fail(err)
	}
	var states []schemas.ExporterState
	got := 0
	for m, err := range entries {
		if got == 0 && errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil, nil
		}
		if err != nil {
			return nil, fail(err)
		}
		got++
		if Removed(m) {
			continue
		}
		var s schemas.ExporterState
		if err := json.Unmarshal(m.Data, &s); err != nil {
			return nil, fail(fmt.Errorf("%s: %w", m.Subject, err))
		}
		states = append(states, s)
	}
	if err := ctx.Err(); err != nil {
		return nil, fail(err) // the iterator ends without saying why
	}
	return states, nil
}
