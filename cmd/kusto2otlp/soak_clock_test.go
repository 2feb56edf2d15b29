package main

import (
	"os"
	"strings"
	"time"
)

// clockFile names the file that says by what the program's clock is off.
const clockFile = "KUSTO2OTLP_TEST_CLOCK"

// steppedClock is the system's clock, set forward or back by what a file says at the time.
type steppedClock struct{ path string }

func (c steppedClock) offset() time.Duration {
	text, _ := os.ReadFile(c.path)
	d, _ := time.ParseDuration(strings.TrimSpace(string(text))) // there is none: 0
	return d
}

func (c steppedClock) Now() time.Time { return time.Now().Round(0).UTC().Add(c.offset()) }

// At is by a timer, which does not notice that the clock is set.
func (c steppedClock) At(t time.Time) (<-chan time.Time, func()) {
	timer := time.NewTimer(t.Sub(c.Now()))
	return timer.C, func() { timer.Stop() }
}
