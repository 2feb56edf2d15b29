package strict

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New("must be a duration such as 30s, 5m or 1h30m")

// ParseDuration reads a duration as time.ParseDuration does, and days: 7d,
// 1d12h. A day is 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	rest := s
	negative := strings.HasPrefix(rest, "-")
	if negative {
		rest = rest[1:]
	}
	var days time.Duration
	if before, after, found := strings.Cut(rest, "d"); found {
		n, err := strconv.ParseUint(before, 10, 32)
		if err != nil {
			return 0, errDuration
		}
		const most = uint64(1<<63-1) / uint64(24*time.Hour)
		if n > most {
			return 0, errors.New("must be shorter than 106751d")
		}
		days, rest = time.Duration(n)*24*time.Hour, after
		if rest == "" {
			rest = "0"
		}
	}
	if rest == "" || strings.ContainsAny(rest, "+-") {
		return 0, errDuration
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, errDuration
	}
	if d += days; d < 0 {
		return 0, errors.New("must be shorter than 106751d")
	}
	if negative {
		d = -d
	}
	return d, nil
}
