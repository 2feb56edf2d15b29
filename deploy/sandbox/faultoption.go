package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// faultOption is the request option by which a client asks for a fault: an object of these, all
// optional. Kusto ignores it, as it ignores every option that it does not know.
type faultOption struct {
	Delay      string `json:"delay"`      // before the answer, such as "2s"
	Status     int    `json:"status"`     // in place of the answer: 400 to 599
	RetryAfter string `json:"retryAfter"` // of a 429 or 503
	After      *int64 `json:"after"`      // rows before error or cut; those at the end when there are fewer
	Error      string `json:"error"`      // a partial failure with this message
	Cut        bool   `json:"cut"`        // drop the connection
}

// parseFault reads a faultOption.
func parseFault(raw json.RawMessage) (*Fault, error) {
	var o faultOption
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return nil, fmt.Errorf("must be an object with delay, status, retryAfter, after, error and cut: %w", err)
	}
	f := &Fault{Cut: o.Cut}
	var retryAfter time.Duration
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"delay", o.Delay, &f.Delay}, {"retryAfter", o.RetryAfter, &retryAfter}} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(d.text); err != nil || *d.to < 0 {
			return nil, fmt.Errorf("%s must be a duration such as 2s, got %.40q", d.name, d.text)
		}
	}
	if o.Error != "" {
		f.InBand = PartialFailure(o.Error)
	}
	if o.After != nil {
		f.After = *o.After
	}
	switch {
	case o.Status != 0 && (o.Status < 400 || o.Status > 599):
		return nil, fmt.Errorf("status must be between 400 and 599, got %d", o.Status)
	case o.RetryAfter != "" && o.Status != http.StatusTooManyRequests && o.Status != http.StatusServiceUnavailable:
		return nil, errors.New("retryAfter belongs to status 429 or 503")
	case f.InBand != nil && f.Cut:
		return nil, errors.New("error and cut exclude each other")
	case o.After != nil && (f.After < 0 || f.InBand == nil && !f.Cut):
		return nil, errors.New("after belongs to error or cut, and must not be negative")
	case o.Status != 0:
		f.Error = statusError(o.Status, retryAfter)
	}
	return f, nil
}

// statusError is what Kusto answers with a status.
func statusError(status int, retryAfter time.Duration) *Error {
	const asked = "a fault that the request asked for"
	switch status {
	case http.StatusTooManyRequests:
		return Throttled(retryAfter)
	case http.StatusServiceUnavailable:
		return Unavailable(retryAfter)
	case http.StatusGatewayTimeout:
		return TimedOut(DefaultServerTimeout)
	case http.StatusBadRequest:
		return BadRequest(asked)
	}
	e := Internal(errors.New(asked))
	e.Status, e.Permanent = status, status < 500
	return e
}
