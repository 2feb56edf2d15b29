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

	// Open says that the cluster has more databases than these, of which nothing is known.
	Open bool `json:"open,omitempty"`
}

// Database is what `database('Name')` finds.
type Database struct {
	Name      string     `json:"name"`
	Tables    []Table    `json:"tables"`
	Functions []Function `json:"functions,omitempty"`

	ExternalTables    []Table `json:"externalTables,omitempty"`    // what external_table('Name') finds
	MaterializedViews []Table `json:"materializedViews,omitempty"` // what materialized_view('Name') or the name alone finds
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
	home, names := false, map[string]bool{}
	for _, c := range clusters {
		if err := unique("cluster", names, c.Name); err != nil {
			return nil, err
		}
		home = home || c.Name == cluster
		databases := make(map[string]bool, len(c.Databases))
		for _, d := range c.Databases {
			if err := unique("database", databases, d.Name); err != nil {
				return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
			}
			for _, of := range []struct {
				what   string
				tables []Table
			}{{"table", d.Tables}, {"external table", d.ExternalTables}, {"materialized view", d.MaterializedViews}} {
				if err := checkTables(of.what, of.tables); err != nil {
					return nil, fmt.Errorf("database %q: %w", d.Name, err)
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

// checkTables refuses tables without a name, and columns without a name or a type.
func checkTables(what string, tables []Table) error {
	seen := make(map[string]bool, len(tables))
	for _, t := range tables {
		if err := unique(what, seen, t.Name); err != nil {
			return err
		}
		columns := make(map[string]bool, len(t.Columns))
		for _, c := range t.Columns {
			if err := unique("column", columns, c.Name); err != nil {
				return fmt.Errorf("%s %q: %w", what, t.Name, err)
			}
			if !columnTypes[c.Type] {
				return fmt.Errorf("%s %q: column %q: type must be a kusto scalar type, got %q", what, t.Name, c.Name, c.Type)
			}
		}
	}
	return nil
}

// unique refuses a name that is empty or seen before.
func unique(what string, seen map[string]bool, name string) error {
	if name == "" {
		return fmt.Errorf("a %s must have a name", what)
	}
	if seen[name] {
		return fmt.Errorf("%s %q appears twice", what, name)
	}
	seen[name] = true
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
