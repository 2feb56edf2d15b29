// Package otlptest starts a real OTLP endpoint for tests: the OpenTelemetry
// Collector's receiver, over HTTP on loopback.
package otlptest

import (
	"context"
	"net"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// MustStartCollector starts a receiver until the test ends and returns the URL
// that takes metrics. Take is called with every request, decoded, and decides its
// fate as a Collector's pipeline would: nil accepts it, and of an error the
// receiver makes the status.
func MustStartCollector(tb testing.TB, take func(pmetric.Metrics) error) (url string) {
	tb.Helper()
	addr := freeAddr(tb)
	factory := otlpreceiver.NewFactory()
	cfg := &otlpreceiver.Config{Protocols: otlpreceiver.Protocols{
		HTTP: configoptional.Some(otlpreceiver.HTTPConfig{
			ServerConfig:   confighttp.ServerConfig{NetAddr: confignet.AddrConfig{Endpoint: addr, Transport: confignet.TransportTypeTCP}},
			MetricsURLPath: "/v1/metrics",
		}),
	}}
	sink, err := consumer.NewMetrics(func(_ context.Context, md pmetric.Metrics) error { return take(md) })
	if err != nil {
		tb.Fatal(err)
	}
	r, err := factory.CreateMetrics(tb.Context(), receivertest.NewNopSettings(factory.Type()), cfg, sink)
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.Start(tb.Context(), componenttest.NewNopHost()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Shutdown(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return "http://" + addr + "/v1/metrics"
}

// freeAddr returns a loopback address nobody listens on; the receiver cannot tell
// which port it was given.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
