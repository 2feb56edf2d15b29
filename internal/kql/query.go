package kql

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Query is one analysed text. It is shared between all who ask for the same analysis, and so must
// not be changed.
type Query struct {
	Text        string
	Database    string
	Diagnostics []Diagnostic

	// Kind is Query; or Command or Directive, of which nothing else is known here: management commands (.show …)
	// are not analysed.
	Kind string

	// Root is the bound tree (a QueryBlock), nil when there are errors.
	Root *Node

	// Parameters are those of `declare query_parameters`, in order.
	Parameters []Parameter

	// Statements are the expressions of the tabular statements, one per result table.
	Statements []*Node
}

// Parameter is a declared query parameter; its value comes with each request.
type Parameter struct {
	Name    string
	Type    string
	Default *Node // a literal, or nil when a value is required
}

// Err is a *SemanticError when Kusto would refuse the query, else nil.
func (q *Query) Err() error {
	var errs []Diagnostic
	for _, d := range q.Diagnostics {
		if d.Severity == "Error" {
			errs = append(errs, d)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &SemanticError{Diagnostics: errs}
}

func (q *Query) refused() bool {
	return slices.ContainsFunc(q.Diagnostics, func(d Diagnostic) bool { return d.Severity == "Error" })
}

// Columns are the names and types of the last statement's result, nil when there is none.
func (q *Query) Columns() []Column {
	if len(q.Statements) == 0 {
		return nil
	}
	return q.Statements[len(q.Statements)-1].Columns
}

// Node is one node or token of the bound tree. Kinds and fields have the names of
// Kusto.Language.Syntax (SyntaxKind, and the properties of the node classes); separators, brackets
// and missing optional parts are left out.
type Node struct {
	ID    int    // unique in the query; what Column.Source refers to
	Kind  string // such as FilterOperator, NameReference, WhereKeyword
	Field string // what the node is to its parent, such as Condition; empty in a list

	Start, End int // byte offsets into the text

	Text  string // of a token
	Name  string // of a name that is declared or referred to, or of a type
	Value string // of a literal: a string's content, else what is between the brackets
	// HasValue tells the literal '' from what is no literal.
	HasValue bool

	// Type is the scalar type of the expression; table for one that gives rows, tuple for several
	// scalars at once (as arg_max does), database or cluster for a reference to one; empty for what
	// is no expression.
	Type    string
	Columns []Column // of a table or tuple

	Symbol   *Symbol // what a name, call or operator refers to
	Children []*Node

	// Members are, for a name with wildcards that stands for tables, a NameReference to each.
	Members []*Node

	// Body is, for a call of a function that the text declares, the function's body bound for this call's
	// arguments; calls with arguments of the same types may share one. It is nil where the binder had no need of one, since the
	// declared body says it all, and past 256 different ones.
	Body *Node
}

// Symbol is what a node refers to.
type Symbol struct {
	Kind string `json:"kind"` // Column, Table, Variable, Parameter, Function, Operator, …
	Name string `json:"name"`

	// Of tables and databases: where they are.
	Database string `json:"database"`
	Cluster  string `json:"cluster"`
}

// Child is the child in a field, nil when it is not there. It may be called on nil.
func (n *Node) Child(field string) *Node {
	if n == nil {
		return nil
	}
	for _, c := range n.Children {
		if c.Field == field {
			return c
		}
	}
	return nil
}

// List is the children of the list in a field.
func (n *Node) List(field string) []*Node {
	if l := n.Child(field); l != nil {
		return l.Children
	}
	return nil
}

// Arguments are those of a function call.
func (n *Node) Arguments() []*Node { return n.Child("ArgumentList").List("Expressions") }

// wire is the JSON of analyze.js.
type wire struct {
	Stale       bool             `json:"stale"`
	NoDatabase  bool             `json:"noDatabase"`
	Kind        string           `json:"kind"`
	Analyzed    bool             `json:"analyzed"`
	Diagnostics []wireDiagnostic `json:"diagnostics"`
	Root        *wireNode        `json:"root"`
	Bodies      []*wireNode      `json:"bodies"`
	Tables      []struct {
		Name    string   `json:"name"`
		Columns []Column `json:"columns"`
	} `json:"tables"`
}

// lost is an error when the engine did not have the schema that it was given.
func (w *wire) lost() error {
	if w.Stale || w.NoDatabase {
		return fmt.Errorf("the parser lost its schema (stale %v, no database %v)", w.Stale, w.NoDatabase)
	}
	return nil
}

// tooComplex stands for the diagnostic that the binder does not give.
func tooComplex(pos *positions) Diagnostic {
	return Diagnostic{Severity: "Error", Code: "KS000", Message: "the query is too complex to be analyzed", Position: pos.at(0)}
}

type wireDiagnostic struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Start    int    `json:"start"`
	Length   int    `json:"length"`
	Syntax   bool   `json:"syntax"`
}

// diagnostic is d with its place in the Go text.
func (d wireDiagnostic) diagnostic(pos *positions) Diagnostic {
	start, end := pos.offset(d.Start), pos.offset(d.Start+d.Length)
	return Diagnostic{
		Severity: d.Severity, Code: d.Code, Message: message(d.Message), Syntax: d.Syntax,
		Position: pos.at(start), Length: end - start,
	}
}

type wireNode struct {
	ID       int         `json:"id"`
	Kind     string      `json:"kind"`
	Field    string      `json:"field"`
	Start    int         `json:"start"`
	End      int         `json:"end"`
	Text     string      `json:"text"`
	Name     string      `json:"name"`
	Value    *string     `json:"value"`
	Type     string      `json:"type"`
	Columns  *int        `json:"columns"`
	Symbol   *Symbol     `json:"symbol"`
	Children []*wireNode `json:"children"`
	Members  []*wireNode `json:"members"`
	Body     *int        `json:"body"`
}

// decode makes a Query of what analyze.js answered.
func decode(answer, text, database string) (*Query, *wire, error) {
	var w wire
	if err := json.Unmarshal([]byte(answer), &w); err != nil {
		return nil, nil, fmt.Errorf("decode the analysis: %w", err)
	}
	if w.Stale || w.NoDatabase {
		return nil, &w, nil
	}
	q := &Query{Text: text, Database: database, Kind: w.Kind}
	pos := newPositions(text)
	for _, d := range w.Diagnostics {
		q.Diagnostics = append(q.Diagnostics, d.diagnostic(pos))
	}
	if q.refused() || q.Kind != "Query" {
		return q, &w, nil
	}
	if !w.Analyzed || w.Root == nil {
		// The binder gives up on a tree that is too deep for it, without a diagnostic.
		q.Diagnostics = append(q.Diagnostics, tooComplex(pos))
		return q, &w, nil
	}
	// Bodies may refer to each other, so they are there before they are filled.
	bodies := make([]*Node, len(w.Bodies))
	for i := range bodies {
		bodies[i] = &Node{}
	}
	var build func(n *wireNode) (*Node, error)
	build = func(n *wireNode) (*Node, error) {
		out := &Node{
			ID: n.ID, Kind: n.Kind, Field: n.Field, Start: pos.offset(n.Start), End: pos.offset(n.End),
			Text: n.Text, Name: n.Name, Type: n.Type, Symbol: n.Symbol,
		}
		if n.Value != nil {
			out.Value, out.HasValue = *n.Value, true
		}
		if n.Columns != nil {
			if *n.Columns < 0 || *n.Columns >= len(w.Tables) {
				return nil, fmt.Errorf("decode the analysis: node %d has table type %d of %d", n.ID, *n.Columns, len(w.Tables))
			}
			out.Columns = w.Tables[*n.Columns].Columns
		}
		if n.Body != nil {
			if *n.Body < 0 || *n.Body >= len(bodies) {
				return nil, fmt.Errorf("decode the analysis: node %d has body %d of %d", n.ID, *n.Body, len(bodies))
			}
			out.Body = bodies[*n.Body]
		}
		for _, c := range n.Children {
			child, err := build(c)
			if err != nil {
				return nil, err
			}
			out.Children = append(out.Children, child)
		}
		for _, m := range n.Members {
			m.ID, m.Start, m.End = n.ID, n.Start, n.End
			member, err := build(m)
			if err != nil {
				return nil, err
			}
			out.Members = append(out.Members, member)
		}
		return out, nil
	}
	root, err := build(w.Root)
	if err != nil {
		return nil, nil, err
	}
	q.Root = root
	for i, b := range w.Bodies {
		body, err := build(b)
		if err != nil {
			return nil, nil, err
		}
		*bodies[i] = *body
	}
	for _, s := range root.List("Statements") {
		switch s.Kind {
		case "ExpressionStatement":
			q.Statements = append(q.Statements, s.Child("Expression"))
		case "QueryParametersStatement":
			for _, p := range s.List("Parameters") {
				// The declared name's type, as the type's own text may be an alias such as double.
				name := p.Child("NameAndType").Child("Name")
				q.Parameters = append(q.Parameters, Parameter{
					Name: name.Name, Type: name.Type,
					Default: p.Child("DefaultValue").Child("Value"),
				})
			}
		}
	}
	return q, &w, nil
}
