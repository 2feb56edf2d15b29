package sandbox

import (
	"net/http"
	"sync"
	"time"
)

// Fault is what goes wrong with one query, for tests of those who ask. The zero Fault changes
// nothing. It acts in the order of its fields.
type Fault struct {
	// Before the answer: wait, then until Hold is closed (nil: do not wait), both cut short when the
	// client goes away or its timeout passes.
	Delay time.Duration
	Hold  <-chan struct{}

	// An answer in place of the query's. Error becomes the HTTP status and body; Status with Body and
	// Header is for answers that are not Kusto's, such as a proxy's.
	Error  *Error
	Status int
	Header http.Header
	Body   string

	// Frames overrules the kind of frames that the request asked for. Replace sends the first fragment
	// of a table a second time as DataReplace, as progressive answers do: what came before it no longer counts.
	Frames  FrameKind
	Replace bool

	// After this many rows, over all tables, or at the end of the last table when there are fewer, do
	// what Stall, InBand and Cut say.
	After  int64
	Stall  <-chan struct{} // flush, then wait until it is closed
	InBand *Error          // end the table with this error, placed as the request asked
	Cut    bool            // flush, then drop the connection

	// The end of the answer.
	RowCountOff         int64  // added to the RowCount of every TableCompletion
	NoTableCompletion   bool   // leave out every TableCompletion
	CompletionError     *Error // report it in DataSetCompletion alone
	Cancelled           bool   // DataSetCompletion says Cancelled
	NoDataSetCompletion bool   // end the array without it
	CutBeforeCompletion bool   // drop the connection before DataSetCompletion
}

// FrameKind is one of the shapes of a v2 answer.
type FrameKind uint8

// The kinds of frames.
const (
	AsRequested FrameKind = iota
	Plain                 // one DataTable a table
	Fragmented            // TableHeader, TableFragments, TableCompletion
	Progressive           // the same, with TableProgress
)

// Faults gives the first query the first fault, the second the second, and none to those after the
// last; nil is a query that works. The function is for Config.Fault and safe for concurrent use.
func Faults(faults ...*Fault) func(*Request) *Fault {
	var mu sync.Mutex
	return func(*Request) *Fault {
		mu.Lock()
		defer mu.Unlock()
		if len(faults) == 0 {
			return nil
		}
		f := faults[0]
		faults = faults[1:]
		return f
	}
}
