package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	combinations["JoinOperator"] = compileJoin
	combinations["LookupOperator"] = compileJoin
}

// joinKind says what a kind of join gives besides pairs of rows that match.
type joinKind struct {
	distinct    bool // only the first row on the left of each key
	left, right bool // the rows of that side that match nothing
	semi, anti  bool // no pairs: the rows of one side that match, or do not
	ofRight     bool // of a semi and an anti join, which side
}

var joinKinds = map[string]joinKind{
	"innerunique": {distinct: true}, "inner": {}, "": {distinct: true},
	"leftouter": {left: true}, "rightouter": {right: true}, "fullouter": {left: true, right: true},
	"leftsemi": {semi: true}, "rightsemi": {semi: true, ofRight: true},
	"leftanti": {anti: true}, "anti": {anti: true}, "leftantisemi": {anti: true},
	"rightanti": {anti: true, ofRight: true}, "rightantisemi": {anti: true, ofRight: true},
}

var lookupKinds = map[string]joinKind{"": {left: true}, "leftouter": {left: true}, "inner": {}}

// join is a compiled join. The right side is kept, the left streams past it.
type join struct {
	joinKind
	name   string
	limit  int
	schema table.Schema
	in     [2]*relation // left, right
	keys   [2][]*expr
	from   []origin // of each column of schema
}

// origin is where a column of the result comes from.
type origin struct{ side, column int }

