package pipe

import (
	"errors"
	"time"
)

// Kind sorts errors into what is to be done about them. It is decided once, where
// a dependency is called.
type Kind string

// The kinds of error.
const (
	// KindPermanent: the same input can never work. It becomes a dead letter.
	KindPermanent Kind = "permanent"
	// KindRetryAfter: the server named a delay, which is waited.
	KindRetryAfter Kind = "retry_after"
	// KindRetry: everything else, repeated with exponential backoff.
	KindRetry Kind = "retry"
	// KindRefused: this instance must not or cannot handle the message, another
	// may. It stays in the stream.
	KindRefused Kind = "refused"
	// KindLater: it is not the message's turn; nothing failed.
	KindLater Kind = "later"
	// KindPanic: a handler panicked. It becomes a dead letter.
	KindPanic Kind = "panic"
)

type kindError struct {
	err   error
	kind  Kind
	delay time.Duration
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// Permanent marks an error that the same input always gives. Nil stays nil.
func Permanent(err error) error { return mark(err, KindPermanent, 0) }

// RetryAfter marks an error whose server asked to be left alone for delay.
func RetryAfter(err error, delay time.Duration) error { return mark(err, KindRetryAfter, delay) }

// Refuse marks an error that only says that this instance is not the one to
// handle the message.
func Refuse(err error) error { return mark(err, KindRefused, 0) }

// Later puts a message back for delay because it is not its turn. Nothing failed,
// so nothing is logged or reported.
func Later(err error, delay time.Duration) error { return mark(err, KindLater, delay) }

func mark(err error, kind Kind, delay time.Duration) error {
	if err == nil {
		return nil
	}
	return &kindError{err, kind, delay}
}

// KindOf returns what is to be done about err, and the delay its server named.
// An error that nobody marked is retried.
func KindOf(err error) (Kind, time.Duration) {
	var e *kindError
	if errors.As(err, &e) {
		return e.kind, e.delay
	}
	return KindRetry, 0
}
