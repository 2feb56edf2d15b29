package main

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"

	"github.com/kusto2otlp/kusto2otlp/cmd/kusto2otlp/preview"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/otlp"
)

// arrivedPoints is how many points of a request the sandbox prints.
const arrivedPoints = 5

// startOTLP starts an OTLP endpoint that prints what arrives.
func startOTLP(listen string, out io.Writer) (*otlp.Server, error) {
	var mu sync.Mutex
	s, err := otlp.New(otlp.Config{Listen: listen, OnRequest: func(_ string, _ *http.Request, m *colmetrics.ExportMetricsServiceRequest) {
		n := uint64(0)
		for range preview.Points(m) {
			n++
		}
		t := preview.NewTable(arrivedPoints)
		_ = t.Add(m) // which keeps them, and cannot fail
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s  %s arrived\n\n", time.Now().UTC().Format(time.TimeOnly), plural(n, "point"))
		_ = t.Write(out, terminalWidth(out)) // a closed terminal is no reason to refuse points
		fmt.Fprintln(out)
	}})
	if err != nil {
		return nil, err
	}
	return s, s.Start()
}
