package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// producer runs a part of a query: it passes its rows to emit, batch after batch, and returns when
// there are no more. It returns emit's error as it is. emit must not keep a batch. Each run has a state
// of its own, so one plan may run several times at once.
type producer func(r *run, emit func(*batch) error) error

// run is one execution of a plan. Only one goroutine has it.
type run struct {
	ctx    context.Context
	source Source

	kept    map[use]*table.Table  // what materialize has read
	scalars map[use]*table.Vector // what toscalar has found
	records map[*relation]*batch  // the rows that a subquery is being asked about
}

// use is an expression where its names mean env: the same text means something else in another call of a function.
type use struct {
	node *kql.Node
	env  *names
}

func newRun(ctx context.Context, source Source) *run {
	return &run{ctx: ctx, source: source, kept: map[use]*table.Table{}, scalars: map[use]*table.Vector{}, records: map[*relation]*batch{}}
}

// alive is the context's error, once there is one.
func (r *run) alive() error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return nil
}

// relation is a compiled tabular expression.
type relation struct {
	schema  table.Schema
	produce producer

	// serialized says that the order of the rows means something, which functions of neighbouring rows insist on
	// (docs, "Window functions").
	serialized bool
}

// need is what later operators make of a relation's rows.
type need struct {
	columns map[string]bool // nil: all of them
	ranges  []TimeRange     // rows outside are dropped later anyway
}

// with adds the columns that a node's expressions refer to.
func (d need) with(n *kql.Node) need {
	if d.columns == nil || takesAll(n) {
		return d.all()
	}
	out := need{columns: make(map[string]bool), ranges: d.ranges}
	for name := range d.columns {
		out.columns[name] = true
	}
	addColumns(n, out.columns)
	return out
}

// through is the ranges of an operator's result as ranges of its input: name gives the input's column that a column of
// the result is, or "" when it is none.
func through(ranges []TimeRange, name func(string) string) []TimeRange {
	var out []TimeRange
	for _, r := range ranges {
		if r.Column = name(r.Column); r.Column != "" {
			out = append(out, r)
		}
	}
	return out
}

// origins are the columns that expressions take over from the input, by their name in the result.
func origins(expressions []*kql.Node) func(string) string {
	from := make(map[string]string)
	for _, n := range expressions {
		name, e := "", n
		if n.Kind == "SimpleNamedExpression" {
			name, e = n.Child("Name").Name, n.Child("Expression")
		}
		if e.Kind == "NameReference" && e.Symbol != nil && e.Symbol.Kind == "Column" {
			if name == "" {
				name = e.Name
			}
			from[name] = e.Symbol.Name
		}
	}
	return func(name string) string { return from[name] }
}

// only is what an operator needs that makes its columns anew.
func only(n *kql.Node) need {
	if takesAll(n) {
		return need{}
	}
	d := need{columns: make(map[string]bool)}
	addColumns(n, d.columns)
	return d
}

// takesAll says that an expression may read any column without naming it: by a star, pack_all(), or column_ifexists().
func takesAll(n *kql.Node) bool {
	if n.Kind == "StarExpression" {
		return true
	}
	if n.Symbol != nil && n.Symbol.Kind == "Function" {
		switch n.Symbol.Name {
		case "pack_all", "column_ifexists", "columnifexists":
			return true
		}
	}
	return slices.ContainsFunc(n.Children, takesAll)
}

func addColumns(n *kql.Node, into map[string]bool) {
	if n.Symbol != nil && n.Symbol.Kind == "Column" {
		into[n.Symbol.Name] = true
	}
	for _, c := range n.Children {
		addColumns(c, into)
	}
}

// schemaOf is the binder's columns as a schema.
func (c *compiler) schemaOf(n *kql.Node) (table.Schema, error) {
	var s table.Schema
	for _, col := range n.Columns {
		t, err := table.ParseType(col.Type)
		if err != nil {
			return nil, c.unsupported(n, fmt.Sprintf("the column %q of type %q", col.Name, col.Type))
		}
		if s.Index(col.Name) >= 0 {
			return nil, c.unsupported(n, fmt.Sprintf("a table of two columns %q", col.Name))
		}
		s = append(s, table.Field{Name: col.Name, Type: t})
	}
	return s, nil
}

// stage compiles an operator over its input.
type stage func(c *compiler, op *kql.Node, in *relation) (*relation, error)

// pipe is an operator that follows a |, with what it needs of its input.
type pipe struct {
	compile stage
	needs   func(c *compiler, op *kql.Node, after need) need
}

// pipes are the operators that follow a |. Files of operators add theirs.
var pipes = map[string]pipe{}

// combinations are the operators that do more with their input than read its rows: they compile it themselves.
var combinations = map[string]func(c *compiler, op, input *kql.Node, d need) (*relation, error){}

// sources are the tabular expressions that begin a pipe.
var sources = map[string]func(c *compiler, n *kql.Node, d need) (*relation, error){}

// relation compiles a tabular expression.
func (c *compiler) relation(n *kql.Node, d need) (*relation, error) {
	op, input := n, (*kql.Node)(nil)
	if n.Kind == "PipeExpression" {
		op, input = n.Child("Operator"), n.Child("Expression")
	} else {
		if rel, ok, err := c.named(n, d); ok {
			return rel, err
		}
		if f, ok := sources[n.Kind]; ok {
			return f(c, n, d)
		}
		if c.record == nil || !strings.HasSuffix(n.Kind, "Operator") {
			return nil, c.unsupported(n, describe(n))
		}
		// The first operator of a subquery.
	}
	if f, ok := combinations[op.Kind]; ok && input != nil {
		return f(c, op, input, d)
	}
	p, ok := pipes[op.Kind]
	if !ok {
		return nil, c.unsupported(op, describe(op))
	}
	in, err := c.input(input, p.needs(c, op, d))
	if err != nil {
		return nil, err
	}
	return p.compile(c, op, in)
}

