package engine

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	register("SortOperator", compileSort, func(_ *compiler, op *kql.Node, after need) need { return after.with(op) })
	// Rows that a later where drops still count here: no range goes through.
	register("TakeOperator", compileTake, func(_ *compiler, op *kql.Node, after need) need {
		return need{columns: after.columns}
	})
	register("TopOperator", compileTop, func(_ *compiler, op *kql.Node, after need) need {
		d := after.with(op)
		d.ranges = nil
		return d
	})
}

// order is one key of a sort.
type order struct {
	key        *expr
	desc       bool
	nullsFirst bool
}

// orders compiles `a asc nulls last, b`. Descending is the default; nulls come first when ascending
// and last when descending, unless it says otherwise.
func (c *compiler) orders(scope table.Schema, list []*kql.Node) ([]order, error) {
	var out []order
	for _, n := range list {
		o, e := order{desc: true}, n
		clause := n.Child("Ordering")
		if n.Kind == "OrderedExpression" {
			e = n.Child("Expression")
		}
		if k := clause.Child("AscOrDescKeyword"); k != nil {
			o.desc = k.Text == "desc"
		}
		o.nullsFirst = !o.desc
		if k := clause.Child("NullsClause").Child("FirstOrLastKeyword"); k != nil {
			o.nullsFirst = k.Text == "first"
		}
		var err error
		if o.key, err = c.in(scope).expr(e); err != nil {
			return nil, err
		}
		if t := o.key.typ; t == table.Dynamic || t == table.GUID {
			return nil, c.unsupported(n, "sorting by a "+t.String())
		}
		out = append(out, o)
	}
	return out, nil
}

func compileSort(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	orders, err := c.orders(in.schema, op.List("Expressions"))
	if err != nil {
		return nil, err
	}
	return sorted(in, orders, "sort", c.opts.MaxRows), nil
}

// sorted has the rows of in by the orders; rows that are equal in all of them stay in place.
func sorted(in *relation, orders []order, name string, limit int) *relation {
	return &relation{schema: in.schema, serialized: true, produce: func(r *run, emit func(*batch) error) error {
		t, err := collect(r, in, name, limit)
		if err != nil {
			return err
		}
		b := asBatch(t)
		if b.n == 0 {
			return nil
		}
		var compares []func(i, j int32) int
		for _, o := range orders {
			v, err := o.key.eval(b)
			if err != nil {
				return err
			}
			compares = append(compares, o.comparison(v))
		}
		sel := make([]int32, b.n)
		for i := range sel {
			sel[i] = int32(i)
		}
		slices.SortStableFunc(sel, func(i, j int32) int {
			for _, compare := range compares {
				if c := compare(i, j); c != 0 {
					return c
				}
			}
			return 0
		})
		for from := 0; from < b.n; from += tablesBatch {
			if err := r.ctx.Err(); err != nil {
				return err
			}
			out := &batch{n: min(tablesBatch, b.n-from)}
			for _, v := range b.cols {
				out.cols = append(out.cols, v.Take(sel[from:from+out.n]))
			}
			if err := emit(out); err != nil {
				return err
			}
		}
		return nil
	}}
}

// comparison orders rows by one key. Null and NaN are grouped together at one end, null outermost,
// whatever the direction of the rest (docs, "sort operator").
func (o order) comparison(v operand) func(i, j int32) int {
	rank := func(i int) int {
		switch {
		case v.IsNull(i):
			return 2
		case v.Type == table.Real && v.Reals[i] != v.Reals[i]:
			return 1
		}
		return 0
	}
	var values func(i, j int) int
	switch v.Type.Kind() {
	case table.Ints:
		values = func(i, j int) int { return cmp.Compare(v.Ints[i], v.Ints[j]) }
	case table.Reals:
		values = func(i, j int) int { return cmp.Compare(v.Reals[i], v.Reals[j]) }
	default:
		values = func(i, j int) int { return strings.Compare(v.Strings[i], v.Strings[j]) }
		if v.Type == table.Decimal {
			values = func(i, j int) int { return compareDecimals(v.Strings[i], v.Strings[j]) }
		}
	}
	return func(a, b int32) int {
		i, j := int(a)*v.step, int(b)*v.step
		ri, rj := rank(i), rank(j)
		switch {
		case ri != rj && o.nullsFirst:
			return rj - ri
		case ri != rj:
			return ri - rj
		case ri != 0:
			return 0
		case o.desc:
			return values(j, i)
		}
		return values(i, j)
	}
}

func compileTake(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	n, err := c.rowCount(op, op.Child("Expression"))
	if err != nil {
		return nil, err
	}
	return taken(in, n), nil
}

// rowCount is the constant number of rows that take and top ask for.
func (c *compiler) rowCount(op, n *kql.Node) (int64, error) {
	v, ok := c.constExpr(n)
	if !ok || !integral(v.Type) || v.IsNull(0) {
		return 0, c.unsupported(op, describe(op)+" of anything but a constant integer")
	}
	return v.Ints[0], nil
}

// taken has the first n rows of in, and ends its scans when it has them.
func taken(in *relation, n int64) *relation {
	return &relation{schema: in.schema, serialized: in.serialized, produce: func(r *run, emit func(*batch) error) error {
		left, enough := n, &stop{}
		if left <= 0 {
			return nil
		}
		err := in.produce(r, func(b *batch) error {
			if int64(b.n) > left {
				cut := &batch{n: int(left)}
				for _, v := range b.cols {
					cut.cols = append(cut.cols, v.Slice(0, cut.n))
				}
				b = cut
			}
			left -= int64(b.n)
			if err := emit(b); err != nil {
				return err
			}
			if left == 0 {
				return enough
			}
			return nil
		})
		if errors.Is(err, enough) {
			return nil
		}
		return err
	}}
}

func compileTop(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	n, err := c.rowCount(op, op.Child("Expression"))
	if err != nil {
		return nil, err
	}
	orders, err := c.orders(in.schema, []*kql.Node{op.Child("ByExpression")})
	if err != nil {
		return nil, err
	}
	return taken(sorted(in, orders, "top", c.opts.MaxRows), n), nil
}
