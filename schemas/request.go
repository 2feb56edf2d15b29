package schemas

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// AgainMark separates, in the request of a job that the transformer issues again,
// what it was before from the run whose parts were lost.
const AgainMark = "~again-"

// maxRequest bounds the id of a request, in bytes: it is part of subjects.
const maxRequest = 128

// CheckRequest says what is wrong with the id of a replay or backfill.
func CheckRequest(id string) error {
	switch {
	case id == "":
		return errors.New("is needed")
	case len(id) > maxRequest:
		return fmt.Errorf("must not be longer than %d bytes, has %d", maxRequest, len(id))
	case strings.Contains(id, "~"):
		return fmt.Errorf("must not have a %q, got %q", "~", id)
	}
	for _, r := range id {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("must be printable ASCII without spaces, got %q", id)
		}
	}
	return nil
}

// RequestSubject holds how far a request about a MetricsExporter's windows is.
func RequestSubject(namespace, name, request string) string {
	return CursorSubject(namespace, name) + "." + Token(request)
}

// AllRequests selects those about all MetricsExporters.
const AllRequests = "k2o.cursor.*.*.*"

// RequestFilter selects all requests about a MetricsExporter.
func RequestFilter(namespace, name string) string { return CursorSubject(namespace, name) + ".*" }

// EventFilter selects the events about a MetricsExporter.
func EventFilter(namespace, name string) string { return EventSubject(namespace, name, "*") }

// Hash tells specs apart whose windows could differ: whether windows are issued,
// looked at again or asked for once more does not change what a window is.
func (s MetricsExporterSpec) Hash() ([]byte, error) {
	s.Suspend, s.Reconcile, s.Backfill = false, nil, nil
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return sum[:], nil
}