// input compiles what an operator reads; without an expression that is the record of the subquery.
func (c *compiler) input(n *kql.Node, d need) (*relation, error) {
	if n == nil {
		return c.record, nil
	}
	return c.relation(n, d)
}

// describe names a tabular operator or expression as the user wrote it.
func describe(n *kql.Node) string {
	switch {
	case strings.HasSuffix(n.Kind, "Operator") && len(n.Children) > 0 && n.Children[0].Text != "":
		return fmt.Sprintf("operator %q", n.Children[0].Text)
	case n.Kind == "FunctionCallExpression":
		return fmt.Sprintf("function %q as a table", n.Child("Name").Name)
	case n.Symbol != nil && n.Symbol.Kind == "Function":
		return fmt.Sprintf("function %q as a table", n.Symbol.Name)
	case n.Name != "":
		return fmt.Sprintf("the table expression %q", n.Name)
	}
	return fmt.Sprintf("expression %q as a table", strings.TrimSuffix(n.Kind, "Expression"))
}

// parameters refuses an operator's `name=value` settings but those allowed; hints change no result.
func (c *compiler) parameters(op *kql.Node, allowed ...string) (map[string]*kql.Node, error) {
	out := make(map[string]*kql.Node)
next:
	for _, p := range op.List("Parameters") {
		name := ""
		if n := p.Child("Name"); n != nil {
			name = n.Text + n.Name
		}
		for _, a := range allowed {
			if name == a {
				out[name] = p.Child("Expression")
				continue next
			}
		}
		if !strings.HasPrefix(name, "hint.") {
			return nil, c.unsupported(p, fmt.Sprintf("parameter %q of %s", name, describe(op)))
		}
	}
	return out, nil
}

func init() {
	sources["NameReference"] = compileName
	sources["PathExpression"] = compileName
	sources["FunctionCallExpression"] = compileName
	sources["ParenthesizedExpression"] = func(c *compiler, n *kql.Node, d need) (*relation, error) {
		return c.relation(n.Child("Expression"), d)
	}
}

// compileName is a table, here or as cluster('…').database('…').Table, or either way by table('…').
func compileName(c *compiler, n *kql.Node, d need) (*relation, error) {
	if n.Symbol == nil || n.Symbol.Kind != "Table" || n.Symbol.Cluster == "" {
		return nil, c.unsupported(n, describe(n))
	}
	all, err := c.schemaOf(n)
	if err != nil {
		return nil, err
	}
	rel := &relation{}
	req := ScanRequest{Cluster: n.Symbol.Cluster, Database: n.Symbol.Database, Table: n.Symbol.Name, Now: c.now}
	for _, f := range all {
		if d.columns == nil || d.columns[f.Name] {
			rel.schema = append(rel.schema, f)
			req.Columns = append(req.Columns, f.Name)
		}
	}
	for _, r := range d.ranges {
		if i := all.Index(r.Column); i >= 0 && all[i].Type == table.DateTime {
			req.Ranges = append(req.Ranges, r)
		}
	}
	rel.produce = func(r *run, emit func(*batch) error) error { return scan(r, req, rel.schema, emit) }
	return rel, nil
}

// scan passes a source's batches on, with the columns in the order of schema.
func scan(r *run, req ScanRequest, schema table.Schema, emit func(*batch) error) error {
	// What emit said goes up as it was said, whatever the source makes of it.
	var ended error
	err := r.source.Scan(r.ctx, req, func(t *table.Table) error {
		if err := r.ctx.Err(); err != nil {
			return context.Cause(r.ctx)
		}
		b := &batch{n: t.Rows()}
		for _, f := range schema {
			v := t.Column(f.Name)
			if v == nil || v.Type != f.Type || v.Len() != b.n {
				return fmt.Errorf("column %q must be a %v of %d rows", f.Name, f.Type, b.n)
			}
			b.cols = append(b.cols, v)
		}
		if b.n == 0 {
			return nil
		}
		ended = emit(b)
		return ended
	})
	switch {
	case ended != nil:
		return ended
	case err == nil:
		return nil
	}
	return fmt.Errorf("scan table %q: %w", req.Table, err)
}

// stop ends a scan early: whoever returned it from emit recognises it by its address.
type stop struct{ _ byte }

func (*stop) Error() string { return "the query has all the rows it needs" }

// collect keeps a relation's rows, at most limit of them.
func collect(r *run, rel *relation, name string, limit int) (*table.Table, error) {
	out := table.New("", rel.schema, 0)
	n := 0
	err := rel.produce(r, func(b *batch) error {
		if n += b.n; n > limit {
			return &LimitError{Operator: name, Limit: limit}
		}
		for i := range out.Columns {
			out.Columns[i].Vec.AppendVector(b.cols[i])
		}
		return nil
	})
	return out, err
}

// asBatch is a table as one batch.
func asBatch(t *table.Table) *batch {
	b := &batch{n: t.Rows()}
	for _, c := range t.Columns {
		b.cols = append(b.cols, c.Vec)
	}
	return b
}
