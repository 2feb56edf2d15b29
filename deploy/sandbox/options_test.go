package sandbox

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func TestParseTimeSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"00:04:00": 4 * time.Minute, "1.02:03:04.5": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond,
		"-00:00:00.0000001": -100, "00:00:00": 0,
	} {
		if got, err := parseTimeSpan(text); err != nil || got != want {
			t.Errorf("parseTimeSpan(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "4", "1:2", "24:00:00", "00:60:00", "00:00:00.12345678", "x.00:00:00", "00:00:0-", "-"} {
		if got, err := parseTimeSpan(text); err == nil {
			t.Errorf("parseTimeSpan(%q) = %v", text, got)
		}
	}
}

// What a timeout is written as must be read back, whoever writes it.
func FuzzTimeSpan(f *testing.F) {
	f.Add(int64(1))
	f.Add(int64(-36_000_000_001))
	f.Fuzz(func(t *testing.T, ticks int64) {
		if limit := int64(65_000) * 86400 * table.TicksPerSecond; ticks > limit || ticks < -limit {
			return
		}
		got, err := parseTimeSpan(table.Span(ticks).String())
		if err != nil || table.SpanTicks(got) != ticks {
			t.Errorf("%v is read as %v, %v", table.Span(ticks), got, err)
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte(`{"Options":{"servertimeout":"00:04:00","notruncation":true},"Parameters":{"a":"long(1)"}}`))
	f.Add([]byte(`"{\"Options\":{\"truncationmaxrecords\":5}}"`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return // the decoder of the body has refused it
		}
		p, err := parseProperties(raw)
		if err != nil {
			return
		}
		o, err := parseOptions(p.Options)
		if err == nil && (o.Timeout <= 0 || o.Timeout > MaxServerTimeout || o.MaxRecords < 0 || o.MaxBytes < 0) {
			t.Errorf("%s gives %+v", raw, o)
		}
	})
}

// Whatever is in a string, the answer around it stays JSON on one line.
func FuzzString(f *testing.F) {
	f.Add("é\"\\\n\x00\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		for _, b := range [][]byte{appendString(nil, s), appendDynamic(nil, s)} {
			var x any
			if err := json.Unmarshal(b, &x); err != nil {
				t.Errorf("%q gives %s: %v", s, b, err)
			}
			for _, c := range b {
				if c == '\n' {
					t.Errorf("%q gives more than one line", s)
				}
			}
		}
	})
}

func FuzzReal(f *testing.F) {
	for _, x := range []float64{0, -0.1, 1e15, 1e-5, 1e-6, 123456789012345680, 5e-324} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, x float64) {
		b := appendReal(nil, x)
		if b[0] == '"' {
			return
		}
		var got float64
		if err := json.Unmarshal(b, &got); err != nil || got != x {
			t.Errorf("%v gives %s: %v, %v", x, b, got, err)
		}
	})
}
