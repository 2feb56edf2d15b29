package frames

import "math"

const (
	ticksPerSecond = 10_000_000
	ticksPerDay    = 86400 * ticksPerSecond
)

// two reads two digits; it is above 99 where there are none.
func two(b []byte) uint {
	hi, lo := uint(b[0]-'0'), uint(b[1]-'0')
	if hi > 9 || lo > 9 {
		return 1000
	}
	return hi*10 + lo
}

// parseFraction reads up to seven decimals as ticks.
func parseFraction(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 7 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	for i := len(b); i < 7; i++ {
		n *= 10
	}
	return n, true
}

// parseDateTime reads yyyy-MM-ddTHH:mm:ss[.fffffff][Z], in UTC, as ticks of 100 ns
// since the Unix epoch.
func parseDateTime(b []byte) (int64, bool) {
	if n := len(b); n > 0 && b[n-1] == 'Z' {
		b = b[:n-1]
	}
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	century, year, month, day := two(b), two(b[2:]), two(b[5:]), two(b[8:])
	hour, minute, second := two(b[11:]), two(b[14:]), two(b[17:])
	if century > 99 || year > 99 || hour > 23 || minute > 59 || second > 59 || month < 1 || month > 12 {
		return 0, false
	}
	year += century * 100
	if year < 1 || day < 1 || day > daysIn(month, year) {
		return 0, false
	}
	var fraction uint64
	if len(b) > 19 {
		var ok bool
		if fraction, ok = parseFraction(b[20:]); !ok || b[19] != '.' {
			return 0, false
		}
	}
	seconds := days(int64(year), int64(month), int64(day))*86400 + int64(hour*3600+minute*60+second)
	return seconds*ticksPerSecond + int64(fraction), true
}

func daysIn(month, year uint) uint {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// days counts the days from 1970-01-01 to a date of the Gregorian calendar. Years
// are taken from March, so that a leap day is the last of its year.
func days(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return year*365 + year/4 - year/100 + year/400 + dayOfYear - 719468
}

// parseTimeSpan reads [-][d.]hh:mm:ss[.fffffff] as ticks of 100 ns.
func parseTimeSpan(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	var ticks uint64
	if i := dayPoint(b); i >= 0 {
		n, ok := parseInt(b[:i])
		// 10675199 days are all that fit an int64 of ticks.
		if !ok || n < 0 || n > 10_675_199 {
			return 0, false
		}
		ticks = uint64(n) * ticksPerDay
		b = b[i+1:]
	}
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return 0, false
	}
	hour, minute, second := two(b), two(b[3:]), two(b[6:])
	if hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	ticks += uint64(hour*3600+minute*60+second) * ticksPerSecond
	if len(b) > 8 {
		fraction, ok := parseFraction(b[9:])
		if !ok || b[8] != '.' {
			return 0, false
		}
		ticks += fraction
	}
	if negative {
		return -int64(ticks), ticks <= 1<<63
	}
	return int64(ticks), ticks <= math.MaxInt64
}

// dayPoint returns where the point after the days is; -1 if there are no days.
func dayPoint(b []byte) int {
	for i, c := range b {
		switch c {
		case '.':
			return i
		case ':':
			return -1
		}
	}
	return -1
}
