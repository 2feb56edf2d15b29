package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// row is the arguments of a function for one row. None of them is null unless the function asked for nulls.
type row struct {
	args   []operand
	i      int
	failed *error
}

func (r row) has(j int) bool     { return j < len(r.args) }
func (r row) at(j int) int       { return r.i * r.args[j].step }
func (r row) null(j int) bool    { return r.args[j].IsNull(r.at(j)) }
func (r row) int(j int) int64    { return r.args[j].Ints[r.at(j)] }
func (r row) real(j int) float64 { return r.args[j].Reals[r.at(j)] }
func (r row) text(j int) string  { return r.args[j].Strings[r.at(j)] }
func (r row) intOr(j int, or int64) int64 {
	if !r.has(j) {
		return or
	}
	return r.int(j)
}

const unknown = "is a case that the sandbox does not know Kusto's answer to"

// refuse ends the query: what Kusto makes of these values is not known.
func (r row) refuse(format string, args ...any) {
	if *r.failed == nil {
		*r.failed = &ValueError{fmt.Sprintf(format, args...), unknown}
	}
}

// liftRows is lift1 for any number of arguments. f gives no value by returning false.
func liftRows[R elem](t table.Type, f func(r row) (R, bool)) kernel {
	return liftNullable(t, func(r row) (R, bool) {
		for j := range r.args {
			if r.null(j) {
				var zero R
				return zero, false
			}
		}
		return f(r)
	})
}

// liftNullable is liftRows for a function that takes nulls too.
func liftNullable[R elem](t table.Type, f func(r row) (R, bool)) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		var failed error
		out := zeros(t, n)
		values := values[R](out)
		for i := range n {
			v, ok := f(row{args, i, &failed})
			if failed != nil {
				return nil, failed
			}
			if !ok {
				out.SetNull(i)
				continue
			}
			values[i] = v
		}
		return out, nil
	}
}

// signature is the types of a function: `long: string string long?` takes two strings and, if it is there, a long.
// A last type with an asterisk may be repeated, also not at all.
type signature struct {
	out    table.Type
	in     []table.Type
	least  int
	repeat bool
}

// parseSignature panics on what is no signature, since only code writes them.
func parseSignature(text string) signature {
	out, in, _ := strings.Cut(text, ":")
	s := signature{out: mustType(out)}
	for _, f := range strings.Fields(in) {
		name := strings.TrimRight(f, "?*")
		s.in = append(s.in, mustType(name))
		if name == f {
			s.least = len(s.in)
		}
		s.repeat = strings.HasSuffix(f, "*")
	}
	return s
}

func mustType(name string) table.Type {
	t, err := table.ParseType(name)
	if err != nil {
		panic(err)
	}
	return t
}

// fit brings a call's arguments to the types of the signature, or refuses it.
func (s signature) fit(c *call) error {
	if c.typ != s.out || len(c.args) < s.least || len(c.args) > len(s.in) && !s.repeat {
		return c.ofTypes()
	}
	for i := range c.args {
		if err := c.to(i, s.in[min(i, len(s.in)-1)]); err != nil {
			return err
		}
	}
	return nil
}

// to converts argument i to t as an explicit conversion would: to string from anything, to real from numbers.
func (c *call) to(i int, t table.Type) error {
	a := c.args[i]
	if a.typ == t {
		return nil
	}
	if t != table.String && (t != table.Real || a.typ != table.Decimal) {
		return c.coerce(i, t)
	}
	e, err := apply(t, conversion(a.typ, t), []*expr{a})
	if err != nil {
		return err
	}
	c.args[i] = e
	return nil
}

// scalar is a function of values, of the given signature.
func scalar[R elem](types string, f func(r row) (R, bool)) binder {
	s := parseSignature(types)
	return func(c *call) (kernel, error) {
		if err := s.fit(c); err != nil {
			return nil, err
		}
		if j := c.varying(); j >= 0 && c.args[j].typ.Kind() == table.Strings {
			return liftOne(s.out, j, f), nil
		}
		return liftRows(s.out, f), nil
	}
}

// varying is the one argument that is not constant, -1 when there is none or several.
func (c *call) varying() int {
	at := -1
	for j, a := range c.args {
		if a.konst != nil {
			continue
		}
		if at >= 0 {
			return -1
		}
		at = j
	}
	return at
}

// liftOne is liftRows for a call whose arguments are constant but for number j, which is held as text: f is called once
// for each distinct value.
func liftOne[R elem](t table.Type, j int, f func(r row) (R, bool)) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		for i, a := range args {
			if i != j && a.Len() > 0 && a.IsNull(0) {
				return nulls(t, n), nil
			}
		}
		var failed error
		v := &table.Vector{Type: args[j].Type, Strings: []string{""}}
		one := slices.Clone(args)
		one[j] = constant(v)
		out, err := liftText(t, func(s string) (R, bool) {
			v.Strings[0] = s
			return f(row{one, 0, &failed})
		})(args[j:j+1], n)
		if failed != nil {
			return nil, failed
		}
		return out, err
	}
}

// constText is the value of a string argument that must be constant.
func (c *call) constText(i int) (string, error) {
	a := c.args[i]
	if a.typ != table.String {
		return "", c.ofTypes()
	}
	if a.konst == nil {
		return "", c.unsupported(fmt.Sprintf("with an argument %d that is not constant", i+1))
	}
	return a.konst.Strings[0], nil
}
