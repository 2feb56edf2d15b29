package sender

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
)

// tlsConfig returns how to trust an https endpoint.
func tlsConfig(t config.ExporterTLS) (*tls.Config, error) {
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
