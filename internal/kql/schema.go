package kql

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Schema is what names in a query can refer to. It is immutable; make one with NewSchema.
type Schema struct {
	cluster  string
	clusters []Cluster
	version  string // of the content: equal schemas share cached analyses
	json     string
}

// Cluster is what `cluster('Name')` finds.
type Cluster struct {
	Name      string     `json:"name"`
	Databases []Database `json:"databases"`
}

// Database is what `database('Name')` finds.
type Database struct {
	Name      string     `json:"name"`
	Tables    []Table    `json:"tables"`
	Functions []Function `json:"functions,omitempty"`
}

// Table is a table of a database.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
}

// Column is a column of a table or of a result. Type is Kusto's name of a scalar type, such as long.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`

	// Source is the ID of the node that computes the column, 0 when it is taken over or unknown. Only
	// results have it.
	Source int `json:"source,omitempty"`
}

// Function is a stored function, in KQL: parameters `(a: long)`, body `{ Table | where x > a }`.
type Function struct {
	Name       string `json:"name"`
	Parameters string `json:"parameters"`
	Body       string `json:"body"`
}

var columnTypes = map[string]bool{
	"bool": true, "int": true, "long": true, "real": true, "decimal": true, "datetime": true,
	"timespan": true, "guid": true, "string": true, "dynamic": true,
}

// NewSchema checks and keeps the clusters. cluster names the one that queries run on. An error names
// what is at fault: an empty or repeated name, a type that is none of Kusto's ten.
func NewSchema(cluster string, clusters ...Cluster) (*Schema, error) {
	home := false
	for i, c := range clusters {
		if err := unique("cluster", clusters[:i], c.Name, func(c Cluster) string { return c.Name }); err != nil {
			return nil, err
		}
		home = home || c.Name == cluster
		for j, d := range c.Databases {
			if err := unique("database", c.Databases[:j], d.Name, func(d Database) string { return d.Name }); err != nil {
				return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
			}
			for k, t := range d.Tables {
				if err := unique("table", d.Tables[:k], t.Name, func(t Table) string { return t.Name }); err != nil {
					return nil, fmt.Errorf("database %q: %w", d.Name, err)
				}
				for l, col := range t.Columns {
					if err := unique("column", t.Columns[:l], col.Name, func(c Column) string { return c.Name }); err != nil {
						return nil, fmt.Errorf("table %q: %w", t.Name, err)
					}
					if !columnTypes[col.Type] {
						return nil, fmt.Errorf("table %q: column %q: type must be a kusto scalar type, got %q", t.Name, col.Name, col.Type)
					}
				}
			}
		}
	}
	if !home {
		return nil, fmt.Errorf("schema has no cluster %q", cluster)
	}
	content, err := json.Marshal(struct {
		Cluster  string    `json:"cluster"`
		Clusters []Cluster `json:"clusters"`
	}{cluster, clusters})
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	sum := sha256.Sum256(content)
	version := hex.EncodeToString(sum[:])
	return &Schema{
		cluster: cluster, clusters: clusters, version: version,
		json: `{"version":"` + version + `",` + string(content[1:]),
	}, nil
}

// unique refuses a name that is empty or that one of before has.
func unique[T any](what string, before []T, name string, of func(T) string) error {
	if name == "" {
		return fmt.Errorf("a %s must have a name", what)
	}
	for _, b := range before {
		if of(b) == name {
			return fmt.Errorf("%s %q appears twice", what, name)
		}
	}
	return nil
}

// Cluster is the name of the cluster that queries run on.
func (s *Schema) Cluster() string { return s.cluster }

// Clusters are all clusters; the caller must not change them.
func (s *Schema) Clusters() []Cluster { return s.clusters }

// Database finds a database of the home cluster, by a name in any case as Kusto does, or nil.
func (s *Schema) Database(name string) *Database {
	for _, c := range s.clusters {
		if c.Name != s.cluster {
			continue
		}
		for i := range c.Databases {
			if strings.EqualFold(c.Databases[i].Name, name) {
				return &c.Databases[i]
			}
		}
	}
	return nil
}
