package pipe

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfterHeader reads an answer's Retry-After, which is a number of seconds or
// a date; false where there is none or it makes no sense.
// https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
func RetryAfterHeader(h http.Header, now time.Time) (time.Duration, bool) {
	value := h.Get("Retry-After")
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	// By the server's clock, where it tells: ours may differ.
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0), true
}
