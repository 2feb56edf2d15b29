package querier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// orphanAge is how old the newest part of a run must be for the run to be given
// up. A run stores a part only while its query is answered, and commits within
// commitTime after its query's timeout, which is at most an hour (of whichever
// process: not only of this one's configuration). The second hour is for clocks
// that differ. So a run of that age has either committed, and its WindowRows
// message is in the stream as long as anybody still needs the parts, or its
// message was a dead letter, which is looked for too, or it never will be.
const orphanAge = 2 * time.Hour

// sweepTime bounds one sweep.
const sweepTime = 2 * time.Minute

func (s *Stage) sweepOften(ctx context.Context) {
	t := time.NewTicker(sweepInterval)
	defer t.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("could not look for row batches that nobody will read, trying again later", "error", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep purges the parts of runs that ended without making them visible.
func (s *Stage) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	stream, err := s.cfg.Pipe.JS.Stream(ctx, schemas.RowsStream)
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", schemas.RowsStream, err)
	}
	// One answer with all subjects: of the stream's messages, those that are not
	// parts make the run in their last token visible.
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("list stream %s: %w", schemas.RowsStream, err)
	}
	parts := strings.TrimSuffix(schemas.AllParts, ">")
	runs, visible := map[string]bool{}, map[string]bool{}
	for subject := range info.State.Subjects {
		if rest, ok := strings.CutPrefix(subject, parts); ok {
			run, _, _ := strings.Cut(rest, ".")
			runs[run] = true
		} else {
			visible[lastToken(subject)] = true
		}
	}
	var old []string
	for run := range runs {
		if visible[run] {
			continue
		}
		newest, err := stream.GetLastMsgForSubject(ctx, schemas.PartFilter(run))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // purged meanwhile
		}
		if err != nil {
			return fmt.Errorf("get the newest part of run %s: %w", run, err)
		}
		if s.cfg.Now().Sub(newest.Time) >= orphanAge {
			old = append(old, run)
		}
	}
	if len(old) == 0 {
		return nil
	}
	dead, err := s.deadRuns(ctx)
	if err != nil {
		return err
	}
	for _, run := range old {
		if dead[run] {
			continue
		}
		if err := s.cfg.Pipe.Purge(ctx, schemas.RowsStream, schemas.PartFilter(run)); err != nil {
			return err
		}
		s.cfg.Logger.Info("removed the row batches of a run that ended half way", "run", run)
	}
	return nil
}

// deadRuns returns the runs that dead letters are about: whoever retries one needs
// its parts.
func (s *Stage) deadRuns(ctx context.Context) (map[string]bool, error) {
	fail := func(err error) (map[string]bool, error) {
		return nil, fmt.Errorf("list stream %s: %w", schemas.DeadStream, err)
	}
	runs := map[string]bool{}
	c, err := s.cfg.Pipe.JS.OrderedConsumer(ctx, schemas.DeadStream, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return fail(err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return fail(err)
	}
	for left := info.NumPending; left > 0; {
		batch, err := c.Fetch(int(min(left, 500)), jetstream.FetchContext(ctx))
		if err != nil {
			return fail(err)
		}
		n := uint64(0)
		for msg := range batch.Messages() {
			runs[lastToken(msg.Headers().Get(schemas.HeaderDeadSubject))] = true
			n++
		}
		if err := batch.Error(); err != nil {
			return fail(err)
		}
		if n == 0 {
			break // dropped meanwhile
		}
		left -= min(n, left)
	}
	return runs, nil
}

func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
