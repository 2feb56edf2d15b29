package sender

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// Exporter is a named OTLP destination.
type Exporter struct {
	Name string
	// Endpoint is the whole URL metrics are posted to.
	Endpoint string
	// Headers are sent with every request; they hold secrets and are never shown.
	Headers map[string]string
	// Timeout bounds one request, from the connection to the answer's end.
	Timeout time.Duration
	// MaxBackoff bounds the wait between two attempts.
	MaxBackoff time.Duration
	// MaxBacklogBytes is the high-water mark of the exporter's stream.
	MaxBacklogBytes int64
	TLS             TLS
}

// TLS says how to trust an https endpoint.
type TLS struct {
	// CAFile holds, in PEM, the certificates to trust instead of the system's.
	CAFile string
	// ServerName is expected in the certificate instead of the endpoint's host.
	ServerName string
	// InsecureSkipVerify trusts any certificate.
	InsecureSkipVerify bool
}

func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // the user's own decision, off by default
	}
	if t.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("tls.caFile: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.caFile: %s holds no certificate", t.CAFile)
	}
	return c, nil
}
