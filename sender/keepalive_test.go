package sender

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
)

// Requests share a connection, also after answers that are refusals with a body.
func TestKeepAlive(t *testing.T) {
	var connections, requests atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if requests.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "the queue is full")
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c, err := newHTTPClient(config.Exporter{Endpoint: config.Address(srv.URL), Timeout: 5 * time.Second}, "1")
	require.NoError(t, err)
	t.Cleanup(c.Close)
	for range 10 {
		_, _, _ = c.Send(t.Context(), []byte("body"), "")
	}
	require.EqualValues(t, 10, requests.Load())
	require.EqualValues(t, 1, connections.Load())
}
