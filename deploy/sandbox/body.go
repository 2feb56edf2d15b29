package sandbox

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// body is the body of an answer: gzipped when the client accepts that, and flushed on demand so that
// rows are on their way while later ones are still being computed.
type body struct {
	w   http.ResponseWriter
	out io.Writer
	gz  *gzip.Writer
}

// gzips are kept, since each holds a few hundred KiB of tables. Level 1: a local endpoint has more
// bandwidth than time.
var gzips = sync.Pool{New: func() any {
	gz, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return gz
}}

// newBody sends the status line and the headers.
func newBody(w http.ResponseWriter, r *http.Request, status int) *body {
	b := &body{w: w, out: w}
	if acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		b.gz = gzips.Get().(*gzip.Writer)
		b.gz.Reset(w)
		b.out = b.gz
	}
	w.WriteHeader(status)
	return b
}

// Write implements io.Writer.
func (b *body) Write(p []byte) (int, error) { return b.out.Write(p) }

// Flush puts everything written so far on the wire.
func (b *body) Flush() error {
	if b.gz != nil {
		if err := b.gz.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(b.w).Flush()
}

// Close ends the body. A body that is not closed leaves the client with a truncated gzip stream,
// which is what cutting an answer short needs.
func (b *body) Close() error {
	if b.gz == nil {
		return nil
	}
	err := b.gz.Close()
	b.release()
	return err
}

// release gives the compressor back without ending the stream.
func (b *body) release() {
	if b.gz != nil {
		b.gz.Reset(io.Discard)
		gzips.Put(b.gz)
		b.gz = nil
	}
}

func acceptsGzip(r *http.Request) bool {
	for _, enc := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(enc), ";")
		if strings.EqualFold(name, "gzip") && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}
