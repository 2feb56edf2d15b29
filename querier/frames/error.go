package frames

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

// maxMessage bounds the text of Kusto's own that goes into an error, in bytes.
const maxMessage = 1024

// Error is an error as Kusto reports it, in band or as the body of an HTTP answer.
type Error struct {
	Code    string // such as General_BadRequest
	Message string // one line, bounded
	// Permanent is Kusto's word that the same request will never succeed, Transient
	// that it may; neither is set when it does not say.
	Permanent, Transient bool
}

// Error returns code and message.
func (e *Error) Error() string {
	switch {
	case e.Code == "":
		return e.Message
	case e.Message == "":
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// Truncated reports whether the result was larger than Kusto returns without
// notruncation. Kusto calls that transient, but the same rows will be too many
// again.
func (e *Error) Truncated() bool {
	return strings.Contains(e.Message, "E_QUERY_RESULT_SET_TOO_LARGE") || strings.Contains(e.Message, "80DA0003")
}

// Classify marks e with what is to be done about it as package pipe sorts errors.
func (e *Error) Classify() error {
	if e.Truncated() {
		return pipe.Permanent(fmt.Errorf("%w (set noTruncation: true on the cluster, or summarize to fewer rows)", e))
	}
	if e.Permanent {
		return pipe.Permanent(e)
	}
	return e
}

// oneAPIError is how Kusto writes an error. "message" only says that there is one;
// "@message" says which.
type oneAPIError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Details   string `json:"@message"`
	Permanent *bool  `json:"@permanent"`
}

// ParseError reads an error object: {"error": {"code": …, "@message": …,
// "@permanent": …}}. It returns nil when data is none.
func ParseError(data []byte) *Error {
	var body struct {
		Error *oneAPIError `json:"error"`
	}
	if json.Unmarshal(data, &body) != nil || body.Error == nil {
		return nil
	}
	o := body.Error
	message := o.Details
	if message == "" {
		message = o.Message
	}
	e := &Error{Code: OneLine(o.Code), Message: OneLine(message)}
	if o.Permanent != nil {
		e.Permanent, e.Transient = *o.Permanent, !*o.Permanent
	}
	return e
}

// OneLine returns text without line breaks, bounded in length and valid UTF-8, as
// an error message needs it.
func OneLine(text string) string {
	cut := len(text) > maxMessage
	if cut {
		text = text[:maxMessage]
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if cut {
		text += "…"
	}
	return text
}

// inBand reads the value of OneApiErrors: an array of error objects. An empty one
// is no error.
func inBand(where string, data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("%s: kusto reported an error that cannot be read: %s", where, OneLine(string(data)))
	}
	var first *Error
	for _, raw := range list {
		e := ParseError(raw)
		if e == nil {
			e = &Error{Message: "an error that cannot be read: " + OneLine(string(raw))}
		}
		if e.Permanent || e.Truncated() {
			// One that can never work decides over others that might.
			return fmt.Errorf("%s: %w", where, e.Classify())
		}
		if first == nil {
			first = e
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, first)
}
