package kql

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// Config is what a Parser can be told. The zero value means the defaults.
type Config struct {
	CacheSize int           // analyses kept; default 256
	Timeout   time.Duration // of one analysis, without waiting and loading; default 30 s
	MaxText   int           // bytes of a query; default 1 MiB
	Engines   int           // analyses at once, each with an engine of 100 MB; default 1

	// Command makes the command of a process that does nothing but Serve on its standard input and
	// output. All engines but the first are such processes. Nil, or one that does not start: they
	// are in this process, where two do hardly more than one.
	Command func() *exec.Cmd
}

// WithDefaults fills in what is not set.
func (c Config) WithDefaults() Config {
	if c.CacheSize == 0 {
		c.CacheSize = 256
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxText == 0 {
		c.MaxText = 1 << 20
	}
	if c.Engines == 0 {
		c.Engines = 1
	}
	return c
}

// Validate reports the first field out of range.
func (c Config) Validate() error {
	switch {
	case c.CacheSize < 1:
		return fmt.Errorf("kql: cache size must be at least 1, got %d", c.CacheSize)
	case c.Timeout < 0:
		return fmt.Errorf("kql: timeout must not be negative, got %v", c.Timeout)
	case c.MaxText < 1:
		return fmt.Errorf("kql: max text must be at least 1 byte, got %d", c.MaxText)
	case c.Engines < 1:
		return fmt.Errorf("kql: engines must be at least 1, got %d", c.Engines)
	}
	return nil
}

// ErrClosed is what Analyze returns after Close.
var ErrClosed = errors.New("the KQL parser is closed")

// errTimeout is the cause of an analysis' own deadline, as opposed to its caller's.
var errTimeout = errors.New("analysis took too long")

// loadTimeout bounds what the first analysis pays: loading takes a second on an idle machine.
const loadTimeout = time.Minute

// Parser analyses queries. Its methods may be called from any goroutine.
type Parser struct {
	config Config
	script string
	cache  *cache[Query]
	checks *cache[Report]

	// Who takes a slot has the use of its engine. Those that have one go first: another takes a
	// second to load.
	loaded, unloaded chan *slot
	closed           chan struct{}
	closing          sync.Mutex // one Close at a time
}

// slot is room for an engine.
type slot struct {
	engine           // nil: none is loaded
	schema    string // version of the schema that is set
	elsewhere bool   // it is to be a process of its own
}

// engine has the parser in it, and runs one function at a time.
type engine interface {
	// call calls kusto2otlp.<function> (analyze.js), which takes and returns strings. After an error
	// the engine is good for nothing but close.
	call(ctx context.Context, function string, args ...string) (string, error)
	close()
}

// Open unpacks the embedded parser; the first analysis starts it. The error is ErrNotBuiltIn when
// it is not embedded.
func Open(config Config) (*Parser, error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	script, err := bundle(assets)
	if err != nil {
		return nil, err
	}
	if script, err = patch(script); err != nil {
		return nil, err
	}
	p := &Parser{
		config: config, script: script, cache: newCache[Query](config.CacheSize), checks: newCache[Report](config.CacheSize),
		loaded: make(chan *slot, config.Engines), unloaded: make(chan *slot, config.Engines), closed: make(chan struct{}),
	}
	for i := range config.Engines {
		p.unloaded <- &slot{elsewhere: i > 0 && config.Command != nil}
	}
	return p, nil
}

// Analyze parses and binds text, as it would run in database on the schema's home cluster.
//
// What Kusto would refuse is no error here: it is in the Query's diagnostics, and Query.Err tells.
// An error means that there is no analysis: *DatabaseError, ErrClosed, ctx's error, or a failure of
// the parser itself, which says nothing about later analyses.
func (p *Parser) Analyze(ctx context.Context, schema *Schema, database, text string) (*Query, error) {
	db := schema.Database(database)
	if db == nil {
		return nil, &DatabaseError{Database: database, Cluster: schema.cluster}
	}
	if len(text) > p.config.MaxText {
		return nil, fmt.Errorf("analyze query: the text must have at most %d bytes, got %d", p.config.MaxText, len(text))
	}
	k := key{schema.version, db.Name, text}
	if q := p.cache.get(k); q != nil {
		return q, nil
	}
	var q *Query
	err := p.use(ctx, schema, func(ctx context.Context, e engine) error {
		// Another may have asked for the same while this one waited.
		if q = p.cache.get(k); q != nil {
			return nil
		}
		answer, err := e.call(ctx, "analyze", schema.version, db.Name, text)
		if err != nil {
			return err
		}
		var w *wire
		if q, w, err = decode(answer, text, db.Name); err != nil {
			return err
		}
		return w.lost()
	})
	if err != nil {
		return nil, err
	}
	p.cache.put(k, q)
	return q, nil
}

// use gives f an engine that has the schema, or any schema when it is nil, and a context that ends
// when the analysis has taken too long. An engine that failed is thrown away.
func (p *Parser) use(ctx context.Context, schema *Schema, f func(context.Context, engine) error) error {
	s, err := p.take(ctx)
	if err != nil {
		return fmt.Errorf("analyze query: wait for the parser: %w", err)
	}
	defer p.release(s)
	select {
	case <-p.closed:
		return ErrClosed
	default:
	}
	if err := p.analyze(ctx, s, schema, f); err != nil {
		s.unload()
		return fmt.Errorf("analyze query: %w", err)
	}
	return nil
}

// take takes a slot, one with an engine if there is any.
func (p *Parser) take(ctx context.Context) (*slot, error) {
	select {
	case s := <-p.loaded:
		return s, nil
	default:
	}
	select {
	case s := <-p.loaded:
		return s, nil
	case s := <-p.unloaded:
		return s, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *Parser) release(s *slot) {
	if s.engine != nil {
		p.loaded <- s
	} else {
		p.unloaded <- s
	}
}

// analyze uses a slot's engine, loading it when there is none.
func (p *Parser) analyze(ctx context.Context, s *slot, schema *Schema, f func(context.Context, engine) error) error {
	if s.engine == nil {
		load, cancel := context.WithTimeoutCause(ctx, loadTimeout, errTimeout)
		defer cancel()
		if err := p.load(load, s); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.config.Timeout, errTimeout)
	defer cancel()
	if schema != nil && s.schema != schema.version {
		if _, err := s.call(ctx, "setSchema", schema.json); err != nil {
			return fmt.Errorf("set schema: %w", err)
		}
		s.schema = schema.version
	}
	return f(ctx, s.engine)
}

func (p *Parser) load(ctx context.Context, s *slot) error {
	if s.elsewhere {
		e, err := startProcess(ctx, p.config.Command())
		if err == nil {
			s.engine = e
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		// No program to start, or no right to: this process will have to do.
	}
	v, err := newVM(ctx, p.script, fast, glue)
	if err != nil {
		return err
	}
	s.engine = v
	return nil
}

func (s *slot) unload() {
	if s.engine != nil {
		s.close()
	}
	s.engine, s.schema = nil, ""
}

// Close releases the engines, each after the analysis that uses it, if any. It may be called again.
func (p *Parser) Close() {
	p.closing.Lock()
	defer p.closing.Unlock()
	select {
	case <-p.closed:
		return
	default:
		close(p.closed)
	}
	all := make([]*slot, p.config.Engines)
	for i := range all {
		all[i], _ = p.take(context.Background())
		all[i].unload()
	}
	for _, s := range all {
		p.unloaded <- s
	}
}
