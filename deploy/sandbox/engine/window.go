package engine

import (
	"fmt"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// windows are the functions that look at other rows than their own. Their batch is all rows there are.
var windows = map[string]binder{
	"row_number":     bindRowNumber,
	"prev":           bindNeighbour(-1),
	"next":           bindNeighbour(1),
	"row_cumsum":     bindCumulativeSum,
	"row_rank_dense": bindRank(true),
	"row_rank_min":   bindRank(false),
}

func init() {
	register("SerializeOperator", compileSerialize, func(c *compiler, op *kql.Node, after need) need {
		return pipes["ExtendOperator"].needs(c, op, after)
	})
}

// compileSerialize is extend, of rows whose order counts from here on.
func compileSerialize(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	ordered := *in
	ordered.serialized = true
	return compileExtend(c, op, &ordered)
}

// window compiles a call of one of windows.
func (c *compiler) window(n *kql.Node, name string, b binder) (*expr, error) {
	cl := &call{name: fmt.Sprintf("function %q", name), node: n, c: c}
	if c.windows == nil {
		return nil, cl.unsupported("here")
	}
	*c.windows = true
	var err error
	if cl.typ, err = c.scalarType(n); err != nil {
		return nil, err
	}
	if cl.args, err = c.arguments(n.Arguments()); err != nil {
		return nil, err
	}
	k, err := b(cl)
	if err != nil {
		return nil, err
	}
	return &expr{typ: cl.typ, eval: func(b *batch) (operand, error) {
		args, err := evaluate(cl.args, b)
		if err != nil {
			return operand{}, err
		}
		v, err := k(args, b.n)
		if err != nil {
			return operand{}, err
		}
		return rows(v), nil
	}}, nil
}

// looksAround reports whether an expression calls one of windows. Then no row may be dropped before it, even if it would be later: it is
// some other row's neighbour.
func looksAround(n *kql.Node) bool {
	if n == nil {
		return false
	}
	if n.Kind == "FunctionCallExpression" && n.Body == nil {
		if _, ok := windows[n.Child("Name").Name]; ok {
			return true
		}
	}
	return looksAround(n.Body) || slices.ContainsFunc(n.Children, looksAround)
}

// over is the compiler for the expressions of an operator that may look at other rows. When one does, whole makes its
// input one batch.
func (c *compiler) over(in *relation) *compiler {
	d := c.in(in.schema)
	d.windows = new(bool)
	return d
}

// whole is in as it is, or in one batch when the compiler has met functions of other rows.
func (c *compiler) whole(in *relation, op *kql.Node, looked *bool) (*relation, error) {
	if !*looked {
		return in, nil
	}
	if !in.serialized {
		return nil, &ValueError{describe(op), "uses a function of neighbouring rows, whose order is not known: sort or serialize them first"}
	}
	limit := c.opts.MaxRows
	return &relation{schema: in.schema, serialized: true, produce: func(r *run, emit func(*batch) error) error {
		t, err := collect(r, in, "a function of neighbouring rows", limit)
		if err != nil || t.Rows() == 0 {
			return err
		}
		return emit(asBatch(t))
	}}, nil
}

// restarts says before which rows a window function begins anew.
func restarts(args []operand, i int) func(row int) bool {
	if i >= len(args) {
		return func(int) bool { return false }
	}
	o := args[i]
	return func(row int) bool { return o.Ints[row*o.step] != 0 }
}

// bindRowNumber is row_number([start [, restart]]).
func bindRowNumber(c *call) (kernel, error) {
	if len(c.args) > 0 {
		if a := c.args[0]; !integral(a.typ) || a.konst == nil || a.konst.IsNull(0) {
			return nil, c.unsupported("with a start that is not constant")
		}
	}
	if len(c.args) > 1 && c.args[1].typ != table.Bool || len(c.args) > 2 {
		return nil, c.ofTypes()
	}
	return func(args []operand, n int) (*table.Vector, error) {
		start, restart, out := int64(1), restarts(args, 1), zeros(table.Long, n)
		if len(args) > 0 {
			start = args[0].Ints[0]
		}
		next := start
		for i := range n {
			if restart(i) {
				next = start
			}
			out.Ints[i] = next
			next++
		}
		return out, nil
	}, nil
}

// bindNeighbour is prev and next: the value of another row, or a default where there is no such row.
func bindNeighbour(direction int64) binder {
	return func(c *call) (kernel, error) {
		offset := int64(1)
		if len(c.args) > 1 {
			a := c.args[1]
			if !integral(a.typ) || a.konst == nil || a.konst.IsNull(0) || a.konst.Ints[0] < 0 {
				return nil, c.unsupported("with an offset that is not a constant from 0 up")
			}
			offset = a.konst.Ints[0]
		}
		if c.args[0].typ != c.typ {
			return nil, c.ofTypes()
		}
		if len(c.args) > 2 {
			if err := c.coerce(2, c.typ); err != nil {
				return nil, err
			}
		}
		return func(args []operand, n int) (*table.Vector, error) {
			out := table.NewVector(c.typ, n)
			for i := range n {
				// Offsets may be large: compare before adding.
				there := offset < int64(n) && int64(i)+direction*offset >= 0 && int64(i)+direction*offset < int64(n)
				switch {
				case there:
					out.AppendRow(args[0].Vector, int(int64(i)+direction*offset)*args[0].step)
				case len(args) > 2:
					out.AppendRow(args[2].Vector, i*args[2].step)
				default:
					out.AppendNull()
				}
			}
			return out, nil
		}, nil
	}
}

// bindCumulativeSum is row_cumsum(term [, restart]); a null adds nothing.
func bindCumulativeSum(c *call) (kernel, error) {
	if len(c.args) > 1 && c.args[1].typ != table.Bool {
		return nil, c.ofTypes()
	}
	if err := c.coerce(0, c.typ); err != nil {
		return nil, err
	}
	switch c.typ {
	case table.Int, table.Long:
		return cumulate[int64](c.typ), nil
	case table.Real:
		return cumulate[float64](c.typ), nil
	}
	return nil, c.ofTypes()
}

func cumulate[T int64 | float64](t table.Type) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		var sum T
		restart, out := restarts(args, 1), zeros(t, n)
		xs, sums := values[T](args[0].Vector), values[T](out)
		for i := range n {
			if restart(i) {
				sum = 0
			}
			if j := i * args[0].step; !args[0].IsNull(j) {
				sum += xs[j]
			}
			if t == table.Int && T(int32(sum)) != sum {
				return nil, &ValueError{"a row_cumsum of int", "goes beyond an int: convert it with tolong()"}
			}
			sums[i] = sum
		}
		return out, nil
	}
}

// bindRank numbers runs of equal values: 1, 2, 3 when dense, else by the number of the run's first row.
func bindRank(dense bool) binder {
	return func(c *call) (kernel, error) {
		if len(c.args) > 1 && c.args[1].typ != table.Bool {
			return nil, c.ofTypes()
		}
		return func(args []operand, n int) (*table.Vector, error) {
			restart, out := restarts(args, 1), zeros(table.Long, n)
			d := newDictionary(args[0].Type)
			codes := make([]int32, n)
			d.encode(args[0], codes)
			rank, row := int64(0), int64(0)
			for i := range n {
				first := i == 0 || restart(i)
				if first {
					rank, row = 0, 0
				}
				row++
				if first || codes[i] != codes[i-1] {
					if rank++; !dense {
						rank = row
					}
				}
				out.Ints[i] = rank
			}
			return out, nil
		}, nil
	}
}
