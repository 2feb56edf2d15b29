package sandbox

import (
	"context"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Engine answers queries.
type Engine interface {
	// Query analyses a query. It reads no rows: what it returns runs when its tables are scanned, so
	// its errors can still become an HTTP status. An *Error is answered as it is, any other error as
	// Kusto's 500.
	Query(ctx context.Context, req *Request) (*Result, error)
}

// EngineFunc makes an Engine of a function, for tests with canned answers.
type EngineFunc func(ctx context.Context, req *Request) (*Result, error)

// Query implements Engine.
func (f EngineFunc) Query(ctx context.Context, req *Request) (*Result, error) { return f(ctx, req) }

// Request is one query as it came over the wire.
type Request struct {
	Cluster  string // from the path prefix; empty is the sandbox's own
	Database string
	Query    string // KQL, with its `declare query_parameters` when it has any

	// Parameters are the values of the declared query parameters, each the text of a KQL literal such
	// as `datetime(2025-06-25T10:00:00Z)`.
	Parameters map[string]string

	Options Options
	Now     time.Time // what now() stands for, UTC

	ClientRequestID string // x-ms-client-request-id, or made up
	ActivityID      string
	Application     string // x-ms-app
	User            string // x-ms-user
}

// Result is a query's answer before it has been computed: one table for each tabular statement.
type Result struct {
	Tables []ResultTable
	Limits *Limits // in place of the request's; nil: those of its options
}

// Limits bound an answer; beyond them it ends in an error. 0 is no limit.
type Limits struct {
	MaxRecords int64 // over all tables
	MaxBytes   int64 // of the rows as JSON
}

// ResultTable is one table of an answer.
type ResultTable struct {
	Schema table.Schema

	// Scan calls yield with the rows, batch after batch, and returns yield's error or ctx's. It is
	// called at most once, after the scans of the tables before it.
	Scan func(ctx context.Context, yield func(batch *table.Table) error) error
}

// Tables makes a Result of tables in memory.
func Tables(tables ...*table.Table) *Result {
	r := &Result{}
	for _, t := range tables {
		r.Tables = append(r.Tables, ResultTable{
			Schema: t.Schema(),
			Scan: func(ctx context.Context, yield func(*table.Table) error) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				return yield(t)
			},
		})
	}
	return r
}
