package engine

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	sources["MaterializeExpression"] = compileMaterialize
}

// state is what one compilation has found out. All compilers of a query share it.
type state struct {
	run    *run  // not nil when the query is compiled in a run: values that need rows can be had
	late   bool  // there are such values
	failed error // why one could not be had
	calls  int   // of functions that the text declares
}

// standIn stands for a constant of which only the type is known.
func standIn(t table.Type) *expr {
	v := zeros(t, 1)
	switch t {
	case table.Dynamic:
		v.Strings[0] = "[]"
	case table.Decimal:
		v.Strings[0] = "0"
	case table.GUID:
		v.Strings[0] = "00000000-0000-0000-0000-000000000000"
	}
	e := konst(v)
	e.pending = true
	return e
}

// toScalar is the first column of the first row of a table, null when there is none, as a constant. Before a run something
// stands in for it, to find out whether the query can be evaluated.
func (c *compiler) toScalar(n *kql.Node) (*expr, error) {
	e := n.Child("Expression")
	if e.Type != "table" {
		return c.expr(e)
	}
	t, err := c.scalarType(n)
	if err != nil {
		return nil, err
	}
	if len(e.Columns) == 0 {
		return nil, c.unsupported(n, "toscalar of a table without columns")
	}
	first := e.Columns[0].Name
	rel, err := c.in(nil).relation(e, need{columns: map[string]bool{first: true}})
	if err != nil {
		return nil, err
	}
	i := rel.schema.Index(first)
	if i < 0 || rel.schema[i].Type != t {
		return nil, c.unsupported(n, fmt.Sprintf("toscalar of the column %q", first))
	}
	c.state.late = true
	r := c.state.run
	if r == nil {
		return standIn(t), nil
	}
	key := use{n, c.env}
	v, ok := r.scalars[key]
	if !ok {
		if v, err = firstValue(r, rel, i); err != nil {
			return nil, c.fail(err)
		}
		r.scalars[key] = v
	}
	return konst(v), nil
}

// fail remembers why a value could not be had: some callers go on without.
func (c *compiler) fail(err error) error {
	if c.state.failed == nil {
		c.state.failed = err
	}
	return err
}

func firstValue(r *run, rel *relation, column int) (*table.Vector, error) {
	v, enough := table.NewVector(rel.schema[column].Type, 1), &stop{}
	err := rel.produce(r, func(b *batch) error {
		if b.n == 0 {
			return nil
		}
		v.AppendRow(b.cols[column], 0)
		return enough
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, err
	}
	if v.Len() == 0 {
		v.AppendNull()
	}
	return v, nil
}

// compileMaterialize reads its table once a run, however often it is used.
func compileMaterialize(c *compiler, n *kql.Node, _ need) (*relation, error) {
	rel, err := c.relation(n.Child("Expression"), need{})
	if err != nil {
		return nil, err
	}
	key, limit := use{n, c.env}, c.opts.MaxRows
	return &relation{schema: rel.schema, serialized: rel.serialized, produce: func(r *run, emit func(*batch) error) error {
		t := r.kept[key]
		if t == nil {
			var err error
			if t, err = collect(r, rel, "materialize", limit); err != nil {
				return err
			}
			r.kept[key] = t
		}
		return pieces(r, t, emit)
	}}, nil
}

// pieces emits a table in batches.
func pieces(r *run, t *table.Table, emit func(*batch) error) error {
	for from, n := 0, t.Rows(); from < n; from += tablesBatch {
		if err := r.alive(); err != nil {
			return err
		}
		if err := emit(asBatch(t.Slice(from, min(from+tablesBatch, n)))); err != nil {
			return err
		}
	}
	return nil
}

// among compiles `x in (table)`: equality with any value of the table's first column. The table is read once.
func (c *compiler) among(n, of *kql.Node) (*expr, error) {
	what := fmt.Sprintf("operator %q", operatorText(n))
	negate := strings.HasPrefix(n.Kind, "Not")
	fold := strings.HasSuffix(n.Kind, "InCsExpression") // in~, whatever its name says
	if !fold && !strings.HasSuffix(n.Kind, "InExpression") || len(of.Columns) == 0 {
		return nil, c.unsupported(n, what+" with a table")
	}
	x, err := c.expr(n.Child("Left"))
	if err != nil {
		return nil, err
	}
	first := of.Columns[0].Name
	rel, err := c.in(nil).relation(of, need{columns: map[string]bool{first: true}})
	if err != nil {
		return nil, err
	}
	column := rel.schema.Index(first)
	if column < 0 {
		return nil, c.unsupported(n, what+fmt.Sprintf(" with the column %q", first))
	}
	t := rel.schema[column].Type
	if t != x.typ && numeric(t) && numeric(x.typ) {
		if t = table.Long; x.typ == table.Real || rel.schema[column].Type == table.Real {
			t = table.Real
		}
	}
	y := columnExpr(column, rel.schema[column].Type)
	x, ok1, err1 := convert(x, t)
	y, ok2, err2 := convert(y, t)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if !ok1 || !ok2 || t == table.Dynamic {
		return nil, c.unsupported(n, what+" with a table of "+rel.schema[column].Type.String())
	}
	c.state.late = true
	set := keySet{fold: fold && t == table.String, codes: map[string]int32{}}
	if r := c.state.run; r != nil {
		limit := c.opts.MaxRows
		err := rel.produce(r, func(b *batch) error {
			o, err := y.eval(b)
			if err != nil {
				return err
			}
			for i := range b.n {
				if key, ok := set.key([]operand{o}, i); ok {
					if _, there := set.codes[string(key)]; !there {
						set.codes[string(key)] = 0
					}
				}
			}
			if len(set.codes) > limit {
				return &LimitError{Operator: what, Limit: limit}
			}
			return nil
		})
		if err != nil {
			return nil, c.fail(err)
		}
	}
	k := func(args []operand, n int) (*table.Vector, error) {
		s := keySet{fold: set.fold} // a buffer of its own
		out := zeros(table.Bool, n)
		for i := range n {
			found := false
			if key, ok := s.key(args, i); ok {
				_, found = set.codes[string(key)]
			}
			out.Ints[i] = truth(found != negate)
		}
		return out, nil
	}
	if x.konst != nil && c.state.run == nil {
		return standIn(table.Bool), nil
	}
	return apply(table.Bool, k, []*expr{x})
}

// keySet numbers keys of several columns.
type keySet struct {
	fold  bool
	codes map[string]int32
	buf   []byte
}

// key is the bytes that equal keys share, valid until the next call. ok is false for a key that equals nothing: one with a
// null or a NaN in it.
func (s *keySet) key(columns []operand, i int) (_ []byte, ok bool) {
	s.buf = s.buf[:0]
	for _, o := range columns {
		j := i * o.step
		if o.IsNull(j) {
			return nil, false
		}
		switch o.Type.Kind() {
		case table.Ints:
			s.buf = appendBits(s.buf, uint64(o.Ints[j]))
		case table.Reals:
			if o.Reals[j] != o.Reals[j] {
				return nil, false
			}
			s.buf = appendBits(s.buf, realKey(o.Reals[j]))
		default:
			text := o.Strings[j]
			switch {
			case s.fold:
				text = strings.Map(foldRune, text)
			case o.Type == table.Decimal:
				text = decimalKey(text)
			}
			s.buf = append(appendBits(s.buf, uint64(len(text))), text...)
		}
	}
	return s.buf, true
}

func appendBits(b []byte, u uint64) []byte {
	return append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24), byte(u>>32), byte(u>>40), byte(u>>48), byte(u>>56))
}

// foldRune is the same for all cases of a letter.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}
