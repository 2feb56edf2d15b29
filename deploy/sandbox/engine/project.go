package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	register("ProjectOperator", compileProject, func(_ *compiler, op *kql.Node, after need) need {
		d := only(op)
		if !looksAround(op) {
			d.ranges = through(after.ranges, origins(op.List("Expressions")))
		}
		return d
	})
	register("ExtendOperator", compileExtend, func(c *compiler, op *kql.Node, after need) need {
		d := after.with(op)
		d.ranges = nil
		if looksAround(op) {
			return d
		}
		// A range of a column that is made anew here says nothing about the one before.
		for _, r := range after.ranges {
			made := false
			for _, e := range op.List("Expressions") {
				made = made || nameOf(e, op) == r.Column
			}
			if !made {
				d.ranges = append(d.ranges, r)
			}
		}
		return d
	})
	for _, kind := range []string{"ProjectAwayOperator", "ProjectKeepOperator", "ProjectReorderOperator"} {
		register(kind, compileSelect, func(_ *compiler, op *kql.Node, after need) need {
			d := need{columns: make(map[string]bool), ranges: after.ranges}
			for _, c := range op.Columns {
				d.columns[c.Name] = true
			}
			return d
		})
	}
}

// columns is a relation whose rows are computed, one for one, from those of another.
func columns(in *relation, schema table.Schema, es []*expr) *relation {
	return &relation{schema: schema, serialized: in.serialized, produce: func(r *run, emit func(*batch) error) error {
		return in.produce(r, func(b *batch) error {
			out := &batch{n: b.n}
			for _, e := range es {
				o, err := e.eval(b)
				if err != nil {
					return err
				}
				out.cols = append(out.cols, o.full(b.n))
			}
			return emit(out)
		})
	}}
}

// typed compiles n for a column of the binder's result.
func (c *compiler) typed(n *kql.Node, want table.Field) (*expr, error) {
	e, err := c.expr(n)
	if err != nil {
		return nil, err
	}
	if e.typ != want.Type {
		return nil, c.unsupported(n, fmt.Sprintf("a %v as the %v column %q", e.typ, want.Type, want.Name))
	}
	return e, nil
}

func compileProject(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	list := op.List("Expressions")
	if len(list) != len(schema) {
		return nil, c.unsupported(op, `operator "project" with an expression of several columns`)
	}
	var es []*expr
	over := c.over(in)
	for i, n := range list {
		e, err := over.typed(n, schema[i])
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	if in, err = c.whole(in, op, over.windows); err != nil {
		return nil, err
	}
	return columns(in, schema, es), nil
}

// compileExtend adds columns, or replaces those of the same name. Which place each gets is the
// binder's answer.
func compileExtend(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	all, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	made := make(map[string]*kql.Node)
	var unnamed []*kql.Node
	for _, e := range op.List("Expressions") {
		name := nameOf(e, op)
		switch {
		case name == "":
			unnamed = append(unnamed, e)
		case made[name] != nil:
			return nil, c.unsupported(e, fmt.Sprintf("making column %q twice", name))
		default:
			made[name] = e
		}
	}
	var schema table.Schema
	var es []*expr
	over := c.over(in)
	for _, f := range all {
		n := made[f.Name]
		if i := in.schema.Index(f.Name); n == nil && i >= 0 {
			schema, es = append(schema, f), append(es, columnExpr(i, f.Type))
			continue
		}
		if n == nil {
			// A column that later operators do not need, or one whose name the binder had to invent.
			if isInput(op, f.Name) {
				continue
			}
			if len(unnamed) == 0 {
				return nil, c.unsupported(op, fmt.Sprintf("the column %q of extend", f.Name))
			}
			n, unnamed = unnamed[0], unnamed[1:]
		}
		e, err := over.typed(n, f)
		if err != nil {
			return nil, err
		}
		schema, es = append(schema, f), append(es, e)
	}
	if len(unnamed) > 0 {
		return nil, c.unsupported(unnamed[0], "an expression without a column of its own")
	}
	if in, err = c.whole(in, op, over.windows); err != nil {
		return nil, err
	}
	return columns(in, schema, es), nil
}

// isInput reports whether a column of an extend's result has no expression there: the binder notes
// one for each that it computes.
func isInput(op *kql.Node, name string) bool {
	for _, c := range op.Columns {
		if c.Name == name {
			return c.Source == 0 || c.Source < op.ID
		}
	}
	return false
}

// nameOf is the column that an expression of extend makes, empty when its name is not evident.
func nameOf(e *kql.Node, op *kql.Node) string {
	switch e.Kind {
	case "SimpleNamedExpression":
		return e.Child("Name").Name
	case "NameReference":
		return e.Name
	}
	for _, c := range op.Columns {
		if c.Source != 0 && c.Source == e.ID {
			return c.Name
		}
	}
	return ""
}

// compileSelect is project-away, -keep and -reorder: columns of the input, as the binder lists them.
func compileSelect(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	var es []*expr
	for _, f := range schema {
		i := in.schema.Index(f.Name)
		if i < 0 {
			return nil, c.unsupported(op, describe(op)+fmt.Sprintf(" of column %q", f.Name))
		}
		es = append(es, columnExpr(i, f.Type))
	}
	return columns(in, schema, es), nil
}
