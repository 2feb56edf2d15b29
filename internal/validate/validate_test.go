package validate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
	"github.com/kusto2otlp/kusto2otlp/internal/schemafile"
	"github.com/kusto2otlp/kusto2otlp/internal/validate"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

var shared = sync.OnceValues(func() (*kql.Parser, error) { return kql.Open(kql.Config{}) })

func mustParser(tb testing.TB) *kql.Parser {
	tb.Helper()
	if slowParser {
		tb.Skip("the parser is far too slow with the race detector in it")
	}
	p, err := shared()
	require.NoError(tb, err)
	return p
}

// schema has two databases on two clusters.
func schema() *schemafile.File {
	return &schemafile.File{Version: schemafile.Version, Clusters: []schemafile.Cluster{
		{Name: "telemetry", Host: "example.eastus.kusto.windows.net", Databases: []kql.Database{{Name: "DB", Tables: []kql.Table{{Name: "T", Columns: []kql.Column{
			{Name: "Timestamp", Type: "datetime"}, {Name: "Service", Type: "string"}, {Name: "Ms", Type: "real"}, {Name: "_odd", Type: "long"},
		}}}, Functions: []kql.Function{
			{Name: "F", Parameters: "(from: datetime, to: datetime = datetime(2025-01-01))", Body: "{ T | where Timestamp between (from .. to) }"},
			{Name: "G", Parameters: "(R: (Service: string, ['it\\'s']: int), any: (*))", Body: "{ R | project Service }"},
		}}}},
		{Name: "other", Databases: []kql.Database{{Name: "Other", Tables: []kql.Table{{Name: "U", Columns: []kql.Column{{Name: "v", Type: "long"}}}}}}},
	}}
}

func pipeline() *validate.Pipeline {
	return &validate.Pipeline{
		Exporters: []string{"e"}, Databases: []string{"DB"}, Labels: map[string]string{"region": "eastus", "data-class": "x"},
		Cluster: func(string) string { return "telemetry" },
	}
}

const window = "Timestamp between (_startTime .. _endTime)"

// minimal has spec.body at line 8; further lines of spec may follow.
func minimal(name, body string) string {
	return `apiVersion: adx-mon.azure.com/v1
kind: MetricsExporter
metadata: {name: ` + name + `}
spec:
  database: DB
  exporter: e
  interval: 1m
  body: ` + body + `
  transform: {defaultMetricName: m, valueColumn: v, timestampColumn: t, labelColumns: [Service]}
`
}

// check runs cfg over one file and returns what it found, a line each, without the file's path.
func check(t testing.TB, cfg validate.Config, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg.Parser = mustParser(t)
	r, err := validate.Run(t.Context(), cfg, []string{path})
	require.NoError(t, err)
	var lines []string
	for _, f := range r.Findings {
		lines = append(lines, strings.TrimPrefix(f.String(), path+":"))
	}
	return strings.Join(lines, "\n")
}

const summarize = "T | where " + window + " | summarize v = avg(Ms) by Service, t = bin(Timestamp, 1m)"

