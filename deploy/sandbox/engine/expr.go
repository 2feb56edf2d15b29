package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// expr is a compiled scalar expression.
type expr struct {
	typ   table.Type
	konst *table.Vector // one row, when the value does not depend on the row
	eval  func(b *batch) (operand, error)

	// pending says that konst only stands for the value, which a run will find: nothing may be made of it.
	pending bool

	// unfolded, in tests only, has a constant evaluated as a vector of as many rows as the batch.
	unfolded bool
}

// kernel computes n rows of a result from arguments. It must return a vector of n rows that it owns, or an
// argument's vector unchanged.
type kernel func(args []operand, n int) (*table.Vector, error)

// binder checks a call's arguments once and returns the kernel for their types.
type binder func(c *call) (kernel, error)

// call is a function or an operator with its arguments, being compiled.
type call struct {
	name string // as errors should say it: `function "bin"`, `operator "+"`
	node *kql.Node
	typ  table.Type // of the result, which the binder knows
	args []*expr
	c    *compiler
}

// unsupported refuses the call; detail may be empty.
func (c *call) unsupported(detail string) error {
	what := c.name
	if detail != "" {
		what += " " + detail
	}
	return c.c.unsupported(c.node, what)
}

// ofTypes refuses the call for its arguments' types.
func (c *call) ofTypes() error {
	var types []string
	for _, a := range c.args {
		types = append(types, a.typ.String())
	}
	return c.unsupported("of " + strings.Join(types, " and "))
}

// coerce makes argument i of type t, or refuses the call.
func (c *call) coerce(i int, t table.Type) error {
	a, ok, err := convert(c.args[i], t)
	if err != nil {
		return err
	}
	if !ok {
		return c.ofTypes()
	}
	c.args[i] = a
	return nil
}

// compiler turns nodes into expressions, for the columns in scope.
type compiler struct {
	q     *kql.Query
	now   time.Time
	opts  Options
	env   *names // what has been named
	state *state

	scope  table.Schema // of the rows that expressions see
	level  *level       // which rows these are
	record *relation    // the rows that a subquery without a source is about

	// windows, when not nil, allows functions that look at other rows, and is told of each.
	windows *bool

	// aggregates, when not nil, takes the calls of aggregate functions and returns the expression that
	// stands for the result.
	aggregates func(n *kql.Node) (*expr, error)
}

func (c *compiler) unsupported(n *kql.Node, what string) error {
	return &UnsupportedError{What: what, Position: c.q.Position(n.Start)}
}

// in is the compiler for rows of another schema.
func (c *compiler) in(scope table.Schema) *compiler {
	d := *c
	d.scope, d.level, d.aggregates, d.windows = scope, &level{}, nil, nil
	return &d
}

func konst(v *table.Vector) *expr {
	return &expr{typ: v.Type, konst: v, eval: func(*batch) (operand, error) { return constant(v), nil }}
}

func columnExpr(i int, t table.Type) *expr {
	return &expr{typ: t, eval: func(b *batch) (operand, error) { return rows(b.cols[i]), nil }}
}

// apply is the expression k(args): computed now when no argument depends on the row.
func apply(t table.Type, k kernel, args []*expr) (*expr, error) {
	folds, unfolded, pending := true, false, false
	for _, a := range args {
		folds = folds && a.konst != nil
		unfolded = unfolded || a.unfolded
		pending = pending || a.pending
	}
	if folds && pending {
		return standIn(t), nil
	}
	e := &expr{typ: t, eval: func(b *batch) (operand, error) {
		in := make([]operand, len(args))
		for i, a := range args {
			var err error
			if in[i], err = a.eval(b); err != nil {
				return operand{}, err
			}
		}
		v, err := k(in, b.n)
		if err != nil {
			return operand{}, err
		}
		return rows(v), nil
	}}
	if !folds {
		return e, nil
	}
	o, err := e.eval(&batch{n: 1})
	if err != nil {
		return nil, err
	}
	if unfolded {
		e.konst, e.unfolded = o.full(1), true
		return e, nil
	}
	return konst(o.full(1)), nil
}

// expr compiles one scalar expression.
func (c *compiler) expr(n *kql.Node) (*expr, error) {
	switch n.Kind {
	case "ParenthesizedExpression":
		return c.expr(n.Child("Expression"))
	case "SimpleNamedExpression":
		return c.expr(n.Child("Expression"))
	case "NameReference":
		return c.name(n)
	case "FunctionCallExpression":
		return c.function(n)
	case "ElementExpression":
		return c.element(n)
	case "PathExpression":
		return c.path(n)
	case "TypeOfLiteralExpression":
		return c.typeOf(n)
	case "ToScalarExpression":
		return c.toScalar(n)
	}
	if n.HasValue {
		return c.literal(n)
	}
	if b, ok := operators[n.Kind]; ok {
		if right := n.Child("Right").List("Expressions"); len(right) == 1 && right[0].Type == "table" {
			return c.among(n, right[0])
		}
		if left := n.Child("Left"); left != nil && left.Kind == "StarExpression" {
			return c.anyColumn(n, b)
		}
		return c.operator(n, b)
	}
	if n.Symbol != nil && n.Symbol.Kind == "Operator" {
		return nil, c.unsupported(n, fmt.Sprintf("operator %q", operatorText(n)))
	}
	return nil, c.unsupported(n, fmt.Sprintf("expression %q", strings.TrimSuffix(n.Kind, "Expression")))
}

func operatorText(n *kql.Node) string {
	if o := n.Child("Operator"); o != nil {
		return o.Text
	}
	return n.Symbol.Name
}

// scalarType is the type of an expression as the sandbox knows types.
func (c *compiler) scalarType(n *kql.Node) (table.Type, error) {
	t, err := table.ParseType(n.Type)
	if err != nil {
		return 0, c.unsupported(n, fmt.Sprintf("an expression of type %q", n.Type))
	}
	return t, nil
}

func (c *compiler) literal(n *kql.Node) (*expr, error) {
	t, err := c.scalarType(n)
	if err != nil {
		return nil, err
	}
	v, err := parseValue(t, n.Value)
	if err != nil {
		return nil, c.unsupported(n, fmt.Sprintf("the %v literal %q", t, n.Value))
	}
	if c.opts.unfolded {
		return &expr{typ: t, konst: v, unfolded: true, eval: func(b *batch) (operand, error) { return rows(v.Repeat(0, b.n)), nil }}, nil
	}
	return konst(v), nil
}

func (c *compiler) name(n *kql.Node) (*expr, error) {
	if n.Symbol == nil {
		return nil, c.unsupported(n, fmt.Sprintf("the name %q", n.Name))
	}
	if n.Body != nil {
		body, e, err := c.called(n, nil)
		if err != nil {
			return nil, err
		}
		return body.expr(e)
	}
	switch n.Symbol.Kind {
	case "Column":
		if i := c.scope.Index(n.Symbol.Name); i >= 0 {
			return columnExpr(i, c.scope[i].Type), nil
		}
		return nil, c.unsupported(n, fmt.Sprintf("the column %q here", n.Name))
	case "Variable", "Parameter":
		return c.variable(n)
	}
	return nil, c.unsupported(n, fmt.Sprintf("the %s %q here", strings.ToLower(n.Symbol.Kind), n.Name))
}

// arguments compiles a list of expressions.
func (c *compiler) arguments(nodes []*kql.Node) ([]*expr, error) {
	var args []*expr
	for _, a := range nodes {
		e, err := c.expr(a)
		if err != nil {
			return nil, err
		}
		args = append(args, e)
	}
	return args, nil
}

func (c *compiler) function(n *kql.Node) (*expr, error) {
	name := n.Child("Name").Name
	if n.Symbol != nil {
		name = n.Symbol.Name
	}
	if c.aggregates != nil && (aggregates[name] != nil || tuples[name] != nil) {
		return c.aggregates(n)
	}
	if w, ok := windows[name]; ok && n.Body == nil {
		return c.window(n, name, w)
	}
	if n.Body != nil {
		body, e, err := c.called(n, nil)
		if err != nil {
			return nil, err
		}
		return body.expr(e)
	}
	cl := &call{name: fmt.Sprintf("function %q", name), node: n, c: c}
	b, ok := functions[name]
	if !ok || n.Symbol == nil || n.Symbol.Kind != "Function" {
		return nil, cl.unsupported("")
	}
	return c.bind(cl, b, n.Arguments())
}

// operator compiles an operator, which is a function of its operands written otherwise.
func (c *compiler) operator(n *kql.Node, b binder) (*expr, error) {
	cl := &call{name: fmt.Sprintf("operator %q", operatorText(n)), node: n, c: c}
	var nodes []*kql.Node
	for _, field := range []string{"Expression", "Left", "Right"} {
		switch o := n.Child(field); {
		case o == nil:
		case o.Kind == "ExpressionCouple":
			nodes = append(nodes, o.Child("First"), o.Child("Second"))
		case o.Kind == "ExpressionList":
			nodes = append(nodes, o.List("Expressions")...)
		default:
			nodes = append(nodes, o)
		}
	}
	return c.bind(cl, b, nodes)
}

func (c *compiler) bind(cl *call, b binder, nodes []*kql.Node) (*expr, error) {
	var err error
	if cl.typ, err = c.scalarType(cl.node); err != nil {
		return nil, err
	}
	if cl.args, err = c.arguments(nodes); err != nil {
		return nil, err
	}
	pending := slices.ContainsFunc(cl.args, func(e *expr) bool { return e.pending })
	k, err := b(cl)
	if err != nil && pending {
		// What stands for a value may be none that the function takes. The run will tell, with the value.
		k, err = func(_ []operand, n int) (*table.Vector, error) { return nulls(cl.typ, n), nil }, nil
	}
	if err != nil {
		return nil, err
	}
	return apply(cl.typ, k, cl.args)
}

// constExpr compiles an expression that must not depend on rows; ok is false when it does.
func (c *compiler) constExpr(n *kql.Node) (v *table.Vector, ok bool) {
	e, err := c.in(nil).expr(n)
	if err != nil || e.konst == nil {
		return nil, false
	}
	return e.konst, true
}
