package engine

import (
	"fmt"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	register("FilterOperator", compileFilter, func(c *compiler, op *kql.Node, after need) need {
		d := after.with(op)
		if looksAround(op) {
			d.ranges = nil
			return d
		}
		d.ranges = slices.Concat(after.ranges, c.ranges(op.Child("Condition")))
		return d
	})
}

// compileFilter keeps the rows for which the condition is true: neither false nor null.
func compileFilter(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	over := c.over(in)
	cond, err := over.expr(op.Child("Condition"))
	if err != nil {
		return nil, err
	}
	if cond.typ != table.Bool {
		return nil, c.unsupported(op, `operator "where" on a `+cond.typ.String())
	}
	if in, err = c.whole(in, op, over.windows); err != nil {
		return nil, err
	}
	return &relation{schema: in.schema, serialized: in.serialized, produce: func(r *run, emit func(*batch) error) error {
		var sel []int32
		return in.produce(r, func(b *batch) error {
			o, err := cond.eval(b)
			if err != nil {
				return err
			}
			// A null's element is zero: no need to look at the nulls.
			sel = sel[:0]
			for i := range b.n {
				if o.Ints[i*o.step] != 0 {
					sel = append(sel, int32(i))
				}
			}
			switch len(sel) {
			case 0:
				return nil
			case b.n:
				return emit(b)
			}
			out := &batch{n: len(sel)}
			for _, v := range b.cols {
				out.cols = append(out.cols, v.Take(sel))
			}
			return emit(out)
		})
	}}, nil
}

// ranges are the time ranges outside of which a condition cannot be true.
func (c *compiler) ranges(n *kql.Node) []TimeRange {
	switch n.Kind {
	case "ParenthesizedExpression":
		return c.ranges(n.Child("Expression"))
	case "AndExpression":
		return append(c.ranges(n.Child("Left")), c.ranges(n.Child("Right"))...)
	case "BetweenExpression":
		couple := n.Child("Right")
		if !isTimeColumn(n.Child("Left")) {
			return nil
		}
		r := TimeRange{n.Child("Left").Symbol.Name, table.MinDateTime, table.MaxDateTime}
		from, ok := c.instant(couple.Child("First"))
		if !ok {
			return nil
		}
		r.From = from
		if to, ok := c.instant(couple.Child("Second")); ok {
			r.To = to
		}
		return []TimeRange{r}
	}
	left, right, kind := n.Child("Left"), n.Child("Right"), n.Kind
	if isTimeColumn(right) {
		left, right, kind = right, left, mirrored[kind]
	}
	if !isTimeColumn(left) || right == nil {
		return nil
	}
	t, ok := c.instant(right)
	if !ok {
		return nil
	}
	r := TimeRange{left.Symbol.Name, table.MinDateTime, table.MaxDateTime}
	switch kind {
	case "EqualExpression":
		r.From, r.To = t, t
	case "GreaterThanOrEqualExpression":
		r.From = t
	case "GreaterThanExpression":
		r.From = t + 1
	case "LessThanOrEqualExpression":
		r.To = t
	case "LessThanExpression":
		r.To = t - 1
	default:
		return nil
	}
	return []TimeRange{r}
}

// mirrored is the comparison with its sides changed.
var mirrored = map[string]string{
	"EqualExpression":              "EqualExpression",
	"GreaterThanOrEqualExpression": "LessThanOrEqualExpression",
	"GreaterThanExpression":        "LessThanExpression",
	"LessThanOrEqualExpression":    "GreaterThanOrEqualExpression",
	"LessThanExpression":           "GreaterThanExpression",
}

func isTimeColumn(n *kql.Node) bool {
	return n != nil && n.Kind == "NameReference" && n.Type == "datetime" && n.Symbol != nil && n.Symbol.Kind == "Column"
}

// instant is the value of a datetime that does not depend on rows.
func (c *compiler) instant(n *kql.Node) (int64, bool) {
	v, ok := c.constExpr(n)
	if !ok || v.Type != table.DateTime || v.IsNull(0) {
		return 0, false
	}
	return v.Ints[0], true
}

// anyColumn compiles `* has "x"`: true for a row of which any column has it. Which columns of other types than string Kusto looks at,
// and how, is not documented.
func (c *compiler) anyColumn(n *kql.Node, b binder) (*expr, error) {
	what := fmt.Sprintf("operator %q", operatorText(n))
	if c.scope == nil {
		return nil, c.unsupported(n, what+" of * here")
	}
	right, err := c.expr(n.Child("Right"))
	if err != nil {
		return nil, err
	}
	var any *expr
	for i, f := range c.scope {
		if f.Type != table.String {
			return nil, c.unsupported(n, fmt.Sprintf("%s of * with the %v column %q", what, f.Type, f.Name))
		}
		cl := &call{name: what, node: n, c: c, typ: table.Bool, args: []*expr{columnExpr(i, f.Type), right}}
		k, err := b(cl)
		if err != nil {
			return nil, err
		}
		one, err := apply(table.Bool, k, cl.args)
		if err != nil {
			return nil, err
		}
		if any == nil {
			any = one
			continue
		}
		k, err = operators["OrExpression"](&call{name: what, node: n, c: c, typ: table.Bool, args: []*expr{any, one}})
		if err != nil {
			return nil, err
		}
		if any, err = apply(table.Bool, k, []*expr{any, one}); err != nil {
			return nil, err
		}
	}
	return any, nil
}
