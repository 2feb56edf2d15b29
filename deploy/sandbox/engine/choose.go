package engine

import (
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["case"] = bindCase
	functions["coalesce"] = bindCoalesce
	functions["max_of"] = bindBest(func(c int) bool { return c > 0 })
	functions["min_of"] = bindBest(func(c int) bool { return c < 0 })
	functions["gettype"] = bindGetType
	functions["around"] = bindAround
	functions["column_ifexists"] = bindColumnIfExists
	functions["columnifexists"] = bindColumnIfExists
}

// become makes argument i of type t: numbers upwards, anything dynamic, and a dynamic what its value is.
func (c *call) become(i int, t table.Type) error {
	a := c.args[i]
	if a.typ == t || a.typ != table.Dynamic && t != table.Dynamic {
		return c.coerce(i, t)
	}
	k := toDynamic(a.typ)
	if t != table.Dynamic {
		k = fromDynamic(t)
	}
	if k == nil {
		return c.ofTypes()
	}
	e, err := apply(t, k, []*expr{a})
	if err != nil {
		return err
	}
	c.args[i] = e
	return nil
}

// pick makes a vector of one argument's value for each row; which says whose, or none, which is null.
func pick(t table.Type, which func(args []operand, i int) int) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		out := table.NewVector(t, n)
		for i := range n {
			if j := which(args, i); j >= 0 {
				out.AppendRow(args[j].Vector, i*args[j].step)
			} else {
				out.AppendNull()
			}
		}
		return out, nil
	}
}

// bindCase takes the value after the first condition that is true; null is not.
func bindCase(c *call) (kernel, error) {
	last := len(c.args) - 1
	if last%2 != 0 {
		return nil, c.ofTypes()
	}
	for i := range c.args {
		t := c.typ
		if i%2 == 0 && i < last {
			t = table.Bool
		}
		if err := c.become(i, t); err != nil {
			return nil, err
		}
	}
	return pick(c.typ, func(args []operand, i int) int {
		for j := 0; j < last; j += 2 {
			if args[j].Ints[i*args[j].step] != 0 {
				return j + 1
			}
		}
		return last
	}), nil
}

// bindCoalesce takes the first value that is neither null nor the empty string.
func bindCoalesce(c *call) (kernel, error) {
	for i := range c.args {
		if err := c.become(i, c.typ); err != nil {
			return nil, err
		}
	}
	return pick(c.typ, func(args []operand, i int) int {
		for j, a := range args {
			if k := i * a.step; !missing(a, k) && (a.Type != table.String || a.Strings[k] != "") {
				return j
			}
		}
		return -1
	}), nil
}

// bindBest is max_of and min_of: nulls and NaN give way to other values.
func bindBest(better func(int) bool) binder {
	return func(c *call) (kernel, error) {
		for i := range c.args {
			if err := c.coerce(i, c.typ); err != nil {
				return nil, err
			}
		}
		compare := comparison(c.typ)
		if compare == nil {
			return nil, c.ofTypes()
		}
		return pick(c.typ, func(args []operand, i int) int {
			best := -1
			for j, a := range args {
				k := i * a.step
				if a.IsNull(k) || a.Type == table.Real && a.Reals[k] != a.Reals[k] {
					continue
				}
				if best < 0 || better(compare(a.Vector, k, args[best].Vector, i*args[best].step)) {
					best = j
				}
			}
			return best
		}), nil
	}
}

// bindGetType names the type of a value; that of a dynamic is what its JSON is.
func bindGetType(c *call) (kernel, error) {
	if t := c.args[0].typ; t != table.Dynamic {
		return func(_ []operand, n int) (*table.Vector, error) {
			v := zeros(table.String, n)
			for i := range v.Strings {
				v.Strings[i] = t.String()
			}
			return v, nil
		}, nil
	}
	return liftNullable(table.String, func(r row) (string, bool) {
		if missing(r.args[0], r.at(0)) {
			return "null", true
		}
		return dynamicType(r, r.text(0)), true
	}), nil
}

// dynamicType is what gettype says of a JSON value. A time is a string in JSON, so that such a string may
// be either.
func dynamicType(r row, text string) string {
	switch text[0] {
	case '{':
		return "dictionary"
	case '[':
		return "array"
	case 't', 'f':
		return "bool"
	case '"':
		s, _ := textElement(text)
		_, isTime := parseDateTime(s)
		_, isSpan := parseTimeSpan(s)
		if isTime || isSpan || table.NewVector(table.GUID, 1).Append(s) == nil {
			r.refuse("gettype of a dynamic string that may be another type, %.60q,", s)
		}
		return "string"
	}
	if i, ok := parseInteger(text); !ok {
		return "real"
	} else if i == int64(int32(i)) {
		return "int"
	}
	return "long"
}

// bindAround tells whether a value is within delta of a center, which both ends are.
func bindAround(c *call) (kernel, error) {
	v, center, delta := c.args[0].typ, c.args[1].typ, c.args[2].typ
	switch {
	case integral(v) && integral(center) && integral(delta),
		(v == table.DateTime || v == table.TimeSpan) && center == v && delta == table.TimeSpan:
		return liftRows(table.Bool, func(r row) (int64, bool) {
			d, ok := subtractTicks(r.int(0), r.int(1))
			return truth(d <= r.int(2) && d >= -r.int(2)), ok
		}), nil
	case numeric(v) && numeric(center) && numeric(delta):
		return scalar("bool: real real real", func(r row) (int64, bool) {
			return truth(r.real(0) >= r.real(1)-r.real(2) && r.real(0) <= r.real(1)+r.real(2)), true
		})(c)
	}
	return nil, c.ofTypes()
}

// bindColumnIfExists is a column by its name, or the second argument where there is none.
func bindColumnIfExists(c *call) (kernel, error) {
	name, err := c.constText(0)
	if err != nil {
		return nil, err
	}
	e := c.args[1]
	if i := c.c.scope.Index(name); i >= 0 {
		e = columnExpr(i, c.c.scope[i].Type)
	}
	if e.typ != c.typ {
		return nil, c.ofTypes()
	}
	c.args = []*expr{e}
	return func(args []operand, n int) (*table.Vector, error) { return args[0].full(n), nil }, nil
}