func TestQueries(t *testing.T) {
	withSchema := validate.Config{Schema: schema()}
	withBoth := validate.Config{Schema: schema(), Pipeline: pipeline()}
	for name, tt := range map[string]struct {
		cfg        validate.Config
		body, want string
	}{
		"OK":                {withBoth, summarize, ""},
		"OKWithoutSchema":   {validate.Config{}, "Nowhere | where " + window, ""},
		"OKFunction":        {withBoth, "F(_startTime, _endTime) | summarize v = avg(Ms) by Service, t = bin(Timestamp, 1m)", ""},
		"OKFunctionDefault": {withSchema, "F(_startTime) | where Timestamp < _endTime | summarize v = avg(Ms) by Service, t = bin(Timestamp, 1m)", ""},
		"ErrFunction":       {withBoth, "F(_startTime, _endTime, 1) | summarize v = avg(Ms) by Service, t = bin(Timestamp, 1m)", "8:9: spec.body: The function 'F' expects 2 arguments. (KS119)"},
		"OKTabularArgument": {withBoth, "G((T | where " + window + " | extend ['it\\'s'] = int(1)), T) | extend v = 1, t = now()", ""},
		"OKLabel":           {withBoth, summarize + " | where Service == _region and Service != _data_class", ""},
		"OKAnyLabel":        {withSchema, summarize + " | where Service == _anything", ""},
		"OKComment":         {withSchema, "|\n    // what it is\n\n    " + summarize, ""},
		"OKCluster":         {withSchema, summarize + " | union (cluster('elsewhere').database('X').Y)", "8:138: spec.body: warning: The name 'elsewhere' either does not refer to a reachable cluster or no schema from it is currently available. (KS207)"},
		"OKSameCluster":     {withSchema, strings.Replace(summarize, "T |", "cluster('example.eastus').database('DB').T |", 1), ""},
		"OKOtherDatabase":   {withSchema, "database('Else').X | where " + window, ""},
		"ErrTable":          {withSchema, "TT | where " + window, "8:9: spec.body: The name 'TT' does not refer to any known table, tabular variable or function. (KS204)"},
		"ErrLabel":          {withBoth, summarize + " | where Service == _regoin", `8:140: spec.body: The name '_regoin' does not refer to any known column, table, variable or function. (KS142), did you mean "_region"?`},
		"ErrColumnWithout_": {withSchema, summarize + " | where Servce == ''", `8:129: spec.body: The name 'Servce' does not refer to any known column, table, variable or function. (KS142), did you mean "Service"?`},
		"ErrType":           {withSchema, summarize + " | where Service > t", "8:137: spec.body: The operator '>' is not defined for the operand types string and datetime. (KS106)"},
		"ErrOtherCluster":   {withSchema, "U | where " + window, "8:9: spec.body: The name 'U' does not refer to any known table, tabular variable or function. (KS204)"},
		"ErrSyntax":         {validate.Config{}, "|\n    T\n    | where " + window + " and (\n    | take 1", "10:61: spec.body: Missing expression (KS006)"},
		"ErrOperator":       {validate.Config{}, "|\n    T\n    | were " + window, `10:7: spec.body: Query operator expected. (KS176), did you mean "where"?`},
		"ErrUnread":         {validate.Config{}, "'T ; # | where a between (_startTime .. _endTime)'", "8:14: spec.body: The incomplete fragment is unexpected. (KS198)"},
		"ErrCommand":        {validate.Config{}, "|\n    // all\n    .show tables", "10:5: spec.body: must be a query, is a management command or directive"},
		"ErrNoTable": {validate.Config{}, "let a = _startTime; let b = _endTime;",
			"8:46: spec.body: returns no table: the last statement must be a tabular expression"},
		"ErrColumns": {withSchema, "T | where " + window + " | summarize v = max(Timestamp) by services = Service, t = Service",
			`9:50: spec.transform.valueColumn: column "v" is datetime, want a number
9:70: spec.transform.timestampColumn: column "t" is string, want datetime
9:88: spec.transform.labelColumns[0]: the answer has no column "Service"; it has services (string), t (string), v (datetime), did you mean "services"?`},
		"ErrColumnsOfSecond": {withSchema, summarize + "; T | project Service, v = Ms, Timestamp | where " + window,
			`9:70: spec.transform.timestampColumn: statement 2: the answer has no column "t"; it has Service (string), v (real), Timestamp (datetime)`},
		"ErrAllAtOnce": {withSchema, "T | where " + window + " and Nope == 1 | summarize x = avg(Ms) by Service, t = bin(Timestamp, 1m)",
			`8:66: spec.body: The name 'Nope' does not refer to any known column, table, variable or function. (KS142)
9:50: spec.transform.valueColumn: the answer has no column "v"; it has Service (string), t (datetime), x (real)`},
		"WarnWindow":      {validate.Config{}, "T // _startTime\n    | where a == '_endTime'", "8:9: spec.body: warning: never mentions _startTime or _endTime: every window exports all rows again"},
		"WarnStart":       {validate.Config{}, "T | where a < _endTime", "8:9: spec.body: warning: mentions _endTime and never _startTime: every window exports all rows before its end again"},
		"WarnEnd":         {validate.Config{}, "T | where a > _startTime", "8:9: spec.body: warning: mentions _startTime and never _endTime: a window that runs late exports the rows of later ones as well"},
		"WarnNear":        {validate.Config{}, "T | where a between (_startTime .. _EndTime)", `8:9: spec.body: warning: mentions _startTime and never _endTime: a window that runs late exports the rows of later ones as well, is "_EndTime" meant to be _endTime?`},
		"ErrLong":         {withSchema, strings.Repeat("T", 2<<20), "8:9: spec.body: must not be longer than 256KiB, has 2097152 bytes"},
		"ErrDeep":         {withSchema, "print _startTime, _endTime, " + strings.Repeat("(", 50000) + "1", "8:9: spec.body: cannot be parsed: analyze query: InternalError: stack overflow"},
		"ErrEmpty":        {withSchema, "''", "8:9: spec.body: is needed"},
		"ErrNoString":     {withSchema, "[T]", "8:9: spec.body: must be a string, got a list"},
		"ErrOwnParameter": {withSchema, "let _startTime = 1; " + summarize, "8:13: spec.body: A variable with the name '_startTime' has already been declared. (KS201)\n8:58: spec.body: The expression must have the type datetime. (KS141)"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, check(t, tt.cfg, minimal("a", tt.body)))
		})
	}
}

