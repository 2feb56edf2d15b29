package engine

import (
	"slices"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// tuple is an aggregator of several columns.
type tuple interface {
	grow(groups int)
	add(ids []int32, args []operand)
	// results have a row for each group.
	results() []*table.Vector
}

// single is an aggregator as a tuple.
type single struct{ aggregator }

func (a single) err() error               { return failed(a.aggregator) }
func (a single) results() []*table.Vector { return []*table.Vector{a.result()} }

// tuples are the aggregate functions that may have several columns, whose types are given to them.
var tuples = map[string]func(c *call, columns table.Schema) (func() tuple, error){
	"arg_max":     bindArg(func(c int) bool { return c > 0 }),
	"argmax":      bindArg(func(c int) bool { return c > 0 }),
	"arg_min":     bindArg(func(c int) bool { return c < 0 }),
	"argmin":      bindArg(func(c int) bool { return c < 0 }),
	"take_any":    bindTakeAny,
	"any":         bindTakeAny,
	"percentile":  bindPercentiles,
	"percentiles": bindPercentiles,
}

func init() {
	aggregates["take_anyif"] = bindIf(bindTakeAnyOne)
	aggregates["anyif"] = aggregates["take_anyif"]
}

// columnOf is one column of a tuple as an aggregator.
type columnOf struct{ tuple }

func (a columnOf) err() error            { return failed(a.tuple) }
func (a columnOf) result() *table.Vector { return a.results()[0] }

// tupleCall is the call of an aggregate with several columns that n is, maybe with names for them; nil when it is none.
func tupleCall(n *kql.Node) *kql.Node {
	if n.Kind == "CompoundNamedExpression" || n.Kind == "SimpleNamedExpression" {
		n = n.Child("Expression")
	}
	if n == nil || n.Kind != "FunctionCallExpression" || n.Symbol == nil || tuples[n.Symbol.Name] == nil {
		return nil
	}
	return n
}

// tupleArguments compiles the arguments of such a call over rows of the compiler's scope, with the columns that a star
// stands for: all but those that stand alone among the keys or the other arguments.
func (c *compiler) tupleArguments(n *kql.Node, by []*kql.Node) ([]*expr, error) {
	named := make(map[string]bool)
	for _, k := range append(slices.Clone(by), n.Arguments()...) {
		if k.Kind == "SimpleNamedExpression" {
			k = k.Child("Expression")
		}
		if k.Kind == "NameReference" {
			named[k.Name] = true
		}
	}
	var args []*expr
	for _, a := range n.Arguments() {
		if a.Kind == "StarExpression" {
			for i, f := range c.scope {
				if !named[f.Name] {
					args = append(args, columnExpr(i, f.Type))
				}
			}
			continue
		}
		e, err := c.expr(a)
		if err != nil {
			return nil, err
		}
		args = append(args, e)
	}
	return args, nil
}

// fitColumns refuses a call whose arguments are not the columns that the binder promised.
func (c *call) fitColumns(columns table.Schema) error {
	if len(columns) != len(c.args) {
		return c.ofTypes()
	}
	for i, a := range c.args {
		if a.typ != columns[i].Type {
			return c.ofTypes()
		}
	}
	return nil
}

// bindArg is the row where the first argument is largest, or smallest: the first of several. Nulls and NaN give way to
// values.
func bindArg(better func(int) bool) func(c *call, columns table.Schema) (func() tuple, error) {
	return func(c *call, columns table.Schema) (func() tuple, error) {
		if err := c.fitColumns(columns); err != nil {
			return nil, err
		}
		compare := comparison(columns[0].Type)
		if compare == nil {
			return nil, c.ofTypes()
		}
		return func() tuple {
			return newPicker(columns, func(v operand, j int, best *table.Vector, id int) bool {
				return !lacks(v.Vector, j) && (lacks(best, id) || better(compare(v.Vector, j, best, id)))
			})
		}, nil
	}
}

// lacks tells a null, or NaN.
func lacks(v *table.Vector, i int) bool {
	return v.IsNull(i) || v.Type == table.Real && v.Reals[i] != v.Reals[i]
}

// bindTakeAny is a row, the first here. For one column it is the first value that is neither null nor empty.
func bindTakeAny(c *call, columns table.Schema) (func() tuple, error) {
	if err := c.fitColumns(columns); err != nil {
		return nil, err
	}
	return func() tuple {
		return newPicker(columns, func(v operand, j int, best *table.Vector, id int) bool {
			return len(columns) == 1 && blank(constant(best), id) && !blank(v, j)
		})
	}, nil
}

// blank tells a null, or the empty string.
func blank(v operand, i int) bool {
	return missing(v, i) || v.Type == table.String && v.Strings[i] == ""
}

func bindTakeAnyOne(c *call) (func() aggregator, error) {
	fresh, err := bindTakeAny(c, table.Schema{{Type: c.typ}})
	if err != nil {
		return nil, err
	}
	return func() aggregator { return columnOf{fresh()} }, nil
}

// picker keeps a row for each group, until one comes that takes its place.
type picker struct {
	better func(v operand, j int, best *table.Vector, id int) bool
	best   []*table.Vector
	has    []bool
}

func newPicker(columns table.Schema, better func(v operand, j int, best *table.Vector, id int) bool) *picker {
	a := &picker{better: better}
	for _, f := range columns {
		a.best = append(a.best, table.NewVector(f.Type, 0))
	}
	return a
}

func (a *picker) grow(groups int) {
	a.has = extend(a.has, groups)
	for _, v := range a.best {
		for v.Len() < groups {
			v.AppendNull()
		}
	}
}

func (a *picker) add(ids []int32, args []operand) {
	first := args[0]
	for i, id := range ids {
		if id < 0 || a.has[id] && !a.better(first, i*first.step, a.best[0], int(id)) {
			continue
		}
		a.has[id] = true
		for c, v := range args {
			assign(a.best[c], int(id), v.Vector, i*v.step)
		}
	}
}

func (a *picker) results() []*table.Vector { return a.best }

// assign makes row i of dst row j of src, of the same type.
func assign(dst *table.Vector, i int, src *table.Vector, j int) {
	if src.IsNull(j) {
		dst.SetNull(i)
		return
	}
	dst.Nulls.Clear(i)
	switch dst.Type.Kind() {
	case table.Ints:
		dst.Ints[i] = src.Ints[j]
	case table.Reals:
		dst.Reals[i] = src.Reals[j]
	case table.Strings:
		dst.Strings[i] = src.Strings[j]
	}
}
