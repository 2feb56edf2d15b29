package transformer

import "fmt"

// encode makes the loaded batch's points into OTLP batches.
func (r *windowRun) encode() error {
	if r.w.keep != nil {
		r.work.retain(r.w.keep)
	}
	index := r.work.order.sort(len(r.work.appeared))
	// Equal parts, and no small rest.
	parts := (len(index) + r.maxPoints - 1) / r.maxPoints
	for ; parts > 0; parts-- {
		n := (len(index) + parts - 1) / parts
		if err := r.cut(index[:n]); err != nil {
			return err
		}
		index = index[n:]
	}
	return nil
}

// cut makes one OTLP batch of the points, or several where that would be too large.
func (r *windowRun) cut(index []uint32) error {
	// Measured before it is made: points that share a long label may be gigabytes.
	size := r.work.measure(r.Transformer, r.plan, index)
	most := r.maxRequestBytes
	if r.compression == None {
		most = min(most, r.maxMessageBytes)
	}
	if size > most && len(index) > 1 {
		return r.halve(index)
	}
	data, encoding, err := r.work.compress.compress(r.compression, r.work.encode(r.Transformer, r.plan, index))
	if err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	switch {
	case len(data) <= r.maxMessageBytes:
		if encoding == "" {
			r.work.chunks.out = nil // it is emit's now
		}
		b := Batch{N: r.result.Batches, Points: len(index), Encoding: encoding, Data: data}
		r.result.Batches++
		r.result.Points += uint64(b.Points)
		return r.emit(b)
	case len(index) > 1:
		return r.halve(index)
	}
	if r.result.Rejected.add(TooLarge, 1) {
		run := r.work.chunks.runs[0]
		r.result.Rejected.sample(TooLarge, "metric %q: one point makes %d bytes, %d are a message's most",
			shorten(run.metric.name, sampleBytes/4), len(data), r.maxMessageBytes)
	}
	return nil
}

func (r *windowRun) halve(index []uint32) error {
	n := (len(index) + 1) / 2
	if err := r.cut(index[:n]); err != nil {
		return err
	}
	return r.cut(index[n:])
}
