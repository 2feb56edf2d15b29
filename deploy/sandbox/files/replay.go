package files

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// lonePeriod is how often the rows of a table come again that has only one moment.
const lonePeriod = 60 * table.TicksPerSecond

// replayRows suits the evaluator: see engine.Source.
const replayRows = 16384

// Replay is a source whose rows are moved in time and come again for ever. Of each table, the first
// datetime column is its time. All of the table's datetimes are moved by the same amount, a whole number
// of seconds, such that its latest time is within the second before start; after that the rows
// come again and again, one period later each time. The period is from the first time to the last and one
// mean distance between two times more, so that what was recorded every minute goes on every minute.
//
// The rows at any time are a function of that time, the file and start alone. A query without an
// upper bound on the table's time sees rows up to now(). Rows whose time is null appear once. A table
// without a datetime column is as it is.
func (d *Data) Replay(start time.Time) engine.Source {
	s := replay{}
	for _, e := range d.tables {
		s[e.key()] = newCycle(e.table, table.Ticks(start))
	}
	return s
}

// replay is the source of all tables, by engine.Tables' keys.
type replay map[string]*cycle

// Scan implements engine.Source.
func (r replay) Scan(ctx context.Context, req engine.ScanRequest, yield func(*table.Table) error) error {
	c := r[entry{req.Cluster, req.Database, &table.Table{Name: req.Table}}.key()]
	if c == nil {
		return fmt.Errorf("table %q of database %q on cluster %q is not there", req.Table, req.Database, req.Cluster)
	}
	return c.scan(ctx, req, yield)
}

// cycle is one table that comes again.
type cycle struct {
	rows    *table.Table // ordered by time, without those that have none
	times   []int64      // of rows, as in the file
	without *table.Table // the rows without a time
	column  string       // the time; empty: the table never moves
	shift   int64        // of the first cycle
	period  int64
}

func newCycle(t *table.Table, start int64) *cycle {
	c := &cycle{rows: t}
	for _, col := range t.Columns {
		if col.Vec.Type == table.DateTime {
			c.order(t, col)
			break
		}
	}
	if len(c.times) == 0 {
		c.column = ""
		c.rows = t
		return c
	}
	first, last := c.times[0], c.times[len(c.times)-1]
	c.shift = floorTo(start-last, table.TicksPerSecond)
	c.period = lonePeriod
	if moments := int64(len(slices.Compact(slices.Clone(c.times)))); moments > 1 {
		c.period = last - first + max(1, (last-first)/(moments-1))
	}
	return c
}

// order splits the table by whether there is a time, and sorts the rows that have one.
func (c *cycle) order(t *table.Table, time table.Column) {
	c.column = time.Name
	var with, without []int32
	for i := range int32(t.Rows()) {
		if time.Vec.IsNull(int(i)) {
			without = append(without, i)
		} else {
			with = append(with, i)
		}
	}
	slices.SortStableFunc(with, func(a, b int32) int { return cmp.Compare(time.Vec.Ints[a], time.Vec.Ints[b]) })
	c.rows, c.without = t.Take(with), t.Take(without)
	c.times = c.rows.Column(time.Name).Ints
}

// scan yields the rows within the request's range, cycle after cycle.
func (c *cycle) scan(ctx context.Context, req engine.ScanRequest, yield func(*table.Table) error) error {
	columns, err := c.pick(req.Columns)
	if err != nil {
		return err
	}
	if c.column == "" {
		return c.still(ctx, c.rows, columns, yield)
	}
	if err := c.still(ctx, c.without, columns, yield); err != nil {
		return err
	}
	r := req.Range(c.column)
	if r.To == table.MaxDateTime {
		r.To = table.Ticks(req.Now)
	}
	first := c.times[0] + c.shift
	r.From = max(r.From, first)
	if r.From > r.To {
		return nil
	}
	out := &table.Table{Name: c.rows.Name}
	for _, i := range columns {
		out.Columns = append(out.Columns, table.Column{Name: c.rows.Columns[i].Name, Vec: table.NewVector(c.rows.Columns[i].Vec.Type, 0)})
	}
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if out.Rows() == 0 {
			return nil
		}
		err := yield(out)
		for _, col := range out.Columns {
			v := col.Vec
			v.Ints, v.Reals, v.Strings, v.Nulls = v.Ints[:0], v.Reals[:0], v.Strings[:0], nil
		}
		return err
	}
	for k := (r.From - first) / c.period; first+k*c.period <= r.To; k++ {
		shift := c.shift + k*c.period
		from := sort.Search(len(c.times), func(i int) bool { return c.times[i]+shift >= r.From })
		to := sort.Search(len(c.times), func(i int) bool { return c.times[i]+shift > r.To })
		for from < to {
			n := min(to, from+replayRows-out.Rows())
			c.append(out, columns, from, n, shift)
			from = n
			if out.Rows() >= replayRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// pick is the positions of the columns that a query reads; the first one when it only counts rows.
func (c *cycle) pick(names []string) ([]int, error) {
	if len(names) == 0 {
		return []int{0}, nil
	}
	s := c.rows.Schema()
	out := make([]int, len(names))
	for i, name := range names {
		if out[i] = s.Index(name); out[i] < 0 {
			return nil, fmt.Errorf("table %q has no column %q", c.rows.Name, name)
		}
	}
	return out, nil
}

// still yields rows that do not move.
func (c *cycle) still(ctx context.Context, t *table.Table, columns []int, yield func(*table.Table) error) error {
	picked := &table.Table{Name: t.Name}
	for _, i := range columns {
		picked.Columns = append(picked.Columns, t.Columns[i])
	}
	for from := 0; from < t.Rows(); from += replayRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(picked.Slice(from, min(from+replayRows, t.Rows()))); err != nil {
			return err
		}
	}
	return nil
}

// append adds rows [from, to) to out, moved by shift.
func (c *cycle) append(out *table.Table, columns []int, from, to int, shift int64) {
	for o, i := range columns {
		v := out.Columns[o].Vec
		n := v.Len()
		v.AppendVector(c.rows.Columns[i].Vec.Slice(from, to))
		if v.Type != table.DateTime {
			continue
		}
		for j := n; j < v.Len(); j++ {
			// Kusto's ends of time, which stand for never, stay what they are.
			if t := v.Ints[j] + shift; !v.IsNull(j) && v.Ints[j] > table.MinDateTime && t <= table.MaxDateTime {
				v.Ints[j] = t
			}
		}
	}
}

// floorTo is the largest multiple of unit that is at most x.
func floorTo(x, unit int64) int64 {
	r := x % unit
	if r < 0 {
		r += unit
	}
	return x - r
}
