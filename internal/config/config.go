package config

import (
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

// Problem is one thing that is wrong with a configuration, with its place.
type Problem = strict.Problem

// Config is a pipeline's configuration.
type Config struct {
	// DataDir is the directory of the embedded JetStream's file store. Default
	// ./data.
	DataDir string `json:"dataDir,omitempty"`

	// CatchUp is how long ago a missed window may have been due and still be run,
	// after a downtime; older ones are recorded as skipped. 0 to 8760h, default
	// 24h.
	CatchUp time.Duration `json:"catchUp,omitempty"`

	// ReplayRetention is how long delivered OTLP batches are kept for a replay,
	// while space allows. 0 to 8760h, default 72h.
	ReplayRetention time.Duration `json:"replayRetention,omitempty"`

	// ShutdownTimeout is how long SIGTERM and SIGINT may take. 1s to 10m, default
	// 10s.
	ShutdownTimeout time.Duration `json:"shutdownTimeout,omitempty"`

	// ResourceAttributes are added to the OTLP resource at every exporter. Default
	// none.
	ResourceAttributes map[string]string `json:"resourceAttributes,omitempty"`

	// NATS is the server that the stages meet on. Default: embedded.
	NATS NATS `json:"nats,omitzero"`

	// Labels of this instance: criteria are matched against them, and queries see
	// each as _label. Default none.
	Labels map[string]string `json:"labels,omitempty"`

	// Resources is where MetricsExporters come from.
	Resources Resources `json:"resources,omitzero"`

	// Kusto are the Azure Data Explorer clusters to query, at least one.
	Kusto []Kusto `json:"kusto"`

	// Exporters are the OTLP destinations, at least one.
	Exporters []Exporter `json:"exporters"`

	// Telemetry is what the pipeline says about itself.
	Telemetry Telemetry `json:"telemetry,omitzero"`

	// doc is the text that Load read, for the positions of problems.
	doc *strict.Document
}

// NATS configures the server that the stages meet on.
type NATS struct {
	// URL is nats://host:4222, or several of them with commas between; also tls,
	// ws and wss. Empty, the default, embeds a server into `run`.
	URL Address `json:"url,omitempty"`

	// CredentialsFile is a NATS .creds file. Default none.
	CredentialsFile string `json:"credentialsFile,omitempty"`

	// TLS of the connection to URL. Default: the system's authorities.
	TLS NATSTLS `json:"tls,omitzero"`

	// Replicas of every stream on a cluster: 1, 3 or 5. Default 1.
	Replicas int `json:"replicas,omitempty"`
}

// NATSTLS is TLS towards NATS.
type NATSTLS struct {
	// CAFile is a PEM file of the authorities to trust. Default: the system's.
	CAFile string `json:"caFile,omitempty"`
	// CertFile is a PEM file with the client's certificate; needs KeyFile.
	CertFile string `json:"certFile,omitempty"`
	// KeyFile is a PEM file with the certificate's key; needs CertFile.
	KeyFile string `json:"keyFile,omitempty"`
}

// Resources says where MetricsExporters come from.
type Resources struct {
	// Files are paths and patterns (*, ?, [a-z] within one path element) of
	// files with MetricsExporter documents. They are reloaded when they change.
	// Default ./exporters/*.yaml.
	Files []string `json:"files,omitempty"`

	// Kubernetes watches the CRD as well. Default false; true is not supported by
	// this version.
	Kubernetes bool `json:"kubernetes,omitempty"`
}

// Kusto is an Azure Data Explorer cluster.
type Kusto struct {
	// Name identifies the cluster in logs, metrics and messages. Default
	// "default".
	Name string `json:"name,omitempty"`

	// Endpoint is the cluster's URL, such as
	// https://example.eastus.kusto.windows.net. Needed.
	Endpoint Address `json:"endpoint"`

	// Databases are the values of spec.database that this cluster serves, at least
	// one. No two clusters serve the same.
	Databases []string `json:"databases"`

	// Auth is how to sign in. Default: type default.
	Auth Auth `json:"auth,omitzero"`

	// MaxConcurrentQueries bounds the queries that run at once. 1 to 1000, default
	// 4.
	MaxConcurrentQueries int `json:"maxConcurrentQueries,omitempty"`

	// QueryTimeout is how long the cluster may work on a query. 1s to 1h (Kusto's
	// own bound), default 4m.
	QueryTimeout time.Duration `json:"queryTimeout,omitempty"`

	// NoTruncation lifts Kusto's limit of 500,000 rows or 64 MB on a result; past
	// the limit a query fails. Default false.
	NoTruncation bool `json:"noTruncation,omitempty"`
}

// AuthType is a way to sign in to Azure Data Explorer.
type AuthType string

// The ways to sign in, and the fields of Auth they take.
const (
	AuthDefault          AuthType = "default"          // the Azure SDK's default chain, or none for http:// on this machine; tenantId
	AuthManagedIdentity  AuthType = "managedIdentity"  // clientId for a user-assigned one
	AuthWorkloadIdentity AuthType = "workloadIdentity" // clientId, tenantId, tokenFile; each from AZURE_… when not set
	AuthAzureCLI         AuthType = "azureCLI"         // tenantId
	AuthClientSecret     AuthType = "clientSecret"     // tenantId, clientId and clientSecret, all needed
	AuthToken            AuthType = "token"            // token or tokenFile, one of them
	AuthNone             AuthType = "none"             // nothing
)

// Auth says how to sign in to Azure Data Explorer.
type Auth struct {
	// Type is default, managedIdentity, workloadIdentity, azureCLI, clientSecret,
	// token or none. Default default.
	Type AuthType `json:"type,omitempty"`

	// ClientID is the application's or the identity's client id.
	ClientID string `json:"clientId,omitempty"`

	// TenantID is the Microsoft Entra tenant.
	TenantID string `json:"tenantId,omitempty"`

	// ClientSecret of type clientSecret.
	ClientSecret Secret `json:"clientSecret,omitempty"`

	// Token of type token: a bearer token.
	Token Secret `json:"token,omitempty"`

	// TokenFile is a file with a bearer token (type token) or with the federated
	// token (type workloadIdentity). It is read again when it changes.
	TokenFile string `json:"tokenFile,omitempty"`
}

// Protocol is how OTLP travels.
type Protocol string

// The protocols.
const (
	ProtocolHTTP Protocol = "http/protobuf"
	ProtocolGRPC Protocol = "grpc" // not supported by this version
)

// Compression of a request's body.
type Compression string

// The compressions.
const (
	CompressionGzip Compression = "gzip"
	CompressionZstd Compression = "zstd"
	CompressionNone Compression = "none"
)

// Exporter is a named OTLP destination.
type Exporter struct {
	// Name is what spec.exporter of a MetricsExporter names. Default "default".
	Name string `json:"name,omitempty"`

	// Protocol is http/protobuf, the default.
	Protocol Protocol `json:"protocol,omitempty"`

	// Endpoint is the whole URL, path included, such as
	// http://localhost:4318/v1/metrics. Needed.
	Endpoint Address `json:"endpoint"`

	// Headers of every request. Default none.
	Headers map[string]Secret `json:"headers,omitempty"`

	// Compression is gzip, zstd or none. Default gzip.
	Compression Compression `json:"compression,omitempty"`

	// Timeout of one request, at least 1s. Default 10s.
	Timeout time.Duration `json:"timeout,omitempty"`

	// MaxBackoff is the longest wait between two attempts, 500ms to 1h. Default
	// 15s.
	MaxBackoff time.Duration `json:"maxBackoff,omitempty"`

	// MaxBacklogBytes is how much may wait for this destination; past it, windows
	// wait as jobs. At least 4MiB, default 1GiB.
	MaxBacklogBytes strict.Bytes `json:"maxBacklogBytes,omitempty"`

	// ResourceAttributes are added to, and win over, those of the pipeline.
	// Default none.
	ResourceAttributes map[string]string `json:"resourceAttributes,omitempty"`

	// TLS of an https endpoint. Default: the system's authorities.
	TLS ExporterTLS `json:"tls,omitzero"`
}

// ExporterTLS is TLS towards an OTLP destination.
type ExporterTLS struct {
	// CAFile is a PEM file of the authorities to trust. Default: the system's.
	CAFile string `json:"caFile,omitempty"`
	// CertFile is a client certificate; not supported by this version.
	CertFile string `json:"certFile,omitempty"`
	// KeyFile is the certificate's key; not supported by this version.
	KeyFile string `json:"keyFile,omitempty"`
	// ServerName is the name to verify instead of the endpoint's host. Default:
	// the host.
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerify accepts any certificate. Default false.
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// Telemetry configures what the pipeline says about itself.
type Telemetry struct {
	// Listen is the host:port of /healthz, /readyz and /metrics. Default :8090.
	Listen string `json:"listen,omitempty"`
	// LogLevel is debug, info, warn or error. Default info.
	LogLevel LogLevel `json:"logLevel,omitempty"`
	// LogFormat is json or text. Default json.
	LogFormat LogFormat `json:"logFormat,omitempty"`
}

// LogLevel is the least severe level that is logged.
type LogLevel string

// The log levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// Level returns the level for log/slog.
func (l LogLevel) Level() slog.Level {
	switch l {
	case LogDebug:
		return slog.LevelDebug
	case LogWarn:
		return slog.LevelWarn
	case LogError:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// LogFormat is the form of a log line.
type LogFormat string

// The log formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// Default returns the configuration of an empty file. It has no cluster and no
// exporter yet, and so is not valid.
func Default() *Config {
	return &Config{
		DataDir:         "./data",
		CatchUp:         24 * time.Hour,
		ReplayRetention: 72 * time.Hour,
		ShutdownTimeout: 10 * time.Second,
		NATS:            NATS{Replicas: 1},
		Resources:       Resources{Files: []string{"./exporters/*.yaml"}},
		Telemetry:       Telemetry{Listen: ":8090", LogLevel: LogInfo, LogFormat: LogJSON},
	}
}

// DefaultKusto returns a cluster with every default and no endpoint.
func DefaultKusto() Kusto {
	return Kusto{
		Name:                 "default",
		Auth:                 Auth{Type: AuthDefault},
		MaxConcurrentQueries: 4,
		QueryTimeout:         4 * time.Minute,
	}
}

// SetDefaults makes k what DefaultKusto returns.
func (k *Kusto) SetDefaults() { *k = DefaultKusto() }

// DefaultExporter returns an exporter with every default and no endpoint.
func DefaultExporter() Exporter {
	return Exporter{
		Name:            "default",
		Protocol:        ProtocolHTTP,
		Compression:     CompressionGzip,
		Timeout:         10 * time.Second,
		MaxBackoff:      15 * time.Second,
		MaxBacklogBytes: strict.GiB,
	}
}

// SetDefaults makes e what DefaultExporter returns.
func (e *Exporter) SetDefaults() { *e = DefaultExporter() }

// ClusterFor returns the cluster that serves a database.
func (c *Config) ClusterFor(database string) (Kusto, bool) {
	for _, k := range c.Kusto {
		for _, d := range k.Databases {
			if d == database {
				return k, true
			}
		}
	}
	return Kusto{}, false
}

// ExporterNamed returns the exporter that spec.exporter names.
func (c *Config) ExporterNamed(name string) (Exporter, bool) {
	for _, e := range c.Exporters {
		if e.Name == name {
			return e, true
		}
	}
	return Exporter{}, false
}

// Databases returns every database that a cluster serves, in the file's order.
func (c *Config) Databases() []string {
	var names []string
	for _, k := range c.Kusto {
		names = append(names, k.Databases...)
	}
	return names
}

// ExporterNames returns the name of every exporter, in the file's order.
func (c *Config) ExporterNames() []string {
	var names []string
	for _, e := range c.Exporters {
		names = append(names, e.Name)
	}
	return names
}

// AttributesOf returns the resource attributes at an exporter: the pipeline's,
// and the exporter's own over them.
func (c *Config) AttributesOf(e Exporter) map[string]string {
	attributes := maps.Clone(c.ResourceAttributes)
	if attributes == nil {
		attributes = map[string]string{}
	}
	maps.Copy(attributes, e.ResourceAttributes)
	return attributes
}

// LabelParameters returns the labels as a query sees them: parameter name to
// value, such as _region to eastus.
func (c *Config) LabelParameters() map[string]string {
	parameters := make(map[string]string, len(c.Labels))
	for name, value := range c.Labels {
		parameters[LabelParameter(name)] = value
	}
	return parameters
}

// LabelParameter returns the query parameter of a label: an underscore and the
// label, its characters other than letters, digits and "_" each become "_".
func LabelParameter(label string) string {
	name := []byte{'_'}
	for _, r := range label {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			name = append(name, byte(r))
		} else {
			name = append(name, '_')
		}
	}
	return string(name)
}

// LogValue tells what runs where, in a line.
func (c *Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("dataDir", c.DataDir),
		slog.String("nats", c.NATS.URL.String()),
		slog.Any("files", c.Resources.Files),
		slog.Any("databases", c.Databases()),
		slog.Any("exporters", c.ExporterNames()),
	)
}

// String tells what runs where, without secrets.
func (c *Config) String() string {
	return fmt.Sprintf("dataDir %s, nats %q, files %q, databases %q, exporters %q",
		c.DataDir, c.NATS.URL, c.Resources.Files, c.Databases(), c.ExporterNames())
}
