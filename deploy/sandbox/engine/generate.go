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

// compileRange is `range x from a to b step c`, both ends included, of integers or times.
func compileRange(c *compiler, n *kql.Node, _ need) (*relation, error) {
	schema, err := c.schemaOf(n)
	if err != nil {
		return nil, err
	}
	var bounds [3]int64
	for i, field := range []string{"From", "To", "Step"} {
		v, ok := c.constExpr(n.Child(field))
		if !ok || v.Type.Kind() != table.Ints || v.IsNull(0) {
			return nil, c.unsupported(n, `operator "range" of anything but constant integers or times`)
		}
		bounds[i] = v.Ints[0]
	}
	from, to, step := bounds[0], bounds[1], bounds[2]
	if len(schema) != 1 || schema[0].Type.Kind() != table.Ints || step == 0 {
		return nil, c.unsupported(n, `operator "range" of anything but constant integers or times`)
	}
	limit := c.opts.MaxRows
	return &relation{schema: schema, produce: func(r *run, emit func(*batch) error) error {
		v := table.NewVector(schema[0].Type, 0)
		for x, ok := from, true; ok && (step > 0 && x <= to || step < 0 && x >= to); x, ok = addTicks(x, step) {
			if v.Len() >= limit {
				return &LimitError{Operator: "range", Limit: limit}
			}
			v.AppendInt(x)
		}
		if v.Len() == 0 {
			return nil
		}
		return emit(&batch{n: v.Len(), cols: []*table.Vector{v}})
	}}, nil
}
