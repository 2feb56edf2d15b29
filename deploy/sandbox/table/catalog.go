package table

import "strings"

// Definition is what is known of a table without reading it.
type Definition struct {
	Name   string
	Schema Schema
	Doc    string // one line, shown as Kusto's DocString
}

// Database is the tables of one database of one cluster.
type Database struct {
	Cluster string // as in cluster('name'); empty is the cluster that is asked
	Name    string
	Tables  []Definition
}

// Catalog is every database that can be named.
type Catalog []Database

// Database finds a database; the names of both ignore case, as in Kusto. It is nil when there is
// none.
func (c Catalog) Database(cluster, name string) *Database {
	for i := range c {
		if strings.EqualFold(c[i].Cluster, cluster) && strings.EqualFold(c[i].Name, name) {
			return &c[i]
		}
	}
	return nil
}

// Cluster is the databases of one cluster.
func (c Catalog) Cluster(cluster string) Catalog {
	var out Catalog
	for _, d := range c {
		if strings.EqualFold(d.Cluster, cluster) {
			out = append(out, d)
		}
	}
	return out
}

// Table finds a table by its case-sensitive name; nil when there is none.
func (d *Database) Table(name string) *Definition {
	for i := range d.Tables {
		if d.Tables[i].Name == name {
			return &d.Tables[i]
		}
	}
	return nil
}
