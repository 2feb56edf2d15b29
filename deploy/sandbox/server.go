package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a Kusto endpoint.
type Server struct {
	cfg   Config
	slots chan struct{}

	mu       sync.Mutex
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc
	served   chan error
	handlers sync.WaitGroup
	closed   bool

	release  func() // what New made; nil when there is nothing to give back
	closing  sync.Once
	closeErr error
}

// New returns a server that does not listen yet. It must be closed also when it was never started.
// The error is kql.ErrNotBuiltIn when KQL is to be evaluated and its parser is not in the binary.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{slots: make(chan struct{}, cfg.MaxConcurrentQueries)}
	if cfg.Engine == nil {
		e, err := newEvaluator(cfg.Source, cfg.Catalog, cfg.Parser)
		if err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		cfg.Engine, s.release = e, e.close
	}
	s.cfg = cfg
	return s, nil
}

// Start listens and returns; requests are served until Close.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil || s.closed {
		return errors.New("sandbox: a server starts once")
	}
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
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
	s.cfg.Logger.Info("kusto sandbox listens", "address", l.Addr().String())
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

// URL is the endpoint to configure in a client; empty before Start.
func (s *Server) URL() string {
	if a := s.Addr(); a != "" {
		return "http://" + a
	}
	return ""
}

// Close cancels the queries in progress, drops their connections and returns when nothing of the
// server runs any more. Closing twice is no error.
func (s *Server) Close() error {
	s.closing.Do(func() {
		if s.release != nil {
			defer s.release() // after the queries that use it
		}
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
			s.closeErr = fmt.Errorf("sandbox: close: %w", err)
		}
	})
	return s.closeErr
}

// Handler is the protocol without a listener, for servers of one's own. Close does not wait for it.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, prefix := range []string{"", "/{cluster}"} {
		mux.HandleFunc("POST "+prefix+"/v2/rest/query", s.tracked(s.serveQuery("v2", s.v2)))
		mux.HandleFunc("POST "+prefix+"/v1/rest/query", s.tracked(s.serveQuery("v1", s.v1)))
		mux.HandleFunc("POST "+prefix+"/v1/rest/mgmt", s.tracked(s.serveMgmt))
	}
	mux.HandleFunc("GET /v1/rest/auth/metadata", s.serveMetadata)
	mux.HandleFunc("/", s.serveUnknown)
	return mux
}

// tracked lets Close wait for a handler; it must not begin once Close waits.
func (s *Server) tracked(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		s.handlers.Add(1)
		s.mu.Unlock()
		defer s.handlers.Done()
		h(w, r)
	}
}

// serveQuery is POST /v2/rest/query and its older sister of version v1, whose answers newEncoder writes.
func (s *Server) serveQuery(version string, newEncoder func(*answer) encoder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, err := s.request(w, r)
		if err == nil && isCommand(req.Query) {
			err = BadRequest("Control commands (starting with a dot '.') do not support api_version=" + version)
		}
		if err != nil {
			writeError(w, r, req, reason(err, req))
			return
		}
		s.query(w, r, req, newEncoder)
	}
}

// v2 writes frames.
func (s *Server) v2(a *answer) encoder {
	f := &frames{
		stream: &a.stream, req: a.req, kind: kindOf(a.req.Options), newlines: a.req.Options.Newlines,
		placement: a.req.Options.Placement, fragmentRows: s.cfg.FragmentRows, replace: a.fault.Replace,
	}
	if a.fault.Frames != AsRequested {
		f.kind = a.fault.Frames
	}
	return f
}

// v1 writes tables.
func (s *Server) v1(a *answer) encoder { return &tables{stream: &a.stream, req: a.req} }

// query answers one query.
func (s *Server) query(w http.ResponseWriter, r *http.Request, req *Request, newEncoder func(*answer) encoder) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		writeError(w, r, req, Throttled(time.Second))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), req.Options.Timeout)
	defer cancel()
	// A client that neither reads nor goes away must not hold a slot for longer than its query may run.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(req.Options.Timeout + 10*time.Second)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.cfg.Logger.Warn("query cannot be bounded in time", "error", err)
	}
	a := &answer{s: s, w: w, r: r, req: req, fault: s.fault(req)}
	a.out = newEncoder(a)
	started := time.Now()
	err := a.run(ctx)
	log := s.cfg.Logger.With("client_request_id", req.ClientRequestID, "database", req.Database,
		"rows", a.total, "took", time.Since(started))
	switch {
	case err == nil:
		log.Debug("query answered")
	case r.Context().Err() != nil:
		log.Info("query cancelled")
	default:
		log.Info("query failed", "error", err)
	}
	if !a.done {
		if a.body != nil {
			a.body.release()
		}
		// Anything else would end the answer as if it were whole.
		panic(http.ErrAbortHandler)
	}
}

// fault is what is to go wrong with a query; it is never nil.
func (s *Server) fault(req *Request) *Fault {
	if s.cfg.Fault != nil {
		if f := s.cfg.Fault(req); f != nil {
			return f
		}
	}
	if f := req.Options.Fault; f != nil {
		return f
	}
	return &Fault{}
}

func (s *Server) serveUnknown(w http.ResponseWriter, r *http.Request) {
	req := s.blank(r)
	e := NotSupported(r.Method + " " + r.URL.Path)
	e.Status = http.StatusNotFound
	writeError(w, r, req, e)
}
