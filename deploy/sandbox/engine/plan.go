package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// Options are what a query depends on besides its text.
type Options struct {
	// Now is what now() and ago() count from. It must be set.
	Now time.Time

	// Parameters are the values of `declare query_parameters`, by name, each written as KQL:
	// `datetime(2025-06-25T10:00:00Z)`, `5`, `"text"`. Values for parameters that the query does not
	// declare are ignored, as Kusto does.
	Parameters map[string]string

	// unfolded makes tests evaluate constants as vectors, the way columns are.
	unfolded bool

	// MaxRows bounds what a query may remember at once: groups, rows to sort, rows of the result. Default 5,000,000.
	MaxRows int
}

// Plan is a compiled query, ready to run. It may run several times, also at once.
type Plan struct {
	statements []*relation
	q          *kql.Query
	opts       Options

	// late is true when the query has values that only a run knows, as toscalar does. Each run then compiles it
	// again, with the values in their place as constants: what is said of constants holds for them too.
	late bool
}

// Compile prepares an analysed query. Everything that the sandbox cannot evaluate is refused here, with an
// *UnsupportedError; a parameter without a value, or with one of another type, is a *ValueError.
func Compile(q *kql.Query, opts Options) (*Plan, error) {
	if err := q.Err(); err != nil {
		return nil, err
	}
	if q.Kind != "Query" {
		return nil, &UnsupportedError{What: "a management command", Position: q.Position(0)}
	}
	if opts.MaxRows == 0 {
		opts.MaxRows = 5_000_000
	}
	p := &Plan{q: q, opts: opts}
	c := &compiler{q: q, now: opts.Now.UTC(), opts: opts, state: &state{}}
	var err error
	if p.statements, err = c.statements(-1); err != nil {
		return nil, err
	}
	p.late = c.state.late
	return p, nil
}

// statements compiles those of the query that give rows, up to number last; all of them when that is negative.
func (c *compiler) statements(last int) ([]*relation, error) {
	if err := c.parameterValues(); err != nil {
		return nil, err
	}
	var out []*relation
	for _, s := range c.q.Root.List("Statements") {
		switch s.Kind {
		case "QueryParametersStatement":
		case "SetOptionStatement":
			if name := s.Child("Name"); name == nil || !serverOptions[name.Name] {
				return nil, c.unsupported(s, "this set statement")
			}
		case "LetStatement":
			c.let(s)
		case "ExpressionStatement":
			rel, err := c.result(s.Child("Expression"))
			if err != nil {
				return nil, err
			}
			if out = append(out, rel); len(out) == last+1 {
				return out, nil
			}
		default:
			return nil, c.unsupported(s, fmt.Sprintf("statement %q", s.Children[0].Text))
		}
	}
	if len(out) == 0 {
		return nil, &UnsupportedError{What: "a query without a tabular statement", Position: c.q.Position(0)}
	}
	return out, nil
}

// result compiles a tabular statement, and makes sure that its columns are what the binder promised.
func (c *compiler) result(n *kql.Node) (*relation, error) {
	rel, err := c.relation(n, need{})
	if c.state.failed != nil {
		// Whoever asked for a constant only learned that there is none.
		err = c.state.failed
	}
	if err != nil {
		return nil, err
	}
	want, err := c.schemaOf(n)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(rel.schema, want) {
		return nil, fmt.Errorf("the sandbox's columns %v are not the binder's %v: this is a defect", rel.schema, want)
	}
	return typed(rel), nil
}

// typed is rel with a look at the type of each column of each batch: whatever computed it, a client is never told of another.
func typed(rel *relation) *relation {
	out := *rel
	out.produce = func(r *run, emit func(*batch) error) error {
		return rel.produce(r, func(b *batch) error {
			for j, v := range b.cols {
				if j >= len(rel.schema) || v.Type != rel.schema[j].Type {
					return fmt.Errorf("the sandbox's column %d is a %v in a result of %v: this is a defect", j, v.Type, rel.schema)
				}
			}
			if len(b.cols) != len(rel.schema) {
				return fmt.Errorf("the sandbox has %d columns in a result of %v: this is a defect", len(b.cols), rel.schema)
			}
			return emit(b)
		})
	}
	return &out
}

// serverOptions are the options of `set` that bound the answer, which is the server's business.
var serverOptions = map[string]bool{"notruncation": true, "truncationmaxrecords": true, "truncationmaxsize": true}

// parameterValues binds the declared parameters: the request's value, else the default.
func (c *compiler) parameterValues() error {
	for _, p := range c.q.Parameters {
		t, err := table.ParseType(p.Type)
		if err != nil {
			return &ValueError{fmt.Sprintf("query parameter %q", p.Name), fmt.Sprintf("has the type %q", p.Type)}
		}
		text, given := c.opts.Parameters[p.Name]
		switch {
		case given:
			v, err := parseLiteral(t, text)
			if err != nil {
				return &ValueError{fmt.Sprintf("query parameter %q", p.Name), fmt.Sprintf("must be a %v, got %q", t, text)}
			}
			c.env = c.env.with(p.Name, known(v))
		case p.Default != nil:
			e, err := c.expr(p.Default)
			if err != nil {
				return err
			}
			if e, _, err = convert(e, t); err != nil || e == nil || e.konst == nil {
				return c.unsupported(p.Default, "this default of a query parameter")
			}
			c.env = c.env.with(p.Name, known(e.konst))
		default:
			return &ValueError{fmt.Sprintf("query parameter %q", p.Name), "has no value"}
		}
	}
	return nil
}

// Schemas are the columns of the results, one for each tabular statement.
func (p *Plan) Schemas() []table.Schema {
	var out []table.Schema
	for _, s := range p.statements {
		out = append(out, s.schema)
	}
	return out
}

// Scan evaluates statement i and calls yield with its rows, batch after batch, so that an answer of any
// size takes little memory. A batch's memory is only valid until yield returns. An error of yield
// ends the query and is returned as it is.
func (p *Plan) Scan(ctx context.Context, i int, source Source, yield func(*table.Table) error) error {
	r, statements, err := p.start(ctx, source, i)
	if err != nil {
		return err
	}
	s := statements[i]
	return s.produce(r, func(b *batch) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		t := &table.Table{Columns: make([]table.Column, len(b.cols))}
		for j, v := range b.cols {
			t.Columns[j] = table.Column{Name: s.schema[j].Name, Vec: v}
		}
		return yield(t)
	})
}

// start begins a run of the statements up to number last.
func (p *Plan) start(ctx context.Context, source Source, last int) (*run, []*relation, error) {
	r := newRun(ctx, source)
	if !p.late {
		return r, p.statements, nil
	}
	c := &compiler{q: p.q, now: p.opts.Now.UTC(), opts: p.opts, state: &state{run: r}}
	statements, err := c.statements(last)
	return r, statements, err
}

// Run evaluates all statements and keeps their rows: one table for each, in order.
func (p *Plan) Run(ctx context.Context, source Source) ([]*table.Table, error) {
	r, statements, err := p.start(ctx, source, -1)
	if err != nil {
		return nil, err
	}
	var out []*table.Table
	for _, s := range statements {
		t, err := collect(r, s, "the result", p.opts.MaxRows)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// Run compiles and runs a query.
func Run(ctx context.Context, q *kql.Query, source Source, opts Options) ([]*table.Table, error) {
	p, err := Compile(q, opts)
	if err != nil {
		return nil, err
	}
	return p.Run(ctx, source)
}
