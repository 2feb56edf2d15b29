package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
	"github.com/kusto2otlp/kusto2otlp/schemas"
	"github.com/kusto2otlp/kusto2otlp/schemas/wire"
)

// board is what the events of the stages add up to, for the demo.
type board struct {
	mu   sync.Mutex
	rows map[string]*boardRow
	runs map[string]*boardRun
}

// boardRow is one MetricsExporter.
type boardRow struct {
	key, exporter  string
	planned        int
	exported       int
	failed         int
	rows, points   uint64
	rejected       uint64
	lag            time.Duration
	last           schemas.Window
	state, problem string
}

// boardRun is one run of a window's query: it is exported when the endpoint has
// accepted every batch that the transformer made of it.
type boardRun struct {
	batches  map[uint64]bool // accepted
	want     uint64
	complete bool // want is known
	points   uint64
}

func newBoard() *board {
	return &board{rows: map[string]*boardRow{}, runs: map[string]*boardRun{}}
}

// see folds one event in and tells the screen about a window that is done.
func (b *board) see(e *wire.Event, s *screen) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := e.Namespace + "/" + e.Name
	r := b.rows[key]
	if r == nil {
		r = &boardRow{key: key}
		b.rows[key] = r
	}
	r.exporter = cmp.Or(e.Exporter, r.exporter)
	w := schemas.Window{Start: time.Unix(0, e.StartUnixNano).UTC(), End: time.Unix(0, e.EndUnixNano).UTC()}
	run := b.runs[e.Run]
	if run == nil && e.Run != "" {
		run = &boardRun{batches: map[uint64]bool{}}
		b.runs[e.Run] = run
	}
	switch schemas.EventType(e.Type) {
	case schemas.EventPlanned:
		r.planned++
		r.state = "querying"
	case schemas.EventQueried:
		r.rows += e.Rows
		r.state = "transforming"
		if e.Batches == 0 {
			run.complete = true
			b.finish(r, e, w, run, s)
		}
	case schemas.EventTransformed:
		for _, n := range e.Rejected {
			r.rejected += n
		}
		r.state = "sending"
		run.want, run.complete = e.Batches, true
		b.finish(r, e, w, run, s)
	case schemas.EventExported:
		if !run.batches[e.Batch] {
			run.batches[e.Batch] = true
			run.points += e.Points
			r.points += e.Points
		}
		for _, n := range e.Rejected {
			r.rejected += n
		}
		b.finish(r, e, w, run, s)
	case schemas.EventRetrying:
		r.state, r.problem = "retrying", e.Message
	case schemas.EventFailed:
		r.failed++
		r.state, r.problem = "failed", e.Message
		s.line("%s  failed in the %s: %s", key, e.Stage, e.Message)
	}
}

func (b *board) finish(r *boardRow, e *wire.Event, w schemas.Window, run *boardRun, s *screen) {
	if !run.complete || uint64(len(run.batches)) < run.want {
		return
	}
	r.exported++
	r.state = "waiting"
	if w.End.After(r.last.End) {
		r.last = w
	}
	r.lag = time.Unix(0, e.AtUnixNano).Sub(w.End)
	s.line("%s  window %s  %d points to %s  %s after its end", r.key, w, run.points, r.exporter, r.lag.Round(time.Millisecond))
	delete(b.runs, e.Run)
}

func (b *board) points() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n uint64
	for _, r := range b.rows {
		n += r.points
	}
	return int64(n)
}

func (b *board) sorted() []*boardRow {
	list := make([]*boardRow, 0, len(b.rows))
	for _, r := range b.rows {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *boardRow) int { return cmp.Compare(a.key, b.key) })
	return list
}

// boardColumns are the columns of the table, the dispensable ones with the width
// that a terminal must have to show them.
var boardColumns = []struct {
	title string
	min   int
	right bool
	cell  func(*boardRow) string
}{
	{"METRICS EXPORTER", 0, false, func(r *boardRow) string { return r.key }},
	{"EXPORTER", 140, false, func(r *boardRow) string { return cmp.Or(r.exporter, "-") }},
	{"WINDOWS", 0, true, func(r *boardRow) string { return fmt.Sprintf("%d/%d", r.exported, r.planned) }},
	{"ROWS", 100, true, func(r *boardRow) string { return fmt.Sprint(r.rows) }},
	{"POINTS", 0, true, func(r *boardRow) string { return fmt.Sprint(r.points) }},
	{"REJECTED", 110, true, func(r *boardRow) string { return fmt.Sprint(r.rejected) }},
	{"LAG", 0, true, func(r *boardRow) string {
		if r.last.End.IsZero() {
			return "-"
		}
		if r.lag > time.Minute {
			return r.lag.Round(time.Second).String()
		}
		return fmt.Sprintf("%.2fs", r.lag.Seconds())
	}},
	{"LAST WINDOW (UTC)", 120, false, func(r *boardRow) string {
		if r.last.End.IsZero() {
			return "-"
		}
		return r.last.Start.Format("15:04:05") + "-" + r.last.End.Format("15:04:05")
	}},
	{"STATE", 0, false, func(r *boardRow) string {
		if r.problem != "" && (r.state == "failed" || r.state == "retrying") {
			return r.state + ": " + r.problem
		}
		return r.state
	}},
}

