package transformer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

// What every OTLP batch says of where it comes from.
const (
	ServiceName  = "adx-mon-metrics-exporter"
	ScopeName    = "adx-mon.azure.com/metrics-exporter"
	ScopeVersion = "v1"
)

// The limits of an OTLP batch.
const (
	// MaxPoints is the most points of an OTLP batch. A row batch of the usual size
	// makes one OTLP batch for each value column.
	MaxPoints = 10_000
	// MaxRequestBytes is the most bytes of an OTLP batch before compression, unless
	// one point alone has more: gRPC servers take 4 MiB unless told otherwise.
	MaxRequestBytes = 4<<20 - 64<<10
)

// Compression is how OTLP batches are compressed, as the configuration has it.
type Compression string

// The compressions.
const (
	Gzip Compression = "gzip" // level 1, of a quarter of the higher ones' cost
	Zstd Compression = "zstd" // its fastest
	None Compression = "none"
)

// Output says what the OTLP batches of one exporter look like.
type Output struct {
	// Compression is gzip when empty.
	Compression Compression
	// ServiceVersion is the resource's service.version; none when empty.
	ServiceVersion string
	// ResourceAttributes are added to the resource's service.name and
	// service.version, and win over them: who configures a service.name means it. One
	// with an empty value is left out.
	ResourceAttributes map[string]string
}

// Transformer makes OTLP batches for one exporter. It is safe for use by many
// goroutines at a time.
type Transformer struct {
	compression Compression
	resource    []byte // ResourceMetrics.resource, encoded
	scope       []byte // ScopeMetrics.scope, encoded

	// What tests make smaller.
	maxPoints, maxRequestBytes, maxMessageBytes, maxArena int

	work sync.Pool // of *work
}

// NewTransformer returns a Transformer. Its error says that the compression is unknown.
func NewTransformer(out Output) (*Transformer, error) {
	if out.Compression == "" {
		out.Compression = Gzip
	}
	switch out.Compression {
	case Gzip, Zstd, None:
	default:
		return nil, fmt.Errorf("compression must be gzip, zstd or none, got %q", out.Compression)
	}
	t := &Transformer{
		compression:     out.Compression,
		maxPoints:       MaxPoints,
		maxRequestBytes: MaxRequestBytes,
		maxMessageBytes: schemas.MaxMessageBytes,
		maxArena:        maxArena,
	}
	t.work.New = func() any { return new(work) }

	attributes := map[string]string{"service.name": ServiceName, "service.version": out.ServiceVersion}
	maps.Copy(attributes, out.ResourceAttributes)
	var resource, scope []byte
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if value := attributes[key]; value != "" {
			resource = appendResourceAttribute(resource, valid(key), valid(value))
		}
	}
	t.resource = appendMessage(nil, resourceMetricsResource, resource)
	scope = appendString(scope, scopeName, ScopeName)
	scope = appendString(scope, scopeVersion, ScopeVersion)
	t.scope = appendMessage(nil, scopeMetricsScope, scope)
	return t, nil
}

// valid makes a string of the configuration fit for OTLP, whose strings are UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
