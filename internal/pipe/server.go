package pipe

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// addressFile holds, in dataDir, how to reach the embedded server.
const addressFile = "nats.json"

// serverStart bounds the start of the embedded server, which reads its streams'
// state back from disk.
const serverStart = 2 * time.Minute

// maxStore is no limit to any disk.
const maxStore = 1 << 50

// watchServer is how often the embedded server is asked whether it still works.
const watchServer = time.Second

// Address is how another process on this machine reaches an embedded server.
type Address struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// ReadAddress reads the address that a running embedded server left in dataDir.
func ReadAddress(dataDir string) (Address, error) {
	var a Address
	data, err := os.ReadFile(filepath.Join(dataDir, addressFile))
	if errors.Is(err, os.ErrNotExist) {
		return a, fmt.Errorf("no pipeline runs on data directory %q: there is no %s in it", dataDir, addressFile)
	}
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		return a, fmt.Errorf("read the address of the pipeline on data directory %q: %w", dataDir, err)
	}
	return a, nil
}

// Server is a NATS server with JetStream inside this process, its file store
// under a data directory, listening on loopback only.
type Server struct {
	srv  *server.Server
	addr Address
	dir  string
	lock *os.File

	space  *space
	once   sync.Once
	failed chan struct{} // closed when the server can write no more
	why    error
}

// StartServer starts the embedded server on dataDir, which it creates if need be
// and locks against a second process. Every message it acks is on disk before.
func StartServer(dataDir string, log *slog.Logger) (*Server, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	lock, err := lockDir(dataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dataDir, lock: lock, space: &space{dir: dataDir, log: log}, failed: make(chan struct{})}
	if err := s.start(log); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(log *slog.Logger) (err error) {
	s.addr.Token = rand.Text()
	s.srv, err = server.NewServer(&server.Options{
		ServerName:    "kusto2otlp",
		Host:          "127.0.0.1",
		Port:          server.RANDOM_PORT,
		Authorization: s.addr.Token,
		JetStream:     true,
		StoreDir:      s.dir,
		// Otherwise 75 % of what is free at the start, of which a stream's MaxBytes is
		// taken as used: a second exporter on a small disk would be refused. That the
		// disk does not fill up is the affair of space.
		JetStreamMaxStore: maxStore,
		// Nothing acked may be lost to a power cut: there is no second replica.
		SyncAlways: true,
		NoSigs:     true,
		NoLog:      true,
	})
	if err != nil {
		return fmt.Errorf("start embedded nats server: %w", err)
	}
	s.srv.SetLoggerV2(serverLog{log.With("component", "nats"), s.fail}, false, false, false)
	s.srv.Start()
	if !s.srv.ReadyForConnections(serverStart) {
		return fmt.Errorf("start embedded nats server on data directory %q: not ready after %s", s.dir, serverStart)
	}
	if !s.srv.JetStreamEnabled() {
		return fmt.Errorf("start embedded nats server: jetstream could not use data directory %q", s.dir)
	}
	s.addr.URL = s.srv.ClientURL()
	data, err := json.Marshal(s.addr)
	if err != nil {
		return err
	}
	// Written beside and renamed, so that a reader never sees half of it.
	file := filepath.Join(s.dir, addressFile)
	if err = os.WriteFile(file+".new", append(data, '\n'), 0o600); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("leave the embedded server's address in data directory %q: %w", s.dir, err)
	}
	return nil
}

// lockDir keeps a second process off dataDir: two servers on one file store
// destroy it. The kernel drops the lock with the process, however that ends.
func lockDir(dataDir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dataDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %q is in use by another kusto2otlp process", dataDir)
		}
		return nil, fmt.Errorf("lock data directory %q: %w", dataDir, err)
	}
	return f, nil
}

func (s *Server) connectOptions() []nats.Option {
	return []nats.Option{nats.InProcessServer(s.srv), nats.Token(s.addr.Token)}
}

func (s *Server) fail(why error) {
	s.once.Do(func() {
		s.why = fmt.Errorf("the embedded nats server cannot write to data directory %q and must be started again; nothing that was stored is lost: %w", s.dir, why)
		close(s.failed)
	})
}

// Watch returns when ctx ends, or with an error when the server can do its work no
// more unless the process is started again: a stream whose write failed takes
// nothing until then, whatever room there is on the disk.
func (s *Server) Watch(ctx context.Context) error {
	t := time.NewTicker(watchServer)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.failed:
			return s.why
		case <-t.C:
			if !s.srv.JetStreamEnabled() && ctx.Err() == nil {
				s.fail(errors.New("jetstream was disabled"))
			}
		}
	}
}

// WhyFailed says why the process must be started again; nil when it need not.
func (s *Server) WhyFailed() error {
	select {
	case <-s.failed:
		return s.why
	default:
		return nil
	}
}

// WhyNotReady says why the server cannot take windows at this moment.
func (s *Server) WhyNotReady() error {
	if err := s.WhyFailed(); err != nil {
		return err
	}
	return s.space.err()
}

// Close stops the server, after what it acked is on disk, and unlocks the data
// directory. It may be called again.
func (s *Server) Close() {
	if s.lock == nil {
		return
	}
	if s.srv != nil {
		_ = os.Remove(filepath.Join(s.dir, addressFile))
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
	}
	_ = s.lock.Close()
	s.lock = nil
}

// serverLog passes the server's warnings and errors on; what it notes and traces
// is its own affair.
type serverLog struct {
	log  *slog.Logger
	fail func(error)
}

// lost is how the server's log begins to tell that a stream takes no more writes,
// and stays so: there is no other way to learn of it.
const lost = "critical write error"

func (l serverLog) say(level func(string, ...any), format string, v []any) {
	level(strings.ToLower(fmt.Sprintf(format, v...)))
}
func (l serverLog) Noticef(string, ...any)         {}
func (l serverLog) Warnf(format string, v ...any)  { l.say(l.log.Warn, format, v) }
func (l serverLog) Fatalf(format string, v ...any) { l.say(l.log.Error, format, v) }
func (l serverLog) Errorf(format string, v ...any) {
	l.say(l.log.Error, format, v)
	if text := fmt.Sprintf(format, v...); strings.Contains(text, lost) {
		l.fail(errors.New(text))
	}
}
func (l serverLog) Debugf(string, ...any) {}
func (l serverLog) Tracef(string, ...any) {}