// table draws one line for each MetricsExporter, in so many columns of text.
func (b *board) table(width int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := b.sorted()
	lines := make([]string, len(rows)+1)
	for _, c := range boardColumns {
		if width < c.min {
			continue
		}
		cells, wide := []string{c.title}, len(c.title)
		for _, r := range rows {
			cells = append(cells, c.cell(r))
			wide = max(wide, len(cells[len(cells)-1]))
		}
		if c.title == "STATE" {
			wide = 0 // the last needs no padding
		}
		for i, cell := range cells {
			if c.right {
				lines[i] += fmt.Sprintf("%*s  ", wide, cell)
			} else {
				lines[i] += fmt.Sprintf("%-*s  ", wide, cell)
			}
		}
	}
	return lines
}

// summary says what came of it all, and whether the endpoint agrees.
func (b *board) summary(took time.Duration, end otlp.Snapshot, width int) string {
	var s strings.Builder
	table := b.table(width - 2)
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(&s, "\nafter %s:\n\n", took.Round(time.Second))
	for _, line := range table {
		s.WriteString("  " + strings.TrimRight(line, " ") + "\n")
	}
	var planned, exported, failed int
	var points uint64
	for _, r := range b.rows {
		planned, exported, failed = planned+r.planned, exported+r.exported, failed+r.failed
		points += r.points
	}
	var requests, series int64
	for _, e := range end.Exporters {
		requests, series = requests+e.Requests, series+e.Series
	}
	fmt.Fprintf(&s, "\nexported %d of %d windows, %d points; the endpoint counted %d points of %d series in %d requests\n",
		exported, planned, points, end.Points(), series, requests)
	if waiting := planned - exported - failed; waiting > 0 {
		fmt.Fprintf(&s, "%d windows were still under way: they would be done at the next start\n", waiting)
	}
	if failed > 0 {
		fmt.Fprintf(&s, "%d windows failed\n", failed)
	}
	return s.String()
}

// screen shows a board: a table in place on a terminal, lines elsewhere.
type screen struct {
	out   io.Writer
	file  *os.File // nil: no terminal
	mu    sync.Mutex
	drawn int // lines of the last drawing
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if f, ok := isTerminal(out); ok {
		s.file = f
	}
	return s
}

// line prints a line where there is no terminal.
func (s *screen) line(format string, args ...any) {
	if s.file != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, time.Now().UTC().Format("15:04:05.000")+"  "+format+"\n", args...)
}

// show draws the table until ctx ends, and then clears it for the summary.
func (s *screen) show(ctx context.Context, b *board, end *otlp.Server) {
	if s.file == nil {
		return
	}
	t := time.NewTicker(demoRefresh)
	defer t.Stop()
	for {
		width, height := s.size()
		lines := b.table(width)
		snapshot := end.Snapshot()
		var requests int64
		for _, e := range snapshot.Exporters {
			requests += e.Requests
		}
		lines = append(lines, "", fmt.Sprintf("%s UTC   the endpoint has counted %d points in %d requests   Ctrl-C ends",
			time.Now().UTC().Format("15:04:05"), snapshot.Points(), requests))
		// More lines than the terminal has could not be drawn over.
		s.draw(lines[:min(len(lines), max(height-2, 1))], width)
		select {
		case <-ctx.Done():
			s.draw(nil, width)
			return
		case <-t.C:
		}
	}
}

// size returns the terminal's; 160 by 50 where there is none.
func (s *screen) size() (width, height int) {
	if s.file == nil {
		return 160, 50
	}
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil || width < 20 || height < 3 {
		return 80, 24
	}
	return width, height
}

// draw replaces what was drawn before, cut to the terminal's width: a line that
// wraps would be two when it is replaced.
func (s *screen) draw(lines []string, width int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var buf strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&buf, "\x1b[%dA\r\x1b[J", s.drawn)
	}
	for _, line := range lines {
		if r := []rune(line); len(r) > width-1 {
			line = string(r[:width-1])
		}
		buf.WriteString(line + "\n")
	}
	s.drawn = len(lines)
	_, _ = io.WriteString(s.out, buf.String())
}
