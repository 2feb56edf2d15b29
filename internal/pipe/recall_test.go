package pipe_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
)

// A message that is recalled comes again, also when that is asked for before it was given
// back: the hour that it is then given back for must not undo it.
func TestRecall(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run("OK "+when+" it is given back", func(t *testing.T) {
			p := pipetest.MustOpen(t)
			job(t, p, 1)
			recall, again := make(chan func(time.Duration), 1), make(chan uint64, 1)
			stop := consume(t, p, func(_ context.Context, m *pipe.Message) error {
				if m.Attempt > 1 {
					again <- m.Attempt
					return nil
				}
				if when == "before" {
					m.Recall()(0)
				} else {
					recall <- m.Recall()
				}
				return pipe.Later(errors.New("not yet"), time.Hour)
			})
			defer stop()
			if when == "after" {
				(<-recall)(0)
			}
			select {
			case attempt := <-again:
				require.EqualValues(t, 2, attempt)
			case <-time.After(time.Minute):
				t.Fatal("it did not come again")
			}
		})
	}
}
