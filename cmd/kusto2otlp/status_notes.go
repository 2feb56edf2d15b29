package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/request"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// statusNotes are what the table of status has no column for: documents that are
// wrong, why a MetricsExporter is not ready, exporters that are down, replays and backfills under way, and the backfills
// that are declared and done.
type statusNotes struct {
	problems  []string
	unready   []string
	exporters []schemas.ExporterState
	requests  []request.State
}

// readNotes reads the notes about the MetricsExporters of a list.
func readNotes(ctx context.Context, p *pipe.Pipe, list []status) (statusNotes, error) {
	var n statusNotes
	states, err := p.ExporterStates(ctx)
	if err != nil {
		return n, err
	}
	for _, s := range states {
		if slices.ContainsFunc(list, func(l status) bool { return l.Exporter == s.Exporter }) {
			s.Stuck = slices.DeleteFunc(s.Stuck, func(k schemas.Stuck) bool {
				return !slices.ContainsFunc(list, func(l status) bool { return l.key() == k.MetricsExporter })
			})
			n.exporters = append(n.exporters, s)
		}
	}
	for _, l := range list {
		if l.state() == notReady && l.problem() == "" {
			n.unready = append(n.unready, l.key()+": "+l.unready)
		}
	}
	store := request.Store{JS: p.JS}
	for _, l := range list {
		requests, err := store.List(ctx, l.Namespace, l.Name)
		if err != nil {
			return n, err
		}
		n.requests = append(n.requests, slices.DeleteFunc(requests, func(r request.State) bool {
			return r.Done() && (r.Kind != request.KindBackfill || r.Id != l.backfill)
		})...)
	}
	return n, nil
}

func (n statusNotes) write(out io.Writer) error {
	var b strings.Builder
	for _, p := range n.problems {
		fmt.Fprintf(&b, "invalid: %s\n", p)
	}
	for _, u := range n.unready {
		fmt.Fprintf(&b, "not ready: %s\n", u)
	}
	for _, s := range n.exporters {
		if s.State != schemas.ExporterUp {
			fmt.Fprintf(&b, "exporter %s is %s since %s, by %s: %s\n", s.Exporter, s.State, timestamp(s.Since), s.Sender, s.Reason)
		}
		for _, k := range s.Stuck {
			if k.Batches == 0 {
				fmt.Fprintf(&b, "exporter %s did not take the batches of %s, by %s, which has ended\n", s.Exporter, k.MetricsExporter, s.Sender)
				continue
			}
			fmt.Fprintf(&b, "exporter %s does not take the batches of %s since %s, by %s: %d wait, %s: %s\n", s.Exporter, k.MetricsExporter,
				timestamp(k.Since), s.Sender, k.Batches, size(k.Bytes), k.Reason)
		}
	}
	for _, r := range n.requests {
		fmt.Fprintf(&b, "%s/%s: %s %s, %s: %d of %d windows issued", r.Namespace, r.Name, noun(r.Kind), r.Id, r.Range(), r.Issued, r.Windows)
		if r.Kind == request.KindBackfill {
			fmt.Fprintf(&b, ", %d exported, %d failed", r.Exported, r.Failed)
		}
		if r.Unreported > 0 {
			fmt.Fprintf(&b, ", %d without a report", r.Unreported)
		}
		if r.Done() {
			fmt.Fprintf(&b, ", done at %s\n", timestamp(time.Unix(0, r.DoneUnixNano)))
			continue
		}
		fmt.Fprintf(&b, ", since %s", timestamp(time.Unix(0, r.CreatedUnixNano)))
		if r.Paused != "" {
			fmt.Fprintf(&b, "; paused until the spec is changed: %s", r.Paused)
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(out, "\n"+b.String())
	return err
}

// check returns an error, a line for each, when a document is wrong.
func (n statusNotes) check() error {
	errs := make([]error, len(n.problems))
	for i, p := range n.problems {
		errs[i] = fmt.Errorf("invalid: %s", p)
	}
	return errors.Join(errs...)
}

// noun returns what a kind of request is called.
func noun(kind string) string {
	switch kind {
	case request.KindQuery:
		return "replay from query"
	case request.KindSend:
		return "replay from send"
	}
	return kind
}
