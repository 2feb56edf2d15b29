package pipe

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

var declaredBucket = temporary{schemas.DeclaredBucket, "what each scheduler was told to schedule", schemas.DeclaredTTL}

// Declare makes known for a minute what a scheduler was told to schedule. Pages is what
// it returned the last time, 0 at first: how many there are.
func (p *Pipe) Declare(ctx context.Context, d schemas.Declaration, pages int) (int, error) {
	written := 0
	err := p.inBucket(ctx, declaredBucket, func(ctx context.Context, kv jetstream.KeyValue) error {
		left := d.MetricsExporters
		for written == 0 || len(left) > 0 {
			n := min(len(left), schemas.DeclaredPage)
			page := schemas.Declaration{Scheduler: d.Scheduler, MetricsExporters: left[:n]}
			if written == 0 {
				page.Problems = d.Problems
			}
			data, err := json.Marshal(page)
			if err != nil {
				return err
			}
			if _, err := kv.Put(ctx, schemas.DeclaredKey(d.Scheduler, written), data); err != nil {
				return err
			}
			left, written = left[n:], written+1
		}
		for n := written; n < pages; n++ {
			if err := kv.Purge(ctx, schemas.DeclaredKey(d.Scheduler, n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		written = max(written, pages)
	}
	return written, err
}

// Declared returns the MetricsExporters that some scheduler was told to schedule, each
// once, by namespace and name, and what is wrong with other documents. Running is
// how many schedulers there are; where there is none, nothing is known.
func (p *Pipe) Declared(ctx context.Context) (list []schemas.Declared, problems []string, running int, err error) {
	schedulers := map[string]bool{}
	found := map[string]schemas.Declared{}
	err = eachEntry(ctx, p, declaredBucket, func(d schemas.Declaration) {
		schedulers[d.Scheduler] = true
		problems = append(problems, d.Problems...)
		for _, m := range d.MetricsExporters {
			other, ok := found[m.Key()]
			if !ok || rank(m.State) < rank(other.State) || m.State == other.State && m.Since.Before(other.Since) {
				found[m.Key()] = m
			}
		}
	})
	for _, m := range found {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b schemas.Declared) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.Sort(problems)
	return list, slices.Compact(problems), len(schedulers), err
}

func rank(s schemas.DeclaredState) int {
	return slices.Index([]schemas.DeclaredState{schemas.DeclaredScheduled, schemas.DeclaredInvalid, schemas.DeclaredSuspended, schemas.DeclaredElsewhere}, s)
}