func TestDocuments(t *testing.T) {
	both := validate.Config{Schema: schema(), Pipeline: pipeline()}
	good := minimal("a", summarize)
	for name, tt := range map[string]struct {
		cfg        validate.Config
		text, want string
	}{
		"OK":           {both, good + "---\n" + minimal("b", summarize), ""},
		"ErrYAML":      {both, good + "---\nx: [\n", "11:1: is not valid YAML: did not find expected node content"},
		"ErrKind":      {both, "kind: Pod\napiVersion: v1\n", "1:7: kind: must be \"MetricsExporter\", got \"Pod\"\n2:13: apiVersion: must be \"adx-mon.azure.com/v1\", got \"v1\""},
		"ErrDuplicate": {both, good + "---\n" + strings.Replace(good, "name: a", "name: a, namespace: default", 1), `13:18: metadata.name: "default/a" is already declared at FILE:1`},
		"ErrField":     {both, strings.Replace(good, "interval", "intervall", 1), "5:3: spec.interval: interval or schedule is needed\n7:3: spec.intervall: unknown field \"intervall\", did you mean \"interval\"?"},
		"ErrExporter":  {both, strings.Replace(good, "exporter: e", "exporter: f", 1), `6:13: spec.exporter: exporter "f" is not in the pipeline configuration, did you mean "e"?`},
		"ErrDatabase":  {both, strings.Replace(good, "database: DB", "database: Db", 1), `5:13: spec.database: database "Db" is not in the pipeline configuration, did you mean "DB"?`},
		"ErrSchemaDatabase": {validate.Config{Schema: schema()}, strings.Replace(good, "database: DB", "database: Otter", 1) + "  suspend: 1\n",
			"5:13: spec.database: database \"Otter\" is not in the schema, did you mean \"Other\"?\n" +
				"8:9: spec.body: The name 'T' does not refer to any known table, tabular variable or function. (KS204)\n" +
				"10:12: spec.suspend: must be true or false, got 1"},
		"ErrNoNearDatabase": {validate.Config{Schema: schema()}, strings.Replace(good, "database: DB", "database: Telemetry", 1), `5:13: spec.database: database "Telemetry" is not in the schema, it has DB, Other`},
		"ErrCriteria": {validate.Config{}, strings.Replace(good, "interval: 1m", "interval: 1m\n  criteria: {a: []}\n  criteriaExpression: \"a == 'b' &&\"", 1),
			"8:17: spec.criteria.a: must have at least one value: without one it could never match\n9:35: spec.criteriaExpression: is not valid CEL: 1:12: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"},
		"WarnLabels": {both, strings.Replace(good, "interval: 1m", "interval: 1m\n  criteria: {regoin: [a], region: [b]}\n  criteriaExpression: team == 'b' || labels['data-class'] == 'x'", 1),
			"8:22: spec.criteria.regoin: warning: label \"regoin\" is not in the pipeline configuration, did you mean \"region\"?\n9:23: spec.criteriaExpression: warning: label \"team\" is not in the pipeline configuration, it has data-class, region"},
	} {
		t.Run(name, func(t *testing.T) {
			got := check(t, tt.cfg, tt.text)
			if i := strings.Index(got, "declared at "); i >= 0 {
				got = got[:i+len("declared at ")] + "FILE" + got[strings.LastIndexByte(got, ':'):]
			}
			// Where an element of a flow mapping begins is YAML's business.
			require.Equal(t, tt.want, got)
		})
	}
}

