package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

const (
	// sendAhead is how many batches of the backfill lane may wait in the exporter's
	// stream before more are added: copies that pile up there would push out the
	// originals that are yet to be copied.
	sendAhead = 32

	// sendPoll is how often that is looked at, and roomWait how long a full stream is
	// left alone.
	sendPoll = 100 * time.Millisecond
	roomWait = time.Second

	// maxPassed is how many windows without anything to send are passed in one step.
	maxPassed = 1000
)

// kept is what the exporter's stream still has of the windows.
type kept struct {
	windows        []keptWindow // the oldest first
	missing, empty int
	// delivered windows were sent again before, and removed since.
	delivered int
}

// keptWindow is a window of the grid, or one that was exported under another grid.
type keptWindow struct {
	id  schemas.WindowID // without a name when nothing is kept
	w   schemas.Window
	run *keptRun // nil: nothing, or not all of it
	// revisions are what reconciliation found to be other afterwards, oldest first.
	revisions []*keptRun
	// empty: it had no points.
	empty bool
}

// keptRun is one run's batches.
type keptRun struct {
	id      string
	window  string
	first   uint64            // sequence
	batches map[uint64]uint64 // sequence by number
	copied  map[uint64]bool   // by this request
	// revision: it has only the points that changed.
	revision bool
}

// complete says whether all batches are there. How many there were is only known of
// runs whose events are kept; the others must at least have no hole: the oldest go
// first.
func (r *keptRun) complete(want uint64, known bool) bool {
	n := uint64(len(r.batches))
	if known && n < want {
		return false
	}
	for i := range n {
		if _, ok := r.batches[i]; !ok {
			return false
		}
	}
	return n > 0
}

// findKept reads the headers of what the exporter's stream has of the MetricsExporter.
func (r *Replay) findKept(ctx context.Context) (*kept, error) {
	t := r.cfg.Target
	runs := map[schemas.Window]map[string]*keptRun{}
	ids := map[schemas.Window]schemas.WindowID{}
	var filters []string
	for _, lane := range schemas.Lanes {
		filters = append(filters, "k2o.otlp."+schemas.Token(t.Exporter)+"."+string(lane)+"."+schemas.Token(t.Namespace)+"."+schemas.Token(t.Name)+".>")
	}
	err := r.cfg.Pipe.Each(ctx, schemas.OTLPStream(t.Exporter), pipe.Selection{Subjects: filters, HeadersOnly: true},
		func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
			h := m.Headers()
			id, err := schemas.ParseWindowID(h.Get(schemas.HeaderWindow))
			n, nerr := strconv.ParseUint(h.Get(schemas.HeaderBatch), 10, 64)
			run := h.Get(schemas.HeaderRun)
			if err != nil || nerr != nil || run == "" || id.Window.Start.Before(r.aligned.Start) || id.Window.End.After(r.aligned.End) {
				return nil
			}
			if runs[id.Window] == nil {
				runs[id.Window] = map[string]*keptRun{}
			}
			k := runs[id.Window][run]
			if k == nil {
				k = &keptRun{id: run, window: id.String(), first: meta.Sequence.Stream, batches: map[uint64]uint64{}, copied: map[uint64]bool{}}
				runs[id.Window][run] = k
			}
			k.revision = h.Get(schemas.HeaderRevision) != ""
			if h.Get(schemas.HeaderRequest) == r.cfg.Request {
				k.copied[n] = true
			}
			// The last of several copies: it stays the longest.
			k.batches[n] = meta.Sequence.Stream
			ids[id.Window] = id
			return nil
		})
	if err != nil {
		return nil, err
	}
	counts, empty, err := r.told(ctx)
	if err != nil {
		return nil, err
	}
	all := map[schemas.Window]bool{}
	for w := range runs {
		all[w] = true
	}
	for w := range r.cfg.Grid.Windows(r.aligned.Start, r.aligned.End) {
		all[w] = true
	}
	k := &kept{}
	for w := range all {
		kw := keptWindow{id: ids[w], w: w, empty: empty[w]}
		for _, run := range runs[w] {
			want, known := counts[run.id]
			if run.revision {
				kw.revisions = append(kw.revisions, run)
			} else if run.complete(want, known) && (kw.run == nil || run.first > kw.run.first) {
				kw.run = run
			}
		}
		kw.revise()
		k.windows = append(k.windows, kw)
	}
	slices.SortFunc(k.windows, func(a, b keptWindow) int {
		return cmp.Or(a.w.Start.Compare(b.w.Start), a.w.End.Compare(b.w.End))
	})
	// What was sent again before is waited for all the same.
	for _, kw := range k.windows {
		k.tally(kw, r.state.Request != nil && kw.w.Start.Before(r.state.Next()))
		if kw.run != nil {
			r.tracker.Expect(kw.run.window, kw.run.id, uint64(len(kw.run.batches)))
		}
	}
	if r.state.Request != nil {
		// Of those that were passed before, some had nothing kept then already.
		missing := min(k.delivered, int(r.state.Failed))
		k.missing, k.delivered = k.missing+missing, k.delivered-missing
	}
	return k, nil
}

