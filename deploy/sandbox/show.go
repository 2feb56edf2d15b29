package sandbox

import (
	"encoding/json"
	"runtime"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// show answers `.show` commands. The columns of the answers are those that Microsoft's parser knows the
// commands to have.
type show struct {
	catalog table.Catalog
	req     *Request
}

// parse reads what is to be shown; nil when the sandbox does not know it. The caller makes sure that
// the command ends there.
func (s *show) parse(c *command) (func() (*table.Table, error), error) {
	switch {
	case c.take("version"):
		return s.version, nil
	case c.take("functions"):
		return s.functions, nil
	case c.take("schema"):
		return s.schema(c, s.catalog.Cluster(s.req.Cluster)), nil
	case c.take("tables"):
		if c.end() {
			return func() (*table.Table, error) { return s.tables(nil) }, nil
		}
		names, ok := c.names()
		if !ok {
			return nil, nil
		}
		return func() (*table.Table, error) { return s.tables(names) }, nil
	case c.take("table"):
		return s.table(c)
	case c.take("cluster", "databases"), c.take("databases"):
		if c.end() {
			return s.databases, nil
		}
		return s.databasesSchema(c)
	case c.take("database"):
		name := s.req.Database
		if len(c.words) > 1 && (c.words[0].quoted || !strings.EqualFold(c.words[0].text, "schema") || strings.EqualFold(c.words[1].text, "schema")) {
			name = c.name()
		}
		db := s.catalog.Database(s.req.Cluster, name)
		if db == nil {
			return nil, DatabaseNotFound(name)
		}
		if !c.take("schema") {
			return nil, nil
		}
		return s.schema(c, table.Catalog{*db}), nil
	}
	return nil, nil
}

// databasesSchema reads `[(a, b)] schema …` after `databases`.
func (s *show) databasesSchema(c *command) (func() (*table.Table, error), error) {
	databases := s.catalog.Cluster(s.req.Cluster)
	if names, ok := c.names(); ok {
		databases = nil
		for _, n := range names {
			db := s.catalog.Database(s.req.Cluster, n)
			if db == nil {
				return nil, DatabaseNotFound(n)
			}
			databases = append(databases, *db)
		}
	}
	if !c.take("schema") {
		return nil, nil
	}
	return s.schema(c, databases), nil
}

// schema reads `[details] [as json]` after `schema`.
func (s *show) schema(c *command, databases table.Catalog) func() (*table.Table, error) {
	if c.take("as", "json") {
		return func() (*table.Table, error) { return schemaJSON(databases) }
	}
	c.take("details")
	return func() (*table.Table, error) { return schemaRows(databases) }
}

func (s *show) version() (*table.Table, error) {
	t := table.New("Table_0", table.Schema{
		{Name: "BuildVersion", Type: table.String}, {Name: "BuildTime", Type: table.DateTime},
		{Name: "ServiceType", Type: table.String}, {Name: "ProductVersion", Type: table.String},
		{Name: "ServiceOffering", Type: table.String},
	}, 1)
	return t, t.AppendRow("1.0.0.0", table.Time(0), "Engine", "kusto2otlp sandbox, "+runtime.Version(), "sandbox")
}

// databaseID is what the sandbox's databases have for an id, which nothing can be asked by.
const databaseID = "00000000-0000-0000-0000-000000000000"

func (s *show) databases() (*table.Table, error) {
	t := table.New("Table_0", table.Schema{
		{Name: "DatabaseName", Type: table.String}, {Name: "PersistentStorage", Type: table.String},
		{Name: "Version", Type: table.String}, {Name: "IsCurrent", Type: table.Bool},
		{Name: "DatabaseAccessMode", Type: table.String}, {Name: "PrettyName", Type: table.String},
		{Name: "ReservedSlot1", Type: table.Bool}, {Name: "DatabaseId", Type: table.GUID},
		{Name: "InTransitionTo", Type: table.String},
	}, 4)
	for _, d := range s.catalog.Cluster(s.req.Cluster) {
		err := t.AppendRow(d.Name, "", "v1.0", strings.EqualFold(d.Name, s.req.Database), "ReadOnly", "", nil, databaseID, "")
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// database is the one that the request is about.
func (s *show) database() (*table.Database, error) {
	db := s.catalog.Database(s.req.Cluster, s.req.Database)
	if db == nil {
		return nil, DatabaseNotFound(s.req.Database)
	}
	return db, nil
}

// tables is those with the names; nil for all.
func (s *show) tables(names []string) (*table.Table, error) {
	db, err := s.database()
	if err != nil {
		return nil, err
	}
	t := table.New("Table_0", table.Schema{
		{Name: "TableName", Type: table.String}, {Name: "DatabaseName", Type: table.String},
		{Name: "Folder", Type: table.String}, {Name: "DocString", Type: table.String},
	}, len(db.Tables))
	definitions := db.Tables
	if names != nil {
		definitions = nil
		for _, n := range names {
			def := db.Table(n)
			if def == nil {
				return nil, TableNotFound(n)
			}
			definitions = append(definitions, *def)
		}
	}
	for _, d := range definitions {
		if err := t.AppendRow(d.Name, db.Name, "", d.Doc); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// table reads `name cslschema` and `name schema as json`.
func (s *show) table(c *command) (func() (*table.Table, error), error) {
	name := c.name()
	asJSON := c.take("schema", "as", "json")
	if !asJSON && !c.take("cslschema") && !c.take("schema", "as", "csl") {
		return nil, nil
	}
	return func() (*table.Table, error) {
		db, err := s.database()
		if err != nil {
			return nil, err
		}
		def := db.Table(name)
		if def == nil {
			return nil, TableNotFound(name)
		}
		text, err := cslSchema(def.Schema), error(nil)
		if asJSON {
			var b []byte
			b, err = json.Marshal(tableSchema(*def))
			text = string(b)
		}
		if err != nil {
			return nil, err
		}
		t := table.New("Table_0", table.Schema{
			{Name: "TableName", Type: table.String}, {Name: "Schema", Type: table.String},
			{Name: "DatabaseName", Type: table.String}, {Name: "Folder", Type: table.String},
			{Name: "DocString", Type: table.String},
		}, 1)
		return t, t.AppendRow(def.Name, text, db.Name, "", def.Doc)
	}, nil
}

// cslSchema is columns as `.create table` takes them.
func cslSchema(s table.Schema) string {
	columns := make([]string, len(s))
	for i, f := range s {
		columns[i] = f.Name + ":" + f.Type.String()
	}
	return strings.Join(columns, ",")
}

// functions is none: the sandbox has no stored functions.
func (s *show) functions() (*table.Table, error) {
	if _, err := s.database(); err != nil {
		return nil, err
	}
	return table.New("Table_0", table.Schema{
		{Name: "Name", Type: table.String}, {Name: "Parameters", Type: table.String},
		{Name: "Body", Type: table.String}, {Name: "Folder", Type: table.String}, {Name: "DocString", Type: table.String},
	}, 0), nil
}
