package otlp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	protobufType = "application/x-protobuf"
	metricsPath  = "/v1/metrics"
)

// Server is an OTLP/HTTP endpoint for metrics.
type Server struct {
	cfg    Config
	counts *counts

	mu       sync.Mutex
	outages  map[string]*Response
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc
	served   chan error
	handlers sync.WaitGroup
	closed   bool

	closing  sync.Once
	closeErr error
}

// New returns a server that does not listen yet.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, counts: newCounts(cfg.MaxMetrics, cfg.MaxSeries), outages: map[string]*Response{}}, nil
}

// Start listens and returns; requests are served until Close.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil || s.closed {
		return errors.New("otlp endpoint: a server starts once")
	}
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("otlp endpoint: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.listener, s.cancel, s.served = l, cancel, make(chan error, 1)
	s.http = &http.Server{
		Handler:           s.Handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	go func() { s.served <- s.http.Serve(l) }()
	return nil
}

// Addr is the host:port that the server listens on; empty before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Endpoint is the URL to configure for an exporter; empty before Start. The exporter may be empty.
func (s *Server) Endpoint(exporter string) string {
	addr := s.Addr()
	if addr == "" {
		return ""
	}
	if exporter != "" {
		exporter = "/" + exporter
	}
	return "http://" + addr + exporter + metricsPath
}

// SetOutage makes every request of an exporter be answered with r, until it is set to nil.
// Config.Respond comes first.
func (s *Server) SetOutage(exporter string, r *Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == nil {
		delete(s.outages, exporter)
		return
	}
	s.outages[exporter] = r
}

// Snapshot is what has been counted so far.
func (s *Server) Snapshot() Snapshot { return s.counts.snapshot() }

// Changed is closed when the next request has been counted, so that a test can wait for data without
// asking again and again.
func (s *Server) Changed() <-chan struct{} { return s.counts.changed() }

// Wait returns the first snapshot for which done is true, or the context's error. It must not be
// called from OnRequest.
func (s *Server) Wait(ctx context.Context, done func(Snapshot) bool) (Snapshot, error) {
	for {
		changed := s.Changed() // before the snapshot, or what is counted in between is missed
		snap := s.Snapshot()
		if done(snap) {
			return snap, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return snap, fmt.Errorf("wait for metrics: %w", ctx.Err())
		}
	}
}

// Close drops connections and returns when no request is being served. Closing twice is no error.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		if s.http == nil {
			return
		}
		s.cancel()
		err := s.http.Close()
		s.handlers.Wait()
		if serr := <-s.served; !errors.Is(serr, http.ErrServerClosed) {
			err = errors.Join(err, serr)
		}
		if err != nil {
			s.closeErr = fmt.Errorf("otlp endpoint: close: %w", err)
		}
	})
	return s.closeErr
}

// Handler is the endpoint without a listener. Close does not wait for it.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		s.handlers.Add(1)
		s.mu.Unlock()
		defer s.handlers.Done()
		exporter, isMetrics := strings.CutSuffix(r.URL.Path, metricsPath)
		switch {
		case isMetrics && r.Method == http.MethodPost:
			s.serveMetrics(w, r, strings.Trim(exporter, "/"))
		case r.Method == http.MethodGet && r.URL.Path == "/":
			s.serveSnapshot(w, r)
		case isMetrics:
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "metrics are posted", http.StatusMethodNotAllowed)
		default:
			http.NotFound(w, r)
		}
	})
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request, exporter string) {
	// Read before anything else: net/http notices only then that a client goes away.
	raw, err := s.read(w, r)
	if err != nil {
		s.refuse(w, exporter, err)
		return
	}
	resp := s.response(exporter, r)
	if resp.Delay > 0 {
		t := time.NewTimer(resp.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // nobody is there to answer
		}
	}
	if resp.Status != 0 && !resp.Accept {
		s.counts.refused(exporter)
		fail(w, resp.Status, resp.RetryAfter, resp.Body, resp.Message)
		return
	}
	m, err := s.decode(r.Header, raw)
	if err != nil {
		s.refuse(w, exporter, err)
		return
	}
	s.counts.add(exporter, m, int64(len(raw)))
	if s.cfg.OnRequest != nil {
		s.cfg.OnRequest(exporter, r, m)
	}
	if resp.Status != 0 {
		fail(w, resp.Status, resp.RetryAfter, resp.Body, resp.Message)
		return
	}
	answer := &colmetrics.ExportMetricsServiceResponse{}
	if resp.RejectedPoints != 0 || resp.Message != "" {
		answer.PartialSuccess = &colmetrics.ExportMetricsPartialSuccess{RejectedDataPoints: resp.RejectedPoints, ErrorMessage: resp.Message}
	}
	send(w, http.StatusOK, answer)
}

