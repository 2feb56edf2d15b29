package transformer

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/internal/otlpbody"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

const (
	// maxRecords bounds the points of a window, all its runs together, that a
	// reconciliation knows of: in memory they take up to 200 MB. Those beyond are
	// sent again. Of one run it bounds what is kept.
	maxRecords = 2 << 20

	// chunkRecords is how many records a message of them has: 512 KiB.
	chunkRecords = 32 << 10

	// settleDelay is after what time it is looked again whether what was to be exported
	// of a window before is.
	settleDelay = 15 * time.Second

	// ackDoubt is for how long what a sender told of a batch does not count: had its
	// process ended before the ack, the batch would be sent once more within this time.
	ackDoubt = time.Minute

	// eventSkew is how much the clocks of two servers may differ, of which one stored a
	// batch and the other what became of it.
	eventSkew = time.Second

	// ttlHeader is how long a message of a stream that allows it lives.
	ttlHeader = "Nats-TTL"

	// rememberTimeout bounds how long a window waits for its records to be stored.
	rememberTimeout = 5 * time.Second
)

// memory keeps what is to be known, later, of what was exported.
type memory struct {
	ready  atomic.Bool // the stream is there
	failed atomic.Bool // that it cannot be written was logged
}

// reconciliation is the transform of a window of a MetricsExporter that reconciles:
// it writes down which points leave, and, if the job asks for a window once more,
// lets only those leave that are other than what is known.
type reconciliation struct {
	// known has what was exported before; nil: everything leaves.
	known map[uint64]uint64

	found, unchanged uint64
	records          []byte
	tooMany          bool
}

// keep is told of each point of the window, each once.
func (r *reconciliation) keep(p pointRecord) bool {
	if r.known != nil {
		if value, ok := r.known[p.id]; ok {
			r.found++
			if value == p.value {
				r.unchanged++
				return false
			}
		}
	}
	if len(r.records) >= maxRecords*recordBytes {
		r.tooMany = true
	} else {
		r.records = appendRecord(r.records, p)
	}
	return true
}

