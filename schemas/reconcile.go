package schemas

import (
	"strconv"
	"strings"
	"time"
)

// ReconcileRequest is the request id of the jobs that look at a window again. No
// replay or backfill has it: theirs have no "~".
const ReconcileRequest = "~reconcile"

// IsReconcile says whether a request is a reconciliation, or one of which rows were
// lost and that is run again.
func IsReconcile(request string) bool {
	return request == ReconcileRequest || strings.HasPrefix(request, ReconcileRequest+AgainMark)
}

// Headers of reconciliation.
const (
	// HeaderRevision is on OTLP batches that have only some of their window's points:
	// those that a reconciliation found to be other or new. Its value is 1.
	HeaderRevision = "K2o-Revision"
	// HeaderChunks is the number of a run's messages on PointsStream.
	HeaderChunks = "K2o-Chunks"
)

// PointsStream keeps a hash of every point of the windows of MetricsExporters that
// reconcile. It is there once there is one.
const PointsStream = "K2O_POINTS"

// AllPoints are the subjects of PointsStream.
const AllPoints = "k2o.points.>"

// PointsSubject is where chunk n of the hashes of a run's points is kept.
func PointsSubject(exporter, namespace, name string, start time.Time, run string, n int) string {
	return strings.TrimSuffix(PointsFilter(exporter, namespace, name, start), ">") + Token(run) + "." + strconv.Itoa(n)
}

// PointsFilter selects what is kept of a window.
func PointsFilter(exporter, namespace, name string, start time.Time) string {
	return "k2o.points." + Token(exporter) + "." + Token(namespace) + "." + Token(name) + "." + timeToken(start) + ".>"
}

// RowsWindowFilter selects the rows of one window that wait for their transform, in
// both lanes.
func RowsWindowFilter(exporter, namespace, name string, start time.Time) string {
	return "k2o.rows." + Token(exporter) + ".*." + Token(namespace) + "." + Token(name) + "." + timeToken(start) + ".*"
}

// JobWindowFilters select the jobs of one window, in both lanes: the schedule's, and
// those of requests.
func JobWindowFilters(cluster, exporter, namespace, name string, start time.Time) []string {
	s := "k2o.job." + Token(cluster) + "." + Token(exporter) + ".*." + Token(namespace) + "." + Token(name) + "." + timeToken(start)
	return []string{s, s + ".*"}
}

// ReconcileSubject holds, as its last message, how far a MetricsExporter's windows
// have been looked at again. It is longer than a RequestSubject.
func ReconcileSubject(namespace, name string) string {
	return CursorSubject(namespace, name) + ".reconcile.windows"
}
