package files_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/engine"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/files"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// data is one table, T, of the default database.
func data(t *testing.T, text string) *files.Data {
	t.Helper()
	tab, err := files.CSV(strings.NewReader(text), "T.csv", "T")
	if err != nil {
		t.Fatal(err)
	}
	d := &files.Data{}
	if err := d.Add("", files.DefaultDatabase, tab); err != nil {
		t.Fatal(err)
	}
	return d
}

// all is every column of the rows that a source has within a range, as text.
func all(t *testing.T, d *files.Data, s engine.Source, now time.Time, ranges ...engine.TimeRange) string {
	t.Helper()
	def := d.Catalog()[0].Tables[0]
	req := engine.ScanRequest{Cluster: "Sandbox", Database: files.DefaultDatabase, Table: "T", Now: now, Ranges: ranges}
	for _, f := range def.Schema {
		req.Columns = append(req.Columns, f.Name)
	}
	out := table.New("T", def.Schema, 0)
	if err := s.Scan(context.Background(), req, func(b *table.Table) error {
		if b.Rows() == 0 || b.Rows() > 65536 {
			t.Errorf("a batch of %d rows", b.Rows())
		}
		out.AppendTable(b)
		return b.Validate()
	}); err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(dump(out), "\n")
	return strings.ReplaceAll(strings.ReplaceAll(rows, "T", " "), "0000000Z", "")
}

func within(column, from, to string) engine.TimeRange {
	r := engine.TimeRange{Column: column, From: table.MinDateTime, To: table.MaxDateTime}
	for text, x := range map[string]*int64{from: &r.From, to: &r.To} {
		if text != "" {
			v, err := engine.ParseValue(table.DateTime, text)
			if err != nil {
				panic(err)
			}
			*x = v.Ints[0]
		}
	}
	return r
}

const minutes = `n:long,t:datetime,u:datetime,s:string
2,2020-01-01T00:02:00Z,,b
0,2020-01-01T00:00:00Z,9999-12-31T23:59:59.9999999Z,
1,2020-01-01T00:01:00Z,2020-01-01T00:00:30Z,a
-1,,2020-01-01T00:00:30Z,never
`

