package samples

import (
	"context"
	"fmt"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Cluster is the name of the sandbox's own cluster, as cluster('sandbox') finds it.
const Cluster = "sandbox"

// Unbounded is how much of a table a query without a lower bound on its time column sees.
const Unbounded = time.Hour

// batchRows suits the evaluator: see engine.Source.
const batchRows = 16384

// Source generates the samples. It has no state.
type Source struct{}

var _ engine.Source = Source{}

// Catalog is every database with its tables, those of the sandbox's own cluster first.
func (Source) Catalog() table.Catalog {
	var c table.Catalog
	for _, d := range databases {
		db := table.Database{Cluster: d.cluster, Name: d.name, Tables: []table.Definition{}}
		for _, g := range d.tables {
			db.Tables = append(db.Tables, g.definition())
		}
		c = append(c, db)
	}
	return c
}

// Scan implements engine.Source.
func (Source) Scan(ctx context.Context, req engine.ScanRequest, yield func(*table.Table) error) error {
	g := find(req.Cluster, req.Database, req.Table)
	if g == nil {
		return fmt.Errorf("table %q of database %q on cluster %q is not there", req.Table, req.Database, req.Cluster)
	}
	columns, err := g.pick(req.Columns)
	if err != nil {
		return err
	}
	r := req.Range(g.time)
	if r.To == table.MaxDateTime {
		r.To = table.Ticks(req.Now)
	}
	if r.From == table.MinDateTime {
		r.From = max(r.From, r.To-table.SpanTicks(Unbounded)+1)
	}
	if r.From > r.To {
		return nil
	}
	return g.scan(ctx, r.From, r.To, columns, yield)
}

// generator is one table.
type generator struct {
	name    string
	doc     string
	time    string // the column that ranges are about
	columns []column

	// Of a sample table: every series has at most one row in every step.
	step   int64 // ticks
	series int
	seed   uint64
	steady bool // one row in every step, whatever the hour

	// Of a benchmark table: how many rows every range has. 0 for the others.
	rows int64
}

// column computes the values of a block's rows.
type column struct {
	name string
	typ  table.Type
	fill func(b *block, v *table.Vector)
}

// block is rows on their way to become a batch.
type block struct {
	ticks  []int64
	series []int32
	noise  []uint64  // random bits of the row
	load   []float64 // of the hour: 0.3 at night, 1 in the afternoon
}

func (b *block) reset() {
	b.ticks, b.series, b.noise, b.load = b.ticks[:0], b.series[:0], b.noise[:0], b.load[:0]
}

func (g *generator) definition() table.Definition {
	d := table.Definition{Name: g.name, Doc: g.doc}
	for _, c := range g.columns {
		d.Schema = append(d.Schema, table.Field{Name: c.name, Type: c.typ})
	}
	return d
}

// pick is the columns that a query reads; the first one when it only counts rows.
func (g *generator) pick(names []string) ([]column, error) {
	if len(names) == 0 {
		return g.columns[:1], nil
	}
	var out []column
	for _, name := range names {
		found := false
		for _, c := range g.columns {
			if c.name == name {
				out, found = append(out, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("table %q has no column %q", g.name, name)
		}
	}
	return out, nil
}

// scan yields the rows within [from, to].
func (g *generator) scan(ctx context.Context, from, to int64, columns []column, yield func(*table.Table) error) error {
	b := &block{}
	out := &table.Table{Name: g.name}
	for _, c := range columns {
		out.Columns = append(out.Columns, table.Column{Name: c.name, Vec: table.NewVector(c.typ, batchRows)})
	}
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(b.ticks) == 0 {
			return nil
		}
		for i, c := range columns {
			v := out.Columns[i].Vec
			v.Ints, v.Reals, v.Strings, v.Nulls = v.Ints[:0], v.Reals[:0], v.Strings[:0], nil
			c.fill(b, v)
		}
		err := yield(out)
		b.reset()
		return err
	}
	if g.rows > 0 {
		return g.spread(from, to, b, flush)
	}
	return g.walk(ctx, from, to, b, flush)
}

// walk visits every step that the range touches.
func (g *generator) walk(ctx context.Context, from, to int64, b *block, flush func() error) error {
	for k := floorDiv(from, g.step); k <= floorDiv(to, g.step); k++ {
		load := loadAt(k * g.step)
		for s := range g.series {
			h := mix(g.seed ^ mix(uint64(k)) ^ uint64(s)*0x9e3779b97f4a7c15)
			if !g.steady && unit(h) >= load {
				continue
			}
			// Within the step, and at another place for each series.
			t := k*g.step + int64(mix(h)%uint64(g.step))
			if t < from || t > to {
				continue
			}
			b.ticks, b.series = append(b.ticks, t), append(b.series, int32(s))
			b.noise, b.load = append(b.noise, mix(h+1)), append(b.load, load)
		}
		// A step may add no row, and a long range of such steps must still be cancelled.
		if len(b.ticks)+g.series > batchRows || k&0xfff == 0 && ctx.Err() != nil {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// spread gives a range its fixed number of rows, in the order of time.
func (g *generator) spread(from, to int64, b *block, flush func() error) error {
	span := to - from + 1
	for i := range g.rows {
		// Rows share a tick when there are more of them than ticks.
		t := from + span/g.rows*i + span%g.rows*i/g.rows
		b.ticks, b.series = append(b.ticks, t), append(b.series, int32(i%benchSeries))
		b.noise, b.load = append(b.noise, mix(g.seed^uint64(i))), append(b.load, 1)
		if len(b.ticks) == batchRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
