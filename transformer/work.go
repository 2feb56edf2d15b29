package transformer

import (
	"fmt"
	"math"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// maxTicks is the last tick whose nanoseconds fit an int64: in the year 2262.
const maxTicks = math.MaxInt64 / 100

// work is what one row batch is worked on with. Its memory is used for one batch
// after the other.
type work struct {
	batch  rowBatch
	time   *column
	name   *column // nil: every row has the default name
	values []valueColumn
	labels []labelColumn
	sets   labelSets

	// The metrics of the batch's names. metricOf[i*values+v] is the metric that name
	// i of the dictionary and value column v make; -1 is none.
	metrics  []metric
	metricOf []int32
	byName   map[string]int32
	appeared []int32 // metrics that have points, in order of first appearance

	points table // last ordinal of each name, label set and time
	order  order

	// Points on their way into that table.
	candidates []candidate
	keys       []hash
	touched    uint32

	chunks   encoder
	compress compressor
	scratch  []byte
}

// metric is a metric of a row batch.
type metric struct {
	name string
	hash hash
	rank int32 // among those that have points; -1: none yet
}

// load decodes a row batch and binds its columns. An error is one that the same
// batch gives again.
func (w *work) load(p *plan, data []byte, what task) error {
	if err := w.batch.decode(data); err != nil {
		return fmt.Errorf("decode row batch: %w", err)
	}
	return w.bind(p, what)
}

// bind prepares the decoded batch's columns.
func (w *work) bind(p *plan, what task) error {
	// An answer without rows may come without columns too.
	if len(w.batch.columns) == 0 {
		return nil
	}
	if err := p.spec.Check(w.batch.types()); err != nil {
		return err
	}
	w.time = w.batch.find(p.spec.TimestampColumn)
	w.values = slices.Grow(w.values[:0], len(p.values))[:len(p.values)]
	for i, name := range p.values {
		w.values[i].bind(w.batch.find(name))
	}
	w.labels = slices.Grow(w.labels[:0], len(p.labels))[:len(p.labels)]
	for i, name := range p.labels {
		l := &w.labels[i]
		l.key = appendString(l.key[:0], keyValueKey, valid(name))
		w.scratch = l.bind(w.batch.find(name), what, w.scratch)
	}
	w.sets.index(w.batch.rows, w.labels, what)
	w.nameMetrics(p)
	return nil
}

// nameMetrics makes the metrics of the batch's names.
func (w *work) nameMetrics(p *plan) {
	names := [][]byte{nil}
	if w.name = nil; p.spec.MetricNameColumn != "" {
		w.name = w.batch.find(p.spec.MetricNameColumn)
		names = w.name.dict
	}
	if w.byName == nil {
		w.byName = make(map[string]int32)
	}
	clear(w.byName)
	w.metrics, w.metricOf = w.metrics[:0], w.metricOf[:0]
	for _, text := range names {
		if w.name != nil && w.name.kind == kindDynamic {
			w.scratch = appendDynamic(w.scratch[:0], text)
			text = w.scratch
		}
		for v := range w.values {
			w.metricOf = append(w.metricOf, w.metric(p.metricName(text, v)))
		}
	}
}

// metric returns the metric of a name, which two names of the dictionary may share.
func (w *work) metric(name string) int32 {
	if name == "" {
		return -1
	}
	n, ok := w.byName[name]
	if !ok {
		n = int32(len(w.metrics))
		w.byName[name] = n
		w.metrics = append(w.metrics, metric{name: name, hash: hashName(name)})
	}
	return n
}

// rowMetrics returns the metrics of a row, one for each value column.
func (w *work) rowMetrics(r int) []int32 {
	n, i := len(w.values), 0
	if w.name != nil {
		i = int(w.name.index[r])
	}
	return w.metricOf[i*n : i*n+n]
}

// rowReason says why a row gives no point whatever its values are.
func (w *work) rowReason(r int, metrics []int32) Reason {
	switch t := w.time.ints[r]; {
	case w.time.null(r):
		return NoTimestamp
	case t <= 0 || t > maxTicks:
		return TimeOutOfRange
	case metrics[0] < 0:
		return EmptyName
	}
	return accepted
}

// value returns a row's value in a column as onNull says.
func (w *work) value(r, v int, onNull schemas.NullValue) number {
	n := w.values[v].at(r)
	if n.why != accepted && onNull == schemas.NullZero && (n.why == NullValue || n.why == NotFinite) {
		return number{} // all bits zero is 0 for both types
	}
	return n
}

// build makes the batch's points, without the values that superseded has. First
// is the ordinal of the batch's first value.
func (w *work) build(p *plan, first uint64, superseded bitset) {
	w.begin()
	ordinal := first
	for r := range w.batch.rows {
		metrics := w.rowMetrics(r)
		if w.rowReason(r, metrics) != accepted {
			ordinal += uint64(len(metrics))
			continue
		}
		for v, m := range metrics {
			if n := w.value(r, v, p.onNull); n.why == accepted && !superseded.has(ordinal) {
				w.add(r, v, m, n.bits)
			}
			ordinal++
		}
	}
}

// begin starts the list of points anew.
func (w *work) begin() {
	w.candidates = w.candidates[:0]
	w.order.points = slices.Grow(w.order.points[:0], w.batch.rows*len(w.values))
	w.appeared = w.appeared[:0]
	for i := range w.metrics {
		w.metrics[i].rank = -1
	}
}

// add adds a point to the list.
func (w *work) add(r, v int, m int32, bits uint64) {
	metric := &w.metrics[m]
	if metric.rank < 0 {
		metric.rank = int32(len(w.appeared))
		w.appeared = append(w.appeared, m)
	}
	pt := point{ticks: w.time.ints[r], bits: bits, row: uint32(r), metric: uint32(metric.rank)}
	if w.values[v].isInt {
		pt.metric |= asInt
	}
	w.order.points = append(w.order.points, pt)
}
