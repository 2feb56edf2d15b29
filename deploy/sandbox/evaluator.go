package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// HomeCluster is the name that the sandbox's own cluster has in KQL.
const HomeCluster = samples.Cluster

// maxDiagnostics bounds how many of a query's mistakes one answer lists.
const maxDiagnostics = 5

// evaluator is the Engine that evaluates KQL.
type evaluator struct {
	parser *kql.Parser
	shared bool // the parser is somebody else's
	source engine.Source

	// What names mean depends on the cluster that is asked. Keys are lower case.
	schemas map[string]*kql.Schema
}

func newEvaluator(source engine.Source, catalog table.Catalog, parser *kql.Parser) (*evaluator, error) {
	e := &evaluator{parser: parser, shared: parser != nil, source: source, schemas: map[string]*kql.Schema{}}
	clusters := Clusters(catalog)
	for _, c := range clusters {
		s, err := kql.NewSchema(c.Name, clusters...)
		if err != nil {
			return nil, err
		}
		e.schemas[strings.ToLower(c.Name)] = s
	}
	if e.shared {
		return e, nil
	}
	var err error
	e.parser, err = kql.Open(kql.Config{MaxText: maxQueryBytes})
	return e, err
}

// Clusters is the catalog as the binder knows it, the home cluster among them.
func Clusters(catalog table.Catalog) []kql.Cluster {
	clusters := []kql.Cluster{{Name: HomeCluster, Databases: []kql.Database{}}}
	index := map[string]int{HomeCluster: 0}
	for _, d := range catalog {
		name := d.Cluster
		if name == "" {
			name = HomeCluster
		}
		i, ok := index[strings.ToLower(name)]
		if !ok {
			i = len(clusters)
			index[strings.ToLower(name)] = i
			clusters = append(clusters, kql.Cluster{Name: name, Databases: []kql.Database{}})
		}
		db := kql.Database{Name: d.Name, Tables: []kql.Table{}}
		for _, t := range d.Tables {
			def := kql.Table{Name: t.Name, Columns: []kql.Column{}}
			for _, f := range t.Schema {
				def.Columns = append(def.Columns, kql.Column{Name: f.Name, Type: f.Type.String()})
			}
			db.Tables = append(db.Tables, def)
		}
		clusters[i].Databases = append(clusters[i].Databases, db)
	}
	return clusters
}

// Query implements Engine.
func (e *evaluator) Query(ctx context.Context, req *Request) (*Result, error) {
	q, err := e.analyze(ctx, req)
	if err != nil {
		return nil, err
	}
	limits, err := limits(q, req.Options)
	if err != nil {
		return nil, err
	}
	plan, err := engine.Compile(q, engine.Options{Now: req.Now, Parameters: req.Parameters})
	if err != nil {
		return nil, evaluation(err)
	}
	result := &Result{Limits: limits}
	for i, schema := range plan.Schemas() {
		result.Tables = append(result.Tables, ResultTable{
			Schema: schema,
			Scan: func(ctx context.Context, yield func(*table.Table) error) error {
				return evaluation(plan.Scan(ctx, i, e.source, yield))
			},
		})
	}
	return result, nil
}

func (e *evaluator) close() {
	if !e.shared {
		e.parser.Close()
	}
}

// analyze is the bound query, or the error that Kusto would answer with.
func (e *evaluator) analyze(ctx context.Context, req *Request) (*kql.Query, error) {
	cluster := req.Cluster
	if cluster == "" {
		cluster = HomeCluster
	}
	schema := e.schemas[strings.ToLower(cluster)]
	if schema == nil {
		return nil, BadRequest(fmt.Sprintf("there is no cluster %q", req.Cluster))
	}
	q, err := e.parser.Analyze(ctx, schema, req.Database, req.Query)
	var noDatabase *kql.DatabaseError
	switch {
	case errors.As(err, &noDatabase):
		return nil, DatabaseNotFound(req.Database)
	case err != nil:
		return nil, err
	}
	if err := diagnose(q.Err()); err != nil {
		return nil, err
	}
	return q, nil
}

// diagnose is the binder's verdict as Kusto words it. Codes below KS100 are about syntax, and Kusto
// does not look at the meaning of what it cannot parse.
func diagnose(err error) error {
	var s *kql.SemanticError
	if !errors.As(err, &s) {
		return err
	}
	var lines []string
	syntax := false
	for i, d := range s.Diagnostics {
		syntax = syntax || len(d.Code) == 5 && strings.HasPrefix(d.Code, "KS0")
		if i < maxDiagnostics {
			lines = append(lines, d.String())
		}
	}
	if n := len(s.Diagnostics) - maxDiagnostics; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", n))
	}
	text := strings.Join(lines, "; ")
	if syntax {
		return SyntaxError(text)
	}
	return SemanticError(text)
}

// evaluation turns an error of the engine into the answer Kusto would give in its place.
func evaluation(err error) error {
	var unsupported *engine.UnsupportedError
	var value *engine.ValueError
	var limit *engine.LimitError
	switch {
	case errors.As(err, &unsupported):
		return BadRequest(unsupported.Error())
	case errors.As(err, &value):
		return SemanticError(value.Error())
	case errors.As(err, &limit):
		return LowMemory(limit.Error())
	}
	return err
}

// limits are those of the request, as the query's own `set` statements change them.
func limits(q *kql.Query, o Options) (*Limits, error) {
	set := map[string]json.RawMessage{}
	for _, st := range q.Root.List("Statements") {
		if st.Kind != "SetOptionStatement" {
			continue
		}
		value := json.RawMessage("true") // of an option that is set without a value
		if v := st.Child("ValueClause").Child("Expression"); v != nil {
			text, err := json.Marshal(v.Value)
			if err != nil {
				return nil, err
			}
			value = text
		}
		set[st.Child("Name").Name] = value
	}
	changed, err := parseOptions(set)
	if err != nil {
		return nil, err
	}
	l := &Limits{o.MaxRecords, o.MaxBytes}
	_, records := set["truncationmaxrecords"]
	_, size := set["truncationmaxsize"]
	_, none := set["notruncation"]
	if records || none {
		l.MaxRecords = changed.MaxRecords
	}
	if size || none {
		l.MaxBytes = changed.MaxBytes
	}
	return l, nil
}
