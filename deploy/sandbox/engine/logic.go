package engine

import (
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	operators["AndExpression"] = bindLogic(func(a, b bool) bool { return a && b })
	operators["OrExpression"] = bindLogic(func(a, b bool) bool { return a || b })
	functions["not"] = bindNot
	functions["iff"] = bindIff
	functions["iif"] = bindIff
	functions["isnull"] = bindIsNull(false)
	functions["isnotnull"] = bindIsNull(true)
	functions["isempty"] = bindIsEmpty(false)
	functions["isnotempty"] = bindIsEmpty(true)
	functions["notempty"] = bindIsEmpty(true)
	functions["notnull"] = bindIsNull(true)
}

// bindLogic is and, or: unlike other operators they take null as false (docs, "Logical operators").
func bindLogic(f func(a, b bool) bool) binder {
	return func(c *call) (kernel, error) {
		for i := range c.args {
			if err := c.become(i, table.Bool); err != nil {
				return nil, err
			}
		}
		return func(args []operand, n int) (*table.Vector, error) {
			a, b, out := args[0], args[1], zeros(table.Bool, n)
			for i := range n {
				// A null's element is zero, which is false.
				out.Ints[i] = truth(f(a.Ints[i*a.step] != 0, b.Ints[i*b.step] != 0))
			}
			return out, nil
		}, nil
	}
}

func bindNot(c *call) (kernel, error) {
	if err := c.become(0, table.Bool); err != nil {
		return nil, err
	}
	return lift1(table.Bool, func(a int64) (int64, bool) { return 1 - a, true }), nil
}

// bindIff chooses by a condition; null counts as false.
func bindIff(c *call) (kernel, error) {
	if err := c.become(0, table.Bool); err != nil {
		return nil, err
	}
	for i := 1; i <= 2; i++ {
		if err := c.become(i, c.typ); err != nil {
			return nil, err
		}
	}
	return func(args []operand, n int) (*table.Vector, error) {
		cond, yes, no := args[0], args[1], args[2]
		out := table.NewVector(c.typ, n)
		for i := range n {
			if cond.Ints[i*cond.step] != 0 {
				out.AppendRow(yes.Vector, i*yes.step)
			} else {
				out.AppendRow(no.Vector, i*no.step)
			}
		}
		return out, nil
	}, nil
}

// bindIsNull: a string is never null, so isnull of one is false.
func bindIsNull(negate bool) binder {
	return func(c *call) (kernel, error) {
		return func(args []operand, n int) (*table.Vector, error) {
			a, out := args[0], zeros(table.Bool, n)
			for i := range n {
				out.Ints[i] = truth(missing(a, i*a.step) != negate)
			}
			return out, nil
		}, nil
	}
}

// missing tells a null; the JSON text null is one too.
func missing(a operand, i int) bool {
	return a.IsNull(i) || a.Type == table.Dynamic && a.Strings[i] == "null"
}

// bindIsEmpty: the empty string, and null.
func bindIsEmpty(negate bool) binder {
	return func(c *call) (kernel, error) {
		return func(args []operand, n int) (*table.Vector, error) {
			a, out := args[0], zeros(table.Bool, n)
			for i := range n {
				j := i * a.step
				empty := missing(a, j)
				switch a.Type {
				case table.String:
					empty = a.Strings[j] == ""
				case table.Dynamic:
					empty = empty || a.Strings[j] == `""`
				}
				out.Ints[i] = truth(empty != negate)
			}
			return out, nil
		}, nil
	}
}
