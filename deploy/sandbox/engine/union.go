package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

func init() {
	sources["UnionOperator"] = func(c *compiler, n *kql.Node, d need) (*relation, error) {
		return c.union(n, n.List("Expressions"), d)
	}
}

// union has the rows of each leg in turn. A column that a leg does not have is null in its rows.
// Columns of one name and several types become one for each type, called name_type.
func (c *compiler) union(op *kql.Node, legs []*kql.Node, d need) (*relation, error) {
	// kind=inner keeps only the columns that all legs have, but the binder lists those of outer for it.
	params, err := c.parameters(op, "kind")
	if err != nil {
		return nil, err
	}
	if k := params["kind"]; k != nil && k.Value+k.Name+k.Text != "outer" {
		return nil, c.unsupported(k, fmt.Sprintf("kind %q of operator \"union\"", k.Value+k.Name+k.Text))
	}
	all, err := c.schemaOf(op)
	if err != nil {
		return nil, err
	}
	// Ranges and needed columns speak of the union's columns: they are the legs' as long as no column
	// was renamed.
	types := make(map[string]string)
	for _, leg := range legs {
		for _, col := range leg.Columns {
			if t, ok := types[col.Name]; ok && t != col.Type {
				d = need{}
			}
			types[col.Name] = col.Type
		}
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
			es = append(es, legColumn(in.schema, f))
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

// legColumn is where a leg has the union's column f.
func legColumn(leg table.Schema, f table.Field) *expr {
	for i, g := range leg {
		if g.Type == f.Type && (g.Name == f.Name || g.Name+"_"+g.Type.String() == f.Name) {
			return columnExpr(i, f.Type)
		}
	}
	return konst(nulls(f.Type, 1))
}