// response is how to answer a request; never nil.
func (s *Server) response(exporter string, r *http.Request) *Response {
	if s.cfg.Respond != nil {
		if resp := s.cfg.Respond(exporter, r); resp != nil {
			return resp
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if resp := s.outages[exporter]; resp != nil {
		return resp
	}
	return &Response{}
}

// refusal is a request that cannot be accepted, with the status that says so.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }

func (s *Server) refuse(w http.ResponseWriter, exporter string, err error) {
	s.counts.refused(exporter)
	status := http.StatusBadRequest
	var r *refusal
	if errors.As(err, &r) {
		status = r.status
	}
	fail(w, status, "", "", err.Error())
}

func (s *Server) tooLarge() error {
	return &refusal{http.StatusRequestEntityTooLarge, fmt.Errorf("body must be at most %d bytes", s.cfg.MaxBodyBytes)}
}

// readTimeout bounds how long a client may take to send a request.
const readTimeout = time.Minute

// read is the body as it came over the wire.
func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.MaxBodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, s.tooLarge()
	case err != nil:
		return nil, fmt.Errorf("read body: %w", err)
	}
	// The deadline would otherwise end the request's context while it is being answered.
	if err := rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return raw, nil
}

// decode is the request in a body.
func (s *Server) decode(header http.Header, raw []byte) (*colmetrics.ExportMetricsServiceRequest, error) {
	if typ, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || typ != protobufType {
		return nil, &refusal{http.StatusUnsupportedMediaType, fmt.Errorf("content type must be %s, got %q", protobufType, header.Get("Content-Type"))}
	}
	var plain io.Reader
	switch enc := header.Get("Content-Encoding"); enc {
	case "", "identity":
		plain = bytes.NewReader(raw)
	case "gzip":
		zr, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("inflate gzip: %w", err)
		}
		plain = zr
	case "zstd":
		// Without concurrency a decoder has no goroutines to wait for.
		zr, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(s.cfg.MaxBodyBytes)+1<<20))
		if err != nil {
			return nil, fmt.Errorf("inflate zstd: %w", err)
		}
		defer zr.Close()
		plain = zr
	default:
		return nil, &refusal{http.StatusUnsupportedMediaType, fmt.Errorf("content encoding must be gzip, zstd or identity, got %q", enc)}
	}
	body, err := io.ReadAll(io.LimitReader(plain, s.cfg.MaxBodyBytes+1))
	switch {
	case int64(len(body)) > s.cfg.MaxBodyBytes:
		return nil, s.tooLarge()
	case err != nil:
		return nil, fmt.Errorf("inflate body: %w", err)
	}
	m := &colmetrics.ExportMetricsServiceRequest{}
	if err := proto.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("decode ExportMetricsServiceRequest: %w", err)
	}
	return m, nil
}

// fail answers as OTLP demands, with a Status, or with the text of a proxy that knows no OTLP.
func fail(w http.ResponseWriter, status int, retryAfter, body, message string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	if body != "" {
		http.Error(w, body, status)
		return
	}
	if message == "" {
		message = http.StatusText(status)
	}
	send(w, status, &statuspb.Status{Message: message})
}

func send(w http.ResponseWriter, status int, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", protobufType)
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		return // the client is gone; it will send again
	}
}
