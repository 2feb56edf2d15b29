// Package otlp is an OTLP/HTTP endpoint on a laptop: where the demo and the tests send metrics, and
// what they ask afterwards for what arrived.
//
// What arrives: POST …/v1/metrics with an ExportMetricsServiceRequest as protobuf, plain, gzip or
// zstd. Whatever is before /v1/metrics is the exporter: /prometheus-exporter/v1/metrics and
// /datadog-exporter/v1/metrics are counted apart, so that several exporters share one endpoint.
// GET / answers with what was counted as text, GET /?format=json as JSON.
//
// What leaves: an empty ExportMetricsServiceResponse, in protobuf, after the request has been
// counted. [Server.Snapshot] gives the counts, [Config.OnRequest] every decoded request.
//
// It keeps counts and not points: for each exporter and metric name the number of points, of distinct
// series and the newest timestamp. Memory is bounded by [Config.MaxMetrics] and [Config.MaxSeries]; what
// is beyond is still accepted and counted in total, and the snapshot says that it is not complete.
// Series are told apart by a 64-bit hash of resource, scope, name and attributes, whatever their order.
//
// What fails: a body that is too large is answered 413, an unknown media type 415, and what cannot be
// decoded 400, with a google.rpc.Status as OTLP demands. [Config.Respond] and [Server.SetOutage] make
// it fail on request. Nothing is written anywhere, so a restart begins at zero.
package otlp
