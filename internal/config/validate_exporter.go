package config

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

// Bounds of an exporter.
const (
	minTimeout = time.Second
	minBackoff = 500 * time.Millisecond // the first wait
	maxBackoff = time.Hour
)

func (v *validator) exporters(exporters []Exporter) {
	if len(exporters) == 0 {
		v.problem("exporters", "must have at least one exporter")
	}
	names := map[string]int{}
	for i, e := range exporters {
		field := fmt.Sprintf("exporters[%d]", i)
		v.name(field+".name", "exporter", e.Name, i, names)
		v.owned("exporter", field, e.Name)
		v.exporter(field+".", e)
		v.owner = ""
	}
}

func (v *validator) exporter(field string, e Exporter) {
	if e.Protocol == ProtocolGRPC {
		v.problem(field+"protocol", "grpc is not supported by this version, want %s", ProtocolHTTP)
	} else if e.Protocol != ProtocolHTTP {
		v.problem(field+"protocol", "must be %s%s", ProtocolHTTP, v.got(field+"protocol", string(e.Protocol)))
	}
	u, message := httpURL(e.Endpoint)
	switch {
	case message != "" && e.Protocol == ProtocolGRPC:
		// grpc has host:port, which is no problem beside the protocol.
	case message != "":
		v.problem(field+"endpoint", "%s", message)
	case u.Path == "" || u.Path == "/":
		v.problem(field+"endpoint", "must be the whole URL, path included, such as http://localhost:4318/v1/metrics")
	case u.Scheme == "http" && e.TLS != (ExporterTLS{}):
		v.problem(field+"tls", "needs an endpoint that begins with https://")
	}
	v.headers(field+"headers", e.Headers)
	oneOf(v, field+"compression", e.Compression, CompressionGzip, CompressionZstd, CompressionNone)
	if e.Timeout < minTimeout {
		v.problem(field+"timeout", "must be at least %s%s", minTimeout, v.got(field+"timeout", e.Timeout))
	}
	v.between(field+"maxBackoff", e.MaxBackoff, minBackoff, maxBackoff)
	if e.MaxBacklogBytes < minBacklogBytes {
		v.problem(field+"maxBacklogBytes", "must be at least %s%s", minBacklogBytes, v.got(field+"maxBacklogBytes", e.MaxBacklogBytes))
	}
	v.attributes(field+"resourceAttributes", e.ResourceAttributes)
	if e.TLS.CertFile != "" {
		v.problem(field+"tls.certFile", "is not supported by this version")
	}
	if e.TLS.KeyFile != "" {
		v.problem(field+"tls.keyFile", "is not supported by this version")
	}
}

// minBacklogBytes leaves room for a few batches: one may have a MiB.
const minBacklogBytes = 4 * strict.MiB

// ownHeaders are those that describe the body, which only the sender knows.
var ownHeaders = []string{"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Connection", "Host"}

func (v *validator) headers(field string, headers map[string]Secret) {
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := strict.Join(field, name)
		canonical := http.CanonicalHeaderKey(name)
		switch other, twice := first[canonical]; {
		case !isToken(name):
			v.problem(at, "must be a header name")
		case slices.Contains(ownHeaders, canonical):
			v.problem(at, "is set by the pipeline itself")
		case twice:
			v.problem(at, "is the same header as %q", other)
		case strings.ContainsFunc(headers[name].Reveal(), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			v.problem(at, "must not have line breaks or control characters")
		default:
			first[canonical] = name
		}
	}
}

// isToken says whether a string is a token of RFC 9110, as header names are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
