package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

// write makes a configuration file, and returns its path.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const minimal = `
kusto: [{endpoint: "https://example.eastus.kusto.windows.net", databases: [TelemetryDB]}]
exporters: [{endpoint: "http://localhost:4318/v1/metrics"}]
`

func TestLoad(t *testing.T) {
	t.Run("OKDefaults", func(t *testing.T) {
		c, err := config.Load(write(t, minimal))
		require.NoError(t, err)
		want := config.Default()
		k, e := config.DefaultKusto(), config.DefaultExporter()
		k.Endpoint, k.Databases = "https://example.eastus.kusto.windows.net", []string{"TelemetryDB"}
		e.Endpoint = "http://localhost:4318/v1/metrics"
		require.Equal(t, []config.Kusto{k}, c.Kusto)
		require.Equal(t, []config.Exporter{e}, c.Exporters)
		require.Equal(t, want.DataDir, c.DataDir)
		require.Equal(t, "./data", c.DataDir)
		require.Equal(t, []time.Duration{24 * time.Hour, 72 * time.Hour, 10 * time.Second}, []time.Duration{c.CatchUp, c.ReplayRetention, c.ShutdownTimeout})
		require.Equal(t, []string{"./exporters/*.yaml"}, c.Resources.Files)
		require.Equal(t, config.Telemetry{Listen: ":8090", LogLevel: "info", LogFormat: "json"}, c.Telemetry)
		require.Equal(t, 1, c.NATS.Replicas)
	})
	t.Run("OKEverything", func(t *testing.T) {
		t.Setenv("OTLP_TOKEN", "t0k$en")
		t.Setenv("QUERIES", "8")
		path := write(t, everything)
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "secret.txt"), []byte("s3cret\n"), 0o600))
		c, err := config.Load(path)
		require.NoError(t, err)
		require.Equal(t, "Bearer t0k$en", c.Exporters[0].Headers["Authorization"].Reveal())
		require.Equal(t, "$5 ${env:X} $", c.Exporters[0].Headers["X-Price"].Reveal())
		require.Equal(t, "s3cret", c.Kusto[0].Auth.ClientSecret.Reveal())
		require.Equal(t, 8, c.Kusto[0].MaxConcurrentQueries)
		require.Equal(t, time.Minute, c.Kusto[0].QueryTimeout)
		require.True(t, c.Kusto[0].NoTruncation)
		require.Equal(t, 2*strict.GiB, c.Exporters[0].MaxBacklogBytes)
		require.Equal(t, map[string]string{"_region": "eastus", "_data_classification": "open"}, c.LabelParameters())
		require.Equal(t, map[string]string{"team": "b", "env": "prod"}, c.AttributesOf(c.Exporters[0]))
		require.Equal(t, map[string]string{"team": "a", "env": "prod"}, c.AttributesOf(c.Exporters[1]))
		require.Equal(t, 7*24*time.Hour, c.CatchUp)

		k, ok := c.ClusterFor("B")
		require.True(t, ok)
		require.Equal(t, "one", k.Name)
		_, ok = c.ClusterFor("nope")
		require.False(t, ok)
		e, ok := c.ExporterNamed("zstd")
		require.True(t, ok)
		require.Equal(t, config.CompressionZstd, e.Compression)
		_, ok = c.ExporterNamed("nope")
		require.False(t, ok)
	})
	t.Run("ErrMissingFile", func(t *testing.T) {
		_, err := config.Load("/nope/pipeline.yaml")
		require.EqualError(t, err, "read configuration: open /nope/pipeline.yaml: no such file or directory")
	})
}

const everything = `
dataDir: /var/lib/kusto2otlp
catchUp: 7d
replayRetention: 0
shutdownTimeout: 30s
resourceAttributes: {team: a, env: prod}
nats:
  url: "nats://a:4222, tls://b:4222"
  credentialsFile: nats.creds
  tls: {caFile: ca.pem, certFile: c.pem, keyFile: k.pem}
  replicas: 3
