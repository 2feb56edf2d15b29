package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// Source is where the rows of named tables come from: generated samples, files, a test's own.
type Source interface {
	// Scan calls yield with the rows of one table, batch after batch, in the table's order, and
	// returns when there are no more. Every batch has at least req.Columns, with the types of the
	// schema that the query was analysed against; batches of 8,192 to 65,536 rows suit the evaluator
	// best. The evaluator neither keeps nor changes a batch's memory after yield returns, so a source
	// may use it again.
	//
	// An error of yield ends the scan and must be returned, or wrapped, as it is: it is also how a
	// query says that it has seen enough. Scan returns ctx's error soon after ctx is done. Several
	// scans may run at once.
	Scan(ctx context.Context, req ScanRequest, yield func(batch *table.Table) error) error
}

// ScanRequest names a table and what of it a query needs.
type ScanRequest struct {
	Cluster, Database, Table string

	// Columns are those the query reads, in the order of the schema. It may be empty: count needs rows only,
	// so a batch must then have at least one column, whichever, to have a length.
	Columns []string

	// Ranges are a hint: rows outside of any of them cannot change the query's answer. A source may
	// return them all the same.
	Ranges []TimeRange

	// Now is the query's now(), in UTC, for tables that are a function of time.
	Now time.Time
}

// TimeRange says that only rows with From <= Column <= To matter (a null never does).
type TimeRange struct {
	Column   string
	From, To int64 // ticks of 100 ns since 1970-01-01T00:00:00Z; table.MinDateTime and MaxDateTime where open
}

// Range is the intersection of the ranges of one column; all of time when there is none.
func (r ScanRequest) Range(column string) TimeRange {
	out := TimeRange{Column: column, From: table.MinDateTime, To: table.MaxDateTime}
	for _, t := range r.Ranges {
		if t.Column == column {
			out.From, out.To = max(out.From, t.From), min(out.To, t.To)
		}
	}
	return out
}

// Tables is a Source over tables in memory. The keys are "cluster/database/table"; cluster names, as
// in Kusto, ignore case.
type Tables map[string]*table.Table

// tablesBatch bounds a batch so that the vectors computed from it stay in the processor's caches.
const tablesBatch = 16384

// Scan implements Source.
func (t Tables) Scan(ctx context.Context, req ScanRequest, yield func(*table.Table) error) error {
	tab := t[strings.ToLower(req.Cluster)+"/"+req.Database+"/"+req.Table]
	if tab == nil {
		return fmt.Errorf("table %q of database %q on cluster %q is not there", req.Table, req.Database, req.Cluster)
	}
	for from, rows := 0, tab.Rows(); from < rows; from += tablesBatch {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(tab.Slice(from, min(from+tablesBatch, rows))); err != nil {
			return err
		}
	}
	return nil
}