// reconcile returns how to transform a window of a MetricsExporter that reconciles;
// nil for any other.
func (w *worker) reconcile(ctx context.Context, v *visible) (*reconciliation, error) {
	again := schemas.IsReconcile(v.Job.Request)
	if v.spec.Reconcile == nil && !again {
		return nil, nil
	}
	r := &reconciliation{}
	if again {
		var err error
		if r.known, err = w.exported(ctx, v); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// trace is what is known of one run of a window.
type trace struct {
	run     string
	last    time.Time // of its messages that are left
	records []pointRecord
	chunks  int // of its records that were found
	want    int // as many as there were; 0: not known
}

// exported returns what was exported of a window by the runs before this one: the
// value of each point, of the last run that had it. Whether this run's own batches,
// or records, are there already makes no difference, so that a message that is
// handled again has the same effects.
func (w *worker) exported(ctx context.Context, v *visible) (map[uint64]uint64, error) {
	if err := w.othersWait(ctx, v); err != nil {
		return nil, err
	}
	job, start := v.Job, schemas.JobWindow(v.Job).Start
	traces := map[string]*trace{}
	of := func(m *jetstream.RawStreamMsg) *trace {
		run := m.Header.Get(schemas.HeaderRun)
		id, err := schemas.ParseWindowID(m.Header.Get(schemas.HeaderWindow))
		if err != nil || id.Window != schemas.JobWindow(job) || run == "" || run == v.Run {
			return nil
		}
		if traces[run] == nil {
			traces[run] = &trace{run: run}
		}
		if t := traces[run]; m.Time.After(t.last) {
			t.last = m.Time
		}
		return traces[run]
	}

	left := maxRecords
	err := w.each(ctx, schemas.PointsStream, schemas.PointsFilter(w.exporter, job.Namespace, job.Name, start), func(m *jetstream.RawStreamMsg) error {
		t := of(m)
		if t == nil || len(m.Data)%recordBytes != 0 || len(m.Data)/recordBytes > left {
			return nil
		}
		want, err := strconv.Atoi(m.Header.Get(schemas.HeaderChunks))
		if err != nil || t.want != 0 && t.want != want {
			return nil
		}
		left -= len(m.Data) / recordBytes
		t.chunks, t.want = t.chunks+1, want
		for b := m.Data; len(b) > 0; b = b[recordBytes:] {
			t.records = append(t.records, pointRecord{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	complete := map[string]bool{}
	for run, t := range traces {
		complete[run] = t.want > 0 && t.chunks == t.want
	}
	for _, lane := range schemas.Lanes {
		var sent []sentBatch
		filter := schemas.OTLPWindowFilter(w.exporter, lane, job.Namespace, job.Name, start)
		err := w.each(ctx, schemas.OTLPStream(w.exporter), filter, func(m *jetstream.RawStreamMsg) error {
			t := of(m)
			if t == nil {
				return nil
			}
			sent = append(sent, newSentBatch(m))
			if complete[t.run] {
				return nil
			}
			return w.readBack(m, func(p pointRecord) {
				if left > 0 {
					left--
					t.records = append(t.records, p)
				}
			})
		})
		if err == nil {
			err = w.delivered(ctx, job, lane, sent)
		}
		if err != nil {
			return nil, err
		}
	}
	// Not before all is delivered, since a batch may be refused at last. What the
	// endpoint refused is not there, nor all that its run told.
	refused, err := w.refused(ctx, v)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(traces, func(run string, _ *trace) bool { return refused[run] })
	if left <= 0 {
		w.log.Warn("a window has more points than are compared with what was exported, the rest is sent again",
			"window", job.Window, "metrics_exporter", job.Namespace+"/"+job.Name, "compared", maxRecords)
	}

	runs := make([]*trace, 0, len(traces))
	for _, t := range traces {
		runs = append(runs, t)
	}
	slices.SortFunc(runs, func(a, b *trace) int { return cmp.Or(a.last.Compare(b.last), cmp.Compare(a.run, b.run)) })
	known := make(map[uint64]uint64)
	for _, t := range runs {
		for _, p := range t.records {
			known[p.id] = p.value
		}
		t.records = nil
	}
	return known, nil
}

// errSettle says that something of the window is under way.
var errSettle = errors.New("the window's points are not all exported yet")

// othersWait puts the window off while rows of it wait for their transform: what
// they give is not exported, and they may be older than these.
func (w *worker) othersWait(ctx context.Context, v *visible) error {
	filter := schemas.RowsWindowFilter(w.exporter, v.Job.Namespace, v.Job.Name, schemas.JobWindow(v.Job).Start)
	return w.each(ctx, schemas.RowsStream, filter, func(m *jetstream.RawStreamMsg) error {
		run := m.Header.Get(schemas.HeaderRun)
		// Of two that look at the window again, one goes first.
		if run == v.Run || schemas.IsReconcile(m.Header.Get(schemas.HeaderRequest)) && run > v.Run {
			return nil
		}
		return pipe.Later(errSettle, settleDelay)
	})
}

// each calls see with the last message of every subject that a filter selects. What
// is removed meanwhile is left out; a stream that is not there is empty.
func (w *worker) each(ctx context.Context, stream, filter string, see func(*jetstream.RawStreamMsg) error) error {
	s, err := w.cfg.Pipe.JS.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	var info *jetstream.StreamInfo
	if err == nil {
		info, err = s.Info(ctx, jetstream.WithSubjectFilter(filter))
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", filter, err)
	}
	for subject := range info.State.Subjects {
		m, err := w.cfg.Pipe.Get(ctx, stream, subject)
		if errors.Is(err, pipe.ErrNoMessage) {
			continue
		}
		if err == nil {
			err = see(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readBack calls see with the points of an OTLP batch. Of one that cannot be read
// nothing is known.
func (w *worker) readBack(m *jetstream.RawStreamMsg, see func(pointRecord)) error {
	body, err := otlpbody.Unpack(m.Data, m.Header.Get(schemas.HeaderEncoding))
	if err == nil {
		err = eachRecord(body, see)
	}
	if err != nil {
		w.log.Warn("a kept otlp batch cannot be read, its points are sent again", "subject", m.Subject, "error", err)
	}
	return nil
}

// remember stores the records of the points that left. Should that fail, as many
// points may be sent again as are forgotten, and that is all.
func (w *worker) remember(ctx context.Context, v *visible, r *reconciliation) {
	if len(r.records) == 0 || r.tooMany || v.spec.Reconcile == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rememberTimeout)
	defer cancel()
	err := w.store(ctx, v, r.records)
	if err == nil {
		w.memory.failed.Store(false)
	} else if !w.memory.failed.Swap(true) {
		w.log.Warn("could not keep what was exported for reconciliation: points whose batches are gone by then are sent again",
			"window", v.Job.Window, "metrics_exporter", v.Job.Namespace+"/"+v.Job.Name, "error", err)
	}
}

func (w *worker) store(ctx context.Context, v *visible, records []byte) error {
	if !w.memory.ready.Load() {
		if err := w.cfg.Pipe.EnsurePoints(ctx); err != nil {
			return err
		}
		w.memory.ready.Store(true)
	}
	ttl := v.spec.Reconcile.After.Duration + v.spec.Reconcile.Lookback.Duration
	// From the window's end, which a backfill passed long ago, to when it is looked at
	// again at the latest; it may be late itself.
	ttl = max(ttl, time.Minute).Round(time.Second)
	chunks := (len(records) + chunkRecords*recordBytes - 1) / (chunkRecords * recordBytes)
	publisher := w.cfg.Pipe.Publisher()
	for n := range chunks {
		chunk := records[n*chunkRecords*recordBytes:]
		chunk = chunk[:min(len(chunk), chunkRecords*recordBytes)]
		header := schemas.JobHeader(v.Job, w.exporter)
		header.Set(schemas.HeaderRun, v.Run)
		header.Set(schemas.HeaderChunks, strconv.Itoa(chunks))
		header.Set(ttlHeader, ttl.String())
		if err := publisher.Add(ctx, pipe.Outgoing{
			Subject: schemas.PointsSubject(w.exporter, v.Job.Namespace, v.Job.Name, schemas.JobWindow(v.Job).Start, v.Run, n),
			Header:  header, Data: chunk,
		}); err != nil {
			return err
		}
	}
	if err := publisher.Flush(ctx); err != nil {
		// The stream may have been deleted.
		w.memory.ready.Store(false)
		return err
	}
	return nil
}
