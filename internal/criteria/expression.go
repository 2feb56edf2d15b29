package criteria

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

const (
	// maxSize bounds an expression, in code points.
	maxSize = 10_000
	// maxCost bounds an evaluation, in CEL's own unit, about one per step. A
	// comparison costs a few.
	maxCost = 100_000
	// labelsVariable is the map of all labels.
	labelsVariable = "labels"
)

// An expression is a compiled criteriaExpression.
type expression struct {
	program   cel.Program
	variables []string // the labels it uses as variables
	names     []string // and those it indexes by a constant
}

// compile parses an expression, declares every name it uses as a label, and
// compiles it to a program that gives a bool.
func compile(text string) (*expression, error) {
	base, err := cel.NewEnv(
		cel.Variable(labelsVariable, cel.MapType(cel.StringType, cel.StringType)),
		cel.ParserExpressionSizeLimit(maxSize),
		cel.Macros(cel.GlobalMacro("has", 1, expandHas)),
	)
	if err != nil {
		return nil, err
	}
	parsed, issues := base.Parse(text)
	if issues.Err() != nil {
		return nil, refusal(issues)
	}
	e := &expression{}
	var declared []cel.EnvOption
	collect(parsed.NativeRep().Expr(), nil, func(name string) {
		if slices.Contains(e.variables, name) || isType(name) {
			return
		}
		e.variables = append(e.variables, name)
		declared = append(declared, cel.Variable(name, cel.StringType))
	}, func(key string) { e.names = append(e.names, key) })
	e.names = append(e.names, e.variables...)

	env, err := base.Extend(declared...)
	if err != nil {
		return nil, err
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, refusal(issues)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("must be true or false, is of type %s", checked.OutputType())
	}
	e.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}
	return e, nil
}

// eval says whether the expression is true of these labels.
func (e *expression) eval(labels map[string]string) (bool, error) {
	activation := make(map[string]any, len(e.variables)+1)
	for _, name := range e.variables {
		activation[name] = labels[name]
	}
	activation[labelsVariable] = labelMap{types.NewStringStringMap(types.DefaultTypeAdapter, labels)}
	value, _, err := e.program.Eval(activation)
	if err != nil {
		return false, errors.New(oneLine(err.Error()))
	}
	match, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("must be true or false, is of type %s", value.Type().TypeName())
	}
	return match, nil
}

// A labelMap gives "" for a label that is not there, as a variable does. What
// "in" and iteration see is what is there.
type labelMap struct{ traits.Mapper }

func (m labelMap) Find(key ref.Val) (ref.Val, bool) {
	if value, ok := m.Mapper.Find(key); ok || types.IsError(value) {
		return value, ok
	}
	return types.String(""), true
}

func (m labelMap) Get(key ref.Val) ref.Val {
	value, _ := m.Find(key)
	return value
}

// expandHas makes has(labels.team) mean "team" in labels, since a labelMap
// finds a value for every key.
func expandHas(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	if args[0].Kind() == ast.SelectKind {
		s := args[0].AsSelect()
		if s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == labelsVariable {
			return f.NewCall(operators.In, f.NewLiteral(types.String(s.FieldName())), s.Operand()), nil
		}
	}
	return nil, f.NewError(args[0].ID(), "has() takes a label, as in has(labels.team)")
}

// collect calls variable for every name that is not bound by a macro such as
// exists, and key for every constant that labels is indexed by.
func collect(e ast.Expr, bound []string, variable, key func(string)) {
	visit := func(e ast.Expr) { collect(e, bound, variable, key) }
	switch e.Kind() {
	case ast.IdentKind:
		if name := e.AsIdent(); name != labelsVariable && !slices.Contains(bound, name) {
			variable(name)
		}
	case ast.SelectKind:
		s := e.AsSelect()
		if isLabels(s.Operand()) {
			key(s.FieldName())
		}
		visit(s.Operand())
	case ast.CallKind:
		c := e.AsCall()
		if c.IsMemberFunction() {
			visit(c.Target())
		}
		args := c.Args()
		for _, a := range args {
			visit(a)
		}
		if len(args) != 2 {
			return
		}
		if c.FunctionName() == operators.In {
			args = []ast.Expr{args[1], args[0]}
		} else if c.FunctionName() != operators.Index {
			return
		}
		if isLabels(args[0]) && args[1].Kind() == ast.LiteralKind {
			if s, ok := args[1].AsLiteral().(types.String); ok {
				key(string(s))
			}
		}
	case ast.ListKind:
		for _, v := range e.AsList().Elements() {
			visit(v)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			visit(entry.AsMapEntry().Key())
			visit(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			visit(f.AsStructField().Value())
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		visit(c.IterRange())
		visit(c.AccuInit())
		bound = append(slices.Clone(bound), c.IterVar(), c.IterVar2(), c.AccuVar())
		for _, v := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
			collect(v, bound, variable, key)
		}
	}
}

func isLabels(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == labelsVariable }

// isType says whether a name is one of CEL's types, as in type(x) == string.
func isType(name string) bool {
	return slices.Contains([]string{"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"}, name)
}

// refusal makes one line of CEL's errors, each with its column.
func refusal(issues *cel.Issues) error {
	var lines []string
	for _, e := range issues.Errors() {
		lines = append(lines, fmt.Sprintf("%d:%d: %s", e.Location.Line(), e.Location.Column()+1, oneLine(e.Message)))
	}
	return errors.New("is not valid CEL: " + strings.Join(lines, "; "))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
