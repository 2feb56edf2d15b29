package sandbox

import (
	"io"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

// encoder writes one answer in one of Kusto's shapes. It knows the JSON and its order; what is to be
// written, and when to stop, is its caller's business. Errors of the writer stick to the stream.
type encoder interface {
	begin(tables int)
	table(schema table.Schema)           // begins a table
	batch(b *table.Table, from, to int)  // rows [from, to) of the open table
	endTable(failure *Error, f *Fault)   // failure is what ended it early, if anything
	information(resources resourceUsage) // what the query was; not after a failure
	end(failure *Error, f *Fault)        // of the whole answer
}

// resourceUsage is what the sandbox can tell about the work of a query, under Kusto's names.
type resourceUsage struct {
	ExecutionTime float64             `json:"ExecutionTime"` // seconds
	Datasets      []datasetStatistics `json:"dataset_statistics"`
}

type datasetStatistics struct {
	Rows  int64 `json:"table_row_count"`
	Bytes int64 `json:"table_size"`
}

// chunk is how much JSON is gathered before it is written.
const chunk = 32 << 10

// stream is the bytes of an answer on their way out.
type stream struct {
	w     io.Writer
	buf   []byte
	sent  int64 // bytes handed to w
	err   error
	comma bool // the open array has an element
}

// written is the number of bytes of the answer so far, before compression.
func (s *stream) written() int64 { return s.sent + int64(len(s.buf)) }

func (s *stream) put(text string) { s.buf = append(s.buf, text...) }

func (s *stream) write() {
	if s.err == nil && len(s.buf) > 0 {
		_, s.err = s.w.Write(s.buf)
		s.sent += int64(len(s.buf))
	}
	s.buf = s.buf[:0]
}

// rows writes rows [from, to) as elements of the open array.
func (s *stream) rows(b *table.Table, from, to int) {
	for i := from; i < to && s.err == nil; i++ {
		s.element()
		s.buf = appendRow(s.buf, b, i)
		if len(s.buf) >= chunk {
			s.write()
		}
	}
}

// element puts the comma before an element of the open array, unless it is the first.
func (s *stream) element() {
	if s.comma {
		s.buf = append(s.buf, ',')
	}
	s.comma = true
}
