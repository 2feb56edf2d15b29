package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// gaugeEvery is how often backlogs are measured.
const gaugeEvery = 15 * time.Second

// Gauges measures, from the ledger, what waits of each MetricsExporter, and counts dead
// letters. It reads each day of the ledger once, and again when it was written.
type Gauges struct {
	pipe    *pipe.Pipe
	metrics *telemetry.Metrics
	log     *slog.Logger

	epoch string
	last  uint64 // revision of what was read
	days  map[dayID]Summary
}

// NewGauges returns Gauges, which do nothing until Run.
func NewGauges(p *pipe.Pipe, m *telemetry.Metrics, log *slog.Logger) *Gauges {
	return &Gauges{pipe: p, metrics: m, log: log}
}

// Run measures until ctx ends.
func (g *Gauges) Run(ctx context.Context) error {
	failed := false
	for ctx.Err() == nil {
		err := g.measure(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			g.log.Warn("backlogs cannot be measured, trying again", "error", err)
		}
		failed = err != nil
		wait(ctx, gaugeEvery*9/10+rand.N(gaugeEvery/5))
	}
	return nil
}

func (g *Gauges) measure(ctx context.Context) error {
	if err := g.read(ctx); err != nil {
		return err
	}
	type key struct{ namespace, name string }
	newest := map[key]int64{}
	sums := map[key]*Summary{}
	for id, day := range g.days {
		k := key{id.namespace, id.name}
		if sums[k] == nil {
			sums[k] = &Summary{Namespace: id.namespace, Name: id.name, Backlog: map[schemas.Stage]Backlog{}}
		}
		s := sums[k]
		if day.Exporter != "" && (s.Exporter == "" || id.day > newest[k]) {
			s.Exporter, newest[k] = day.Exporter, id.day
		}
		for stage, b := range day.Backlog {
			s.Backlog[stage] = Backlog{s.Backlog[stage].Windows + b.Windows, s.Backlog[stage].Batches + b.Batches}
		}
	}
	dead, err := g.dead(ctx)
	if err != nil {
		return err
	}
	var summaries []Summary
	for _, s := range sums {
		summaries = append(summaries, *s)
	}
	sizes, err := ReadSizes(ctx, g.pipe, summaries)
	if err != nil {
		return err
	}
	var list []telemetry.Backlog
	for _, s := range summaries {
		b := telemetry.Backlog{MetricsExporter: s.Namespace + "/" + s.Name, Exporter: s.Exporter, Bytes: sizes.Bytes(s), Windows: map[schemas.Stage]uint64{}}
		for stage, backlog := range s.Backlog {
			b.Windows[stage] = backlog.Windows
		}
		b.Dead = dead[b.MetricsExporter]
		delete(dead, b.MetricsExporter)
		list = append(list, b)
	}
	for name, n := range dead {
		list = append(list, telemetry.Backlog{MetricsExporter: name, Dead: n})
	}
	g.metrics.Backlogs(list)
	return nil
}

// read brings the days up to what the ledger has.
func (g *Gauges) read(ctx context.Context) error {
	b, err := openBucket(ctx, g.pipe.JS)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		g.epoch, g.last, g.days = "", 0, nil
		return nil
	}
	if err != nil {
		return err
	}
	epoch, err := b.readEpoch(ctx)
	if err != nil {
		return err
	}
	if epoch != g.epoch || g.days == nil {
		g.epoch, g.last, g.days = epoch, 0, map[dayID]Summary{}
	}
	return g.pipe.Each(ctx, stream, pipe.Selection{Subjects: []string{subjectPrefix + dayPrefix + ">"}, After: g.last},
		func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
			key := strings.TrimPrefix(m.Subject(), subjectPrefix)
			id, err := parseDay(key)
			if err != nil {
				return err
			}
			data := m.Data()
			if len(data) > 0 && data[0] == partsMark {
				if data, _, err = b.read(ctx, key); err != nil {
					return err
				}
			}
			day := new(wire.LedgerDay)
			if err := proto.Unmarshal(data, day); err != nil {
				return fmt.Errorf("decode %s of bucket %s: %w", key, schemas.LedgerBucket, err)
			}
			s := Summary{States: map[State]uint64{}, Backlog: map[schemas.Stage]Backlog{}}
			for _, c := range day.Chunks {
				s.add(c)
				s.Exporter = c.Exporter
			}
			g.days[id], g.last = s, meta.Sequence.Stream
			return nil
		})
}

// dead counts dead letters, by namespace/name and stage.
func (g *Gauges) dead(ctx context.Context) (map[string]map[schemas.Stage]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	s, err := g.pipe.JS.Stream(ctx, schemas.DeadStream)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("k2o.dead.>"))
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	counts := map[string]map[schemas.Stage]uint64{}
	for subject, n := range info.State.Subjects {
		tokens := strings.Split(subject, ".")
		if len(tokens) != 5 {
			continue
		}
		name := ""
		if tokens[3] != "_" || tokens[4] != "_" { // which do not tell
			namespace, err1 := schemas.ParseToken(tokens[3])
			of, err2 := schemas.ParseToken(tokens[4])
			if errors.Join(err1, err2) != nil {
				continue
			}
			name = namespace + "/" + of
		}
		if counts[name] == nil {
			counts[name] = map[schemas.Stage]uint64{}
		}
		counts[name][schemas.Stage(tokens[2])] += n
	}
	return counts, nil
}
