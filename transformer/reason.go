package transformer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// sampleBytes bounds a sample. It travels in an event and a log line, and a
// dynamic may have a megabyte.
const sampleBytes = 256

// Reason says why a value gave no point.
type Reason uint8

// The reasons.
const (
	accepted Reason = iota
	// NullValue: the value is null, or an empty string, which is how Kusto has a
	// string that is null.
	NullValue
	// NotFinite: the value is NaN or infinite, or too large for a double.
	NotFinite
	// NotANumber: the value is text or a dynamic that is no number.
	NotANumber
	// NoTimestamp: the timestamp is null.
	NoTimestamp
	// TimeOutOfRange: OTLP has no such time. Its nanoseconds since the Unix epoch
	// are unsigned, 0 stands for "unknown", and receivers read them as an int64: the
	// range is from 1970-01-01, exclusive, to 2262-04-11.
	TimeOutOfRange
	// EmptyName: the row has no metric name and there is no default.
	EmptyName
	// Duplicate: a later row of the window has the same name, labels and timestamp.
	Duplicate
	// TooLarge: the point alone is larger than a message may be.
	TooLarge

	reasons
)

var reasonNames = [reasons]string{
	accepted: "accepted", NullValue: "null_value", NotFinite: "not_finite", NotANumber: "not_a_number",
	NoTimestamp: "no_timestamp", TimeOutOfRange: "time_out_of_range", EmptyName: "empty_name",
	Duplicate: "duplicate", TooLarge: "too_large",
}

// String returns the reason as events, logs and metrics have it: "null_value".
func (r Reason) String() string { return reasonNames[r] }

// Rejected counts the points that rows did not give, by reason, with a sample
// of each. A row rejected as a whole counts once for each of its value columns, so
// that rows times value columns is points plus rejected.
type Rejected struct {
	counts  [reasons]uint64
	samples [reasons]string
}

// Count returns how many points there were not for one reason.
func (r *Rejected) Count(why Reason) uint64 { return r.counts[why] }

// Total returns how many points there were not.
func (r *Rejected) Total() (n uint64) {
	for _, c := range r.counts {
		n += c
	}
	return n
}

// Counts returns the counts above 0 by the reasons' names; nil when there is none.
func (r *Rejected) Counts() map[string]uint64 {
	var m map[string]uint64
	for why, n := range r.counts {
		if n > 0 {
			if m == nil {
				m = make(map[string]uint64)
			}
			m[Reason(why).String()] = n
		}
	}
	return m
}

// Samples returns, for every reason there was, the first row it hit: its number
// in the answer, from 1, the column and the value, in at most 256 bytes.
func (r *Rejected) Samples() map[string]string {
	var m map[string]string
	for why, s := range r.samples {
		if s != "" {
			if m == nil {
				m = make(map[string]string)
			}
			m[Reason(why).String()] = s
		}
	}
	return m
}

// add counts n points. It reports whether the reason still wants a sample, which
// costs too much to make for every row.
func (r *Rejected) add(why Reason, n uint64) (first bool) {
	r.counts[why] += n
	return r.samples[why] == ""
}

func (r *Rejected) sample(why Reason, format string, args ...any) {
	r.samples[why] = shorten(fmt.Sprintf(format, args...), sampleBytes)
}

// shorten cuts s to n bytes, between characters.
func shorten(s string, n int) string {
	const more = "…"
	if len(s) <= n {
		return s
	}
	n -= len(more)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.ToValidUTF8(s[:n], "\uFFFD") + more
}
