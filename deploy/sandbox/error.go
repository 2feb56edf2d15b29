package sandbox

import (
	"encoding/json"
	"fmt"
	"time"
)

// Error is a failure as Kusto reports it: the body of an HTTP answer, or a OneApiError in band. The
// codes and types are those of Microsoft's page "Kusto.Data errors and exceptions".
type Error struct {
	Status     int           // of the HTTP answer; not used in band
	Code       string        // such as General_BadRequest
	Type       string        // such as Kusto.Data.Exceptions.SemanticException
	Message    string        // the `@message`, which says what is wrong
	Permanent  bool          // the same request can never succeed
	RetryAfter time.Duration // as a header in whole seconds, rounded up; 0 for none
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

const exceptions = "Kusto.Data.Exceptions."

// SyntaxError is KQL that cannot be parsed. The message is the parser's.
func SyntaxError(message string) *Error {
	return &Error{400, "BadRequest_SyntaxError", exceptions + "SyntaxException", "Syntax error: " + message, true, 0}
}

// SemanticError is KQL that does not fit the schema. The message is the binder's.
func SemanticError(message string) *Error {
	return &Error{400, "General_BadRequest", exceptions + "SemanticException", "Semantic error: " + message, true, 0}
}

// BadRequest is any other request that cannot work.
func BadRequest(message string) *Error {
	return &Error{400, "General_BadRequest", exceptions + "KustoBadRequestException", "Request is invalid and cannot be processed: " + message, true, 0}
}

// NotSupported refuses what Kusto can do and the sandbox cannot.
func NotSupported(what string) *Error {
	return BadRequest("not supported by the sandbox: " + what)
}

// DatabaseNotFound is a request for a database that the cluster does not have.
func DatabaseNotFound(name string) *Error {
	return &Error{400, "BadRequest_DatabaseNotExist", exceptions + "DatabaseNotFoundException",
		fmt.Sprintf("Entity ID '%s' of kind 'Database' was not found.", name), true, 0}
}

// TableNotFound is a command about a table that the database does not have.
func TableNotFound(name string) *Error {
	return &Error{400, "BadRequest_EntityNotFound", exceptions + "EntityNotFoundException",
		fmt.Sprintf("Entity ID '%s' of kind 'Table' was not found.", name), true, 0}
}

// Throttled is Kusto's 429.
func Throttled(retryAfter time.Duration) *Error {
	return &Error{429, "TooManyRequests", exceptions + "KustoRequestThrottledException",
		"The request was denied due to throttling.", false, retryAfter}
}

// Unavailable is Kusto's 503.
func Unavailable(retryAfter time.Duration) *Error {
	return &Error{503, "ServiceUnavailable", exceptions + "KustoServiceException",
		"The service is temporarily unavailable.", false, retryAfter}
}

// TimedOut is a query that ran longer than its servertimeout.
func TimedOut(limit time.Duration) *Error {
	return &Error{504, "RequestExecutionTimeout", exceptions + "KustoServiceTimeoutException",
		fmt.Sprintf("Query execution has exceeded the allowed time of %v.", limit), false, 0}
}

// Internal is a failure of the service itself.
func Internal(err error) *Error {
	return &Error{500, "Internal service error", exceptions + "KustoServiceException", err.Error(), false, 0}
}

// LimitsExceeded is the in-band error of a result that is larger than truncation allows. What names
// the limit, such as `500000 records`. Kusto itself calls it not permanent.
func LimitsExceeded(what string) *Error {
	return &Error{400, "LimitsExceeded", exceptions + "KustoServicePartialQueryFailureLimitsExceededException",
		"Query execution has exceeded the allowed limits (80DA0003): The results of this query exceed the set limit of " + what +
			", so not all records were returned (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003).", false, 0}
}

// LowMemory is a query that would have to remember more than the service has room for.
func LowMemory(message string) *Error {
	return &Error{400, "LowMemoryCondition", exceptions + "KustoServicePartialQueryFailureLowMemoryConditionException", message, true, 0}
}

// PartialFailure is an in-band error of a query that failed after it had begun to answer.
func PartialFailure(message string) *Error {
	return &Error{500, "Internal service error", exceptions + "KustoServicePartialQueryFailureException", message, false, 0}
}

// oneAPIError is the JSON of an Error, the same in an HTTP body and in band.
type oneAPIError struct {
	Error struct {
		Code      string       `json:"code"`
		Message   string       `json:"message"`
		Type      string       `json:"@type"`
		Details   string       `json:"@message"`
		Context   errorContext `json:"@context"`
		Permanent bool         `json:"@permanent"`
	} `json:"error"`
}

type errorContext struct {
	Timestamp        string `json:"timestamp"`
	ServiceAlias     string `json:"serviceAlias"`
	MachineName      string `json:"machineName"`
	ProcessName      string `json:"processName"`
	ProcessID        int    `json:"processId"`
	ThreadID         int    `json:"threadId"`
	ClientRequestID  string `json:"clientRequestId"`
	ActivityID       string `json:"activityId"`
	SubActivityID    string `json:"subActivityId"`
	ActivityType     string `json:"activityType"`
	ParentActivityID string `json:"parentActivityId"`
	ActivityStack    string `json:"activityStack"`
}

// json is the error in the context of one request.
func (e *Error) json(req *Request) []byte {
	var o oneAPIError
	o.Error.Code, o.Error.Type, o.Error.Details, o.Error.Permanent = e.Code, e.Type, e.Message, e.Permanent
	o.Error.Message = "Request is invalid and cannot be executed."
	if !e.Permanent && e.Code != "LimitsExceeded" {
		o.Error.Message = "Request cannot be executed now."
	}
	o.Error.Context = errorContext{
		Timestamp:    req.Now.UTC().Format("2006-01-02T15:04:05.0000000Z"),
		ServiceAlias: "SANDBOX", MachineName: "sandbox", ProcessName: "kusto2otlp",
		ClientRequestID: req.ClientRequestID, ActivityID: req.ActivityID, SubActivityID: req.ActivityID,
		ActivityType: "GW.Http.CallContext", ParentActivityID: req.ActivityID,
		ActivityStack: fmt.Sprintf("(Activity stack: CRID=%s ARID=%s > GW.Http.CallContext/%s)", req.ClientRequestID, req.ActivityID, req.ActivityID),
	}
	b, err := json.Marshal(&o)
	if err != nil {
		panic(err) // strings, numbers and booleans always marshal
	}
	return b
}