labels: {region: eastus, data-classification: open}
resources: {files: [a.yaml, "b/*.yaml"], kubernetes: false}
kusto:
  - name: one
    endpoint: https://one.kusto.windows.net
    databases: [A, B]
    auth: {type: clientSecret, clientId: c, tenantId: t, clientSecret: "${file:secret.txt}"}
    maxConcurrentQueries: ${env:QUERIES}
    queryTimeout: 1m
    noTruncation: true
  - {name: token, endpoint: "https://two.kusto.windows.net", databases: [C], auth: {type: token, tokenFile: t}}
  - {name: mi, endpoint: "https://three.kusto.windows.net", databases: [D], auth: {type: managedIdentity, clientId: c}}
  - {name: wi, endpoint: "https://three.kusto.windows.net", databases: [E], auth: {type: workloadIdentity}}
  - {name: cli, endpoint: "https://three.kusto.windows.net", databases: [F], auth: {type: azureCLI, tenantId: t}}
  - {name: local, endpoint: "http://127.0.0.1:8080", databases: [G]}
  - {name: plain, endpoint: "http://kusto.lab", databases: [H], auth: {type: none}}
exporters:
  - name: first
    protocol: http/protobuf
    endpoint: https://otlp.example.com/v1/metrics
    headers: {Authorization: "Bearer ${env:OTLP_TOKEN}", X-Price: "$5 $${env:X} $$"}
    compression: none
    timeout: 1s
    maxBackoff: 500ms
    maxBacklogBytes: 2GiB
    resourceAttributes: {team: b}
    tls: {caFile: ca.pem, serverName: other, insecureSkipVerify: true}
  - {name: zstd, endpoint: "http://h/x?key=k", compression: zstd}
