package sandbox

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// isCommand tells a management command from a query: it begins with a dot.
func isCommand(text string) bool { return strings.HasPrefix(strings.TrimSpace(text), ".") }

// serveMgmt is POST /v1/rest/mgmt. Of Kusto's several hundred commands it knows the few that clients
// use to find out what is there.
func (s *Server) serveMgmt(w http.ResponseWriter, r *http.Request) {
	req, err := s.request(w, r)
	var t *table.Table
	if err == nil {
		t, err = s.command(req)
	}
	if err != nil {
		writeError(w, r, req, reason(err, req))
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	b := newBody(w, r, http.StatusOK)
	if _, err = b.Write(v1(t)); err == nil {
		err = b.Close()
	}
	if err != nil {
		b.release()
		s.cfg.Logger.Info("command not answered", "client_request_id", req.ClientRequestID, "error", err)
	}
}

func (s *Server) command(req *Request) (*table.Table, error) {
	words := strings.Fields(strings.TrimRight(req.Query, "; \t\r\n"))
	switch name := strings.ToLower(strings.Join(words, " ")); name {
	case ".show version":
		return s.showVersion()
	case ".show databases":
		return s.showDatabases(req)
	case ".show tables":
		return s.showTables(req)
	default:
		if !isCommand(req.Query) {
			return nil, BadRequest("a management command must begin with a dot")
		}
		return nil, NotSupported(fmt.Sprintf("management command %.60q", name))
	}
}

func (s *Server) showVersion() (*table.Table, error) {
	t := table.New("Table_0", table.Schema{
		{Name: "BuildVersion", Type: table.String}, {Name: "BuildTime", Type: table.DateTime},
		{Name: "ServiceType", Type: table.String}, {Name: "ProductVersion", Type: table.String},
		{Name: "ServiceOffering", Type: table.String},
	}, 1)
	return t, t.AppendRow("1.0.0.0", table.Time(0), "Engine", "kusto2otlp sandbox, "+runtime.Version(), "sandbox")
}

func (s *Server) showDatabases(req *Request) (*table.Table, error) {
	t := table.New("Table_0", table.Schema{
		{Name: "DatabaseName", Type: table.String}, {Name: "PersistentStorage", Type: table.String},
		{Name: "Version", Type: table.String}, {Name: "IsCurrent", Type: table.Bool},
		{Name: "DatabaseAccessMode", Type: table.String}, {Name: "PrettyName", Type: table.String},
	}, 4)
	for _, d := range s.cfg.Catalog.Cluster(req.Cluster) {
		if err := t.AppendRow(d.Name, "", "v1.0", strings.EqualFold(d.Name, req.Database), "ReadOnly", ""); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (s *Server) showTables(req *Request) (*table.Table, error) {
	db := s.cfg.Catalog.Database(req.Cluster, req.Database)
	if db == nil {
		return nil, DatabaseNotFound(req.Database)
	}
	t := table.New("Table_0", table.Schema{
		{Name: "TableName", Type: table.String}, {Name: "DatabaseName", Type: table.String},
		{Name: "Folder", Type: table.String}, {Name: "DocString", Type: table.String},
	}, len(db.Tables))
	for _, d := range db.Tables {
		if err := t.AppendRow(d.Name, db.Name, "", d.Doc); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// dotnet is the DataType that v1 gives beside the ColumnType.
var dotnet = map[table.Type]string{
	table.Bool: "SByte", table.Int: "Int32", table.Long: "Int64", table.Real: "Double",
	table.Decimal: "SqlDecimal", table.DateTime: "DateTime", table.TimeSpan: "TimeSpan",
	table.GUID: "Guid", table.String: "String", table.Dynamic: "Object",
}

// v1 is a table as the answer to a management command.
func v1(t *table.Table) []byte {
	b := append([]byte(nil), `{"Tables":[{"TableName":`...)
	b = appendString(b, t.Name)
	b = append(b, `,"Columns":[`...)
	for i, f := range t.Schema() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"ColumnName":`...)
		b = appendString(b, f.Name)
		b = append(b, `,"DataType":"`+dotnet[f.Type]+`","ColumnType":"`+f.Type.String()+`"}`...)
	}
	b = append(b, `],"Rows":[`...)
	for i := range t.Rows() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRow(b, t, i)
	}
	return append(b, `]}]}`...)
}
