package sandbox

import (
	"net/http"
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
	out := tables{stream: &stream{w: b}, req: req}
	out.begin(1)
	out.table(t.Schema())
	out.batch(t, 0, t.Rows())
	out.endTable(nil, nil)
	out.end(nil, nil)
	out.write()
	if err = out.err; err == nil {
		err = b.Close()
	}
	if err != nil {
		b.release()
		s.cfg.Logger.Info("command not answered", "client_request_id", req.ClientRequestID, "error", err)
	}
}
