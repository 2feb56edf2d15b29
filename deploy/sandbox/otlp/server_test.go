package otlp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"go.uber.org/goleak"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
)

func TestMain(m *testing.M) {
	// net/http holds a connection for half a second after it has refused a body that is too large.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func start(t *testing.T, cfg otlp.Config) *otlp.Server {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	s, err := otlp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// gauge is a request with one metric and a point for each list of labels, a second apart.
func gauge(name string, labels ...[]string) []byte {
	g := &metrics.Gauge{}
	for i, l := range labels {
		p := &metrics.NumberDataPoint{TimeUnixNano: uint64(i+1) * 1e9, Value: &metrics.NumberDataPoint_AsDouble{AsDouble: float64(i)}}
		for _, kv := range l {
			k, v, _ := strings.Cut(kv, "=")
			p.Attributes = append(p.Attributes, &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}})
		}
		g.DataPoints = append(g.DataPoints, p)
	}
	b, err := proto.Marshal(&colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{{Name: name, Data: &metrics.Metric_Gauge{Gauge: g}}}}},
	}}})
	if err != nil {
		panic(err)
	}
	return b
}

func post(t *testing.T, url, encoding string, body []byte) (*http.Response, []byte) {
	t.Helper()
	switch encoding {
	case "gzip":
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		if _, err := zw.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		body = buf.Bytes()
	case "zstd":
		zw, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		body = zw.EncodeAll(body, nil)
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", encoding)
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (*http.Response, []byte) {
	t.Helper()
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func TestCounts(t *testing.T) {
	seen := make(chan string, 10)
	s := start(t, otlp.Config{OnRequest: func(exporter string, _ *http.Request, m *colmetrics.ExportMetricsServiceRequest) {
		seen <- exporter + " " + m.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].Name
	}})
	for _, enc := range []string{"", "identity", "gzip", "zstd"} {
		body := gauge("cpu", []string{"a=1", "b=2"}, []string{"b=2", "a=1"}, []string{"a=1"}, []string{"a=2", "b=1"})
		resp, answer := post(t, s.Endpoint("prom"), enc, body)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-protobuf" || len(answer) != 0 {
			t.Errorf("encoding %q: status %d, %q", enc, resp.StatusCode, answer)
		}
		if got := <-seen; got != "prom cpu" {
			t.Errorf("seen %q", got)
		}
	}
	post(t, s.Endpoint("other/path"), "", gauge("cpu", nil))
	post(t, s.Endpoint(""), "", gauge("mem", nil))
	snap := s.Snapshot()
	if snap.Truncated || snap.Points() != 18 || len(snap.Exporters) != 3 {
		t.Errorf("snapshot %+v", snap)
	}
	e := snap.Exporter("prom")
	want := otlp.Metric{Name: "cpu", Points: 16, Series: 3, First: time.Unix(1, 0).UTC(), Last: time.Unix(4, 0).UTC(), Value: 3}
	if e.Requests != 4 || e.Points != 16 || e.Series != 3 || !e.Last.Equal(want.Last) || e.Metric("cpu") != want {
		t.Errorf("exporter %+v", e)
	}
	if got := snap.Exporter("other/path").Requests + snap.Exporter("").Requests + snap.Exporter("x").Requests; got != 2 {
		t.Errorf("%d requests on other paths", got)
	}

	t.Run("HTTP", func(t *testing.T) {
		base := strings.TrimSuffix(s.Endpoint(""), "/v1/metrics")
		req, err := http.NewRequest(http.MethodGet, base+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, text := do(t, req)
		if !strings.Contains(string(text), "prom") || !strings.Contains(string(text), "1970-01-01T00:00:04Z") {
			t.Errorf("text\n%s", text)
		}
		req.URL.RawQuery = "format=json"
		_, raw := do(t, req)
		var got otlp.Snapshot
		if err := json.Unmarshal(raw, &got); err != nil || got.Points() != 18 {
			t.Errorf("%v: %s", err, raw)
		}
		req.URL.RawQuery = "format=xml"
		if resp, _ := do(t, req); resp.StatusCode != 400 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

func TestBounds(t *testing.T) {
	s := start(t, otlp.Config{MaxMetrics: 2, MaxSeries: 3, MaxBodyBytes: 1000})
	for i := range 4 {
		post(t, s.Endpoint("e"), "", gauge(fmt.Sprintf("m%d", i), []string{"a=1"}, []string{"a=2"}))
	}
	snap := s.Snapshot()
	e := snap.Exporter("e")
	if !snap.Truncated || e.Points != 8 || len(e.Metrics) != 2 || e.Series != 3 {
		t.Errorf("snapshot %+v", snap)
	}
	for _, enc := range []string{"", "gzip", "zstd"} {
		resp, _ := post(t, s.Endpoint("e"), enc, bytes.Repeat([]byte{0}, 2000))
		if resp.StatusCode != 413 {
			t.Errorf("encoding %q: status %d", enc, resp.StatusCode)
		}
	}
}

func TestErrors(t *testing.T) {
	s := start(t, otlp.Config{})
	for name, c := range map[string]struct {
		typ, enc string
		body     []byte
		status   int
		message  string
	}{
		"ErrType":     {"application/json", "", []byte("{}"), 415, `content type must be application/x-protobuf, got "application/json"`},
		"ErrEncoding": {"application/x-protobuf", "br", nil, 415, `content encoding must be gzip, zstd or identity, got "br"`},
		"ErrGzip":     {"application/x-protobuf", "gzip", []byte("no"), 400, "inflate gzip: unexpected EOF"},
		"ErrProto":    {"application/x-protobuf", "", []byte("\xff"), 400, "decode ExportMetricsServiceRequest: "},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, s.Endpoint("e"), bytes.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.typ)
			req.Header.Set("Content-Encoding", c.enc)
			resp, b := do(t, req)
			st := &statuspb.Status{}
			if err := proto.Unmarshal(b, st); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || !strings.HasPrefix(st.Message, c.message) {
				t.Errorf("status %d, %q", resp.StatusCode, st.Message)
			}
		})
	}
	if e := s.Snapshot().Exporter("e"); e.Refused != 4 || e.Requests != 0 {
		t.Errorf("exporter %+v", e)
	}
	for method, status := range map[string]int{http.MethodGet: 405, http.MethodPut: 405} {
		req, err := http.NewRequest(method, s.Endpoint("e"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, _ := do(t, req); resp.StatusCode != status {
			t.Errorf("%s: status %d", method, resp.StatusCode)
		}
	}
	if _, err := otlp.New(otlp.Config{Listen: "4318"}); err == nil || err.Error() != `otlp endpoint: listen must be host:port, got "4318": address 4318: missing port in address` {
		t.Errorf("error %v", err)
	}
}

func TestOutage(t *testing.T) {
	s := start(t, otlp.Config{Respond: func(exporter string, _ *http.Request) *otlp.Response {
		if exporter == "partial" {
			return &otlp.Response{RejectedPoints: 1, Message: "one too many"}
		}
		return nil
	}})
	s.SetOutage("e", &otlp.Response{Status: 503, RetryAfter: "7", Message: "down"})
	resp, b := post(t, s.Endpoint("e"), "", gauge("cpu", nil))
	st := &statuspb.Status{}
	if err := proto.Unmarshal(b, st); err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "7" || st.Message != "down" {
		t.Errorf("%v: status %d, %v", err, resp.StatusCode, st)
	}
	s.SetOutage("e", &otlp.Response{Status: 500, Body: "proxy", Accept: true, Delay: time.Nanosecond})
	if resp, b := post(t, s.Endpoint("e"), "", gauge("cpu", nil)); resp.StatusCode != 500 || string(b) != "proxy\n" {
		t.Errorf("status %d, %q", resp.StatusCode, b)
	}
	s.SetOutage("e", nil)
	if resp, _ := post(t, s.Endpoint("e"), "", gauge("cpu", nil)); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if e := s.Snapshot().Exporter("e"); e.Requests != 2 || e.Refused != 1 {
		t.Errorf("exporter %+v", e)
	}
	_, b = post(t, s.Endpoint("partial"), "", gauge("cpu", nil))
	answer := &colmetrics.ExportMetricsServiceResponse{}
	if err := proto.Unmarshal(b, answer); err != nil || answer.GetPartialSuccess().GetRejectedDataPoints() != 1 {
		t.Errorf("%v: %v", err, answer)
	}
}

func TestDelayEndsWithTheClient(t *testing.T) {
	asked := make(chan struct{})
	s := start(t, otlp.Config{Respond: func(string, *http.Request) *otlp.Response {
		close(asked)
		return &otlp.Response{Delay: time.Hour}
	}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint("e"), bytes.NewReader(gauge("cpu", nil)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWait(t *testing.T) {
	s := start(t, otlp.Config{})
	done := make(chan error, 1)
	go func() {
		_, err := s.Wait(context.Background(), func(snap otlp.Snapshot) bool { return snap.Points() == 3 })
		done <- err
	}()
	for range 3 {
		post(t, s.Endpoint("e"), "", gauge("cpu", nil))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Wait(ctx, func(otlp.Snapshot) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
