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
	limit      int
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
	c := &compiler{
		q: q, now: opts.Now.UTC(), opts: opts,
		consts: make(map[string]*table.Vector), tables: make(map[string]*kql.Node),
	}
	if err := c.parameterValues(); err != nil {
		return nil, err
	}
	p := &Plan{limit: opts.MaxRows}
	for _, s := range q.Root.List("Statements") {
		switch s.Kind {
		case "QueryParametersStatement":
		case "SetOptionStatement":
			if name := s.Child("Name"); name == nil || !serverOptions[name.Name] {
				return nil, c.unsupported(s, "this set statement")
			}
		case "LetStatement":
			if err := c.let(s); err != nil {
				return nil, err
			}
		case "ExpressionStatement":
			n := s.Child("Expression")
			rel, err := c.relation(n, need{})
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
			p.statements = append(p.statements, rel)
		default:
			return nil, c.unsupported(s, fmt.Sprintf("statement %q", s.Children[0].Text))
		}
	}
	if len(p.statements) == 0 {
		return nil, &UnsupportedError{What: "a query without a tabular statement", Position: q.Position(0)}
	}
	return p, nil
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
			c.consts[p.Name] = v
		case p.Default != nil:
			e, err := c.expr(p.Default)
			if err != nil {
				return err
			}
			if e, _, err = convert(e, t); err != nil || e == nil || e.konst == nil {
				return c.unsupported(p.Default, "this default of a query parameter")
			}
			c.consts[p.Name] = e.konst
		default:
			return &ValueError{fmt.Sprintf("query parameter %q", p.Name), "has no value"}
		}
	}
	return nil
}

// let remembers a constant or a tabular expression, by name.
func (c *compiler) let(s *kql.Node) error {
	name, e := s.Child("Name"), s.Child("Expression")
	if e.Type == "table" {
		c.tables[name.Name] = e
		return nil
	}
	if e.Kind == "FunctionDeclaration" {
		return c.unsupported(s, fmt.Sprintf("the function %q of a let statement", name.Name))
	}
	v, err := c.in(nil).expr(e)
	if err != nil {
		return err
	}
	if v.konst == nil {
		return c.unsupported(s, fmt.Sprintf("the let %q of a value that is not constant", name.Name))
	}
	c.consts[name.Name] = v.konst
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
	s := p.statements[i]
	return s.produce(&run{ctx: ctx, source: source}, func(b *batch) error {
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

// Run evaluates all statements and keeps their rows: one table for each, in order.
func (p *Plan) Run(ctx context.Context, source Source) ([]*table.Table, error) {
	r := &run{ctx: ctx, source: source}
	var out []*table.Table
	for _, s := range p.statements {
		t, err := collect(r, s, "the result", p.limit)
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