func TestReplay(t *testing.T) {
	start := time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)
	d := data(t, minutes)
	s := d.Replay(start)
	for name, c := range map[string]struct {
		now    time.Time
		ranges []engine.TimeRange
		want   string
	}{
		"OKAtStart": {now: start, want: `-1 ∅ 2020-01-01 00:00:30. "never"
			0 2026-05-01 11:58:00. 9999-12-31 23:59:59.9999999Z ""
			1 2026-05-01 11:59:00. 2026-05-01 11:58:30. "a"
			2 2026-05-01 12:00:00. ∅ "b"`},
		"OKNextMinute": {now: start.Add(time.Minute), ranges: []engine.TimeRange{within("t", "2026-05-01T12:00:00Z", "")}, want: `-1 ∅ 2020-01-01 00:00:30. "never"
			2 2026-05-01 12:00:00. ∅ "b"
			0 2026-05-01 12:01:00. 9999-12-31 23:59:59.9999999Z ""`},
		"OKNextMonth": {now: start, ranges: []engine.TimeRange{within("t", "2026-06-01T12:00:00Z", "2026-06-01T12:03:59Z")}, want: `-1 ∅ 2020-01-01 00:00:30. "never"
			2 2026-06-01 12:00:00. ∅ "b"
			0 2026-06-01 12:01:00. 9999-12-31 23:59:59.9999999Z ""
			1 2026-06-01 12:02:00. 2026-06-01 12:01:30. "a"
			2 2026-06-01 12:03:00. ∅ "b"`},
		"OKBothEnds": {now: start, ranges: []engine.TimeRange{within("t", "2026-05-01T12:00:00Z", "2026-05-01T12:01:00Z")}, want: `-1 ∅ 2020-01-01 00:00:30. "never"
			2 2026-05-01 12:00:00. ∅ "b"
			0 2026-05-01 12:01:00. 9999-12-31 23:59:59.9999999Z ""`},
		"OKBefore": {now: start, ranges: []engine.TimeRange{within("t", "", "2026-05-01T11:57:59Z")}, want: `-1 ∅ 2020-01-01 00:00:30. "never"`},
		"OKOtherColumn": {now: start.Add(-time.Minute), ranges: []engine.TimeRange{within("u", "2026-05-01T12:00:00Z", "")}, want: `-1 ∅ 2020-01-01 00:00:30. "never"
			0 2026-05-01 11:58:00. 9999-12-31 23:59:59.9999999Z ""
			1 2026-05-01 11:59:00. 2026-05-01 11:58:30. "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := all(t, d, s, c.now, c.ranges...); got != lines(c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, lines(c.want))
			}
		})
	}
	t.Run("OKOneMoment", func(t *testing.T) {
		d := data(t, "t:datetime,n:long\n2020-01-01,1\n2020-01-01,2\n")
		if got := all(t, d, d.Replay(start), start.Add(time.Minute)); got != lines(`2026-05-01 12:00:00. 1
			2026-05-01 12:00:00. 2
			2026-05-01 12:01:00. 1
			2026-05-01 12:01:00. 2`) {
			t.Error(got)
		}
	})
	t.Run("OKNoTime", func(t *testing.T) {
		for _, text := range []string{"n:long\n1\n2\n", "n:long,t:datetime\n1,\n2,\n"} {
			d := data(t, text)
			if got, want := all(t, d, d.Replay(start), start), all(t, d, d.Source(), start); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
	t.Run("OKCount", func(t *testing.T) {
		n := 0
		req := engine.ScanRequest{Cluster: "sandbox", Database: files.DefaultDatabase, Table: "T", Now: start.Add(24 * time.Hour)}
		if err := s.Scan(context.Background(), req, func(b *table.Table) error {
			n += b.Rows()
			return nil
		}); err != nil || n != 1+3+24*60 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
	// Cut anywhere, a range has the same rows: windows neither lose nor repeat any, also not where the file begins again.
	t.Run("OKWindows", func(t *testing.T) {
		var text strings.Builder
		text.WriteString("t:datetime,n:long\n")
		for i := range 40_000 {
			n := strconv.Itoa(i)
			if i%3 == 0 {
				n = "" // a null, at other places of each batch
			}
			fmt.Fprintf(&text, "%s,%s\n", time.Unix(int64(i)*7%1000, 0).UTC().Format(time.RFC3339), n)
		}
		d := data(t, text.String())
		s := d.Replay(start)
		from := table.Ticks(start)
		const window = 77 * table.TicksPerSecond
		whole := all(t, d, s, start, engine.TimeRange{Column: "t", From: from, To: from + 30*window - 1})
		var parts []string
		for i := range int64(30) {
			if p := all(t, d, s, start, engine.TimeRange{Column: "t", From: from + i*window, To: from + (i+1)*window - 1}); p != "" {
				parts = append(parts, p)
			}
		}
		if strings.Join(parts, "\n") != whole || strings.Count(whole, "\n") < 90_000 {
			t.Errorf("windows have other rows than the range of %d rows that they make up", strings.Count(whole, "\n")+1)
		}
	})
	t.Run("ErrStop", func(t *testing.T) {
		stop := errors.New("enough")
		req := engine.ScanRequest{Cluster: "sandbox", Database: files.DefaultDatabase, Table: "T", Columns: []string{"n"}, Now: start}
		if err := s.Scan(context.Background(), req, func(*table.Table) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Scan(ctx, req, func(*table.Table) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		req.Columns = []string{"x"}
		if err := s.Scan(context.Background(), req, nil); err == nil || err.Error() != `table "T" has no column "x"` {
			t.Error(err)
		}
		req.Table = "U"
		if err := s.Scan(context.Background(), req, nil); err == nil || err.Error() != `table "U" of database "NetDefaultDB" on cluster "sandbox" is not there` {
			t.Error(err)
		}
	})
}

func TestSource(t *testing.T) {
	d := data(t, minutes)
	if got := all(t, d, d.Source(), time.Now()); !strings.HasPrefix(got, "2 2020-01-01 00:02:00. ∅") || strings.Count(got, "\n") != 3 {
		t.Error(got)
	}
}
