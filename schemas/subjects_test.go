package schemas_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestToken(t *testing.T) {
	for in, want := range map[string]string{
		"telemetry":        "telemetry",
		"data.dog":         "data=2Edog",
		"a b*c>d":          "a=20b=2Ac=3Ed",
		"=":                "=3D",
		"zürich":           "z=C3=BCrich",
		"x_y-Z9":           "x_y-Z9",
		"2026-01-01T00:00": "2026-01-01T00=3A00",
	} {
		require.Equal(t, want, schemas.Token(in))
	}
}

// Two names never share a token, and a token is one, whatever the name.
func FuzzToken(f *testing.F) {
	f.Add("a.b", "a=2Eb")
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsAny(schemas.Token(a), ".*> \t\r\n/\\") {
			t.Fatalf("token of %q is %q", a, schemas.Token(a))
		}
		if (a == b) != (schemas.Token(a) == schemas.Token(b)) {
			t.Fatalf("%q and %q have tokens %q and %q", a, b, schemas.Token(a), schemas.Token(b))
		}
	})
}

func TestSubjects(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for got, want := range map[string]string{
		schemas.JobSubject("c", "e.x", schemas.LaneLive, "ns", "a.b", at, ""):      "k2o.job.c.e=2Ex.live.ns.a=2Eb.20260102T020405Z",
		schemas.JobSubject("c", "e", schemas.LaneBackfill, "ns", "n", at, "may"):   "k2o.job.c.e.backfill.ns.n.20260102T020405Z.may",
		schemas.JobSubject("c", "e", schemas.LaneLive, "ns", "n", at.Add(5e8), ""): "k2o.job.c.e.live.ns.n.20260102T020405_5Z",
		schemas.JobsFilter(schemas.LaneLive, "ns", "a.b"):                          "k2o.job.*.*.live.ns.a=2Eb.>",
		schemas.CursorSubject("ns", "a.b"):                                         "k2o.cursor.ns.a=2Eb",
		schemas.RowsSubject("e", schemas.LaneLive, "ns", "n", at, "r1"):            "k2o.rows.e.live.ns.n.20260102T020405Z.r1",
		schemas.PartSubject("r1", 7):                                               "k2o.part.r1.7",
		schemas.OTLPSubject("e", schemas.LaneLive, "ns", "n", at, "r1", 7):         "k2o.otlp.e.live.ns.n.20260102T020405Z.r1.7",
		schemas.DeadSubject(schemas.Sender, "", ""):                                "k2o.dead.sender._._",
		schemas.EventSubject("ns", "n", schemas.EventQueried):                      "k2o.event.ns.n.queried",
		schemas.OTLPStream("data.dog"):                                             "K2O_OTLP_data=2Edog",
	} {
		require.Equal(t, want, got)
	}
}

func TestTransformCheck(t *testing.T) {
	columns := []schemas.ColumnType{{"name", "string"}, {"value", "real"}, {"at", "datetime"}, {"Region", "string"}}
	transform := schemas.TransformConfig{MetricNameColumn: "name", ValueColumn: "value", TimestampColumn: "at", LabelColumns: []string{"Region"}}
	t.Run("OK", func(t *testing.T) {
		require.NoError(t, transform.Check(columns))
		require.Equal(t, []string{"name", "value", "at", "Region"}, transform.Columns())
	})
	t.Run("ErrMissing", func(t *testing.T) {
		tr := transform
		tr.LabelColumns = []string{"Region", "region"}
		require.EqualError(t, tr.Check(columns),
			`transform.labelColumns[1]: the answer has no column "region"; it has name (string), value (real), at (datetime), Region (string)`)
	})
	t.Run("ErrNoNumber", func(t *testing.T) {
		tr := transform
		tr.ValueColumn, tr.ValueColumns = "", []string{"value", "at"}
		require.EqualError(t, tr.Check(columns), `transform.valueColumns[1]: column "at" is datetime, want a number`)
	})
	t.Run("ErrNoTime", func(t *testing.T) {
		tr := transform
		tr.TimestampColumn = "name"
		require.EqualError(t, tr.Check(columns), `transform.timestampColumn: column "name" is string, want datetime`)
	})
	t.Run("ErrNoColumns", func(t *testing.T) {
		require.EqualError(t, transform.Check(nil), `transform.metricNameColumn: the answer has no column "name"; it has none`)
	})
}
