package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dash is what a table shows where there is nothing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// timestamp writes a time in UTC, with milliseconds only where it has any.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05.999")
}

// duration writes a duration in its two largest units: 1d2h, 5m3s, 0.42s.
func duration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 10*time.Second:
		// Not the shortest text of a float64: 1.89 s are 1.8900000000000001.
		return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(d.Seconds(), 'f', 2, 64), "0"), ".") + "s"
	case d < time.Hour:
		d = d.Round(time.Second)
	case d < day:
		d = d.Round(time.Minute)
	default:
		d = d.Round(time.Hour)
	}
	var b strings.Builder
	parts := 0
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / u.unit; n > 0 && parts < 2 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
			parts++
		}
	}
	return b.String()
}

// size writes a number of bytes.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1024, 0
	for f >= 1024 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[unit])
}

// number writes a number; none as a dash.
func number(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}
