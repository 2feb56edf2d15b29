package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"
)

// maxQueryBytes is Kusto's own limit on the text of a query; maxRequestBytes leaves room for how
// JSON writes it, and for the parameters.
const (
	maxQueryBytes   = 2 << 20
	maxRequestBytes = 4 << 20
)

// readTimeout bounds how long a client may take to send a request.
const readTimeout = time.Minute

// requestBody is the JSON that clients post.
type requestBody struct {
	Database   string          `json:"db"`
	Query      string          `json:"csl"`
	Properties json.RawMessage `json:"properties"`
}

type requestProperties struct {
	Options    map[string]json.RawMessage
	Parameters map[string]json.RawMessage
}

// blank is what is known of a request before its body is read.
func (s *Server) blank(r *http.Request) *Request {
	req := &Request{
		Cluster:         r.PathValue("cluster"),
		ClientRequestID: r.Header.Get("x-ms-client-request-id"),
		ActivityID:      uuid.NewString(),
		Application:     r.Header.Get("x-ms-app"),
		User:            r.Header.Get("x-ms-user"),
		Now:             s.cfg.Now().UTC(),
	}
	if req.ClientRequestID == "" {
		req.ClientRequestID = "unspecified;" + uuid.NewString()
	}
	return req
}

// request reads a request. It never returns a nil Request, so that an error has its context.
func (s *Server) request(w http.ResponseWriter, r *http.Request) (*Request, error) {
	req := s.blank(r)
	w.Header().Set("x-ms-client-request-id", req.ClientRequestID)
	w.Header().Set("x-ms-activity-id", req.ActivityID)

	raw, err := readBody(w, r)
	if err != nil {
		return req, err
	}
	var body requestBody
	if err := json.Unmarshal(raw, &body); err != nil {
		return req, BadRequest("request body must be json: " + err.Error())
	}
	req.Database, req.Query = body.Database, body.Query
	if strings.TrimSpace(req.Query) == "" {
		return req, BadRequest("csl must not be empty")
	}

	if len(req.Query) > maxQueryBytes {
		return req, BadRequest(fmt.Sprintf("csl must have at most %d bytes, got %d", maxQueryBytes, len(req.Query)))
	}

	props, err := parseProperties(body.Properties)
	if err != nil {
		return req, err
	}
	if req.Options, err = parseOptions(props.Options); err != nil {
		return req, err
	}
	if !req.Options.Now.IsZero() {
		req.Now = req.Options.Now
	}
	req.Parameters = make(map[string]string, len(props.Parameters))
	for name, value := range props.Parameters {
		req.Parameters[name] = optionText(value)
	}
	return req, nil
}

// readBody reads a body to its end, as net/http notices only then that a client goes away. The
// deadline is lifted again afterwards: it would count as the client's going, too.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err == nil {
		raw, err = inflate(raw, r.Header.Get("Content-Encoding"))
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, BadRequest(fmt.Sprintf("request body must be at most %d bytes", maxRequestBytes))
	case err != nil:
		return nil, BadRequest("request body cannot be read: " + err.Error())
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return raw, nil
}

// inflate is a body without its compression.
func inflate(raw []byte, encoding string) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "", "identity":
		return raw, nil
	case "gzip":
	default:
		return nil, fmt.Errorf("content encoding must be gzip or identity, got %q", encoding)
	}
	gz, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	raw, err = io.ReadAll(io.LimitReader(gz, maxRequestBytes+1))
	if err == nil && len(raw) > maxRequestBytes {
		err = &http.MaxBytesError{Limit: maxRequestBytes}
	}
	return raw, err
}

// parseProperties accepts an object and, as some clients send it, an object within a string.
func parseProperties(raw json.RawMessage) (requestProperties, error) {
	var p requestProperties
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		raw = json.RawMessage(text)
	}
	if len(raw) == 0 || text == "" && raw[0] == '"' {
		return p, nil
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, BadRequest("properties must be an object with Options and Parameters: " + err.Error())
	}
	return p, nil
}

// writeError answers with the status and body of an error.
func writeError(w http.ResponseWriter, r *http.Request, req *Request, e *Error) {
	if e.RetryAfter > 0 {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	b := newBody(w, r, e.Status)
	if _, err := b.Write(e.json(req)); err != nil {
		b.release()
		return // the client is gone, and was to be told nothing but this
	}
	if err := b.Close(); err != nil {
		return
	}
}
