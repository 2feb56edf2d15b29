package main

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

// openClient connects a command to a running pipeline: to nats.url, or to the
// server embedded in the `run` on dataDir, by the address that it left there.
func openClient(cfg *config.Config, command string) (*pipe.Pipe, error) {
	pc := pipe.Config{
		URL:             cfg.NATS.URL.Reveal(),
		CredentialsFile: cfg.NATS.CredentialsFile,
		CAFile:          cfg.NATS.TLS.CAFile,
		CertFile:        cfg.NATS.TLS.CertFile,
		KeyFile:         cfg.NATS.TLS.KeyFile,
		Replicas:        cfg.NATS.Replicas,
		Name:            "kusto2otlp " + command,
	}
	if pc.URL == "" {
		addr, err := pipe.ReadAddress(cfg.DataDir)
		if err != nil {
			return nil, fmt.Errorf("%w (and nats.url is not set)", err)
		}
		pc.URL, pc.Token = addr.URL, addr.Token
	}
	return pipe.Open(pc)
}
