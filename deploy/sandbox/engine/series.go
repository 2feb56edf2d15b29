package engine

import (
	"fmt"
	"math"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	register("MakeSeriesOperator", compileMakeSeries, func(_ *compiler, op *kql.Node, _ need) need { return only(op) })
}

// maxSeries is how many values Kusto puts into one series (docs, "make-series operator").
const maxSeries = 1 << 20

// axis is the bins of make-series: [from, from+step), [from+step, …) up to, and not including, to.
type axis struct {
	typ            table.Type
	value          *expr
	from, to, step int64   // of what is counted in integers
	fromR, toR, by float64 // of reals
	open           bool    // there is no end: each series goes up to its last bin with rows
	n              int64   // how many bins there are; as many as there may be when open
	wrong          error   // what a run has to say about the bounds
}

// compileMakeSeries is summarize by keys and bin, whose rows then become arrays: one row a combination of keys.
func compileMakeSeries(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	params, err := c.parameters(op, "kind")
	if err != nil {
		return nil, err
	}
	by := op.Child("ByClause").List("Expressions")
	nonempty := false
	if k := params["kind"]; k != nil {
		if k.Value != "nonempty" || len(by) > 0 {
			return nil, c.unsupported(k, fmt.Sprintf("kind %q of %s by columns", k.Value, describe(op)))
		}
		nonempty = true
	}
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	list := op.List("Aggregates")
	if len(schema) != len(by)+len(list)+1 {
		return nil, c.unsupported(op, describe(op)+" with an aggregate of several columns")
	}
	a, err := c.axis(op, in.schema)
	if err != nil {
		return nil, err
	}
	keys, err := c.keys(in.schema, by)
	if err != nil {
		return nil, err
	}
	var calls []*kql.Node
	var defaults []string
	// The intermediate table: the keys, the bin's number, the aggregates.
	groups := append(table.Schema{}, schema[:len(by)]...)
	groups = append(groups, table.Field{Name: "bin", Type: table.Long})
	for i, k := range keys {
		if k.typ != schema[i].Type {
			return nil, c.unsupported(by[i], fmt.Sprintf("a %v as the %v column %q", k.typ, schema[i].Type, schema[i].Name))
		}
	}
	for i, n := range list {
		e := n.Child("Expression")
		t, err := c.scalarType(e)
		if err != nil {
			return nil, err
		}
		d, err := c.seriesDefault(n, t)
		if err != nil {
			return nil, err
		}
		calls, defaults = append(calls, e), append(defaults, d)
		groups = append(groups, table.Field{Name: schema[len(by)+i].Name, Type: t})
	}
	binned := a.binned(in)
	grouped, err := c.grouped(binned, append(keys, columnExpr(len(in.schema), table.Long)), groups, by, calls)
	if err != nil {
		return nil, err
	}
	s := &series{axis: a, keys: len(by), schema: schema, defaults: defaults, nonempty: nonempty, limit: c.opts.MaxRows}
	return &relation{schema: schema, produce: func(r *run, emit func(*batch) error) error {
		if a.wrong != nil {
			return a.wrong
		}
		t, err := collect(r, grouped, "make-series", s.limit)
		if err != nil {
			return err
		}
		return s.emit(r, asBatch(t), emit)
	}}, nil
}

// seriesDefault is what stands in a series where there are no rows, as JSON.
func (c *compiler) seriesDefault(n *kql.Node, t table.Type) (string, error) {
	d := n.Child("DefaultExpression").Child("Expression")
	if d == nil {
		switch {
		case integral(t):
			return "0", nil
		case t == table.Real:
			return "0.0", nil
		}
		return "", c.unsupported(n, fmt.Sprintf("make-series of a %v without a default", t))
	}
	v, ok := c.constExpr(d)
	if !ok {
		return "", c.unsupported(d, "a default of make-series that is not constant")
	}
	if v.IsNull(0) {
		return "null", nil
	}
	e, ok, err := convert(konst(v), t)
	if err != nil {
		return "", err
	}
	k := toDynamic(t)
	if !ok || k == nil {
		return "", c.unsupported(d, fmt.Sprintf("a %v as the default of a make-series of %v", v.Type, t))
	}
	out, err := k([]operand{constant(e.konst)}, 1)
	if err != nil {
		return "", err
	}
	return out.Strings[0], nil
}

