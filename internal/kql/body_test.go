package kql

import (
	"fmt"
	"strings"
	"testing"
)

// find is the first node for which ok holds, the bodies of functions included.
func find(n *Node, ok func(*Node) bool) *Node {
	if n == nil || ok(n) {
		return n
	}
	for _, c := range append(n.Children, n.Body) {
		if f := find(c, ok); f != nil {
			return f
		}
	}
	return nil
}

func TestBody(t *testing.T) {
	// A body is bound for the arguments of the call, and its positions are those of the declaration.
	q := mustAnalyze(t, `let g = (n:long) { n + 1 };
let f = (A:(*), n:long) { let h = (z:long) { g(z) }; A | extend k = h(n) };
f(ErrorEvents, 3)`)
	if err := q.Err(); err != nil {
		t.Fatal(err)
	}
	call := q.Statements[0]
	extend := find(call, func(n *Node) bool { return n.Kind == "ExtendOperator" })
	if extend == nil || len(extend.Columns) != 5 || extend.Columns[4].Name != "k" {
		t.Fatalf("the body's extend is %+v", extend)
	}
	for kind, want := range map[string]string{"ExtendOperator": "extend k = h(n)", "AddExpression": "n + 1", "PipeExpression": "A | extend k = h(n)"} {
		n := find(call, func(n *Node) bool { return n.Kind == kind })
		if n == nil {
			t.Fatalf("no %s in the bodies", kind)
		}
		if got := q.Text[n.Start:n.End]; got != want {
			t.Errorf("%s is at %q, want %q", kind, got, want)
		}
	}
	// What is declared is not expanded: that is said at each call.
	if f := find(q.Root.List("Statements")[1], func(n *Node) bool { return n.Body != nil }); f != nil {
		t.Errorf("the declaration has the body of %+v", f)
	}
}

// Functions that call each other twice would double the answer each time.
func TestBodiesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("let f0 = (n:long) { n };")
	for i := range 12 {
		fmt.Fprintf(&b, "let f%d = (n:long) { f%d(n + 1) + f%d(n + 2) };", i+1, i, i)
	}
	b.WriteString("print f12(1)")
	q := mustAnalyze(t, b.String())
	if err := q.Err(); err != nil {
		t.Skipf("the binder refuses it: %v", err)
	}
	bodies := map[*Node]bool{}
	var count func(n *Node)
	count = func(n *Node) {
		if n == nil || bodies[n] {
			return
		}
		if n.Body != nil {
			count(n.Body)
			bodies[n.Body] = true
		}
		for _, c := range n.Children {
			count(c)
		}
	}
	count(q.Statements[0])
	if len(bodies) == 0 || len(bodies) > 256 {
		t.Errorf("%d bodies", len(bodies))
	}
}

func TestMembers(t *testing.T) {
	q := mustAnalyze(t, `union *`)
	if err := q.Err(); err != nil {
		t.Fatal(err)
	}
	star := q.Statements[0].List("Expressions")[0]
	var got []string
	for _, m := range star.Members {
		got = append(got, fmt.Sprintf("%s.%s.%s:%d", m.Symbol.Cluster, m.Symbol.Database, m.Symbol.Name, len(m.Columns)))
	}
	if s := strings.Join(got, " "); s != "local.TelemetryDB.ErrorEvents:4 local.TelemetryDB.ServiceTelemetry:4" {
		t.Errorf("the members are %s", s)
	}
	q = mustAnalyze(t, `let n = "ErrorEvents"; table(n)`)
	if s := q.Statements[0].Symbol; s == nil || s.Kind != "Table" || s.Name != "ErrorEvents" || s.Database != "TelemetryDB" {
		t.Errorf("table() refers to %+v", s)
	}
}
