package kql

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Config is what a Parser can be told. The zero value means the defaults.
type Config struct {
	CacheSize int           // analyses kept; default 256
	Timeout   time.Duration // of one analysis, without waiting and loading; default 30 s
	MaxText   int           // bytes of a query; default 1 MiB
	Engines   int           // analyses at once, each with an engine of 100 MB; default 1
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

	// engine has the engines, each nil while not loaded; who takes one has the use of it.
	engine  chan *vm
	closed  chan struct{}
	closing sync.Mutex // one Close at a time
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
		engine: make(chan *vm, config.Engines), closed: make(chan struct{}),
	}
	for range config.Engines {
		p.engine <- nil
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
	err := p.use(ctx, schema, func(ctx context.Context, v *vm) error {
		// Another may have asked for the same while this one waited.
		if q = p.cache.get(k); q != nil {
			return nil
		}
		answer, err := v.call(ctx, "analyze", schema.version, db.Name, text)
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
func (p *Parser) use(ctx context.Context, schema *Schema, f func(context.Context, *vm) error) error {
	var v *vm
	select {
	case v = <-p.engine:
	case <-ctx.Done():
		return fmt.Errorf("analyze query: wait for the parser: %w", context.Cause(ctx))
	}
	defer func() { p.engine <- v }()
	select {
	case <-p.closed:
		return ErrClosed
	default:
	}
	if err := p.analyze(ctx, &v, schema, f); err != nil {
		if v != nil {
			v.close()
			v = nil
		}
		return fmt.Errorf("analyze query: %w", err)
	}
	return nil
}

// analyze uses the engine *v, loading it when nil.
func (p *Parser) analyze(ctx context.Context, v **vm, schema *Schema, f func(context.Context, *vm) error) (err error) {
	if *v == nil {
		load, cancel := context.WithTimeoutCause(ctx, loadTimeout, errTimeout)
		defer cancel()
		if *v, err = newVM(load, p.script, fast, glue); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.config.Timeout, errTimeout)
	defer cancel()
	if schema != nil && (*v).schema != schema.version {
		if _, err := (*v).call(ctx, "setSchema", schema.json); err != nil {
			return fmt.Errorf("set schema: %w", err)
		}
		(*v).schema = schema.version
	}
	return f(ctx, *v)
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
	for range p.config.Engines {
		if v := <-p.engine; v != nil {
			v.close()
		}
	}
	for range p.config.Engines {
		p.engine <- nil
	}
}