// axis compiles `on column from start to end step size`.
func (c *compiler) axis(op *kql.Node, scope table.Schema) (*axis, error) {
	clause := op.Child("RangeClause")
	if clause == nil || clause.Kind != "MakeSeriesFromToStepClause" {
		return nil, c.unsupported(op, describe(op)+" with in range (write from … to … step …)")
	}
	a := &axis{}
	var err error
	if a.value, err = c.in(scope).expr(op.Child("OnClause").Child("Expression")); err != nil {
		return nil, err
	}
	a.typ = a.value.typ
	unit := a.typ
	switch a.typ {
	case table.DateTime:
		unit = table.TimeSpan
	case table.TimeSpan, table.Long, table.Real:
	default:
		return nil, c.unsupported(op, fmt.Sprintf("%s on a %v", describe(op), a.typ))
	}
	from, to := clause.Child("MakeSeriesFromClause"), clause.Child("MakeSeriesToClause")
	if from == nil {
		// Where the bins begin then is not documented well enough.
		return nil, c.unsupported(op, describe(op)+" without from")
	}
	set := func(n *kql.Node, t table.Type, i *int64, f *float64) error {
		v, ok := c.constExpr(n)
		if !ok {
			return c.unsupported(n, "a bound of make-series that is not constant")
		}
		e, ok, err := convert(konst(v), t)
		if err != nil {
			return err
		}
		if !ok || v.IsNull(0) {
			return c.unsupported(n, fmt.Sprintf("a %v as a bound of a make-series on a %v", v.Type, a.typ))
		}
		if t == table.Real {
			*f = e.konst.Reals[0]
		} else {
			*i = e.konst.Ints[0]
		}
		return nil
	}
	if err := set(from.Child("Expression"), a.typ, &a.from, &a.fromR); err != nil {
		return nil, err
	}
	if a.open = to == nil; !a.open {
		if err := set(to.Child("Expression"), a.typ, &a.to, &a.toR); err != nil {
			return nil, err
		}
	}
	if err := set(clause.Child("MakeSeriesStepClause").Child("Expression"), unit, &a.step, &a.by); err != nil {
		return nil, err
	}
	a.n, a.wrong = a.bins()
	return a, nil
}

// bins is how many there are.
func (a *axis) bins() (int64, error) {
	what := "make-series"
	real := a.typ == table.Real
	switch {
	case !real && a.step <= 0, real && !(a.by > 0 && a.by <= math.MaxFloat64):
		return 0, &ValueError{what, "must have a step above 0"}
	case a.open:
		return maxSeries, nil
	case !real && a.to <= a.from, real && !(a.toR > a.fromR):
		return 0, &ValueError{what, "must end after it starts"}
	}
	n := uint64(maxSeries) + 1
	if !real {
		n = (uint64(a.to)-uint64(a.from)-1)/uint64(a.step) + 1
	} else if most := math.Ceil((a.toR - a.fromR) / a.by); most <= maxSeries {
		n = uint64(most)
		// The division rounds.
		for n > 1 && a.fromR+float64(n-1)*a.by >= a.toR {
			n--
		}
	}
	if n > maxSeries {
		return 0, &ValueError{what, fmt.Sprintf("must have at most %d values, got more", maxSeries)}
	}
	return int64(n), nil
}

// bin is the number of the bin of row i, or false when it is in none.
func (a *axis) bin(o operand, i int) (int64, bool) {
	j := i * o.step
	if o.IsNull(j) {
		return 0, false
	}
	if a.typ == table.Real {
		x := o.Reals[j]
		if !(x >= a.fromR) || !a.open && !(x < a.toR) || math.IsInf(x, 1) {
			return 0, false
		}
		bin := math.Floor((x - a.fromR) / a.by)
		if !a.open {
			bin = min(bin, float64(a.n-1)) // the division rounds
		}
		return int64(min(bin, maxSeries)), true
	}
	x := o.Ints[j]
	if x < a.from || !a.open && x >= a.to {
		return 0, false
	}
	return int64((uint64(x) - uint64(a.from)) / uint64(a.step)), true
}