// compileJoin is join and lookup. Keys are equal when == says so: a null, and a NaN, equals nothing. The binder gives the columns: those of
// the left, then those of the right, renamed where they collide; lookup leaves out the keys of the right.
func compileJoin(c *compiler, op, input *kql.Node, d need) (*relation, error) {
	j := &join{name: op.Children[0].Text, limit: c.opts.MaxRows}
	params, err := c.parameters(op, "kind")
	if err != nil {
		return nil, err
	}
	kinds, kind := joinKinds, ""
	if op.Kind == "LookupOperator" {
		kinds = lookupKinds
	}
	if k := params["kind"]; k != nil {
		kind = k.Value + k.Name + k.Text
	}
	var ok bool
	if j.joinKind, ok = kinds[kind]; !ok {
		return nil, c.unsupported(params["kind"], fmt.Sprintf("kind %q of %s", kind, describe(op)))
	}
	right := op.Child("Expression")
	on := op.Child("ConditionClause")
	if on == nil {
		on = op.Child("LookupClause")
	}
	names, err := c.joinKeys(op, on.List("Expressions"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, c.unsupported(op, describe(op)+" on nothing")
	}
	sides := [2][]kql.Column{input.Columns, right.Columns}
	var columns []origin
	for side, cols := range sides {
		if (j.semi || j.anti) && j.ofRight != (side == 1) {
			continue
		}
		for i, col := range cols {
			if op.Kind == "LookupOperator" && side == 1 && isKey(names, col.Name) {
				continue
			}
			columns = append(columns, origin{side, i})
		}
	}
	all, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	if len(all) != len(columns) {
		return nil, c.unsupported(op, fmt.Sprintf("%s with %d columns of %d", describe(op), len(all), len(columns)))
	}
	needs := [2]need{{columns: map[string]bool{}}, {columns: map[string]bool{}}}
	for _, pair := range names {
		needs[0].columns[pair[0]], needs[1].columns[pair[1]] = true, true
	}
	for i, f := range all {
		if d.columns == nil || d.columns[f.Name] {
			from := columns[i]
			j.schema, j.from = append(j.schema, f), append(j.from, from)
			needs[from.side].columns[sides[from.side][from.column].Name] = true
		}
	}
	// A row outside of a range is dropped later, so it may be dropped before, where each row of the result has its row on that side.
	for i, f := range all {
		from := columns[i]
		if j.keeps(from.side) {
			needs[from.side].ranges = append(needs[from.side].ranges, through(d.ranges, func(name string) string {
				if name != f.Name {
					return ""
				}
				return sides[from.side][from.column].Name
			})...)
		}
	}
	for side, n := range []*kql.Node{input, right} {
		if j.in[side], err = c.relation(n, needs[side]); err != nil {
			return nil, err
		}
	}
	for i, from := range j.from {
		name := sides[from.side][from.column].Name
		k := j.in[from.side].schema.Index(name)
		if k < 0 || j.in[from.side].schema[k].Type != j.schema[i].Type {
			return nil, c.unsupported(op, fmt.Sprintf("%s of column %q", describe(op), name))
		}
		j.from[i].column = k
	}
	for _, pair := range names {
		if err := c.joinKey(op, j, pair); err != nil {
			return nil, err
		}
	}
	return &relation{schema: j.schema, produce: j.produce}, nil
}

// keeps reports whether dropping rows of a side before the join is dropping the rows of the result that have them.
// Dropping one where the other side stays makes that appear as one that matches nothing, and where only the first of a key
// counts, makes another the first.
func (j *join) keeps(side int) bool {
	if side == 0 {
		return !j.right && !j.distinct
	}
	return !j.left
}

func isKey(names [][2]string, right string) bool {
	for _, pair := range names {
		if pair[1] == right {
			return true
		}
	}
	return false
}

// joinKeys are the names of the columns to compare, left and right.
func (c *compiler) joinKeys(op *kql.Node, conditions []*kql.Node) ([][2]string, error) {
	var out [][2]string
	for _, n := range conditions {
		switch n.Kind {
		case "NameReference":
			out = append(out, [2]string{n.Name, n.Name})
			continue
		case "ParenthesizedExpression":
			more, err := c.joinKeys(op, []*kql.Node{n.Child("Expression")})
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		case "AndExpression":
			more, err := c.joinKeys(op, []*kql.Node{n.Child("Left"), n.Child("Right")})
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		case "EqualExpression":
			l, r := n.Child("Left"), n.Child("Right")
			if sideOf(l) == "$left" && sideOf(r) == "$right" {
				out = append(out, [2]string{l.Child("Selector").Name, r.Child("Selector").Name})
				continue
			}
		}
		return nil, c.unsupported(n, describe(op)+" on this condition")
	}
	return out, nil
}

// sideOf is $left or $right for a column of that side.
func sideOf(n *kql.Node) string {
	if n == nil || n.Kind != "PathExpression" || n.Child("Selector").Kind != "NameReference" {
		return ""
	}
	return n.Child("Expression").Name
}

// joinKey adds a pair of columns, brought to one type.
func (c *compiler) joinKey(op *kql.Node, j *join, pair [2]string) error {
	var es [2]*expr
	for side, name := range pair {
		i := j.in[side].schema.Index(name)
		if i < 0 {
			return c.unsupported(op, fmt.Sprintf("%s on column %q", describe(op), name))
		}
		es[side] = columnExpr(i, j.in[side].schema[i].Type)
	}
	t := es[0].typ
	if integral(t) && integral(es[1].typ) {
		t = table.Long
	}
	for side := range es {
		e, ok, err := convert(es[side], t)
		if err != nil {
			return err
		}
		if !ok || t == table.Dynamic {
			return c.unsupported(op, fmt.Sprintf("%s on a %v and a %v", describe(op), es[0].typ, es[1].typ))
		}
		j.keys[side] = append(j.keys[side], e)
	}
	return nil
}

// index finds the rows of the right side by their key.
type index struct {
	keys  keySet // to the first row with that key
	next  []int32
	table *batch
}

func (j *join) index(r *run) (*index, error) {
	t, err := collect(r, j.in[1], j.name, j.limit)
	if err != nil {
		return nil, err
	}
	x := &index{keys: keySet{codes: map[string]int32{}}, table: asBatch(t)}
	keys, err := evaluate(j.keys[1], x.table)
	if err != nil {
		return nil, err
	}
	x.next = make([]int32, x.table.n)
	// From the end, so that the rows of a key are found in their order.
	for i := x.table.n - 1; i >= 0; i-- {
		x.next[i] = -1
		key, ok := x.keys.key(keys, i)
		if !ok {
			continue
		}
		if first, ok := x.keys.codes[string(key)]; ok {
			x.next[i] = first
		}
		x.keys.codes[string(key)] = int32(i)
	}
	return x, nil
}

func (j *join) produce(r *run, emit func(*batch) error) error {
	x, err := j.index(r)
	if err != nil {
		return err
	}
	var matched table.Bitmap // rows of the right
	seen := map[string]bool{}
	o := &joined{j: j, r: r, emit: emit, right: x.table}
	err = j.in[0].produce(r, func(b *batch) error {
		keys, err := evaluate(j.keys[0], b)
		if err != nil {
			return err
		}
		o.left = b
		for i := range b.n {
			match := int32(-1)
			if key, ok := x.keys.key(keys, i); ok {
				if first, ok := x.keys.codes[string(key)]; ok {
					match = first
				}
				if j.distinct && match >= 0 {
					if seen[string(key)] {
						continue
					}
					seen[string(key)] = true
				}
			}
			switch {
			case (j.semi || j.anti) && j.ofRight:
				for ; match >= 0; match = x.next[match] {
					matched.Set(int(match))
				}
				continue
			case j.semi || j.anti:
				if (match >= 0) == j.semi {
					err = o.add(int32(i), -1)
				}
			case match < 0:
				if j.left {
					err = o.add(int32(i), -1)
				}
			default:
				for ; match >= 0 && err == nil; match = x.next[match] {
					if j.right {
						matched.Set(int(match))
					}
					err = o.add(int32(i), match)
				}
			}
			if err != nil {
				return err
			}
		}
		// The batch is the source's again.
		return o.flush()
	})
	if err != nil {
		return err
	}
	if !j.right && !j.ofRight {
		return nil
	}
	o.left = nil
	for i := range x.table.n {
		if matched.Get(i) == j.semi {
			if err := o.add(-1, int32(i)); err != nil {
				return err
			}
		}
	}
	return o.flush()
}

// joined gathers pairs of rows, -1 for no row, into batches.
type joined struct {
	j           *join
	r           *run
	emit        func(*batch) error
	left, right *batch
	sel         [2][]int32
}

func (o *joined) add(left, right int32) error {
	o.sel[0], o.sel[1] = append(o.sel[0], left), append(o.sel[1], right)
	if len(o.sel[0]) >= tablesBatch {
		return o.flush()
	}
	return nil
}

func (o *joined) flush() error {
	n := len(o.sel[0])
	if n == 0 {
		return nil
	}
	if err := o.r.alive(); err != nil {
		return err
	}
	b := &batch{n: n}
	for i, from := range o.j.from {
		side := o.left
		if from.side == 1 {
			side = o.right
		}
		if side == nil { // what is left over on the right
			b.cols = append(b.cols, nulls(o.j.schema[i].Type, n))
			continue
		}
		b.cols = append(b.cols, side.cols[from.column].Take(o.sel[from.side]))
	}
	o.sel[0], o.sel[1] = o.sel[0][:0], o.sel[1][:0]
	return o.emit(b)
}
