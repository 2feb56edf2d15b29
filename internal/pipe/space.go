package pipe

import (
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// What is kept free on the disk of an embedded server, since the server survives no
// write that finds it full: a stream with one that failed takes nothing more, not
// even a purge, until the process is started again (nats-server v2.15.2; nothing
// that was acked is lost by it).
//
// Below the low mark no more windows are queried. Those under way may still use half
// of what is left; then nothing larger than smallMessage is published, so that
// events, acks and the removal of what was delivered have the rest: the server
// copies a block of up to 8 MiB to remove what is in it.
const (
	lowShare = 10      // the mark is a tenth of the disk,
	lowMost  = 1 << 30 // at most this,
	lowLeast = 64 << 20
	lowSmall = 3.0 / 8 // and at least lowLeast, or this share of a disk smaller than that
	fullPart = 2

	smallMessage = 4 << 10

	// spaceAge is how long an answer about the disk is good for.
	spaceAge = 250 * time.Millisecond
)

// space knows how much room is left on the disk of a data directory.
type space struct {
	dir string
	log *slog.Logger

	mu      sync.Mutex
	checked time.Time
	free    uint64
	low     uint64 // mark
	isLow   bool
}

func (s *space) look() (free, low uint64, isLow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.checked) < spaceAge {
		return s.free, s.low, s.isLow
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &fs); err != nil {
		return s.free, s.low, s.isLow // the last answer stands
	}
	s.checked = time.Now()
	s.free = fs.Bavail * uint64(fs.Bsize)
	total := fs.Blocks * uint64(fs.Bsize)
	s.low = min(max(total/lowShare, min(uint64(float64(total)*lowSmall), lowLeast)), lowMost)
	mark := s.low
	if s.isLow {
		mark += s.low / 4 // or it would come and go with every batch
	}
	if isLow := s.free < mark; isLow != s.isLow {
		s.isLow = isLow
		if isLow {
			s.log.Error("the disk of the data directory is nearly full: windows wait as jobs until there is room", "dataDir", s.dir, "free", mebibytes(s.free), "mark", mebibytes(s.low))
		} else {
			s.log.Info("the disk of the data directory has room again: windows are queried again", "dataDir", s.dir, "free", mebibytes(s.free), "mark", mebibytes(s.low))
		}
	}
	return s.free, s.low, s.isLow
}

// err says that the disk is nearly full; nil when it is not, or not known. A nil
// space, of a server elsewhere, is never full.
func (s *space) err() error {
	if s == nil {
		return nil
	}
	if free, low, isLow := s.look(); isLow {
		return fmt.Errorf("the disk of data directory %q is nearly full: %s are free, %s must be: no windows are queried until there is room",
			s.dir, mebibytes(free), mebibytes(low+low/4))
	}
	return nil
}

// refuse says that there is no room for a message of n bytes.
func (s *space) refuse(n int) error {
	if s == nil || n <= smallMessage {
		return nil
	}
	if free, low, isLow := s.look(); isLow && free < low/fullPart {
		return fmt.Errorf("the disk of data directory %q is full: %s are free", s.dir, mebibytes(free))
	}
	return nil
}

// wanted is how many bytes there should be free beyond those that are.
func (s *space) wanted() int64 {
	if s == nil {
		return 0
	}
	free, low, isLow := s.look()
	if !isLow {
		return 0
	}
	return int64(low+low/4) - int64(free) + 1
}

func mebibytes(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }
