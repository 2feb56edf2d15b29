package engine

import (
	"fmt"
	"math"
	"regexp"
	"slices"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	register("MvExpandOperator", compileMvExpand, func(_ *compiler, op *kql.Node, after need) need {
		d := after.with(op)
		d.ranges = notMade(op, after.ranges)
		for _, p := range op.List("Parameters") {
			if e := p.Child("Expression"); e != nil && e.Name != "" && d.columns != nil {
				d.columns[e.Name] = true // to see whether the index has the name of a column
			}
		}
		return d
	})
	register("MvApplyOperator", compileMvApply, func(_ *compiler, op *kql.Node, after need) need {
		return need{ranges: notMade(op, after.ranges)}
	})
}

// notMade are the ranges of columns that the operator takes over from each row.
func notMade(op *kql.Node, ranges []TimeRange) []TimeRange {
	return through(ranges, func(name string) string {
		for _, n := range op.List("Expressions") {
			e := n.Child("Expression")
			if e.Kind == "SimpleNamedExpression" && e.Child("Name").Name == name || e.Kind == "NameReference" && e.Name == name {
				return ""
			}
		}
		if sub := op.Child("Subquery"); sub != nil && slices.ContainsFunc(sub.Columns, func(c kql.Column) bool { return c.Name == name && c.Source > op.ID }) {
			return ""
		}
		return name
	})
}

// expansion is what mv-expand and mv-apply make of one row: a row for each element of some dynamics, side by side.
type expansion struct {
	name    string // of the operator
	values  []*expr
	columns table.Schema // of the elements
	pairs   bool         // the members of a bag are [name, value] and not {name: value}
	limit   int64        // rows of one row
	index   string       // the column of the elements' number, empty when there is none
}

// expansion compiles `name = value to typeof(type), …`. A column that is not given a name has that of its value.
func (c *compiler) expansion(op *kql.Node, scope table.Schema) (*expansion, error) {
	x := &expansion{name: op.Children[0].Text, limit: math.MaxInt32}
	params, err := c.parameters(op, "kind", "bagexpansion", "with_itemindex")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"kind", "bagexpansion"} {
		switch k := params[name]; {
		case k == nil || k.Value == "bag":
		case k.Value == "array":
			x.pairs = true
		default:
			return nil, c.unsupported(k, fmt.Sprintf("kind %q of %s", k.Value, describe(op)))
		}
	}
	if i := params["with_itemindex"]; i != nil {
		x.index = i.Name
	}
	if l := op.Child("RowLimitClause"); l != nil {
		if x.limit, err = c.rowCount(op, l.Child("RowLimit")); err != nil {
			return nil, err
		}
	}
	for _, n := range op.List("Expressions") {
		e := n.Child("Expression")
		f := table.Field{Type: table.Dynamic}
		switch e.Kind {
		case "SimpleNamedExpression":
			f.Name = e.Child("Name").Name
		case "NameReference":
			f.Name = e.Name
		default:
			for _, col := range op.Columns {
				if col.Source != 0 && (col.Source == n.ID || col.Source == e.ID) {
					f.Name = col.Name
				}
			}
		}
		if f.Name == "" {
			return nil, c.unsupported(n, describe(op)+" of an expression without a name")
		}
		if to := n.Child("ToTypeOf"); to != nil {
			e, err := c.expr(to.Child("TypeOf"))
			if err != nil {
				return nil, err
			}
			f.Type = e.typ
		}
		if f.Type == table.Decimal {
			return nil, c.unsupported(n, describe(op)+" to decimal")
		}
		v, err := c.in(scope).expr(e)
		if err != nil {
			return nil, err
		}
		if v.typ != table.Dynamic {
			return nil, c.unsupported(n, fmt.Sprintf("%s of a %v", describe(op), v.typ))
		}
		if x.columns.Index(f.Name) >= 0 {
			return nil, c.unsupported(n, fmt.Sprintf("%s that makes column %q twice", describe(op), f.Name))
		}
		x.values, x.columns = append(x.values, v), append(x.columns, f)
	}
	return x, nil
}

// row is the elements of row i: one slice for each value. Null is one element, null; an array or bag without elements has
// none; what is neither is one itself (docs, "mv-expand operator").
func (x *expansion) row(values []operand, i int) (lists [][]string, most int) {
	for _, v := range values {
		var list []string
		text := "null"
		if j := i * v.step; !v.IsNull(j) {
			text = v.Strings[j]
		}
		if a, ok := elements(text); ok {
			list = a
		} else if ms, ok := members(text); ok {
			for _, m := range ms {
				one := object([]member{m})
				if x.pairs {
					one = array([]string{quote(m.name), m.value})
				}
				list = append(list, one)
			}
		} else {
			list = []string{text}
		}
		if int64(len(list)) > x.limit {
			list = list[:max(0, x.limit)]
		}
		lists, most = append(lists, list), max(most, len(list))
	}
	return lists, most
}

