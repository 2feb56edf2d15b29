package transformer

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of opentelemetry-proto 1.x that are written here, by message. They
// come in the order in which Go's protobuf library writes them: by number, and the
// one of a oneof last, a point's value after its attributes.
const (
	requestResourceMetrics protowire.Number = 1

	resourceMetricsResource protowire.Number = 1
	resourceMetricsScope    protowire.Number = 2

	resourceAttributes protowire.Number = 1

	scopeMetricsScope   protowire.Number = 1
	scopeMetricsMetrics protowire.Number = 2

	scopeName    protowire.Number = 1
	scopeVersion protowire.Number = 2

	metricName        protowire.Number = 1
	metricDescription protowire.Number = 2
	metricUnit        protowire.Number = 3
	metricGauge       protowire.Number = 5
	metricSum         protowire.Number = 7

	dataPoints     protowire.Number = 1 // of Gauge and of Sum
	sumTemporality protowire.Number = 2
	sumMonotonic   protowire.Number = 3

	pointStart      protowire.Number = 2
	pointTime       protowire.Number = 3
	pointDouble     protowire.Number = 4
	pointInt        protowire.Number = 6
	pointAttributes protowire.Number = 7

	keyValueKey   protowire.Number = 1
	keyValueValue protowire.Number = 2

	anyValueString protowire.Number = 1
)

// AggregationTemporality.
const (
	temporalityDelta      = 1
	temporalityCumulative = 2
)

// All field numbers are below 16, so every tag is one byte.
func tag(num protowire.Number, typ protowire.Type) byte { return byte(protowire.EncodeTag(num, typ)) }

// sized returns how many bytes a field has whose tag is one byte and whose content
// has n bytes, with its length before it.
func sized(n int) int { return 1 + protowire.SizeBytes(n) }

func appendString(dst []byte, num protowire.Number, s string) []byte {
	dst = append(dst, tag(num, protowire.BytesType))
	return protowire.AppendString(dst, s)
}

func appendMessage(dst []byte, num protowire.Number, m []byte) []byte {
	dst = append(dst, tag(num, protowire.BytesType))
	return protowire.AppendBytes(dst, m)
}

// appendHead writes tag and length of a message of n bytes that follows.
func appendHead(dst []byte, num protowire.Number, n int) []byte {
	dst = append(dst, tag(num, protowire.BytesType))
	return protowire.AppendVarint(dst, uint64(n))
}

// appendKeyValue writes a KeyValue field with a string value, whose key field is
// encoded already.
func appendKeyValue(dst []byte, num protowire.Number, key, text []byte) []byte {
	value := sized(len(text))
	dst = appendHead(dst, num, len(key)+sized(value))
	dst = append(dst, key...)
	dst = appendHead(dst, keyValueValue, value)
	dst = appendHead(dst, anyValueString, len(text))
	return append(dst, text...)
}

func appendResourceAttribute(dst []byte, key, value string) []byte {
	return appendKeyValue(dst, resourceAttributes, appendString(nil, keyValueKey, key), []byte(value))
}
