package pipe

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// addingStream has a batch delivered while another is removed.
type addingStream struct {
	jetstream.Stream
	delivered *Delivered
}

func (s addingStream) DeleteMsg(_ context.Context, sequence uint64) error {
	s.delivered.Add(&Message{Sequence: sequence - 1, Stored: time.Now()})
	return nil
}

func TestDeliveredMeanwhile(t *testing.T) {
	d := &Delivered{}
	for _, n := range []uint64{10, 20, 30} {
		d.Add(&Message{Sequence: n, Stored: time.Now()})
	}
	require.NoError(t, d.remove(t.Context(), &otlpState{stream: addingStream{delivered: d}}, 2, time.Time{}))
	var left []uint64
	for _, b := range d.list {
		left = append(left, b.sequence)
	}
	require.Equal(t, []uint64{9, 19, 30}, left)
}