// TestPlaces puts a name that is not there into queries in every style of YAML, and looks for it.
func TestPlaces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	styles := map[string]func(lines []string) string{
		"Literal":      func(l []string) string { return "|\n    " + strings.Join(l, "\n    ") },
		"LiteralStrip": func(l []string) string { return "|-\n      " + strings.Join(l, "\n      ") },
		"LiteralKeep":  func(l []string) string { return "|2+ # why\n    " + strings.Join(l, "\n    ") + "\n\n" },
		"Folded":       func(l []string) string { return ">\n    " + strings.Join(l, "\n    ") },
		"FoldedStrip":  func(l []string) string { return ">-\n    " + strings.Join(l, "\n\n      ") },
		"Double": func(l []string) string {
			return `"` + strings.ReplaceAll(strings.Join(l, `\n\t`), "é", `\u00e9`) + `"`
		},
		"DoubleLines": func(l []string) string { return `"` + strings.Join(l, "\\\n      \\x20") + `"` },
		"Single": func(l []string) string {
			return "'" + strings.ReplaceAll(strings.Join(l, "\n\n    "), "'", "''") + "'"
		},
	}
	lines := []string{"T", "| where " + window, "| where Service != 'é𝄞 日本'\t", "| extend x = 1", "| where Ms > 1 and Service != 'it'"}
	for name, style := range styles {
		t.Run(name, func(t *testing.T) {
			for range 6 {
				body := append([]string{}, lines...)
				at := 1 + rnd.IntN(len(body)-1)
				body[at] = strings.TrimRight(body[at], "\t") + []string{" and MARK == 1", " and 'ü' != '' and MARK < 2"}[rnd.IntN(2)]
				if strings.HasPrefix(body[at], "| extend") {
					body[at] = "| extend x = 'é', y = MARK"
				}
				text := "# a comment\n" + minimal("first", summarize) + "---\n" + minimal("a", style(body))
				if rnd.IntN(2) == 0 {
					text = strings.ReplaceAll(text, "\n", "\r\n")
				}
				before, _, _ := strings.Cut(text, "MARK")
				want := fmt.Sprintf("%d:%d: spec.body: The name 'MARK'", strings.Count(before, "\n")+1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1)
				got := check(t, validate.Config{Schema: schema()}, text)
				require.True(t, strings.HasPrefix(got, want), "want %s\ngot %s\n%s", want, got, text)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("a.yaml", minimal("a", summarize))
	write("sub/b.yaml", minimal("a", summarize))
	write("sub/pod.yaml", "kind: Pod\napiVersion: v1\n---\nkind: MetricExporter\n")
	write("values.yaml", "image: x\n")
	write("a.test.yaml", "apiVersion: adx-mon.azure.com/v1\nkind: MetricsTest\ntests: []\n") // which is for another command
	run := func(names ...string) (*validate.Report, string) {
		r, err := validate.Run(t.Context(), validate.Config{Parser: mustParser(t), Engines: 2}, names)
		require.NoError(t, err)
		var lines []string
		for _, f := range r.Findings {
			lines = append(lines, strings.ReplaceAll(f.String(), dir+"/", ""))
		}
		return r, strings.Join(lines, "\n")
	}
	t.Run("OKDirectory", func(t *testing.T) {
		r, got := run(dir)
		require.Equal(t, `sub/b.yaml:3:18: metadata.name: "default/a" is already declared at a.yaml:1
sub/pod.yaml:4:1: apiVersion: is needed, and must be "adx-mon.azure.com/v1"
sub/pod.yaml:4:7: kind: must be "MetricsExporter", got "MetricExporter"`, got)
		require.Equal(t, "5 files, 3 errors, 0 warnings (2 documents of other kinds passed over)", r.Summary())
		require.Equal(t, "default/a", r.Findings[0].MetricsExporter)
		require.Empty(t, r.Findings[1].MetricsExporter)
	})
	t.Run("ErrNamed", func(t *testing.T) {
		r, got := run(dir+"/values.yaml", dir+"/nope.yaml", dir+"/x*.yaml")
		require.Equal(t, `nope.yaml: does not exist
x*.yaml: matches no file
values.yaml:1:1: apiVersion: is needed, and must be "adx-mon.azure.com/v1"
values.yaml:1:1: kind: is needed, and must be "MetricsExporter"`, got)
		require.Equal(t, "1 file, 4 errors, 0 warnings", r.Summary())
	})
	t.Run("ErrNothing", func(t *testing.T) {
		other := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(other, "values.yaml"), []byte("a: b\n"), 0o600))
		_, err := validate.Run(t.Context(), validate.Config{Parser: mustParser(t)}, []string{other})
		require.EqualError(t, err, "no MetricsExporter in "+other)
	})
	t.Run("ErrCancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := validate.Run(ctx, validate.Config{Parser: mustParser(t)}, []string{dir})
		require.ErrorIs(t, err, context.Canceled)
	})
}

