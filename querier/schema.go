package querier

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/schemafile"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// The columns of what getschema answers, by which it is known.
const (
	nameColumn    = "ColumnName"
	ordinalColumn = "ColumnOrdinal"
	typeColumn    = "ColumnType"
)

// ResultColumns asks the cluster what q would return, without running it: the columns of each table
// of the answer. q.Answer is not used. Errors are as those of Query.
func (c *Client) ResultColumns(ctx context.Context, q Query) ([][]schemas.ColumnType, error) {
	var tables [][]schemas.ColumnType
	q.Answer = frames.Query{
		Columns: []string{nameColumn, ordinalColumn, typeColumn},
		Check: func(columns []schemas.ColumnType) error {
			for _, name := range []string{nameColumn, ordinalColumn, typeColumn} {
				if slices.ContainsFunc(columns, func(c schemas.ColumnType) bool { return c.Name == name }) {
					continue
				}
				// A server that does not know the option runs the query; its answer has the columns all the same.
				tables = append(tables, slices.Clone(columns))
				break
			}
			return nil
		},
		Take: func(b frames.Batch) error {
			batch := new(wire.RowBatch)
			if err := proto.Unmarshal(b.Data, batch); err != nil {
				return err
			}
			tables = appendSchema(tables, batch)
			return nil
		},
	}
	err := c.ask(ctx, q.Database, func(ctx context.Context) error {
		_, err := c.query(ctx, q, azkustodata.QueryResultsApplyGetschema())
		return err
	})
	return tables, err
}

// appendSchema adds rows of getschema, each a column of a table; one of ordinal 0 begins the next table.
func appendSchema(tables [][]schemas.ColumnType, batch *wire.RowBatch) [][]schemas.ColumnType {
	columns := map[string]*wire.Column{}
	for _, c := range batch.Columns {
		columns[c.Name] = c
	}
	name, ordinal, typ := columns[nameColumn], columns[ordinalColumn], columns[typeColumn]
	for i := range ordinal.GetIntegers() {
		if ordinal.Integers[i] == 0 || len(tables) == 0 {
			tables = append(tables, nil)
		}
		last := &tables[len(tables)-1]
		*last = append(*last, schemas.ColumnType{Name: name.Dictionary[name.Indexes[i]], Type: typ.Dictionary[typ.Indexes[i]]})
	}
	return tables
}

// DatabaseSchema returns the JSON of `.show database schema as json`.
func (c *Client) DatabaseSchema(ctx context.Context, database string) ([]byte, error) {
	var text string
	err := c.ask(ctx, database, func(ctx context.Context) error {
		answer, err := c.kusto.Mgmt(ctx, database, kql.New("").AddUnsafe(schemafile.Command(database)))
		if err != nil {
			return err
		}
		tables := answer.Tables()
		if len(tables) == 0 || len(tables[0].Rows()) == 0 {
			return pipe.Permanent(errors.New("the answer has no row"))
		}
		if text, err = tables[0].Rows()[0].StringByName("DatabaseSchema"); err != nil {
			return pipe.Permanent(fmt.Errorf("the answer has no column DatabaseSchema: %w", err))
		}
		return nil
	})
	return []byte(text), err
}

// ask bounds, and explains the error of, one exchange with the cluster.
func (c *Client) ask(ctx context.Context, database string, f func(context.Context) error) error {
	timeout := c.cfg.Cluster.QueryTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no whole answer within the query timeout of %s", timeout))
	defer cancel()
	ctx, x := withExchange(ctx)
	if err := f(ctx); err != nil {
		return fmt.Errorf("query database %q on cluster %q: %w", database, c.cfg.Cluster.Name, c.classify(ctx, x, err))
	}
	return nil
}