telemetry: {listen: "127.0.0.1:0", logLevel: debug, logFormat: text}
`

func TestInvalid(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	const (
		kusto    = "kusto: [{endpoint: \"https://k\", databases: [A]}]\n"
		exporter = "exporters: [{endpoint: \"http://e/p\"}]\n"
		cluster  = exporter + "kusto:\n- name: k\n  databases: [A]\n  endpoint: https://k\n"
		target   = kusto + "exporters:\n- name: datadog\n  endpoint: https://e/p\n"
	)
	for name, tt := range map[string]struct{ text, want string }{
		"ErrEmpty":             {"# nothing\n", "p.yaml: is empty, want at least kusto and exporters"},
		"ErrTwoDocuments":      {kusto + exporter + "---\na: b\n", "p.yaml:4:1: document 2: must be the only document of its file, which has 2"},
		"ErrSyntax":            {"kusto: [\n", "p.yaml:1:1: is not valid YAML: did not find expected node content"},
		"ErrList":              {"- a\n", "p.yaml:1:1: must be a mapping, got a list"},
		"ErrUnknown":           {kusto + exporter + "catchup: 1h\n", `p.yaml:3:1: catchup: unknown field "catchup", did you mean "catchUp"?`},
		"ErrUnknownNested":     {target + "  timeot: 1s\n", `p.yaml:5:3: exporters[0].timeot: unknown field "timeot", did you mean "timeout"?`},
		"ErrNothing":           {"dataDir: x\n", "p.yaml:1:1: kusto: must have at least one cluster\np.yaml:1:1: exporters: must have at least one exporter"},
		"ErrDataDir":           {kusto + exporter + "dataDir: \"\"\n", "p.yaml:3:10: dataDir: must not be empty"},
		"ErrCatchUp":           {kusto + exporter + "catchUp: -1h\n", "p.yaml:3:10: catchUp: must be between 0s and 8760h, got -1h"},
		"ErrReplayRetention":   {kusto + exporter + "replayRetention: 366d\n", "p.yaml:3:18: replayRetention: must be between 0s and 8760h, got 8784h"},
		"ErrShutdownTimeout":   {kusto + exporter + "shutdownTimeout: 0s\n", "p.yaml:3:18: shutdownTimeout: must be between 1s and 10m, got 0s"},
		"ErrShutdownType":      {kusto + exporter + "shutdownTimeout: 5\n", `p.yaml:3:18: shutdownTimeout: must be a duration such as 30s, 5m or 1h30m, got "5"`},
		"ErrAttributeType":     {kusto + exporter + "resourceAttributes: {a: 1}\n", "p.yaml:3:25: resourceAttributes.a: must be a string, got 1: put it in quotes"},
		"ErrAttributeKey":      {kusto + exporter + "resourceAttributes: {\"\": b}\n", "p.yaml:3:21: resourceAttributes: must not have an empty key"},
		"ErrNATSScheme":        {kusto + exporter + "nats: {url: \"http://n\"}\n", "p.yaml:3:13: nats.url: must begin with nats://, tls://, ws:// or wss://"},
		"ErrNATSSecond":        {kusto + exporter + "nats: {url: \"nats://n,nats://:4222\"}\n", "p.yaml:3:13: nats.url: must have a host"},
		"ErrNATSPort":          {kusto + exporter + "nats: {url: \"nats://u:hunter2@n:99999\"}\n", "p.yaml:3:13: nats.url: must have a port between 1 and 65535, got 99999"},
		"ErrNATSCredentials":   {kusto + exporter + "nats: {credentialsFile: f}\n", "p.yaml:3:25: nats.credentialsFile: needs nats.url"},
		"ErrNATSTLS":           {kusto + exporter + "nats: {tls: {caFile: f}}\n", "p.yaml:3:13: nats.tls: needs nats.url"},
		"ErrNATSCert":          {kusto + exporter + "nats: {url: \"nats://n\", tls: {certFile: f}}\n", "p.yaml:3:41: nats.tls.certFile: needs nats.tls.keyFile"},
		"ErrNATSKey":           {kusto + exporter + "nats: {url: \"nats://n\", tls: {keyFile: f}}\n", "p.yaml:3:40: nats.tls.keyFile: needs nats.tls.certFile"},
		"ErrReplicas":          {kusto + exporter + "nats: {replicas: 2}\n", "p.yaml:3:18: nats.replicas: must be 1, 3 or 5, got 2"},
		"ErrReplicasEmbedded":  {kusto + exporter + "nats: {replicas: 3}\n", "p.yaml:3:18: nats.replicas: must be 1 without nats.url, got 3"},
		"ErrLabelsCollide":     {kusto + exporter + "labels: {a-b: x, a.b: y}\n", `p.yaml:3:23: labels["a.b"]: labels "a-b" and "a.b" would both be the query parameter _a_b`},
		"ErrLabelStartTime":    {kusto + exporter + "labels: {startTime: x}\n", `p.yaml:3:21: labels.startTime: label "startTime" would be the query parameter _startTime, which is the window's`},
		"ErrLabelEndTime":      {kusto + exporter + "labels: {endTime: x}\n", `p.yaml:3:19: labels.endTime: label "endTime" would be the query parameter _endTime, which is the window's`},
		"ErrLabelEmpty":        {kusto + exporter + "labels: {\"\": x}\n", "p.yaml:3:9: labels: must not have an empty key"},
		"ErrKubernetes":        {kusto + exporter + "resources: {kubernetes: true}\n", "p.yaml:3:25: resources.kubernetes: is not supported by this version"},
		"ErrNoFiles":           {kusto + exporter + "resources: {files: []}\n", "p.yaml:3:20: resources.files: must have at least one path or pattern"},
		"ErrPattern":           {kusto + exporter + "resources: {files: [\"a[\"]}\n", `p.yaml:3:21: resources.files[0]: must be a path or a pattern, got "a["`},
		"ErrListen":            {kusto + exporter + "telemetry: {listen: \"8090\"}\n", `p.yaml:3:21: telemetry.listen: must be host:port or :port, got "8090"`},
		"ErrListenPort":        {kusto + exporter + "telemetry: {listen: \":x\"}\n", `p.yaml:3:21: telemetry.listen: must be host:port or :port, got ":x"`},
		"ErrLogLevel":          {kusto + exporter + "telemetry: {logLevel: verbose}\n", `p.yaml:3:23: telemetry.logLevel: must be debug, info, warn or error, got "verbose"`},
		"ErrLogFormat":         {kusto + exporter + "telemetry: {logFormat: xml}\n", `p.yaml:3:24: telemetry.logFormat: must be json or text, got "xml"`},
		"ErrEnv":               {cluster + "  auth: {type: token, token: \"${env:NOT_SET}\"}\n", `p.yaml:6:30: kusto[0].auth.token: environment variable "NOT_SET" is not set`},
		"ErrFile":              {cluster + "  auth: {type: token, token: \"${file:/nope/token}\"}\n", `p.yaml:6:30: kusto[0].auth.token: file "/nope/token" does not exist`},
		"ErrReference":         {target + "  headers: {A: \"x${secret}\"}\n", "p.yaml:5:16: exporters[0].headers.A: has an unknown reference, want ${env:NAME} or ${file:PATH}; write $$ for a dollar sign"},
		"ErrReferenceOpen":     {target + "  headers: {A: \"x${env:SECRET\"}\n", "p.yaml:5:16: exporters[0].headers.A: has a reference without its closing brace; write $$ for a dollar sign"},
		"ErrEnvType":           {target + "  timeout: ${env:SECRET}\n", "p.yaml:5:12: exporters[0].timeout: must be a duration such as 30s, 5m or 1h30m"},
		"ErrEnvNumber":         {cluster + "  maxConcurrentQueries: ${env:SECRET}\n", "p.yaml:6:25: kusto[0].maxConcurrentQueries: must be a whole number"},
		"ErrEnvEnum":           {target + "  compression: ${env:SECRET}\n", `p.yaml:5:16: exporters[0].compression: exporter "datadog": compression must be gzip, zstd or none`},
		"ErrKustoName":         {exporter + "kusto: [{name: \"a b\", endpoint: \"https://k\", databases: [A]}]\n", `p.yaml:2:16: kusto[0].name: must be letters, digits, "-", "_" and ".", and begin and end with a letter or digit, got "a b"`},
		"ErrKustoNameTwice":    {exporter + "kusto:\n- {endpoint: \"https://k\", databases: [A]}\n- {endpoint: \"https://k\", databases: [B]}\n", `p.yaml:4:3: kusto[1].name: cluster "default" is already the name of kusto[0]`},
		"ErrKustoEndpoint":     {exporter + "kusto: [{name: k, databases: [A]}]\n", `p.yaml:2:9: kusto[0].endpoint: kusto "k": endpoint is needed`},
		"ErrKustoScheme":       {exporter + "kusto: [{name: k, databases: [A], endpoint: \"k.windows.net\"}]\n", `p.yaml:2:45: kusto[0].endpoint: kusto "k": endpoint must begin with http:// or https://`},
		"ErrKustoHost":         {exporter + "kusto: [{name: k, databases: [A], endpoint: \"https://\"}]\n", `p.yaml:2:45: kusto[0].endpoint: kusto "k": endpoint must have a host`},
		"ErrKustoCredentials":  {exporter + "kusto: [{name: k, databases: [A], endpoint: \"https://u:hunter2@k\"}]\n", `p.yaml:2:45: kusto[0].endpoint: kusto "k": endpoint must not have credentials`},
		"ErrKustoQuery":        {exporter + "kusto: [{name: k, databases: [A], endpoint: \"https://k?a=hunter2\"}]\n", `p.yaml:2:45: kusto[0].endpoint: kusto "k": endpoint must not have a query`},
		"ErrKustoURL":          {exporter + "kusto: [{name: k, databases: [A], endpoint: \"https://k:hunter2\"}]\n", `p.yaml:2:45: kusto[0].endpoint: kusto "k": endpoint must be a URL: invalid port`},
		"ErrKustoPlain":        {exporter + "kusto: [{name: k, databases: [A], endpoint: \"http://k\"}]\n", `p.yaml:2:45: kusto[0].endpoint: kusto "k": endpoint must begin with https:// unless auth.type is none: a token would travel in plain`},
		"ErrKustoNoDatabases":  {exporter + "kusto: [{name: k, endpoint: \"https://k\"}]\n", `p.yaml:2:9: kusto[0].databases: kusto "k": databases must have at least one database`},
		"ErrKustoDatabase":     {exporter + "kusto: [{name: k, endpoint: \"https://k\", databases: [\"\"]}]\n", `p.yaml:2:54: kusto[0].databases[0]: kusto "k": databases[0] must not be empty`},
		"ErrKustoSameDatabase": {exporter + "kusto: [{name: k, endpoint: \"https://k\", databases: [A, A]}]\n", `p.yaml:2:57: kusto[0].databases[1]: kusto "k": databases[1] is "A" for the second time`},
		"ErrKustoAmbiguous":    {exporter + "kusto:\n- {name: one, endpoint: \"https://k\", databases: [A]}\n- {name: two, endpoint: \"https://k\", databases: [B, A]}\n", `p.yaml:4:53: kusto[1].databases[1]: kusto "two": databases[1] is "A", which kusto "one" serves already: it must be clear which cluster to ask`},
		"ErrConcurrency":       {cluster + "  maxConcurrentQueries: 0\n", `p.yaml:6:25: kusto[0].maxConcurrentQueries: kusto "k": maxConcurrentQueries must be between 1 and 1000, got 0`},
		"ErrQueryTimeout":      {cluster + "  queryTimeout: 61m\n", `p.yaml:6:17: kusto[0].queryTimeout: kusto "k": queryTimeout must be between 1s and 1h, got 1h1m`},
		"ErrAuthType":          {cluster + "  auth: {type: magic}\n", `p.yaml:6:16: kusto[0].auth.type: kusto "k": auth.type must be default, managedIdentity, workloadIdentity, azureCLI, clientSecret, token or none, got "magic"`},
		"ErrAuthNeeds":         {cluster + "  auth: {type: clientSecret, clientSecret: hunter2}\n", "p.yaml:6:9: kusto[0].auth.clientId: kusto \"k\": auth.clientId is needed with auth.type clientSecret\np.yaml:6:9: kusto[0].auth.tenantId: kusto \"k\": auth.tenantId is needed with auth.type clientSecret"},
		"ErrAuthMeaningless":   {cluster + "  auth: {clientSecret: hunter2}\n", `p.yaml:6:24: kusto[0].auth.clientSecret: kusto "k": auth.clientSecret has no meaning with auth.type default`},
		"ErrAuthNone":          {cluster + "  auth: {type: none, tenantId: t}\n", `p.yaml:6:32: kusto[0].auth.tenantId: kusto "k": auth.tenantId has no meaning with auth.type none`},
		"ErrAuthToken":         {cluster + "  auth: {type: token}\n", `p.yaml:6:9: kusto[0].auth.token: kusto "k": auth.token or auth.tokenFile is needed with auth.type token`},
		"ErrAuthTokenTwice":    {cluster + "  auth: {type: token, token: hunter2, tokenFile: f}\n", `p.yaml:6:30: kusto[0].auth.token: kusto "k": auth.token and auth.tokenFile must not both be set`},
		"ErrExporterName":      {kusto + "exporters: [{name: \"\", endpoint: \"http://e/p\"}]\n", `p.yaml:2:20: exporters[0].name: must not be empty`},
		"ErrExporterNameTwice": {kusto + "exporters:\n- {name: a, endpoint: \"http://e/p\"}\n- {name: a, endpoint: \"http://e/p\"}\n", `p.yaml:4:10: exporters[1].name: exporter "a" is already the name of exporters[0]`},
		"ErrGRPC":              {kusto + "exporters: [{name: g, protocol: grpc, endpoint: \"localhost:4317\"}]\n", `p.yaml:2:33: exporters[0].protocol: exporter "g": protocol grpc is not supported by this version, want http/protobuf`},
		"ErrProtocol":          {target + "  protocol: http/json\n", `p.yaml:5:13: exporters[0].protocol: exporter "datadog": protocol must be http/protobuf, got "http/json"`},
		"ErrExporterEndpoint":  {kusto + "exporters: [{name: e}]\n", `p.yaml:2:13: exporters[0].endpoint: exporter "e": endpoint is needed`},
		"ErrExporterPath":      {kusto + "exporters: [{name: e, endpoint: \"http://h:4318\"}]\n", `p.yaml:2:33: exporters[0].endpoint: exporter "e": endpoint must be the whole URL, path included, such as http://localhost:4318/v1/metrics`},
		"ErrExporterTLSPlain":  {kusto + "exporters: [{name: e, endpoint: \"http://h/p\", tls: {caFile: f}}]\n", `p.yaml:2:52: exporters[0].tls: exporter "e": tls needs an endpoint that begins with https://`},
		"ErrExporterTLSUser":   {target + "  tls: {certFile: c, keyFile: k}\n", "p.yaml:5:19: exporters[0].tls.certFile: exporter \"datadog\": tls.certFile is not supported by this version\np.yaml:5:31: exporters[0].tls.keyFile: exporter \"datadog\": tls.keyFile is not supported by this version"},
		"ErrCompression":       {target + "  compression: brotli\n", `p.yaml:5:16: exporters[0].compression: exporter "datadog": compression must be gzip, zstd or none, got "brotli"`},
		"ErrTimeout":           {target + "  timeout: 10ms\n", `p.yaml:5:12: exporters[0].timeout: exporter "datadog": timeout must be at least 1s, got 10ms`},
		"ErrMaxBackoff":        {target + "  maxBackoff: 2h\n", `p.yaml:5:15: exporters[0].maxBackoff: exporter "datadog": maxBackoff must be between 500ms and 1h, got 2h`},
		"ErrMaxBacklog":        {target + "  maxBacklogBytes: 0\n", `p.yaml:5:20: exporters[0].maxBacklogBytes: exporter "datadog": maxBacklogBytes must be at least 4MiB, got 0`},
		"ErrMaxBacklogSize":    {target + "  maxBacklogBytes: lots\n", `p.yaml:5:20: exporters[0].maxBacklogBytes: must be a size such as 512MiB, 1GiB or a number of bytes, got "lots"`},
		"ErrHeaderName":        {target + "  headers: {\"a b\": hunter2}\n", `p.yaml:5:20: exporters[0].headers["a b"]: exporter "datadog": headers["a b"] must be a header name`},
		"ErrHeaderOwn":         {target + "  headers: {content-type: x}\n", `p.yaml:5:27: exporters[0].headers.content-type: exporter "datadog": headers.content-type is set by the pipeline itself`},
		"ErrHeaderTwice":       {target + "  headers: {A: x, a: y}\n", `p.yaml:5:22: exporters[0].headers.a: exporter "datadog": headers.a is the same header as "A"`},
		"ErrHeaderBreak":       {target + "  headers: {A: \"hunter2\\nB: c\"}\n", `p.yaml:5:16: exporters[0].headers.A: exporter "datadog": headers.A must not have line breaks or control characters`},
		"ErrHeaderType":        {target + "  headers: {A: [hunter2]}\n", `p.yaml:5:16: exporters[0].headers.A: must be a string, got a list`},
		"ErrAllAtOnce":         {kusto + exporter + "catchUp: x\nnats: {replicas: 2}\nbogus: 1\n", "p.yaml:3:10: catchUp: must be a duration such as 30s, 5m or 1h30m, got \"x\"\np.yaml:4:18: nats.replicas: must be 1, 3 or 5, got 2\np.yaml:5:1: bogus: unknown field \"bogus\""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Parse("p.yaml", []byte(tt.text))
			require.Nil(t, c)
			require.EqualError(t, err, tt.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestValidate(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		c := config.Default()
		k, e := config.DefaultKusto(), config.DefaultExporter()
		k.Endpoint, k.Databases, e.Endpoint = "http://[::1]:80", []string{"A"}, "http://e/p"
		c.Kusto, c.Exporters = []config.Kusto{k}, []config.Exporter{e}
		require.NoError(t, c.Validate())
	})
	t.Run("ErrWithoutFile", func(t *testing.T) {
		require.EqualError(t, config.Default().Validate(),
			"kusto: must have at least one cluster\nexporters: must have at least one exporter")
	})
}