func (k *kept) tally(kw keptWindow, passed bool) {
	switch {
	case kw.run != nil:
	case kw.empty:
		k.empty++
	case passed:
		// Only what was delivered is removed.
		k.delivered++
	default:
		k.missing++
	}
}

// revise leaves the revisions of the run that is sent again: a later run has them in
// it, and without a run they would be a part of the window.
func (kw *keptWindow) revise() {
	kw.revisions = slices.DeleteFunc(kw.revisions, func(r *keptRun) bool { return kw.run == nil || r.first < kw.run.first })
	slices.SortFunc(kw.revisions, func(a, b *keptRun) int { return cmp.Compare(a.first, b.first) })
}

// told returns, from the events that are kept, how many batches each run had, and
// which windows had no points.
func (r *Replay) told(ctx context.Context) (counts map[string]uint64, empty map[schemas.Window]bool, err error) {
	counts, empty = map[string]uint64{}, map[schemas.Window]bool{}
	t := r.cfg.Target
	filters := []string{
		schemas.EventSubject(t.Namespace, t.Name, schemas.EventQueried),
		schemas.EventSubject(t.Namespace, t.Name, schemas.EventTransformed),
	}
	err = r.cfg.Pipe.Each(ctx, schemas.EventsStream, pipe.Selection{Subjects: filters}, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		e := new(wire.Event)
		if proto.Unmarshal(m.Data(), e) != nil {
			return nil
		}
		w := schemas.Window{Start: time.Unix(0, e.StartUnixNano).UTC(), End: time.Unix(0, e.EndUnixNano).UTC()}
		switch {
		case schemas.IsReconcile(e.Request):
			// That nothing is other does not make a window empty.
		case e.Type == string(schemas.EventTransformed):
			counts[e.Run] = e.Batches
			empty[w] = e.Batches == 0
		case e.Rows == 0:
			empty[w] = true
		}
		return nil
	})
	return counts, empty, err
}

// Missing returns the windows of which nothing, or not everything, is kept any more.
func (r *Replay) Missing() []schemas.Window {
	var list []schemas.Window
	if r.kept != nil {
		for _, kw := range r.kept.windows {
			if kw.run == nil && !kw.empty {
				list = append(list, kw.w)
			}
		}
	}
	return list
}

// stepSend sends the next window again, and passes those before it that have nothing
// to send: no more than so many that a step ends soon.
func (r *Replay) stepSend(ctx context.Context) (int, error) {
	windows := r.kept.windows
	r.state.Windows = uint64(len(windows))
	to := proto.CloneOf(r.state.Request)
	to.InFlight = nil
	sent := 0
	i, _ := slices.BinarySearchFunc(windows, r.state.Next(), func(w keptWindow, t time.Time) int { return w.w.Start.Compare(t) })
	for first := i; i < len(windows) && i-first < maxPassed && sent == 0; {
		// Of two grids two windows may begin together: the state tells times only, so
		// both go in one step.
		start := windows[i].w.Start
		to.NextUnixNano = start.UnixNano() + 1
		for ; i < len(windows) && windows[i].w.Start.Equal(start); i++ {
			w := &windows[i]
			if w.run != nil {
				if err := r.send(ctx, w); err != nil {
					return 0, err
				}
				sent++
			}
			if w.run == nil && !w.empty {
				to.Failed++
			}
			to.Issued++
		}
	}
	if i == len(windows) {
		to.NextUnixNano, to.DoneUnixNano = to.EndUnixNano, r.cfg.Now().UnixNano()
	}
	if err := r.probe(); err != nil {
		return 0, err
	}
	state, err := r.store.Advance(ctx, r.state, to, r.cfg.Target.Exporter, nil)
	if err != nil {
		return 0, err
	}
	r.state = state
	return sent, nil
}

