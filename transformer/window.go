package transformer

import (
	"fmt"
	"math"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// Window is what is to be transformed: the rows of one run of a window's query.
type Window struct {
	// Spec is the MetricsExporter's; only Transform and Limits are read.
	Spec *schemas.MetricsExporterSpec
	// Start is the window's start, the startTimeUnixNano of a sum.
	Start time.Time
	// Batches is the number of row batches, and Rows that of the rows in all of them.
	Batches int
	Rows    uint64
	// Batch returns row batch n, a serialized wire.RowBatch. With several batches it
	// is called twice for each, in order; the bytes must stay as they are until the
	// next call.
	Batch func(n int) ([]byte, error)

	// keep, where set, is asked of every point, after duplicates are left out, whether
	// it leaves.
	keep func(pointRecord) bool
}

// Batch is one OTLP batch.
type Batch struct {
	N        int    // its number in the window, from 0
	Points   int    // NumberDataPoints in it
	Encoding string // as HTTP's Content-Encoding has it; empty for none
	Data     []byte // an ExportMetricsServiceRequest, compressed
}

// Result says what became of a window's rows.
type Result struct {
	Rows    uint64
	Points  uint64
	Batches int
	// Rejected counts what gave no point: Rows times the value columns is Points plus
	// its total.
	Rejected Rejected
	// Unchanged points were exported before as they are; Vanished ones were, and gave
	// no row any more. Only a reconciliation has them: its Unchanged count with Points.
	Unchanged, Vanished uint64
}

// Window transforms a window and passes its OTLP batches to emit, one after the
// other; emit may keep them. It makes at most one OTLP batch of a row batch but
// where MaxPoints, MaxRequestBytes or schemas.MaxMessageBytes ask for more.
//
// The same rows give the same batches, byte by byte. Within a batch the points of
// a metric are in one Metric and ordered by time, and metrics come in the order in
// which rows name them.
//
// An error of the window itself is marked pipe.Permanent and comes before the
// first call of emit; those of w.Batch and emit are returned as they are.
func (t *Transformer) Window(w Window, emit func(Batch) error) (*Result, error) {
	p, err := compile(w.Spec, w.Start)
	if err != nil {
		return nil, pipe.Permanent(err)
	}
	work := t.work.Get().(*work)
	defer t.put(work)
	work.sets.maxArena = t.maxArena
	run := &windowRun{Transformer: t, plan: p, work: work, w: w, emit: emit}
	if err := run.do(); err != nil {
		return nil, err
	}
	return &run.result, nil
}

// put keeps work for the next window, unless this one made it large.
func (t *Transformer) put(w *work) {
	const many = 16 * schemas.RowBatchRows
	if cap(w.chunks.out) <= 2*MaxRequestBytes && cap(w.order.points) <= many && cap(w.points.slots) <= many {
		t.work.Put(w)
	}
}

// windowRun is the transform of one window on its way.
type windowRun struct {
	*Transformer
	plan *plan
	work *work
	w    Window
	emit func(Batch) error

	// A value's ordinal counts the window's values, row by row.
	series     table  // names with label sets, where their number is limited
	superseded bitset // ordinals of values that a later row's replaces
	result     Result
}

func (r *windowRun) do() error {
	r.work.points.reset(r.expected())
	if r.w.Batches == 1 {
		return r.single()
	}
	var ordinal uint64
	for n := range r.w.Batches {
		if err := r.load(n, hashing); err != nil {
			return err
		}
		if err := r.check(ordinal); err != nil {
			return err
		}
		ordinal += r.ordinals()
	}
	if err := r.complete(); err != nil {
		return err
	}
	// By far the most memory, and not needed any more.
	r.work.points, r.series = table{}, table{}
	ordinal = 0
	for n := range r.w.Batches {
		if err := r.load(n, encoding); err != nil {
			return err
		}
		r.work.build(r.plan, ordinal, r.superseded)
		if err := r.encode(); err != nil {
			return err
		}
		ordinal += r.ordinals()
	}
	return nil
}

// single does a window of one batch, which is decoded once.
func (r *windowRun) single() error {
	if err := r.load(0, hashing|encoding); err != nil {
		return err
	}
	if err := r.check(0); err != nil {
		return err
	}
	if err := r.complete(); err != nil {
		return err
	}
	if len(r.superseded) > 0 {
		r.work.build(r.plan, 0, r.superseded)
	}
	return r.encode()
}

// expected returns how many values to make room for. It believes the message only
// so far: beyond, the table grows.
func (r *windowRun) expected() int {
	const most = 1 << 20
	rows := min(r.w.Rows, uint64(r.w.Batches)*schemas.RowBatchRows, most)
	return int(min(rows*uint64(len(r.plan.values)), most))
}

// ordinals returns how many values the loaded batch has.
func (r *windowRun) ordinals() uint64 {
	return uint64(r.work.batch.rows) * uint64(len(r.plan.values))
}

func (r *windowRun) load(n int, what task) error {
	data, err := r.w.Batch(n)
	if err != nil {
		return err
	}
	if err := r.work.load(r.plan, data, what); err != nil {
		return pipe.Permanent(fmt.Errorf("row batch %d: %w", n, err))
	}
	return nil
}

// check counts what the loaded batch rejects and finds what it supersedes. First
// is the ordinal of the batch's first value. It makes the points at once where the
// batch is the only one; should one supersede another, they are made again.
func (r *windowRun) check(first uint64) error {
	w := r.work
	if first+r.ordinals() >= math.MaxUint32 {
		return pipe.Permanent(errTooManyPoints)
	}
	w.begin()
	ordinal := uint32(first)
	single := r.w.Batches == 1
	for row := range w.batch.rows {
		metrics := w.rowMetrics(row)
		if why := w.rowReason(row, metrics); why != accepted {
			r.rejectRow(row, why)
			ordinal += uint32(len(metrics))
			continue
		}
		labels := w.sets.sets[w.sets.of[row]].hash
		for v, m := range metrics {
			if n := w.value(row, v, r.plan.onNull); n.why != accepted {
				if err := r.rejectValue(row, v, n.why); err != nil {
					return err
				}
			} else {
				c := candidate{series: labels.and(w.metrics[m].hash), ordinal: ordinal, row: uint32(row), metric: uint32(m)}
				if !single {
					w.candidates = append(w.candidates, c)
				} else {
					w.add(row, v, m, n.bits)
					if err := r.settle(&c, c.series.at(w.time.ints[row])); err != nil {
						return err
					}
				}
			}
			ordinal++
		}
		if len(w.candidates) >= candidates {
			if err := r.settleAll(); err != nil {
				return err
			}
		}
	}
	err := r.settleAll()
	r.result.Rows += uint64(w.batch.rows)
	return err
}

// candidates is for how many points the table is read at a time. That of a window
// of one batch is in the cache, and its points are settled one by one.
const candidates = 64

// candidate is a point that may supersede another.
type candidate struct {
	series               hash
	ordinal, row, metric uint32
}

// settle finds out whether a candidate supersedes another point.
func (r *windowRun) settle(c *candidate, key hash) error {
	if before, ok := r.work.points.put(key, c.ordinal); ok {
		r.supersede(before, int(c.row), r.work.metrics[c.metric].name)
	}
	if most := r.plan.maxSeries; most > 0 {
		if r.series.put(c.series, 0); int64(r.series.used) > most {
			return pipe.Permanent(fmt.Errorf("the window has more than %d series (limits.maxSeries)", most))
		}
	}
	return nil
}

// settleAll settles the collected candidates.
func (r *windowRun) settleAll() error {
	w := r.work
	keys := w.keys[:0]
	var sum uint32
	for i := range w.candidates {
		c := &w.candidates[i]
		key := c.series.at(w.time.ints[c.row])
		keys = append(keys, key)
		sum += w.points.touch(key)
	}
	w.touched = sum // keeps the reads from being left out
	for i, key := range keys {
		if err := r.settle(&w.candidates[i], key); err != nil {
			return err
		}
	}
	w.keys, w.candidates = keys, w.candidates[:0]
	return nil
}

// complete refuses a window that lost rows on its way.
func (r *windowRun) complete() error {
	if r.result.Rows != r.w.Rows {
		return pipe.Permanent(fmt.Errorf("row batches have %d rows, the window says %d", r.result.Rows, r.w.Rows))
	}
	return nil
}

// rowNumber is a row's number in the answer, from 1. It holds in the first pass.
func (r *windowRun) rowNumber(row int) uint64 { return r.result.Rows + uint64(row) + 1 }

func (r *windowRun) rejectRow(row int, why Reason) {
	w, rejected := r.work, &r.result.Rejected
	if !rejected.add(why, uint64(len(w.values))) {
		return
	}
	c := w.time
	if why == EmptyName {
		c = w.name
	}
	rejected.sample(why, "row %d: column %q is %s", r.rowNumber(row), c.name, c.text(row))
}

func (r *windowRun) rejectValue(row, v int, why Reason) error {
	c := r.work.values[v].col
	if r.plan.onNull == schemas.NullFail && why != NotANumber {
		return pipe.Permanent(fmt.Errorf("row %d: column %q is %s (nullValue is fail)", r.rowNumber(row), c.name, c.text(row)))
	}
	if r.result.Rejected.add(why, 1) {
		r.result.Rejected.sample(why, "row %d: column %q is %s", r.rowNumber(row), c.name, c.text(row))
	}
	return nil
}

func (r *windowRun) supersede(ordinal uint32, row int, metric string) {
	r.superseded.set(uint64(ordinal))
	if r.result.Rejected.add(Duplicate, 1) {
		before := int(ordinal)/len(r.plan.values) + 1
		r.result.Rejected.sample(Duplicate, "row %d: row %d has the same metric %q, labels and timestamp %s",
			before, r.rowNumber(row), shorten(metric, sampleBytes/4), r.work.time.text(row))
	}
}
