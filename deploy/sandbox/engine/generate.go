package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	sources["PrintOperator"] = compilePrint
	sources["DataTableExpression"] = compileDataTable
	sources["RangeOperator"] = compileRange
}

// fixed has the rows of one table.
func fixed(t *table.Table) *relation {
	return &relation{schema: t.Schema(), produce: func(_ *run, emit func(*batch) error) error {
		if t.Rows() == 0 {
			return nil
		}
		return emit(asBatch(t))
	}}
}

// compilePrint is one row of constants.
func compilePrint(c *compiler, n *kql.Node, _ need) (*relation, error) {
	schema, err := c.schemaOf(n)
	if err != nil {
		return nil, err
	}
	list := n.List("Expressions")
	if len(list) != len(schema) {
		return nil, c.unsupported(n, `operator "print" with an expression of several columns`)
	}
	t := &table.Table{}
	for i, f := range schema {
		e, err := c.in(nil).typed(list[i], f)
		if err != nil {
			return nil, err
		}
		if e.konst == nil {
			return nil, c.unsupported(list[i], "a value that is not constant")
		}
		t.Columns = append(t.Columns, table.Column{Name: f.Name, Vec: e.konst})
	}
	return fixed(t), nil
}

// compileDataTable reads the values row by row; each is converted to its column's type.
func compileDataTable(c *compiler, n *kql.Node, _ need) (*relation, error) {
	schema, err := c.schemaOf(n)
	if err != nil {
		return nil, err
	}
	list := n.List("Values")
	if len(schema) == 0 || len(list)%len(schema) != 0 {
		return nil, c.unsupported(n, fmt.Sprintf("a datatable of %d columns with %d values", len(schema), len(list)))
	}
	t := table.New("", schema, len(list)/len(schema))
	for i, value := range list {
		v, ok := c.constExpr(value)
		f := schema[i%len(schema)]
		if !ok {
			return nil, c.unsupported(value, "a value that is not constant")
		}
		if v.Type != f.Type {
			k := conversion(v.Type, f.Type)
			if k == nil {
				return nil, c.unsupported(value, fmt.Sprintf("a %v in the %v column %q", v.Type, f.Type, f.Name))
			}
			if v, err = k([]operand{constant(v)}, 1); err != nil {
				return nil, err
			}
		}
		t.Columns[i%len(schema)].Vec.AppendRow(v, 0)
	}
	return fixed(t), nil
}

// compileRange is `range x from a to b step c`, both ends included when they are met.
func compileRange(c *compiler, n *kql.Node, _ need) (*relation, error) {
	schema, err := c.schemaOf(n)
	if err != nil {
		return nil, err
	}
	if len(schema) != 1 {
		return nil, c.unsupported(n, describe(n)+" of several columns")
	}
	t, unit := schema[0].Type, schema[0].Type
	if t == table.DateTime {
		unit = table.TimeSpan
	}
	if t == table.Bool || t.Kind() == table.Strings {
		return nil, c.unsupported(n, fmt.Sprintf("%s of %v", describe(n), t))
	}
	var bounds [3]*table.Vector
	for i, field := range []string{"From", "To", "Step"} {
		v, ok := c.constExpr(n.Child(field))
		if !ok || v.IsNull(0) {
			return nil, c.unsupported(n, describe(n)+" of anything but constants")
		}
		of := t
		if i == 2 {
			of = unit
		}
		e, ok, err := convert(konst(v), of)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, c.unsupported(n, fmt.Sprintf("%s of %v with a %v", describe(n), t, v.Type))
		}
		bounds[i] = e.konst
	}
	from, to, step := bounds[0], bounds[1], bounds[2]
	if t == table.Real {
		next := func(x float64) (float64, bool) { return x + step.Reals[0], x+step.Reals[0] != x }
		return &relation{schema: schema, serialized: true, produce: counted(t, from.Reals[0], to.Reals[0], step.Reals[0], next, c.opts.MaxRows)}, nil
	}
	next := func(x int64) (int64, bool) { return addTicks(x, step.Ints[0]) }
	return &relation{schema: schema, serialized: true, produce: counted(t, from.Ints[0], to.Ints[0], step.Ints[0], next, c.opts.MaxRows)}, nil
}

// counted has from, next(from) and so on as long as that is not beyond to, at most limit of them.
func counted[T int64 | float64](t table.Type, from, to, step T, next func(T) (T, bool), limit int) producer {
	return func(r *run, emit func(*batch) error) error {
		if step == 0 || step != step {
			return &ValueError{"range", "must have a step other than 0"}
		}
		v, n := table.NewVector(t, 0), 0
		for x, ok := from, true; ok && (step > 0 && x <= to || step < 0 && x >= to); x, ok = next(x) {
			if n++; n > limit {
				return &LimitError{Operator: "range", Limit: limit}
			}
			if t == table.Real {
				v.AppendReal(float64(x))
			} else {
				v.AppendInt(int64(x))
			}
			if v.Len() == tablesBatch {
				if err := r.alive(); err != nil {
					return err
				}
				if err := emit(&batch{n: v.Len(), cols: []*table.Vector{v}}); err != nil {
					return err
				}
				v = table.NewVector(t, 0)
			}
		}
		if v.Len() == 0 {
			return nil
		}
		return emit(&batch{n: v.Len(), cols: []*table.Vector{v}})
	}
}
