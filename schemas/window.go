package schemas

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tick is the resolution of Kusto's datetime and timespan.
const Tick = 100 * time.Nanosecond

// Window is the half-open time range [Start, End) that one run of a query
// covers, in UTC.
type Window struct {
	Start, End time.Time
}

// String returns "start/end", both in RFC 3339 with only the decimals needed.
func (w Window) String() string {
	return w.Start.UTC().Format(time.RFC3339Nano) + "/" + w.End.UTC().Format(time.RFC3339Nano)
}

// Last returns the last instant inside the window that Kusto can tell from its
// end: the value of _endTime, since KQL's between includes both ends.
func (w Window) Last() time.Time { return w.End.Add(-Tick) }

// WindowID names one window of one generation of a MetricsExporter, everywhere:
// in message ids, logs, the ledger and as the query's client request id.
type WindowID struct {
	Namespace, Name string
	Window          Window
	Generation      uint64
}

// String returns "<namespace>/<name>@<start>/<end>#<generation>".
func (id WindowID) String() string {
	return id.Namespace + "/" + id.Name + "@" + id.Window.String() + "#" + strconv.FormatUint(id.Generation, 10)
}

// ParseWindowID is the inverse of WindowID.String.
func ParseWindowID(s string) (WindowID, error) {
	var id WindowID
	fail := func(why string) (WindowID, error) {
		return WindowID{}, fmt.Errorf("window id %q: %s; want <namespace>/<name>@<start>/<end>#<generation>", s, why)
	}
	key, rest, ok := strings.Cut(s, "@")
	if !ok {
		return fail("no @")
	}
	if id.Namespace, id.Name, ok = strings.Cut(key, "/"); !ok || id.Namespace == "" || id.Name == "" {
		return fail("no namespace and name")
	}
	times, generation, ok := strings.Cut(rest, "#")
	if !ok {
		return fail("no generation")
	}
	start, end, ok := strings.Cut(times, "/")
	if !ok {
		return fail("no end")
	}
	var err error
	if id.Window.Start, err = time.Parse(time.RFC3339Nano, start); err != nil {
		return fail("start is no RFC 3339 time")
	}
	if id.Window.End, err = time.Parse(time.RFC3339Nano, end); err != nil {
		return fail("end is no RFC 3339 time")
	}
	if id.Generation, err = strconv.ParseUint(generation, 10, 64); err != nil {
		return fail("generation is no number")
	}
	id.Window.Start, id.Window.End = id.Window.Start.UTC(), id.Window.End.UTC()
	if !id.Window.Start.Before(id.Window.End) {
		return fail("start is not before end")
	}
	return id, nil
}

// Lane is the road a window travels on: a backfill never delays a live window.
type Lane string

// The lanes.
const (
	LaneLive     Lane = "live"
	LaneBackfill Lane = "backfill"
)

// Lanes are all lanes, the more urgent first.
var Lanes = []Lane{LaneLive, LaneBackfill}
