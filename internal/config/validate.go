package config

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kusto2otlp/kusto2otlp/internal/strict"
)

const day = 24 * time.Hour

// Validate returns every problem of the configuration as strict.Problems, nil
// when there is none.
func (c *Config) Validate() error { return c.problems(nil).Err() }

// problems checks every field, except those with a problem from decoding:
// their value is not what the file says.
func (c *Config) problems(decoding strict.Problems) strict.Problems {
	v := &validator{doc: c.doc}
	v.pipeline(c)
	v.nats(c.NATS)
	v.labels(c.Labels)
	v.resources(c.Resources)
	v.telemetry(c.Telemetry)
	v.clusters(c.Kusto)
	v.exporters(c.Exporters)
	return slices.DeleteFunc(v.found, func(p Problem) bool { return decoding.Cover(p.Field) })
}

// A validator collects problems.
type validator struct {
	doc   *strict.Document // nil when the configuration came from no file
	found strict.Problems
	// owner begins the messages of a list's element: `exporter "datadog": `.
	owner string
}

// problem tells of a field.
func (v *validator) problem(field, format string, args ...any) {
	p := v.doc.Problem(field, format, args...)
	if v.owner != "" {
		p.Message = v.owner + field[strings.Index(field, "].")+2:] + " " + p.Message
	}
	v.found = append(v.found, p)
}

// owned says whose fields the next problems are about, until "" is said.
func (v *validator) owned(kind, field, name string) {
	v.owner = fmt.Sprintf("%s %s: ", kind, v.quote(field+".name", name))
}

// quote quotes a value, unless a reference brought it in.
func (v *validator) quote(field, value string) string {
	if !v.doc.Quotable(field) {
		return "[redacted]"
	}
	return fmt.Sprintf("%q", value)
}

// got returns ", got …" for a value, unless a reference brought it in: then it
// may be a secret.
func (v *validator) got(field string, value any) string {
	if !v.doc.Quotable(field) {
		return ""
	}
	if s, ok := value.(string); ok {
		return ", got " + v.quote(field, s)
	}
	return fmt.Sprintf(", got %v", value)
}

func (v *validator) between(field string, value, least, most time.Duration) {
	if value < least || value > most {
		v.problem(field, "must be between %s and %s%s", show(least), show(most), v.got(field, show(value)))
	}
}

// A span prints a duration without the zero units that time.Duration prints:
// 1h, not 1h0m0s.
type span string

func show(d time.Duration) span {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return span(s)
}

// oneOf checks a value that must be one of a few.
func oneOf[T ~string](v *validator, field string, value T, values ...T) bool {
	if slices.Contains(values, value) {
		return true
	}
	names := make([]string, len(values))
	for i, n := range values {
		names[i] = string(n)
	}
	last := len(names) - 1
	v.problem(field, "must be %s or %s%s", strings.Join(names[:last], ", "), names[last], v.got(field, string(value)))
	return false
}

func (v *validator) pipeline(c *Config) {
	if c.DataDir == "" {
		v.problem("dataDir", "must not be empty")
	}
	v.between("catchUp", c.CatchUp, 0, 365*day)
	v.between("replayRetention", c.ReplayRetention, 0, 365*day)
	v.between("shutdownTimeout", c.ShutdownTimeout, time.Second, 10*time.Minute)
	v.attributes("resourceAttributes", c.ResourceAttributes)
}

func (v *validator) attributes(field string, attributes map[string]string) {
	if _, ok := attributes[""]; ok {
		v.problem(field, "must not have an empty key")
	}
}

func (v *validator) nats(n NATS) {
	embedded := n.URL == ""
	if !embedded {
		for _, server := range strings.Split(n.URL.Reveal(), ",") {
			if message := serverProblem(strings.TrimSpace(server)); message != "" {
				v.problem("nats.url", "%s", message)
				break
			}
		}
	}
	if embedded && n.CredentialsFile != "" {
		v.problem("nats.credentialsFile", "needs nats.url")
	}
	if embedded && n.TLS != (NATSTLS{}) {
		v.problem("nats.tls", "needs nats.url")
	}
	switch {
	case n.TLS.CertFile != "" && n.TLS.KeyFile == "":
		v.problem("nats.tls.certFile", "needs nats.tls.keyFile")
	case n.TLS.CertFile == "" && n.TLS.KeyFile != "":
		v.problem("nats.tls.keyFile", "needs nats.tls.certFile")
	}
	switch {
	case n.Replicas != 1 && n.Replicas != 3 && n.Replicas != 5:
		v.problem("nats.replicas", "must be 1, 3 or 5%s", v.got("nats.replicas", n.Replicas))
	case n.Replicas > 1 && embedded:
		v.problem("nats.replicas", "must be 1 without nats.url%s", v.got("nats.replicas", n.Replicas))
	}
}

// labels checks that each label has a query parameter of its own.
func (v *validator) labels(labels map[string]string) {
	taken := map[string]string{"_startTime": "", "_endTime": ""}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		field := strict.Join("labels", name)
		parameter := LabelParameter(name)
		other, collides := taken[parameter]
		switch {
		case name == "":
			v.problem("labels", "must not have an empty key")
		case collides && other == "":
			v.problem(field, "label %q would be the query parameter %s, which is the window's", name, parameter)
		case collides:
			v.problem(field, "labels %q and %q would both be the query parameter %s", other, name, parameter)
		default:
			taken[parameter] = name
		}
	}
}

func (v *validator) resources(r Resources) {
	if r.Kubernetes {
		v.problem("resources.kubernetes", "is not supported by this version")
	}
	if len(r.Files) == 0 {
		v.problem("resources.files", "must have at least one path or pattern")
	}
	for i, glob := range r.Files {
		field := fmt.Sprintf("resources.files[%d]", i)
		if glob == "" {
			v.problem(field, "must not be empty")
		} else if _, err := filepath.Match(glob, ""); err != nil {
			v.problem(field, "must be a path or a pattern%s", v.got(field, glob))
		}
	}
}

func (v *validator) telemetry(t Telemetry) {
	if _, _, err := net.SplitHostPort(t.Listen); err != nil || !validPort(t.Listen) {
		v.problem("telemetry.listen", "must be host:port or :port%s", v.got("telemetry.listen", t.Listen))
	}
	oneOf(v, "telemetry.logLevel", t.LogLevel, LogDebug, LogInfo, LogWarn, LogError)
	oneOf(v, "telemetry.logFormat", t.LogFormat, LogJSON, LogText)
}
