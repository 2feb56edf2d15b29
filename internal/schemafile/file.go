package schemafile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// Version is that of the files this version writes and reads.
const Version = 1

// File is what is known of some clusters.
type File struct {
	Version int `json:"version"`

	// Clusters in the order of the pipeline configuration they were asked by.
	Clusters []Cluster `json:"clusters"`
}

// Cluster is the databases of one cluster that somebody asked for; it may have more.
type Cluster struct {
	// Name is what the pipeline configuration calls it: kusto[].name.
	Name string `json:"name"`
	// Host is that of its endpoint, by which cluster('host') finds it; empty: by Name.
	Host string `json:"host,omitempty"`

	Databases []kql.Database `json:"databases"`
}

// KQL is the name that the cluster has in a query.
func (c Cluster) KQL() string { return cmp.Or(c.Host, c.Name) }

// Read reads a file.
func Read(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	f, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func parse(text []byte) (*File, error) {
	var v struct {
		Version int `json:"version"`
	}
	const foreign = "is no schema that 'kusto2otlp schema dump' wrote"
	var wrong *json.UnmarshalTypeError
	switch err := json.Unmarshal(text, &v); {
	case errors.As(err, &wrong):
		return nil, errors.New(foreign) // where in Go types it is wrong tells nobody anything
	case err != nil:
		return nil, fmt.Errorf(foreign+": %w", err)
	}
	if v.Version != Version {
		return nil, fmt.Errorf("version: must be %d, got %d: dump the schema with this version of kusto2otlp", Version, v.Version)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	f := new(File)
	if err := d.Decode(f); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	// Whether the content makes sense is the binder's business, and asked once here.
	for _, c := range f.Clusters {
		if _, err := f.Schema(c.Name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Write writes the file: databases, tables and functions by name, columns in the table's order.
func (f *File) Write(w io.Writer) error {
	for _, c := range f.Clusters {
		slices.SortFunc(c.Databases, func(a, b kql.Database) int { return cmp.Compare(a.Name, b.Name) })
		for _, d := range c.Databases {
			for _, tables := range [][]kql.Table{d.Tables, d.ExternalTables, d.MaterializedViews} {
				slices.SortFunc(tables, func(a, b kql.Table) int { return cmp.Compare(a.Name, b.Name) })
			}
			slices.SortFunc(d.Functions, func(a, b kql.Function) int { return cmp.Compare(a.Name, b.Name) })
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(f)
}

// Schema is what names in a query on the cluster of this name refer to.
func (f *File) Schema(cluster string) (*kql.Schema, error) {
	home := ""
	var clusters []kql.Cluster
	for _, c := range f.Clusters {
		// Two entries of the configuration may be about one cluster.
		i := slices.IndexFunc(clusters, func(k kql.Cluster) bool { return strings.EqualFold(k.Name, c.KQL()) })
		if i < 0 {
			i = len(clusters)
			clusters = append(clusters, kql.Cluster{Name: c.KQL(), Open: true, Databases: []kql.Database{}})
		}
		clusters[i].Databases = append(clusters[i].Databases, c.Databases...)
		if c.Name == cluster {
			home = clusters[i].Name
		}
	}
	if home == "" {
		return nil, fmt.Errorf("has no cluster %q", cluster)
	}
	return kql.NewSchema(home, clusters...)
}

// Has says whether the cluster of this name has a database, in any case as Kusto has it.
func (f *File) Has(cluster, database string) bool {
	return slices.ContainsFunc(f.Clusters, func(c Cluster) bool {
		return c.Name == cluster && slices.ContainsFunc(c.Databases, func(d kql.Database) bool { return strings.EqualFold(d.Name, database) })
	})
}

// ClusterOf is the name of the first cluster that has a database; empty when there is none.
func (f *File) ClusterOf(database string) string {
	for _, c := range f.Clusters {
		if f.Has(c.Name, database) {
			return c.Name
		}
	}
	return ""
}

// Databases are the names of all databases, each once, in the file's order.
func (f *File) Databases() []string {
	var names []string
	for _, c := range f.Clusters {
		for _, d := range c.Databases {
			if !slices.Contains(names, d.Name) {
				names = append(names, d.Name)
			}
		}
	}
	return names
}
