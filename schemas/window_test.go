package schemas_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestWindowID(t *testing.T) {
	at := func(s string) time.Time {
		tm, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		return tm
	}
	for name, want := range map[string]schemas.WindowID{
		"monitoring/service-response-times@2026-01-01T00:00:00Z/2026-01-01T00:05:00Z#1": {
			Namespace: "monitoring", Name: "service-response-times",
			Window:     schemas.Window{Start: at("2026-01-01T00:00:00Z"), End: at("2026-01-01T00:05:00Z")},
			Generation: 1,
		},
		"a.b/c.d@2026-01-01T00:00:01.5Z/2026-01-01T00:00:03Z#18446744073709551615": {
			Namespace: "a.b", Name: "c.d",
			Window:     schemas.Window{Start: at("2026-01-01T00:00:01.5Z"), End: at("2026-01-01T00:00:03Z")},
			Generation: 1<<64 - 1,
		},
	} {
		t.Run("OK", func(t *testing.T) {
			require.Equal(t, name, want.String())
			got, err := schemas.ParseWindowID(name)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}

	for in, why := range map[string]string{
		"":                                     "no @",
		"name@2026/2027#1":                     "no namespace and name",
		"/n@a/b#1":                             "no namespace and name",
		"ns/n@2026-01-01T00:00:00Z#1":          "no end",
		"ns/n@2026-01-01T00:00:00Z/tomorrow#1": "end is no RFC 3339 time",
		"ns/n@2026-01-01T00:00:00Z/2026-01-01T00:05:00Z":    "no generation",
		"ns/n@2026-01-01T00:00:00Z/2026-01-01T00:05:00Z#-1": "generation is no number",
		"ns/n@2026-01-01T00:05:00Z/2026-01-01T00:05:00Z#1":  "start is not before end",
		"ns/n@yesterday/2026-01-01T00:05:00Z#1":             "start is no RFC 3339 time",
	} {
		t.Run("Err", func(t *testing.T) {
			_, err := schemas.ParseWindowID(in)
			require.ErrorContains(t, err, ": "+why+"; want <namespace>/<name>@<start>/<end>#<generation>")
		})
	}
}

func FuzzParseWindowID(f *testing.F) {
	f.Add("monitoring/times@2026-01-01T00:00:00Z/2026-01-01T00:05:00Z#1")
	f.Add("a/b@2026-01-01T00:00:00.000000001+01:00/2026-01-01T00:05:00Z#0")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := schemas.ParseWindowID(s)
		if err != nil {
			return
		}
		again, err := schemas.ParseWindowID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q parsed to %v, which parses to %v, %v", s, id, again, err)
		}
	})
}

// The end that KQL sees is the last tick inside the window.
func TestWindowLast(t *testing.T) {
	end := time.Date(2026, 1, 1, 0, 5, 0, 0, time.UTC)
	w := schemas.Window{Start: end.Add(-5 * time.Minute), End: end}
	require.Equal(t, "2026-01-01T00:04:59.9999999Z", w.Last().Format(time.RFC3339Nano))
}