// TestSecrets prints a configuration in every way there is.
func TestSecrets(t *testing.T) {
	t.Setenv("OTLP_TOKEN", "hunter2")
	t.Setenv("QUERIES", "8")
	path := write(t, everything+"# end\n")
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "secret.txt"), []byte("hunter2\n"), 0o600))
	c, err := config.Load(path)
	require.NoError(t, err)
	c.NATS.URL = "nats://user:hunter2@host:4222,nats://hunter2@other:4222"
	c.Exporters[1].Endpoint = "https://host/path?key=hunter2&b=hunter2"
	c.Kusto[1].Auth.Token = "hunter2"

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, c)
		fmt.Fprintf(&out, verb, *c)
		fmt.Fprintf(&out, verb, c.Exporters)
		fmt.Fprintf(&out, verb, c.Kusto)
		fmt.Fprintf(&out, verb, c.NATS)
		fmt.Fprintf(&out, verb, c.Kusto[1].Auth.Token)
		fmt.Fprintf(&out, verb, c.NATS.URL)
	}
	require.NoError(t, json.NewEncoder(&out).Encode(c))
	require.NoError(t, yaml.NewEncoder(&out).Encode(c.Exporters))
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("x", "config", c, "exporters", c.Exporters, "kusto", c.Kusto[1], "token", c.Kusto[1].Auth.Token, "url", c.NATS.URL)
	}
	require.NotContains(t, out.String(), "hunter2")
	require.NotContains(t, out.String(), "68756e74657232")
	require.Contains(t, out.String(), "[redacted]")

	require.Equal(t, "nats://[redacted]@host:4222,nats://[redacted]@other:4222", c.NATS.URL.String())
	require.Equal(t, "https://host/path?key=[redacted]&b=[redacted]", c.Exporters[1].Endpoint.String())
	require.Equal(t, "", config.Secret("").String())
	require.Equal(t, "[redacted]", config.Address("http://hunter2 %zz").String())
}

