package transformer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// pointRecord stands for a point in 16 bytes. Two points of a window have the same
// id when they have the same metric name, labels and time (in a window of a million
// points with a probability of 3·10^-8 by chance too, and then also another value);
// those of one id have the same value when their values are the same. It is the
// same in every process and version.
type pointRecord struct{ id, value uint64 }

// recordBytes is the size of a record where it is stored.
const recordBytes = 16

func appendRecord(dst []byte, r pointRecord) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, r.id)
	return binary.LittleEndian.AppendUint64(dst, r.value)
}

// partHash is the hash of a metric's name or of a label set as OTLP encodes it.
type partHash [16]byte

func hashPart(b []byte) partHash {
	sum := sha256.Sum256(b)
	return partHash(sum[:16])
}

// recordOf makes the record of a point. Whoever changes it has every window that
// was exported before taken for another, once.
func recordOf(name, labels partHash, nanos uint64, isInt bool, value uint64) pointRecord {
	var b [40]byte
	copy(b[:], name[:])
	copy(b[16:], labels[:])
	binary.LittleEndian.PutUint64(b[32:], nanos)
	sum := sha256.Sum256(b[:])
	if isInt {
		// An integer and a double are different points with the same bits too.
		value = bits.RotateLeft64(value, 1) ^ spread
	}
	return pointRecord{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:]) ^ value}
}

// retain leaves, of the batch's points, those of which keep says so.
func (w *work) retain(keep func(pointRecord) bool) {
	var names, labels = map[uint32]partHash{}, map[uint32]partHash{}
	kept := w.order.points[:0]
	for _, pt := range w.order.points {
		rank := pt.metric &^ asInt
		name, ok := names[rank]
		if !ok {
			name = hashPart([]byte(w.metrics[w.appeared[rank]].name))
			names[rank] = name
		}
		of := w.sets.of[pt.row]
		label, ok := labels[of]
		if !ok {
			set := &w.sets.sets[of]
			if set.offset >= 0 {
				label = hashPart(w.sets.arena[set.offset:][:set.size])
			} else {
				w.scratch = appendLabels(w.scratch[:0], w.labels, int(set.row))
				label = hashPart(w.scratch)
			}
			labels[of] = label
		}
		if keep(recordOf(name, label, uint64(pt.ticks)*100, pt.metric&asInt != 0, pt.bits)) {
			kept = append(kept, pt)
		}
	}
	w.order.points = kept
}

var errRequest = errors.New("no ExportMetricsServiceRequest")

// eachRecord calls see with the record of every number point of a request that is
// not compressed.
func eachRecord(request []byte, see func(pointRecord)) error {
	return eachField(request, func(num protowire.Number, resource []byte) error {
		if num != requestResourceMetrics {
			return nil
		}
		return eachField(resource, func(num protowire.Number, scope []byte) error {
			if num != resourceMetricsScope {
				return nil
			}
			return eachField(scope, func(num protowire.Number, metric []byte) error {
				if num != scopeMetricsMetrics {
					return nil
				}
				return eachMetricRecord(metric, see)
			})
		})
	})
}

func eachMetricRecord(metric []byte, see func(pointRecord)) error {
	var name, data []byte
	err := eachField(metric, func(num protowire.Number, v []byte) error {
		switch num {
		case metricName:
			name = v
		case metricGauge, metricSum:
			data = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	hash := hashPart(name)
	var labels []byte
	return eachField(data, func(num protowire.Number, point []byte) error {
		if num != dataPoints {
			return nil
		}
		labels = labels[:0]
		var nanos, value uint64
		isInt := false
		for len(point) > 0 {
			num, typ, n := protowire.ConsumeField(point)
			if n < 0 {
				return errRequest
			}
			_, _, head := protowire.ConsumeTag(point)
			switch {
			case num == pointAttributes && typ == protowire.BytesType:
				labels = append(labels, point[:n]...)
			case typ != protowire.Fixed64Type:
			case num == pointTime:
				nanos, _ = protowire.ConsumeFixed64(point[head:])
			case num == pointDouble, num == pointInt:
				value, _ = protowire.ConsumeFixed64(point[head:])
				isInt = num == pointInt
			}
			point = point[n:]
		}
		see(recordOf(hash, hashPart(labels), nanos, isInt, value))
		return nil
	})
}

// eachField calls see with every field of a message that has bytes.
func eachField(message []byte, see func(num protowire.Number, value []byte) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeField(message)
		if n < 0 {
			return errRequest
		}
		if typ == protowire.BytesType {
			_, _, head := protowire.ConsumeTag(message)
			value, _ := protowire.ConsumeBytes(message[head:n])
			if err := see(num, value); err != nil {
				return err
			}
		}
		message = message[n:]
	}
	return nil
}