// answers is Kusto as the tests want it.
type answers struct {
	columns [][]schemas.ColumnType
	err     error
	asked   int
}

func (a *answers) ResultColumns(context.Context, *schemas.MetricsExporter) ([][]schemas.ColumnType, error) {
	a.asked++
	return a.columns, a.err
}

func TestOnline(t *testing.T) {
	right := [][]schemas.ColumnType{{{Name: "v", Type: "real"}, {Name: "t", Type: "datetime"}, {Name: "Service", Type: "string"}}}
	for name, tt := range map[string]struct {
		asker      answers
		cfg        validate.Config
		body, want string
		asked      int
	}{
		"OK":      {answers{columns: right}, validate.Config{}, summarize, "", 1},
		"OKNewer": {answers{columns: right}, validate.Config{Schema: schema()}, strings.Replace(summarize, " v =", " w =", 1), "", 1},
		"ErrColumns": {answers{columns: [][]schemas.ColumnType{{{Name: "V", Type: "real"}}}}, validate.Config{Schema: schema()}, summarize, `9:50: spec.transform.valueColumn: the answer has no column "v"; it has V (real), did you mean "V"?
9:70: spec.transform.timestampColumn: the answer has no column "t"; it has V (real)
9:88: spec.transform.labelColumns[0]: the answer has no column "Service"; it has V (real)`, 1},
		"ErrRefused":        {answers{err: &validate.Refusal{Message: "no", Line: 2, Column: 3}}, validate.Config{}, "|\n    T\n    | where " + window, "10:7: spec.body: no", 1},
		"ErrRefusedNowhere": {answers{err: &validate.Refusal{Message: "no"}}, validate.Config{}, summarize, "8:9: spec.body: no", 1},
		"ErrRefusedBeyond":  {answers{err: &validate.Refusal{Message: "no", Line: 9, Column: 300}}, validate.Config{}, "T | where " + window, "8:61: spec.body: no", 1},
		"ErrUnreachable":    {answers{err: errors.New("no connection")}, validate.Config{}, summarize, "8:9: spec.body: no connection", 1},
		"ErrSyntax":         {answers{columns: right}, validate.Config{}, "T | were " + window, `8:13: spec.body: Query operator expected. (KS176), did you mean "where"?`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tt.cfg.Asker = &tt.asker
			require.Equal(t, tt.want, check(t, tt.cfg, minimal("a", tt.body)))
			require.Equal(t, tt.asked, tt.asker.asked)
		})
	}
}

func FuzzRun(f *testing.F) {
	f.Add(minimal("a", summarize))
	f.Add(minimal("a", "\"T\\n| where (\""))
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		r, err := validate.Run(t.Context(), validate.Config{Parser: mustParser(t), Schema: schema(), Pipeline: pipeline()}, []string{path})
		if err != nil {
			require.ErrorContains(t, err, "no MetricsExporter in ")
			return
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 2
		for _, f := range r.Findings {
			require.LessOrEqual(t, f.Line, lines+strings.Count(text, "\u2028")+strings.Count(text, "\u2029")+strings.Count(text, "\u0085"))
			require.NotContains(t, f.String(), "\n")
		}
	})
}
