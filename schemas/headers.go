package schemas

// Version is the major version of this wire contract, sent with every message. A
// reader refuses a message of a newer one and leaves it where it is; additions
// that an older reader may ignore do not raise it.
const Version = 1

// Headers of every message. Those of NATS itself are in nats.go.
const (
	// HeaderVersion carries Version, in decimal.
	HeaderVersion = "K2o-Version"
	// HeaderWindow carries the window id.
	HeaderWindow = "K2o-Window"
)

// Headers of an OTLP batch.
const (
	// HeaderEncoding is the body's compression, as HTTP's Content-Encoding names
	// it: gzip or zstd; absent when there is none.
	HeaderEncoding = "K2o-Encoding"
	// HeaderPoints is the number of points in the batch.
	HeaderPoints = "K2o-Points"
	// HeaderRun is the run of the window's query that the batch came from.
	HeaderRun = "K2o-Run"
	// HeaderBatch is the batch's number in the run, from 0.
	HeaderBatch = "K2o-Batch"
	// HeaderExporter names the exporter.
	HeaderExporter = "K2o-Exporter"
	// HeaderLane is the lane.
	HeaderLane = "K2o-Lane"
	// HeaderRequest is the id of the replay or backfill that asked; absent for a
	// window of the schedule.
	HeaderRequest = "K2o-Request"
)

// Headers a dead letter has in addition to those of the message it keeps.
const (
	HeaderDeadStage    = "K2o-Dead-Stage"    // where it failed
	HeaderDeadKind     = "K2o-Dead-Kind"     // permanent, or panic
	HeaderDeadReason   = "K2o-Dead-Reason"   // the error, bounded
	HeaderDeadAttempts = "K2o-Dead-Attempts" // deliveries, the last included
	HeaderDeadSubject  = "K2o-Dead-Subject"  // where the message was
	HeaderDeadAt       = "K2o-Dead-At"       // when, RFC 3339
)

// HeaderPutBack is on a message that was a dead letter and was put back: when it had
// failed, RFC 3339. Whoever reports that it failed again reports a later time, also
// if his clock is behind.
const HeaderPutBack = "K2o-Put-Back"

// The limits of a message, beyond which it is cut into several or refused.
const (
	// RowBatchRows is the most rows of a row batch.
	RowBatchRows = 8192
	// RowBatchBytes is the encoded size past which a row batch is closed. With the
	// largest row that fits a message beyond it, it stays within MaxMessageBytes.
	RowBatchBytes = 512 << 10
	// MaxMessageBytes is the most a message's body may have: NATS's default
	// payload of 1 MiB less room for headers.
	MaxMessageBytes = 1<<20 - 16<<10
)
