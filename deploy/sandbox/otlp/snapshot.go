package otlp

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"
)

// serveSnapshot is GET /.
func (s *Server) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	snap := s.Snapshot()
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		b, err := json.MarshalIndent(snap, "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(append(b, '\n')); err != nil {
			return // the reader is gone
		}
	case "", "text":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := snap.WriteText(w); err != nil {
			return // the reader is gone
		}
	default:
		http.Error(w, fmt.Sprintf("format must be text or json, got %q", format), http.StatusBadRequest)
	}
}

// WriteText writes a snapshot as a table, one line for each exporter and metric.
func (s Snapshot) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(tw, "EXPORTER\tMETRIC\tREQUESTS\tREFUSED\tPOINTS\tSERIES\tLAST"); err != nil {
		return err
	}
	for _, e := range s.Exporters {
		name := e.Name
		if name == "" {
			name = "-"
		}
		if _, err := fmt.Fprintf(tw, "%s\t\t%d\t%d\t%d\t%d\t%s\n", name, e.Requests, e.Refused, e.Points, e.Series, stamp(e.Last)); err != nil {
			return err
		}
		for _, m := range e.Metrics {
			if _, err := fmt.Fprintf(tw, "\t%s\t\t\t%d\t%d\t%s\n", m.Name, m.Points, m.Series, stamp(m.Last)); err != nil {
				return err
			}
		}
	}
	if s.Truncated {
		if _, err := fmt.Fprintln(tw, "(there are more metrics or series than are counted one by one)"); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}