// send publishes the copies of a window's batches that are not in the stream yet, and
// then those of what was revised.
func (r *Replay) send(ctx context.Context, kw *keptWindow) error {
	if err := r.sendRun(ctx, kw, kw.run); err != nil {
		return err
	}
	for _, run := range kw.revisions {
		// What is on its way may overtake: the last value is the one that counts.
		if err := r.room(ctx, 1); err != nil {
			return err
		}
		if err := r.sendRun(ctx, kw, run); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replay) sendRun(ctx context.Context, kw *keptWindow, run *keptRun) error {
	for _, n := range slices.Sorted(maps.Keys(run.batches)) {
		if run.copied[n] {
			continue
		}
		if err := r.room(ctx, sendAhead); err != nil {
			return err
		}
		m, err := pipe.GetFromLeader(ctx, r.cfg.Pipe.JS, schemas.OTLPStream(r.cfg.Target.Exporter), pipe.GetRequest{Seq: run.batches[n]})
		if errors.Is(err, pipe.ErrNoMessage) && run.revision {
			continue
		}
		if errors.Is(err, pipe.ErrNoMessage) {
			// Its room was needed meanwhile. What was copied of it is right all the same.
			r.tracker.Forget(kw.run.window)
			kw.run, kw.revisions = nil, nil
			r.kept.missing++
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.publish(ctx, kw, run, n, m); err != nil {
			return err
		}
		run.copied[n] = true
		if err := r.probe(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replay) publish(ctx context.Context, kw *keptWindow, run *keptRun, n uint64, m *jetstream.RawStreamMsg) error {
	h := nats.Header{}
	for k, v := range m.Header {
		if len(k) < 5 || k[:5] != "Nats-" {
			h[k] = v
		}
	}
	h.Set(schemas.HeaderLane, string(schemas.LaneBackfill))
	h.Set(schemas.HeaderRequest, r.cfg.Request)
	t := r.cfg.Target
	o := pipe.Outgoing{
		Subject: schemas.OTLPSubject(t.Exporter, schemas.LaneBackfill, t.Namespace, t.Name, kw.w.Start, run.id, int(n)),
		ID:      fmt.Sprintf("%s/%d/%08x!%s", run.id, n, crc32.Checksum(m.Data, castagnoli), r.cfg.Request),
		Header:  h, Data: m.Data,
	}
	for {
		_, err := r.cfg.Pipe.Publish(ctx, o)
		if err == nil || !full(err) {
			return err
		}
		// The sender makes room as it delivers.
		if err := pause(ctx, roomWait); err != nil {
			return err
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// full says whether a stream has no room for a message.
func full(err error) bool {
	const streamStoreFailed = 10077 // "maximum bytes exceeded"
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.ErrorCode == streamStoreFailed
}

// room waits until fewer than so many batches of the lane wait in the exporter's stream. Before a
// sender has run there is nobody to wait for.
func (r *Replay) room(ctx context.Context, most uint64) error {
	exporter := r.cfg.Target.Exporter
	for {
		c, err := r.cfg.Pipe.JS.Consumer(ctx, schemas.OTLPStream(exporter), schemas.SenderDurable(exporter, schemas.LaneBackfill))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at the backlog of exporter %q: %w", exporter, err)
		}
		if info := c.CachedInfo(); info.NumPending+uint64(info.NumAckPending) < most {
			return nil
		}
		if err := pause(ctx, sendPoll); err != nil {
			return err
		}
	}
}
