package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// maxSleep bounds how long the scheduler sleeps at a time. Timers do not notice
	// that the clock was set, nor that the machine was suspended.
	maxSleep = 10 * time.Second

	// leap is by how much more than it slept the clock may have gone on before a
	// second clock is asked.
	leap = 5 * time.Second

	// maxAhead is how far the clock may be ahead of the second clock.
	maxAhead = 10 * time.Second

	// heldSleep is how long until the second clock is asked again.
	heldSleep = time.Second

	// witnessTimeout bounds the wait for the second clock.
	witnessTimeout = 2 * time.Second
)

// Clock tells the time and wakes the scheduler.
type Clock interface {
	Now() time.Time
	// At sends on the channel at t, or at once when that has passed, unless stop is
	// called before.
	At(t time.Time) (c <-chan time.Time, stop func())
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now().Round(0).UTC() }

func (systemClock) At(t time.Time) (<-chan time.Time, func()) {
	timer := time.NewTimer(time.Until(t))
	return timer.C, func() { timer.Stop() }
}

// A Witness tells the time by another clock.
type Witness func(ctx context.Context) (time.Time, error)

// ServerTime is the clock of the NATS server.
func ServerTime(js jetstream.JetStream) Witness {
	return func(ctx context.Context) (time.Time, error) {
		stream, err := js.Stream(ctx, schemas.JobsStream)
		if err != nil {
			return time.Time{}, fmt.Errorf("ask the nats server for the time: %w", err)
		}
		return stream.CachedInfo().TimeStamp, nil
	}
}

// confirm says whether windows may be issued at this time: always, but after the
// start and after a leap only if the witness agrees.
func (s *Scheduler) confirm(ctx context.Context, now time.Time) bool {
	leapt := s.confirmed.IsZero() || now.Sub(s.confirmed) > maxSleep+leap
	if s.cfg.Witness == nil || !leapt {
		// A clock that was set back moves this back too: setting it forward again
		// is a leap like any other.
		s.confirmed = now
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, witnessTimeout)
	defer cancel()
	other, err := s.cfg.Witness(ctx)
	if err == nil && now.Sub(other) > maxAhead {
		err = fmt.Errorf("the clock says %s and is ahead of the nats server's, which says %s",
			now.Format(time.RFC3339), other.UTC().Format(time.RFC3339))
	}
	if err != nil {
		if !s.held {
			s.held = true
			s.cfg.Logger.Error("no windows are issued until the time is confirmed", "error", err)
		}
		return false
	}
	if s.held {
		s.held = false
		s.cfg.Logger.Info("the time is confirmed, windows are issued again")
	}
	s.confirmed = now
	return true
}
