package querier

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	kustoerrors "github.com/Azure/azure-kusto-go/azkustodata/errors"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/querier/frames"
)

// linesBefore is how many lines azkustodata sends before the query: the declaration of its parameters.
// Whoever wrote the query counts without it.
const linesBefore = 1

// classify says of a query's error what is to be done about it.
//
//	what happened                                       kind
//	400, 413, or an error that Kusto calls permanent    permanent
//	a result beyond Kusto's truncation limits           permanent
//	429 or 5xx with Retry-After                         retry after
//	401, 403: the credentials or a right is wrong,      retry
//	  which is for an operator to set right, and no
//	  window may be lost over it
//	a timeout, a broken connection, anything else       retry
//
// The text is our own as far as possible: azkustodata's quotes the whole query.
func (c *Client) classify(ctx context.Context, x *exchange, err error) error {
	if kind, _ := pipe.KindOf(err); kind != pipe.KindRetry {
		return err // an answer's own error, in band
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	status, after, body := x.failed()
	if status != 0 && status != http.StatusOK {
		return c.failedStatus(status, after, body)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("no connection: %w", u.Err)
	}
	if _, ok := kustoerrors.GetKustoError(err); ok {
		// Sign-in, or the check that the endpoint is one of Kusto's.
		return errors.New(frames.OneLine(c.secret.Replace(err.Error())))
	}
	return err
}

func (c *Client) failedStatus(status int, after time.Duration, body []byte) error {
	e := frames.ParseError(body)
	if e == nil {
		// A proxy's word, not Kusto's.
		const enough = 256
		e = &frames.Error{Message: frames.OneLine(string(body[:min(len(body), enough)]))}
	}
	e.Message = c.secret.Replace(e.Message)
	e.ShiftLines(linesBefore)
	text := strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, http.StatusText(status)))
	fail := func(err error) error {
		if e.Error() == "" {
			return errors.New(text)
		}
		return fmt.Errorf("%s: %w", text, err)
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fail(e)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		if !e.Transient || e.Truncated() {
			return pipe.Permanent(fail(e.Classify()))
		}
	default:
		if e.Permanent {
			return pipe.Permanent(fail(e))
		}
	}
	if after >= 0 && (status >= 500 || status == http.StatusTooManyRequests) {
		return pipe.RetryAfter(fail(e), after)
	}
	return fail(e)
}
