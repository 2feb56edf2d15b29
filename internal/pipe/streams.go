package pipe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// duplicates is how long a stream remembers message ids. It outlasts any run of
	// a query, so that two runs of the same window cannot both become visible.
	duplicates = 2 * time.Hour

	// eventAge is how long events are kept.
	eventAge = 7 * 24 * time.Hour

	// streamRoom is what an exporter's stream may hold, as a multiple of its
	// backlog's high-water mark: the windows that were under way when the mark was
	// passed still fit, and what was delivered is kept in what remains.
	streamRoom = 2
)

// ExporterStream is what the stream of one exporter's OTLP batches needs to know.
type ExporterStream struct {
	Name            string
	MaxBacklogBytes int64
}

// EnsureStreams creates the streams, or updates them to what this version wants.
// Any number of processes may do so at once.
func (p *Pipe) EnsureStreams(ctx context.Context, exporters []ExporterStream) error {
	streams := []jetstream.StreamConfig{
		{
			Name:        schemas.JobsStream,
			Description: "window jobs that wait for a query, and how far each MetricsExporter's windows were issued",
			Subjects:    []string{schemas.AllJobs, schemas.AllCursors},
			Retention:   jetstream.WorkQueuePolicy,
			// Of a cursor only the last counts, and a job has a subject of its own.
			MaxMsgsPerSubject:  1,
			AllowAtomicPublish: true,
		},
		{
			Name:        schemas.RowsStream,
			Description: "rows of windows that wait for their transform",
			Subjects:    []string{schemas.AllRows, schemas.AllParts},
			Retention:   jetstream.WorkQueuePolicy,
			Duplicates:  duplicates,
		},
		{
			Name:        schemas.DeadStream,
			Description: "messages that can never succeed, until somebody decides",
			Subjects:    []string{schemas.AllDead},
			Duplicates:  duplicates,
		},
		{
			Name:        schemas.EventsStream,
			Description: "what became of each window",
			Subjects:    []string{schemas.AllEvents},
			MaxAge:      eventAge,
		},
	}
	for _, e := range exporters {
		streams = append(streams, jetstream.StreamConfig{
			Name:        schemas.OTLPStream(e.Name),
			Description: "OTLP batches of exporter " + e.Name + ": those that wait, and those delivered and kept for a replay",
			Subjects:    []string{schemas.OTLPFilter(e.Name, "*")},
			MaxBytes:    streamRoom * e.MaxBacklogBytes,
			// Full is refused, never made room for: what is undelivered stays.
			Discard:    jetstream.DiscardNew,
			Duplicates: duplicates,
		})
	}
	for _, s := range streams {
		s.Storage = jetstream.FileStorage
		s.Replicas = p.replicas
		s.AllowDirect = true
		if err := p.ensureStream(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pipe) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	for attempt := uint64(1); ; attempt++ {
		try, cancel := context.WithTimeout(ctx, askTimeout(attempt))
		err := p.createOrUpdateStream(try, cfg)
		cancel()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("create or update stream %s: %w", cfg.Name, err)
		if refused(err) {
			return err
		}
		if attempt == 1 {
			p.log.Warn("waiting for jetstream", "error", err)
		}
		if !wait(ctx, backoff(attempt, defaultMaxBackoff)) {
			return err
		}
	}
}

// createOrUpdateStream changes nothing where nothing is to be changed: of several
// processes that start at once and ask a cluster for the same change, most get no
// answer.
func (p *Pipe) createOrUpdateStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	s, err := p.JS.Stream(ctx, cfg.Name)
	if err == nil && sameStream(s.CachedInfo().Config, cfg) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	_, err = p.JS.CreateOrUpdateStream(ctx, cfg)
	return err
}

// sameStream says whether a stream is already as it is wanted. What is not wanted in
// particular, the server fills in.
func sameStream(is, want jetstream.StreamConfig) bool {
	unlimited := func(n int64) int64 { return max(n, 0) } // the server says -1
	if want.Duplicates == 0 {
		want.Duplicates = is.Duplicates
	}
	return is.Description == want.Description &&
		slices.Equal(is.Subjects, want.Subjects) &&
		is.Retention == want.Retention &&
		is.Discard == want.Discard &&
		is.Storage == want.Storage &&
		is.Replicas == want.Replicas &&
		is.MaxAge == want.MaxAge &&
		is.Duplicates == want.Duplicates &&
		unlimited(is.MaxBytes) == unlimited(want.MaxBytes) &&
		unlimited(is.MaxMsgsPerSubject) == unlimited(want.MaxMsgsPerSubject) &&
		is.AllowDirect == want.AllowDirect &&
		is.AllowAtomicPublish == want.AllowAtomicPublish
}

// askTimeout bounds one request to JetStream about streams and consumers. An answer
// that is lost is lost for good, and to ask again costs little.
func askTimeout(attempt uint64) time.Duration {
	const first = 2 * time.Second
	return min(first<<min(attempt-1, 8), publishTimeout)
}

// refused says whether JetStream will never do what it was asked, other than one
// that has no leader or no answer yet.
func refused(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	const insufficientResources = 10023
	return api.Code != 503 || api.ErrorCode == insufficientResources
}
