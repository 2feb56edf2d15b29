package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	register("SummarizeOperator", compileSummarize, func(_ *compiler, op *kql.Node, _ need) need { return only(op) })
	register("DistinctOperator", compileDistinct, func(_ *compiler, op *kql.Node, d need) need {
		for _, e := range op.List("Expressions") {
			if e.Kind == "StarExpression" {
				return need{columns: d.columns}.all()
			}
		}
		return only(op)
	})
	register("CountOperator", compileCount, func(_ *compiler, op *kql.Node, _ need) need {
		return need{columns: map[string]bool{}}
	})
}

func register(kind string, compile stage, needs func(c *compiler, op *kql.Node, after need) need) {
	pipes[kind] = pipe{compile, needs}
}

// all needs every column.
func (d need) all() need { return need{ranges: d.ranges} }

// aggregation is one call of an aggregate function.
type aggregation struct {
	fresh func() tuple
	args  []*expr
}

// compileSummarize: first the groups and the aggregates of each, then the expressions around the
// aggregates, such as count() * 1.0, over one row a group.
func compileSummarize(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	by, calls := op.Child("ByClause").List("Expressions"), op.List("Aggregates")
	if op.Child("ByClause") != nil && op.Child("ByClause").Child("BinClause") != nil {
		return nil, c.unsupported(op, `"bin" clause of operator "summarize"`)
	}
	keys, err := c.keys(in.schema, by)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		if k.typ != schema[i].Type {
			return nil, c.unsupported(by[i], fmt.Sprintf("a %v as the %v column %q", k.typ, schema[i].Type, schema[i].Name))
		}
	}
	return c.grouped(in, keys, schema, by, calls)
}

// grouped has a row for each combination of keys, with the values of aggregate expressions after them; schema is that of
// both.
func (c *compiler) grouped(in *relation, keys []*expr, schema table.Schema, by, calls []*kql.Node) (*relation, error) {
	aggs, results, err := c.aggregations(in.schema, schema[len(keys):], by, calls)
	if err != nil {
		return nil, err
	}
	limit := c.opts.MaxRows
	return &relation{schema: schema, produce: func(r *run, emit func(*batch) error) error {
		g := newGrouper(schema[:len(keys)], limit)
		states := make([]tuple, len(aggs))
		for i, a := range aggs {
			states[i] = a.fresh()
			states[i].grow(g.n)
		}
		err := in.produce(r, func(b *batch) error {
			ks, err := evaluate(keys, b)
			if err != nil {
				return err
			}
			ids, err := g.group(ks, b.n)
			if err != nil {
				return err
			}
			for i, a := range aggs {
				args, err := evaluate(a.args, b)
				if err != nil {
					return err
				}
				states[i].grow(g.n)
				states[i].add(ids, args)
				if err := failed(states[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || g.n == 0 {
			return err
		}
		groups := &batch{n: g.n}
		for _, s := range states {
			groups.cols = append(groups.cols, s.results()...)
			if err := failed(s); err != nil {
				return err
			}
		}
		out := &batch{n: g.n, cols: g.keys}
		for _, e := range results {
			o, err := e.eval(groups)
			if err != nil {
				return err
			}
			out.cols = append(out.cols, o.full(g.n))
		}
		return emit(out)
	}}, nil
}

// aggregations compiles the aggregate calls over rows of a scope, and the expressions around them, over one row a
// group. Both are for the columns of schema.
func (c *compiler) aggregations(scope, schema table.Schema, by, calls []*kql.Node) (aggs []aggregation, results []*expr, err error) {
	inner, outer := c.in(scope), c.in(nil)
	width := 0
	// add compiles one call, of an aggregate with these columns.
	add := func(n *kql.Node, columns table.Schema) error {
		cl := &call{name: fmt.Sprintf("aggregate %q", n.Symbol.Name), node: n, typ: columns[0].Type, c: inner}
		var err error
		if cl.args, err = inner.tupleArguments(n, by); err != nil {
			return err
		}
		var fresh func() tuple
		if bind, ok := tuples[n.Symbol.Name]; ok {
			fresh, err = bind(cl, columns)
		} else {
			var one func() aggregator
			one, err = aggregates[n.Symbol.Name](cl)
			fresh = func() tuple { return single{one()} }
		}
		aggs = append(aggs, aggregation{fresh, cl.args})
		width += len(columns)
		return err
	}
	outer.aggregates = func(n *kql.Node) (*expr, error) {
		t, err := outer.scalarType(n)
		if err != nil {
			return nil, err
		}
		if err := add(n, table.Schema{{Type: t}}); err != nil {
			return nil, err
		}
		return columnExpr(width-1, t), nil
	}
	for _, n := range calls {
		if call := tupleCall(n); call != nil && call.Type == "tuple" {
			columns := schema[len(results):]
			if len(columns) < len(call.Columns) {
				return nil, nil, c.unsupported(n, "an aggregate of these columns")
			}
			columns = columns[:len(call.Columns)]
			if err := add(call, columns); err != nil {
				return nil, nil, err
			}
			for i, f := range columns {
				results = append(results, columnExpr(width-len(columns)+i, f.Type))
			}
			continue
		}
		e, err := outer.expr(n)
		if err != nil {
			return nil, nil, err
		}
		if len(results) == len(schema) {
			return nil, nil, c.unsupported(n, "an aggregate of these columns")
		}
		if want := schema[len(results)]; e.typ != want.Type {
			return nil, nil, c.unsupported(n, fmt.Sprintf("a %v as the %v column %q", e.typ, want.Type, want.Name))
		}
		results = append(results, e)
	}
	if len(results) != len(schema) {
		return nil, nil, c.unsupported(calls[0], "aggregates of these columns")
	}
	return aggs, results, nil
}

// keys compiles what rows are grouped by.
func (c *compiler) keys(scope table.Schema, by []*kql.Node) ([]*expr, error) {
	var keys []*expr
	for _, n := range by {
		k, err := c.in(scope).expr(n)
		if err != nil {
			return nil, err
		}
		if k.typ == table.Dynamic {
			return nil, c.unsupported(n, "grouping by a dynamic")
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func evaluate(es []*expr, b *batch) ([]operand, error) {
	out := make([]operand, len(es))
	for i, e := range es {
		var err error
		if out[i], err = e.eval(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compileDistinct is summarize without aggregates.
func compileDistinct(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	var keys []*expr
	for _, f := range schema {
		i := in.schema.Index(f.Name)
		if i < 0 || f.Type == table.Dynamic {
			return nil, c.unsupported(op, fmt.Sprintf(`operator "distinct" on column %q`, f.Name))
		}
		keys = append(keys, columnExpr(i, f.Type))
	}
	limit := c.opts.MaxRows
	return &relation{schema: schema, produce: func(r *run, emit func(*batch) error) error {
		g := newGrouper(schema, limit)
		err := in.produce(r, func(b *batch) error {
			ks, err := evaluate(keys, b)
			if err != nil {
				return err
			}
			_, err = g.group(ks, b.n)
			return err
		})
		if err != nil || g.n == 0 {
			return err
		}
		return emit(&batch{n: g.n, cols: g.keys})
	}}, nil
}

// compileCount is one row, also for no rows.
func compileCount(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	return &relation{schema: schema, produce: func(r *run, emit func(*batch) error) error {
		n := 0
		err := in.produce(r, func(b *batch) error {
			n += b.n
			return nil
		})
		if err != nil {
			return err
		}
		return emit(&batch{n: 1, cols: []*table.Vector{{Type: table.Long, Ints: []int64{int64(n)}}}})
	}}, nil
}
