package files

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// DefaultDatabase is where tables are that name no database. Kusto's clients ask the same one when
// they are given none.
const DefaultDatabase = "NetDefaultDB"

// Data is tables in memory. Its zero value has none.
type Data struct {
	tables []entry
}

// entry is one table and where it is.
type entry struct {
	cluster, database string // cluster "" is the sandbox's own
	table             *table.Table
}

// Add puts a table into a database of a cluster; cluster "" is the sandbox's own. The table must not be
// changed afterwards. It is an error when the table is not valid or its place is taken.
func (d *Data) Add(cluster, database string, t *table.Table) error {
	if strings.EqualFold(cluster, samples.Cluster) {
		cluster = ""
	}
	if err := t.Validate(); err != nil {
		return err
	}
	for _, e := range d.tables {
		if !strings.EqualFold(e.cluster, cluster) || !strings.EqualFold(e.database, database) {
			continue
		}
		switch {
		case e.database != database:
			return fmt.Errorf("databases %q and %q are the same to Kusto", e.database, database)
		case e.table.Name == t.Name:
			return fmt.Errorf("table %q of database %q is there twice", t.Name, database)
		}
	}
	d.tables = append(d.tables, entry{cluster, database, t})
	return nil
}

// Catalog is every database with its tables, those of the sandbox's own cluster first.
func (d *Data) Catalog() table.Catalog {
	sorted := slices.Clone(d.tables)
	slices.SortStableFunc(sorted, func(a, b entry) int {
		if c := strings.Compare(strings.ToLower(a.cluster), strings.ToLower(b.cluster)); c != 0 {
			return c
		}
		return strings.Compare(a.database, b.database)
	})
	var c table.Catalog
	for _, e := range sorted {
		if n := len(c); n == 0 || !strings.EqualFold(c[n-1].Cluster, e.cluster) || c[n-1].Name != e.database {
			c = append(c, table.Database{Cluster: e.cluster, Name: e.database})
		}
		db := &c[len(c)-1]
		db.Tables = append(db.Tables, table.Definition{Name: e.table.Name, Schema: e.table.Schema()})
	}
	return c
}

// Source has the rows as they are, in their order.
func (d *Data) Source() engine.Source {
	s := engine.Tables{}
	for _, e := range d.tables {
		s[e.key()] = e.table
	}
	return s
}

// key is the name that engine.Tables knows a table by.
func (e entry) key() string {
	cluster := e.cluster
	if cluster == "" {
		cluster = samples.Cluster
	}
	return strings.ToLower(cluster) + "/" + e.database + "/" + e.table.Name
}
