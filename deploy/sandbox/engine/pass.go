package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// Operators that leave their rows as they are, or look at no row.

func init() {
	// What a client draws is the client's business.
	register("RenderOperator", func(_ *compiler, _ *kql.Node, in *relation) (*relation, error) { return in, nil },
		func(_ *compiler, _ *kql.Node, after need) need { return after })
	combinations["AsOperator"] = compileAs
	combinations["InvokeOperator"] = compileInvoke
	combinations["GetSchemaOperator"] = compileGetSchema
	register("ProjectRenameOperator", compileRename, func(_ *compiler, op *kql.Node, after need) need {
		from := origins(op.List("Expressions"))
		return need{ranges: through(after.ranges, func(name string) string {
			if old := from(name); old != "" {
				return old
			}
			return name // it is no other column's new name, and keeps its own
		})}
	})
}

// compileAs names its rows for what follows, here and in later statements.
func compileAs(c *compiler, op, input *kql.Node, d need) (*relation, error) {
	if _, err := c.parameters(op); err != nil {
		return nil, err
	}
	name := op.Child("Name")
	if name == nil {
		return nil, c.unsupported(op, describe(op)+" without a name")
	}
	rel, err := c.relation(input, d)
	if err != nil {
		return nil, err
	}
	c.bindName(name.Name, input)
	return rel, nil
}

// compileInvoke calls a function with its rows as the first argument.
func compileInvoke(c *compiler, op, input *kql.Node, d need) (*relation, error) {
	body, e, err := c.called(op.Child("Function"), &binding{node: input, env: c.env})
	if err != nil {
		return nil, err
	}
	return body.relation(e, d)
}

// clrTypes are what getschema calls the types by their other name (docs, "getschema operator").
var clrTypes = map[table.Type]string{
	table.Bool: "System.SByte", table.DateTime: "System.DateTime", table.Dynamic: "System.Object", table.GUID: "System.Guid",
	table.Int: "System.Int32", table.Long: "System.Int64", table.Real: "System.Double", table.String: "System.String",
	table.TimeSpan: "System.TimeSpan", table.Decimal: "System.Data.SqlTypes.SqlDecimal",
}

// compileGetSchema needs to know of its input only that it can be evaluated.
func compileGetSchema(c *compiler, op, input *kql.Node, _ need) (*relation, error) {
	rel, err := c.relation(input, need{})
	if err != nil {
		return nil, err
	}
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	t := table.New("", schema, len(rel.schema))
	for i, f := range rel.schema {
		if err := t.AppendRow(f.Name, int64(i), clrTypes[f.Type], f.Type.String()); err != nil {
			return nil, c.unsupported(op, describe(op)+" with these columns")
		}
	}
	out := fixed(t)
	out.serialized = true
	return out, nil
}

// compileRename gives columns other names, in their places.
func compileRename(c *compiler, op *kql.Node, in *relation) (*relation, error) {
	schema, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	renamed := make(map[string]string) // from the new name
	taken := make(map[string]bool)
	for _, e := range op.List("Expressions") {
		if e.Kind != "SimpleNamedExpression" || e.Child("Expression").Kind != "NameReference" {
			return nil, c.unsupported(e, describe(op)+" of this")
		}
		from := e.Child("Expression").Name
		if taken[from] {
			return nil, c.unsupported(e, fmt.Sprintf("%s of column %q twice", describe(op), from))
		}
		renamed[e.Child("Name").Name], taken[from] = from, true
	}
	var es []*expr
	for _, f := range schema {
		name, ok := renamed[f.Name]
		if !ok {
			name = f.Name
		}
		i := in.schema.Index(name)
		if i < 0 || in.schema[i].Type != f.Type {
			return nil, c.unsupported(op, describe(op)+fmt.Sprintf(" to column %q", f.Name))
		}
		es = append(es, columnExpr(i, f.Type))
	}
	return columns(in, schema, es), nil
}