// isoTime is how a datetime is written within a dynamic, and spanText a timespan.
var (
	isoTime  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z$`)
	spanText = regexp.MustCompile(`^-?(\d+\.)?\d\d:\d\d:\d\d(\.\d{7})?$`)
)

// cast adds an element to a column. Typing is a cast and no conversion: what is of another type becomes null
// (docs, "mv-expand operator"). A dynamic keeps times as text here, so text that is written as they are is taken for one.
func (x *expansion) cast(v *table.Vector, text string) error {
	if text == "null" {
		v.AppendNull()
		return nil
	}
	s, isText := textElement(text)
	switch v.Type {
	case table.Dynamic:
		v.AppendString(text)
		return nil
	case table.String:
		v.AppendString(jsonText(text))
		return nil
	case table.Bool:
		if text == "true" || text == "false" {
			v.AppendBool(text == "true")
			return nil
		}
	case table.Int, table.Long:
		if i, ok := parseInteger(text); ok {
			if v.Type == table.Long || i == int64(int32(i)) {
				v.AppendInt(i)
				return nil
			}
		}
		if _, ok := numberElement(text); ok {
			return &ValueError{fmt.Sprintf("%s of %.40s to typeof(%v)", x.name, text, v.Type), "is a case that the sandbox does not know Kusto's answer to"}
		}
	case table.Real:
		if f, ok := numberElement(text); ok {
			v.AppendReal(f)
			return nil
		}
		if f, ok := parseReal(s); isText && ok && f-f != 0 {
			v.AppendReal(f)
			return nil
		}
	case table.DateTime:
		if t, ok := parseDateTime(s); isText && isoTime.MatchString(s) && ok {
			v.AppendInt(t)
			return nil
		}
	case table.TimeSpan:
		if t, ok := parseTimeSpan(s); isText && spanText.MatchString(s) && ok {
			v.AppendInt(t)
			return nil
		}
	case table.GUID:
		if isText && v.Append(s) == nil {
			return nil
		}
	}
	v.AppendNull()
	return nil
}

// add expands row i of a batch into the columns and, when there is one, the index. It returns how many rows that made.
func (x *expansion) add(values []operand, i int, columns []*table.Vector, index *table.Vector) (int, error) {
	lists, n := x.row(values, i)
	for j, list := range lists {
		for k := range n {
			element := "null"
			if k < len(list) {
				element = list[k]
			}
			if err := x.cast(columns[j], element); err != nil {
				return 0, err
			}
		}
	}
	if index != nil {
		for k := range n {
			index.AppendInt(int64(k))
		}
	}
	return n, nil
}

// fresh are empty columns for elements and their index.
func (x *expansion) fresh() (columns []*table.Vector, index *table.Vector) {
	for _, f := range x.columns {
		columns = append(columns, table.NewVector(f.Type, 0))
	}
	if x.index != "" {
		index = table.NewVector(table.Long, 0)
	}
	return columns, index
}

// compileMvExpand repeats each row for the elements of some of its dynamics.
func compileMvExpand(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	x, err := c.expansion(op, in.schema)
	if err != nil {
		return nil, err
	}
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	if x.index != "" && (in.schema.Index(x.index) >= 0 || x.columns.Index(x.index) >= 0) {
		return nil, c.unsupported(op, fmt.Sprintf("%s that makes column %q twice", describe(op), x.index))
	}
	var from []origin // side 0: the row, 1: the elements, 2: the index
	var kept table.Schema
	for _, f := range schema {
		place := origin{0, in.schema.Index(f.Name)}
		if j := x.columns.Index(f.Name); j >= 0 {
			place = origin{1, j}
		} else if f.Name == x.index {
			place = origin{2, 0}
		} else if place.column < 0 {
			continue // not needed later
		}
		if place.side == 0 && in.schema[place.column].Type != f.Type || place.side == 1 && x.columns[place.column].Type != f.Type {
			return nil, c.unsupported(op, fmt.Sprintf("%s with the %v column %q", describe(op), f.Type, f.Name))
		}
		kept, from = append(kept, f), append(from, place)
	}
	schema = kept
	return &relation{schema: schema, serialized: in.serialized, produce: func(r *run, emit func(*batch) error) error {
		return in.produce(r, func(b *batch) error {
			values, err := evaluate(x.values, b)
			if err != nil {
				return err
			}
			var sel []int32
			columns, index := x.fresh()
			flush := func() error {
				if len(sel) == 0 {
					return nil
				}
				if err := r.alive(); err != nil {
					return err
				}
				out := &batch{n: len(sel)}
				for _, p := range from {
					switch p.side {
					case 0:
						out.cols = append(out.cols, b.cols[p.column].Take(sel))
					case 1:
						out.cols = append(out.cols, columns[p.column])
					default:
						out.cols = append(out.cols, index)
					}
				}
				sel = sel[:0]
				columns, index = x.fresh()
				return emit(out)
			}
			for i := range b.n {
				n, err := x.add(values, i, columns, index)
				if err != nil {
					return err
				}
				for range n {
					sel = append(sel, int32(i))
				}
				if len(sel) >= tablesBatch {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			return flush()
		})
	}}, nil
}

// compileMvApply asks a subquery about the elements of each row. A row without elements is not asked about, as mv-expand drops it.
func compileMvApply(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	x, err := c.expansion(op, in.schema)
	if err != nil {
		return nil, err
	}
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	// The subquery sees the row's columns, those that are expanded under the same name in their place, and then the others.
	record := &relation{serialized: true}
	var places []origin // side 0: the row, 1: the elements, 2: the index
	for i, f := range in.schema {
		p := origin{0, i}
		if j := x.columns.Index(f.Name); j >= 0 {
			f, p = x.columns[j], origin{1, j}
		}
		record.schema, places = append(record.schema, f), append(places, p)
	}
	for j, f := range x.columns {
		if in.schema.Index(f.Name) < 0 {
			record.schema, places = append(record.schema, f), append(places, origin{1, j})
		}
	}
	if x.index != "" {
		if record.schema.Index(x.index) >= 0 {
			return nil, c.unsupported(op, fmt.Sprintf("%s that makes column %q twice", describe(op), x.index))
		}
		record.schema, places = append(record.schema, table.Field{Name: x.index, Type: table.Long}), append(places, origin{2, 0})
	}
	record.produce = func(r *run, emit func(*batch) error) error {
		if b := r.records[record]; b.n > 0 {
			return emit(b)
		}
		return nil
	}
	sub := op.Child("Subquery")
	if sub == nil || sub.Kind != "MvApplySubqueryExpression" {
		return nil, c.unsupported(op, describe(op)+" with this subquery")
	}
	inner := c.in(nil)
	inner.record = record
	rel, err := inner.relation(sub.Child("Expression"), need{})
	if err != nil {
		return nil, err
	}
	var from []origin
	for _, f := range schema {
		side, column := 1, rel.schema.Index(f.Name)
		if j := in.schema.Index(f.Name); j >= 0 && x.columns.Index(f.Name) < 0 {
			side, column = 0, j
			for _, col := range sub.Columns {
				if col.Name == f.Name && col.Source > op.ID {
					return nil, c.unsupported(op, fmt.Sprintf("%s whose subquery makes another column %q", describe(op), f.Name))
				}
			}
		}
		of := in.schema
		if side == 1 {
			of = rel.schema
		}
		if column < 0 || of[column].Type != f.Type {
			return nil, c.unsupported(op, fmt.Sprintf("%s with the %v column %q", describe(op), f.Type, f.Name))
		}
		from = append(from, origin{side, column})
	}
	return &relation{schema: schema, produce: func(r *run, emit func(*batch) error) error {
		return in.produce(r, func(b *batch) error {
			values, err := evaluate(x.values, b)
			if err != nil {
				return err
			}
			// A batch of a row's own answer is small: they are gathered.
			out := table.New("", schema, 0)
			flush := func() error {
				full := asBatch(out)
				out = table.New("", schema, 0)
				if full.n == 0 {
					return nil
				}
				return emit(full)
			}
			for i := range b.n {
				if err := r.alive(); err != nil {
					return err
				}
				columns, index := x.fresh()
				n, err := x.add(values, i, columns, index)
				if err != nil {
					return err
				}
				if n == 0 {
					continue
				}
				asked := &batch{n: n}
				for _, p := range places {
					switch p.side {
					case 0:
						asked.cols = append(asked.cols, b.cols[p.column].Repeat(i, n))
					case 1:
						asked.cols = append(asked.cols, columns[p.column])
					default:
						asked.cols = append(asked.cols, index)
					}
				}
				before := r.records[record]
				r.records[record] = asked
				err = rel.produce(r, func(answer *batch) error {
					for k, p := range from {
						if p.side == 1 {
							out.Columns[k].Vec.AppendVector(answer.cols[p.column])
							continue
						}
						for range answer.n {
							out.Columns[k].Vec.AppendRow(b.cols[p.column], i)
						}
					}
					return nil
				})
				r.records[record] = before
				if err != nil {
					return err
				}
				if out.Rows() >= tablesBatch {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			return flush()
		})
	}}, nil
}
