package schemas

import (
	"strconv"
	"strings"
	"time"
)

// The streams and the subjects on them. README.md is their specification.
//
//	stream                subject
//	K2O_JOBS              k2o.job.<cluster>.<exporter>.<lane>.<namespace>.<name>.<start>[.<request>]
//	                      k2o.cursor.<namespace>.<name>
//	K2O_ROWS              k2o.rows.<exporter>.<lane>.<namespace>.<name>.<start>.<run>
//	                      k2o.part.<run>.<n>
//	K2O_OTLP_<exporter>   k2o.otlp.<exporter>.<lane>.<namespace>.<name>.<start>.<run>.<n>
//	K2O_DEAD              k2o.dead.<stage>.<namespace>.<name>
//	K2O_EVENTS            k2o.event.<namespace>.<name>.<type>
const (
	JobsStream   = "K2O_JOBS"
	RowsStream   = "K2O_ROWS"
	DeadStream   = "K2O_DEAD"
	EventsStream = "K2O_EVENTS"

	otlpStreamPrefix = "K2O_OTLP_"
)

// OTLPStream returns the stream of one exporter's OTLP batches. Each exporter
// has its own, since a full stream refuses everybody.
func OTLPStream(exporter string) string { return otlpStreamPrefix + Token(exporter) }

// All subjects of a kind.
const (
	AllJobs    = "k2o.job.>"
	AllCursors = "k2o.cursor.>"
	AllRows    = "k2o.rows.>"
	AllParts   = "k2o.part.>"
	AllDead    = "k2o.dead.>"
	AllEvents  = "k2o.event.>"
)

// Token makes any name a single subject token, a part of a stream's or a
// consumer's name: every byte but letters, digits, - and _ becomes =XX, in
// hexadecimal. Kubernetes names may contain dots; a subject token may not.
func Token(name string) string {
	const hex = "0123456789ABCDEF"
	plain := func(c byte) bool {
		return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	i := 0
	for i < len(name) && plain(name[i]) {
		i++
	}
	if i == len(name) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// timeToken writes a time as a subject token: 20250625T100000Z, with _ and the
// decimals needed before the Z where it falls between seconds.
func timeToken(t time.Time) string {
	return strings.Replace(t.UTC().Format("20060102T150405.999999999")+"Z", ".", "_", 1)
}

// JobSubject is where a window job is published. It is the same for every
// attempt at issuing it, so that a repeated publish replaces and never doubles.
func JobSubject(cluster, exporter string, lane Lane, namespace, name string, start time.Time, request string) string {
	s := "k2o.job." + Token(cluster) + "." + Token(exporter) + "." + string(lane) + "." +
		Token(namespace) + "." + Token(name) + "." + timeToken(start)
	if request != "" {
		s += "." + Token(request)
	}
	return s
}

// JobFilter selects the jobs of one cluster, exporter and lane.
func JobFilter(cluster, exporter string, lane Lane) string {
	return "k2o.job." + Token(cluster) + "." + Token(exporter) + "." + string(lane) + ".>"
}

// JobsFilter selects the jobs of a MetricsExporter on a lane, whatever cluster and exporter
// they are for.
func JobsFilter(lane Lane, namespace, name string) string {
	return "k2o.job.*.*." + string(lane) + "." + Token(namespace) + "." + Token(name) + ".>"
}

// CursorSubject holds, as its last message, how far a MetricsExporter's windows
// were issued.
func CursorSubject(namespace, name string) string {
	return "k2o.cursor." + Token(namespace) + "." + Token(name)
}

// RowsSubject is where a window's rows become visible.
func RowsSubject(exporter string, lane Lane, namespace, name string, start time.Time, run string) string {
	return "k2o.rows." + Token(exporter) + "." + string(lane) + "." +
		Token(namespace) + "." + Token(name) + "." + timeToken(start) + "." + Token(run)
}

// RowsFilter selects the windows of one exporter and lane.
func RowsFilter(exporter string, lane Lane) string {
	return "k2o.rows." + Token(exporter) + "." + string(lane) + ".>"
}

// PartSubject holds row batch n of a run until its window's rows are handled.
func PartSubject(run string, n int) string {
	return "k2o.part." + Token(run) + "." + strconv.Itoa(n)
}

// PartFilter selects all parts of a run.
func PartFilter(run string) string { return "k2o.part." + Token(run) + ".*" }

// OTLPSubject is where OTLP batch n of a window is published.
func OTLPSubject(exporter string, lane Lane, namespace, name string, start time.Time, run string, n int) string {
	return "k2o.otlp." + Token(exporter) + "." + string(lane) + "." +
		Token(namespace) + "." + Token(name) + "." + timeToken(start) + "." + Token(run) + "." + strconv.Itoa(n)
}

// OTLPFilter selects the OTLP batches of one exporter and lane.
func OTLPFilter(exporter string, lane Lane) string {
	return "k2o.otlp." + Token(exporter) + "." + string(lane) + ".>"
}

// DeadSubject is where a stage's dead letters about a MetricsExporter are kept.
// Namespace and name are "_" where the message does not tell.
func DeadSubject(stage Stage, namespace, name string) string {
	if namespace == "" || name == "" {
		namespace, name = "_", "_"
	}
	return "k2o.dead." + string(stage) + "." + Token(namespace) + "." + Token(name)
}

// EventSubject is where a stage reports what became of a window.
func EventSubject(namespace, name string, kind EventType) string {
	return "k2o.event." + Token(namespace) + "." + Token(name) + "." + string(kind)
}

// Stage is one of the four stages.
type Stage string

// The stages, in the order a window passes them.
const (
	Scheduler   Stage = "scheduler"
	Querier     Stage = "querier"
	Transformer Stage = "transformer"
	Sender      Stage = "sender"
)

// Stages are all stages, in the order a window passes them.
var Stages = []Stage{Scheduler, Querier, Transformer, Sender}

// EventType says what a stage reports.
type EventType string

// The event types, in the order they come.
const (
	EventPlanned     EventType = "planned"     // scheduler: a window job was issued
	EventSkipped     EventType = "skipped"     // scheduler: windows older than catchUp were passed over
	EventRunning     EventType = "running"     // querier: the window's query was begun
	EventQueried     EventType = "queried"     // querier: the window's rows are visible
	EventTransformed EventType = "transformed" // transformer: its OTLP batches are published
	EventExported    EventType = "exported"    // sender: the endpoint accepted one OTLP batch
	EventRetrying    EventType = "retrying"    // any: a first attempt failed and will be repeated
	EventFailed      EventType = "failed"      // any: a message became a dead letter
	EventDropped     EventType = "dropped"     // somebody gave a dead letter up; the message says why
)

// KindRenewed is the kind of a retrying event that says that a window is queried again in
// place of a dead letter: what failed does not go on.
const KindRenewed = "renewed"

// OTLPWindowFilter selects the OTLP batches of one window.
func OTLPWindowFilter(exporter string, lane Lane, namespace, name string, start time.Time) string {
	return "k2o.otlp." + Token(exporter) + "." + string(lane) + "." +
		Token(namespace) + "." + Token(name) + "." + timeToken(start) + ".>"
}
