package engine

import (
	"fmt"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	sources["UnionOperator"] = func(c *compiler, n *kql.Node, d need) (*relation, error) {
		return c.union(n, n.List("Expressions"), d)
	}
	combinations["UnionOperator"] = func(c *compiler, op, input *kql.Node, d need) (*relation, error) {
		return c.union(op, append([]*kql.Node{input}, op.List("Expressions")...), d)
	}
}

// union has the rows of each leg in turn. A column that a leg does not have is null in its rows.
// Columns of one name and several types become one for each type, called name_type.
func (c *compiler) union(op *kql.Node, legs []*kql.Node, d need) (*relation, error) {
	params, err := c.parameters(op, "kind", "withsource", "isfuzzy")
	if err != nil {
		return nil, err
	}
	legs, err = c.legs(op, legs, params["isfuzzy"])
	if err != nil {
		return nil, err
	}
	if k := params["kind"]; k != nil && k.Value != "outer" && !sameColumns(legs) {
		// kind=inner keeps only the columns that all legs have, but the binder lists those of outer for it.
		return nil, c.unsupported(k, fmt.Sprintf("kind %q of operator \"union\" of tables with other columns", k.Value+k.Name+k.Text))
	}
	all, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	several, err := c.severalTypes(op, legs)
	if err != nil {
		return nil, err
	}
	if len(several) > 0 {
		// Ranges and needed columns speak of the union's columns: they are the legs' as long as none was renamed.
		d = need{}
	}
	source := ""
	if s := params["withsource"]; s != nil {
		source = s.Name
	}
	out := &relation{}
	for _, f := range all {
		if d.columns == nil || d.columns[f.Name] {
			out.schema = append(out.schema, f)
		}
	}
	var rels []*relation
	for _, leg := range legs {
		in, err := c.relation(leg, d)
		if err != nil {
			return nil, err
		}
		var es []*expr
		for _, f := range out.schema {
			if f.Name != source {
				es = append(es, legColumn(in.schema, f, several))
				continue
			}
			name, err := c.legName(leg)
			if err != nil {
				return nil, err
			}
			es = append(es, konst(&table.Vector{Type: table.String, Strings: []string{name}}))
		}
		rels = append(rels, columns(in, out.schema, es))
	}
	out.produce = func(r *run, emit func(*batch) error) error {
		for _, rel := range rels {
			if err := rel.produce(r, emit); err != nil {
				return err
			}
		}
		return nil
	}
	return out, nil
}

// legs are the tables of a union, those that a wildcard stands for among them, and without those that are not there, if
// the union is fuzzy.
func (c *compiler) legs(op *kql.Node, list []*kql.Node, fuzzy *kql.Node) ([]*kql.Node, error) {
	var out []*kql.Node
	for _, leg := range list {
		switch {
		case leg.Members != nil:
			out = append(out, leg.Members...)
		case fuzzy != nil && strings.EqualFold(fuzzy.Value, "true") && leg.Kind == "NameReference" && leg.Symbol == nil && leg.Type == "table":
			// Kusto says so in a warning.
		case leg.Type != "table":
			return nil, c.unsupported(leg, describe(leg))
		default:
			out = append(out, leg)
		}
	}
	if len(out) == 0 {
		return nil, c.unsupported(op, describe(op)+" of no table")
	}
	return out, nil
}

// sameColumns reports whether all tables have the same columns, whatever their order.
func sameColumns(legs []*kql.Node) bool {
	types := make(map[string]string)
	for i, leg := range legs {
		for _, col := range leg.Columns {
			if i == 0 {
				types[col.Name] = col.Type
			}
			if types[col.Name] != col.Type {
				return false
			}
		}
		if len(leg.Columns) != len(types) {
			return false
		}
	}
	return true
}

// severalTypes are the names that stand for columns of several types.
func (c *compiler) severalTypes(op *kql.Node, legs []*kql.Node) (map[string]bool, error) {
	types, several := make(map[string]string), make(map[string]bool)
	for _, leg := range legs {
		for _, col := range leg.Columns {
			if t, ok := types[col.Name]; ok && t != col.Type {
				several[col.Name] = true
			}
			types[col.Name] = col.Type
		}
	}
	for _, leg := range legs {
		for _, col := range leg.Columns {
			if _, taken := types[col.Name+"_"+col.Type]; taken && several[col.Name] {
				// Kusto's documentation and its binder do not agree on what becomes of it.
				return nil, c.unsupported(op, fmt.Sprintf("%s of columns %q of several types and %q", describe(op), col.Name, col.Name+"_"+col.Type))
			}
		}
	}
	return several, nil
}

// legColumn is where a leg has the union's column f.
func legColumn(leg table.Schema, f table.Field, several map[string]bool) *expr {
	for i, g := range leg {
		name := g.Name
		if several[name] {
			name += "_" + g.Type.String()
		}
		if g.Type == f.Type && name == f.Name {
			return columnExpr(i, f.Type)
		}
	}
	return konst(nulls(f.Type, 1))
}

// legName is what withsource says of a leg: the name of its table, or of the view. Where Kusto would add the database, and what
// it makes of other expressions, is not documented well enough.
func (c *compiler) legName(leg *kql.Node) (string, error) {
	n := leg
	for {
		switch {
		case n.Kind == "ParenthesizedExpression", n.Kind == "PipeExpression" && n.Child("Operator").Kind == "FilterOperator":
			n = n.Child("Expression")
			continue
		case n.Symbol != nil && n.Symbol.Kind == "Table" && n.Kind == "NameReference" && n.Symbol.Database == c.q.Database:
			return n.Symbol.Name, nil
		case n.Symbol != nil && n.Symbol.Kind == "Function" && n.Body != nil && n.Kind == "NameReference":
			return n.Name, nil
		}
		return "", c.unsupported(leg, `parameter "withsource" of operator "union" with anything but tables of one database`)
	}
}
