package table

import "time"

// TicksPerSecond is how Kusto counts time: in ticks of 100 ns.
const TicksPerSecond = 10_000_000

// The range of a Kusto datetime: 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.9999999Z, in ticks
// since the Unix epoch.
const (
	MinDateTime int64 = -62135596800 * TicksPerSecond
	MaxDateTime int64 = 253402300800*TicksPerSecond - 1
)

// Span is a Kusto timespan in ticks of 100 ns. time.Duration, in nanoseconds, reaches only a
// hundredth of its range.
type Span int64

// String is the span as Kusto serialises it, `[-][d.]hh:mm:ss[.fffffff]`.
func (s Span) String() string { return string(AppendTimeSpan(nil, int64(s))) }

// Ticks is t in ticks since the Unix epoch, rounded down to a whole tick.
func Ticks(t time.Time) int64 {
	return t.Unix()*TicksPerSecond + int64(t.Nanosecond()/100)
}

// Time is ticks since the Unix epoch as a time in UTC. It is the inverse of Ticks, over the whole
// range of datetime, where UnixNano would overflow.
func Time(ticks int64) time.Time {
	sec := floorDiv(ticks, TicksPerSecond)
	return time.Unix(sec, (ticks-sec*TicksPerSecond)*100).UTC()
}

// SpanTicks is d in ticks, rounded down to a whole tick.
func SpanTicks(d time.Duration) int64 { return floorDiv(int64(d), 100) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// AppendDateTime writes ticks as Kusto serialises a datetime: RFC 3339 in UTC, always with seven
// decimals (`2025-06-25T10:15:00.0000000Z`).
func AppendDateTime(b []byte, ticks int64) []byte {
	return Time(ticks).AppendFormat(b, "2006-01-02T15:04:05.0000000Z")
}

// AppendTimeSpan writes ticks as Kusto serialises a timespan: `[-][d.]hh:mm:ss[.fffffff]`, the days
// and the seven decimals only when they are not zero.
func AppendTimeSpan(b []byte, ticks int64) []byte {
	// The magnitude is unsigned, since that of the smallest int64 is no int64.
	u := uint64(ticks)
	if ticks < 0 {
		b = append(b, '-')
		u = -u
	}
	frac := u % TicksPerSecond
	sec := u / TicksPerSecond
	if days := sec / 86400; days > 0 {
		b = appendUint(b, days, 1)
		b = append(b, '.')
	}
	b = appendUint(b, sec/3600%24, 2)
	b = append(b, ':')
	b = appendUint(b, sec/60%60, 2)
	b = append(b, ':')
	b = appendUint(b, sec%60, 2)
	if frac != 0 {
		b = append(b, '.')
		b = appendUint(b, frac, 7)
	}
	return b
}

// appendUint writes u in decimal, zero padded to at least width digits.
func appendUint(b []byte, u uint64, width int) []byte {
	var tmp [20]byte
	i := len(tmp)
	for u > 0 || width > 0 {
		i--
		tmp[i] = byte('0' + u%10)
		u /= 10
		width--
	}
	return append(b, tmp[i:]...)
}
