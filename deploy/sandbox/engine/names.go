package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// names is what has been given a name: by let, as, a query parameter or the parameter of a function. The
// innermost comes first. It is only ever added to, in front, so what was declared earlier goes on seeing what was there
// then, whatever a caller has named since.
type names struct {
	outer *names
	name  string
	value *binding
}

// binding is what a name stands for: a scalar or tabular expression, or a function.
type binding struct {
	node *kql.Node // nil when there is only a scalar
	env  *names    // what the names in node mean

	scalar *expr  // once it is known
	level  *level // of the rows that scalar is computed from, when it is not constant
}

// level tells apart the rows that expressions see: those of each operator are others.
type level struct{ _ byte }

// with is the names and one more.
func (n *names) with(name string, b *binding) *names { return &names{n, name, b} }

func (n *names) find(name string) *binding {
	for ; n != nil; n = n.outer {
		if n.name == name {
			return n.value
		}
	}
	return nil
}

// bindName names an expression as it is seen from here.
func (c *compiler) bindName(name string, n *kql.Node) {
	c.env = c.env.with(name, &binding{node: n, env: c.env})
}

// seen is the compiler that sees other names.
func (c *compiler) seen(env *names) *compiler {
	d := *c
	d.env = env
	return &d
}

// variable is the scalar that a name stands for.
func (c *compiler) variable(n *kql.Node) (*expr, error) {
	b := c.env.find(n.Name)
	if b == nil {
		return nil, c.unsupported(n, fmt.Sprintf("the name %q here", n.Name))
	}
	if b.scalar == nil {
		if b.node.Type == "table" || b.node.Kind == "FunctionDeclaration" {
			return nil, c.unsupported(n, fmt.Sprintf("the table %q as a scalar", n.Name))
		}
		e, err := c.seen(b.env).expr(b.node)
		if err != nil {
			return nil, err
		}
		if e.konst == nil {
			return c.as(n, e)
		}
		b.scalar = e
	}
	if b.scalar.konst == nil && b.level != c.level {
		// Kusto refuses that too: a subquery is computed once and not for each row.
		return nil, &ValueError{fmt.Sprintf("the argument %q", n.Name), "depends on the row and cannot be used in a subquery"}
	}
	return c.as(n, b.scalar)
}

// as is e with the type that the binder says n has.
func (c *compiler) as(n *kql.Node, e *expr) (*expr, error) {
	t, err := c.scalarType(n)
	if err != nil {
		return nil, err
	}
	out, ok, err := convert(e, t)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.unsupported(n, fmt.Sprintf("a %v as the %v %q", e.typ, t, n.Name))
	}
	return out, nil
}

// let names a constant, a tabular expression or a function. What it is is looked at where it is used.
func (c *compiler) let(s *kql.Node) { c.bindName(s.Child("Name").Name, s.Child("Expression")) }

// maxCalls bounds the calls of a text's functions, those within functions included.
const maxCalls = 10_000

// called prepares a call of a function that the text declares: the compiler that sees its arguments and the body's own
// names, and the expression that the body returns. input, when not nil, is the first argument (of invoke).
func (c *compiler) called(n *kql.Node, input *binding) (*compiler, *kql.Node, error) {
	name := n
	if n.Kind == "FunctionCallExpression" {
		name = n.Child("Name")
	}
	what := fmt.Sprintf("function %q", name.Name)
	f := c.env.find(name.Name)
	if f == nil || f.node == nil || f.node.Kind != "FunctionDeclaration" || n.Body == nil {
		return nil, nil, c.unsupported(n, what)
	}
	// Functions that call others twice double the work each time.
	if c.state.calls++; c.state.calls > maxCalls {
		return nil, nil, c.unsupported(n, fmt.Sprintf("%s in a query of more than %d calls", what, maxCalls))
	}
	positional, named := []*binding{}, map[string]*binding{}
	if input != nil {
		positional = append(positional, input)
	}
	for _, a := range n.Arguments() {
		if a.Kind == "SimpleNamedExpression" {
			named[a.Child("Name").Name] = &binding{node: a.Child("Expression"), env: c.env}
			continue
		}
		if len(named) > 0 {
			return nil, nil, c.unsupported(a, what+" with a positional argument after a named one")
		}
		positional = append(positional, &binding{node: a, env: c.env})
	}
	body := c.seen(f.env)
	for i, p := range f.node.Child("Parameters").List("Parameters") {
		declared := p.Child("NameAndType").Child("Name")
		b := named[declared.Name]
		switch {
		case b != nil:
			delete(named, declared.Name)
		case i < len(positional):
			b = positional[i]
		case p.Child("DefaultValue") != nil:
			b = &binding{node: p.Child("DefaultValue").Child("Value"), env: f.env}
		default:
			return nil, nil, c.unsupported(n, what+fmt.Sprintf(" without the argument %q", declared.Name))
		}
		if declared.Type != "table" {
			var err error
			if b, err = c.argument(declared, b); err != nil {
				return nil, nil, err
			}
		}
		body.env = body.env.with(declared.Name, b)
	}
	if len(named) > 0 {
		return nil, nil, c.unsupported(n, what+" with these named arguments")
	}
	for _, s := range n.Body.List("Statements") {
		if s.Kind != "LetStatement" {
			return nil, nil, c.unsupported(n, what+" with a statement other than let")
		}
		body.let(s)
	}
	e := n.Body.Child("Expression")
	if e == nil {
		return nil, nil, c.unsupported(n, what+" without a result")
	}
	return body, e, nil
}

// argument is a scalar argument's value, of the type that the parameter declares. It is computed from the rows that
// the caller sees.
func (c *compiler) argument(declared *kql.Node, b *binding) (*binding, error) {
	e, err := c.seen(b.env).expr(b.node)
	if err != nil {
		return nil, err
	}
	t, err := c.scalarType(declared)
	if err != nil {
		return nil, err
	}
	converted, ok, err := convert(e, t)
	if e.typ == table.Long && t == table.Int { // a literal has no other type
		ok = true
		converted, err = apply(t, conversion(e.typ, t), []*expr{e})
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.unsupported(b.node, fmt.Sprintf("a %v as the %v argument %q", e.typ, t, declared.Name))
	}
	return &binding{scalar: converted, level: c.level}, nil
}

// known binds a value.
func known(v *table.Vector) *binding { return &binding{scalar: konst(v)} }

// named compiles a name or a call that stands for rows, ok is false when it is none of the text's own.
func (c *compiler) named(n *kql.Node, d need) (rel *relation, ok bool, err error) {
	if n.Body != nil {
		body, e, err := c.called(n, nil)
		if err != nil {
			return nil, true, err
		}
		rel, err = body.relation(e, d)
		return rel, true, err
	}
	if n.Kind != "NameReference" || n.Symbol == nil || n.Symbol.Kind != "Variable" && n.Symbol.Kind != "Parameter" {
		return nil, false, nil
	}
	b := c.env.find(n.Symbol.Name)
	if b == nil || b.node == nil {
		return nil, false, nil
	}
	rel, err = c.seen(b.env).relation(b.node, d)
	return rel, true, err
}