// binned is the rows of in that are in a bin, with its number as one more column.
func (a *axis) binned(in *relation) *relation {
	schema := append(append(table.Schema{}, in.schema...), table.Field{Name: "bin", Type: table.Long})
	return &relation{schema: schema, produce: func(r *run, emit func(*batch) error) error {
		return in.produce(r, func(b *batch) error {
			o, err := a.value.eval(b)
			if err != nil {
				return err
			}
			var sel []int32
			numbers := table.NewVector(table.Long, b.n)
			for i := range b.n {
				if bin, ok := a.bin(o, i); ok {
					if bin >= maxSeries {
						return &ValueError{"make-series", fmt.Sprintf("must have at most %d values, got more", maxSeries)}
					}
					sel = append(sel, int32(i))
					numbers.AppendInt(bin)
				}
			}
			if len(sel) == 0 {
				return nil
			}
			out := &batch{n: len(sel)}
			for _, v := range b.cols {
				if len(sel) < b.n {
					v = v.Take(sel)
				}
				out.cols = append(out.cols, v)
			}
			out.cols = append(out.cols, numbers)
			return emit(out)
		})
	}}
}

// values is the axis itself as JSON, its first n values.
func (a *axis) values(n int64) ([]string, error) {
	v := table.NewVector(a.typ, int(n))
	for i := range n {
		if a.typ == table.Real {
			v.AppendReal(a.fromR + float64(i)*a.by)
		} else {
			v.AppendInt(a.from + i*a.step)
		}
	}
	out, err := toDynamic(a.typ)([]operand{rows(v)}, int(n))
	if err != nil {
		return nil, err
	}
	return out.Strings, nil
}

// series turns the rows of the intermediate table into arrays.
type series struct {
	axis     *axis
	keys     int
	schema   table.Schema
	defaults []string
	nonempty bool
	limit    int
}

// emit makes one row of each combination of keys.
func (s *series) emit(r *run, b *batch, emit func(*batch) error) error {
	g := newGrouper(s.schema[:s.keys], s.limit)
	var keys []operand
	for _, v := range b.cols[:s.keys] {
		keys = append(keys, rows(v))
	}
	ids, err := g.group(keys, b.n)
	if err != nil {
		return err
	}
	if b.n == 0 {
		if !s.nonempty || s.axis.open {
			return nil
		}
	}
	lengths := make([]int64, g.n)
	for i := range lengths {
		if !s.axis.open {
			lengths[i] = s.axis.n
		}
	}
	most, cells := s.axis.n, int64(g.n)*s.axis.n
	if s.axis.open {
		most, cells = 0, 0
		for i, id := range ids {
			lengths[id] = max(lengths[id], b.cols[s.keys].Ints[i]+1)
		}
		for _, l := range lengths {
			most, cells = max(most, l), cells+l
		}
	}
	if cells > int64(s.limit) {
		return &LimitError{Operator: "make-series", Limit: s.limit}
	}
	out := &batch{n: g.n, cols: g.keys}
	for j, missing := range s.defaults {
		if err := r.alive(); err != nil {
			return err
		}
		v := b.cols[s.keys+1+j]
		k := toDynamic(v.Type)
		if k == nil {
			return &ValueError{"make-series", "of a " + v.Type.String() + " is a case that the sandbox does not know Kusto's answer to"}
		}
		text, err := k([]operand{rows(v)}, b.n)
		if err != nil {
			return err
		}
		arrays := make([][]string, g.n)
		for i := range arrays {
			arrays[i] = make([]string, lengths[i])
			for k := range arrays[i] {
				arrays[i][k] = missing
			}
		}
		for i, id := range ids {
			value := "null"
			if !text.IsNull(i) {
				value = text.Strings[i]
			}
			arrays[id][b.cols[s.keys].Ints[i]] = value
		}
		column := table.NewVector(table.Dynamic, g.n)
		for _, a := range arrays {
			column.AppendString(array(a))
		}
		out.cols = append(out.cols, column)
	}
	values, err := s.axis.values(most)
	if err != nil {
		return err
	}
	column, whole := table.NewVector(table.Dynamic, g.n), array(values)
	for _, l := range lengths {
		if l == most {
			column.AppendString(whole)
		} else {
			column.AppendString(array(values[:l]))
		}
	}
	out.cols = append(out.cols, column)
	return emit(out)
}