func TestLabelParameter(t *testing.T) {
	for label, want := range map[string]string{"region": "_region", "data-classification": "_data_classification", "a.b/ü": "_a_b__", "1": "_1"} {
		require.Equal(t, want, config.LabelParameter(label))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add(everything)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse("p.yaml", []byte(text))
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestLoadOffline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipeline.yaml")
	text := `labels: {region: "${env:KUSTO2OTLP_NOT_SET}", zone: a}
kusto: [{name: k, endpoint: "${env:KUSTO2OTLP_NOT_SET}", databases: [DB]}]
exporters: [{name: e, endpoint: "http://localhost:4318/v1/metrics", timeout: "${file:nowhere}", headers: {Authorization: "${env:KUSTO2OTLP_NOT_SET}"}}]
`
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, err := config.Load(path)
	require.ErrorContains(t, err, `environment variable "KUSTO2OTLP_NOT_SET" is not set`)
	c, err := config.LoadOffline(path)
	require.NoError(t, err)
	require.Equal(t, []string{"DB"}, c.Databases())
	require.Equal(t, []string{"e"}, c.ExporterNames())
	require.Contains(t, c.Labels, "region")

	text = strings.Replace(text, "timeout:", "timeoot:", 1) + "nats: {url: '${evn:X}'}\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, err = config.LoadOffline(path)
	require.EqualError(t, err, path+`:3:69: exporters[0].timeoot: unknown field "timeoot", did you mean "timeout"?
`+path+`:4:13: nats.url: has an unknown reference, want ${env:NAME} or ${file:PATH}; write $$ for a dollar sign`)
}
