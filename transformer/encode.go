package transformer

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// encoder writes points as ExportMetricsServiceRequests.
type encoder struct {
	out  []byte
	runs []metricRun

	// The sizes of the messages around the runs.
	scope, resource, request int
}

// metricRun is a stretch of points of one metric, with the sizes of what is
// written: protobuf has a message's length before the message.
type metricRun struct {
	metric *metric
	lo, hi int // in the order
	points int // bytes of the points
	data   int // bytes of the Gauge or Sum
	size   int // bytes of the Metric
}

// The tags of a point's fields.
var (
	pointTag  = tag(dataPoints, protowire.BytesType)
	startTag  = tag(pointStart, protowire.Fixed64Type)
	timeTag   = tag(pointTime, protowire.Fixed64Type)
	valueTags = [2]byte{tag(pointDouble, protowire.Fixed64Type), tag(pointInt, protowire.Fixed64Type)} // by asInt
)

// pointSize returns the bytes of a NumberDataPoint.
func (p *plan) pointSize(attributes int) int {
	n := 9 + 9 + attributes
	if p.start != 0 {
		n += 9
	}
	return n
}

// metricSize returns the bytes of a Metric around so many bytes of points.
func (p *plan) metricSize(name string, points int) (data, size int) {
	data = points + len(p.dataEnd)
	return data, sized(len(name)) + len(p.metricEnd) + sized(data)
}

// measure cuts the points of index into runs of one metric and returns the size
// of the request that encode will make of them.
func (w *work) measure(t *Transformer, p *plan, index []uint32) int {
	e := &w.chunks
	e.runs, e.scope = e.runs[:0], len(t.scope)
	points, sets, of := w.order.points, w.sets.sets, w.sets.of
	fixed := p.pointSize(0)
	for lo := 0; lo < len(index); {
		rank := points[index[lo]].metric &^ asInt
		run := metricRun{metric: &w.metrics[w.appeared[rank]], lo: lo}
		for ; lo < len(index) && points[index[lo]].metric&^asInt == rank; lo++ {
			run.points += sized(fixed + int(sets[of[points[index[lo]].row]].size))
		}
		run.hi = lo
		run.data, run.size = p.metricSize(run.metric.name, run.points)
		e.scope += sized(run.size)
		e.runs = append(e.runs, run)
	}
	e.resource = len(t.resource) + sized(e.scope)
	e.request = sized(e.resource)
	return e.request
}

// encode returns the points of index, which were measured just before, as one
// request. The bytes are valid until the next call.
func (w *work) encode(t *Transformer, p *plan, index []uint32) []byte {
	e := &w.chunks
	out := slices.Grow(e.out[:0], e.request)
	out = appendHead(out, requestResourceMetrics, e.resource)
	out = append(out, t.resource...)
	out = appendHead(out, resourceMetricsScope, e.scope)
	out = append(out, t.scope...)
	for i := range e.runs {
		run := &e.runs[i]
		out = appendHead(out, scopeMetricsMetrics, run.size)
		out = appendString(out, metricName, run.metric.name)
		out = append(out, p.metricEnd...)
		out = appendHead(out, p.data, run.data)
		out = w.appendPoints(out, p, index[run.lo:run.hi])
		out = append(out, p.dataEnd...)
	}
	e.out = out
	return out
}

// appendPoints writes NumberDataPoints into dst, which has room for them.
func (w *work) appendPoints(dst []byte, p *plan, index []uint32) []byte {
	points, sets, of, arena := w.order.points, w.sets.sets, w.sets.of, w.sets.arena
	fixed := p.pointSize(0)
	for _, i := range index {
		pt := &points[i]
		set := &sets[of[pt.row]]
		dst = append(dst, pointTag)
		if n := fixed + int(set.size); n < 1<<7 {
			dst = append(dst, byte(n))
		} else {
			dst = protowire.AppendVarint(dst, uint64(n))
		}
		if p.start != 0 {
			dst = append(dst, startTag)
			dst = binary.LittleEndian.AppendUint64(dst, p.start)
		}
		dst = append(dst, timeTag)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(pt.ticks)*100)
		if set.offset >= 0 {
			dst = append(dst, arena[set.offset:][:set.size]...)
		} else {
			dst = appendLabels(dst, w.labels, int(set.row))
		}
		dst = append(dst, valueTags[pt.metric>>31])
		dst = binary.LittleEndian.AppendUint64(dst, pt.bits)
	}
	return dst
}
