package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/kusto2otlp/kusto2otlp/internal/telemetry"
)

// publishTimeout bounds the wait for a stream's ack of one message. A leader
// change in a cluster stalls publishing for about a second.
const publishTimeout = 10 * time.Second

// maxOutstanding bounds the messages published and not yet acked by PublishAll.
// With messages of up to 1 MiB it bounds memory too.
const maxOutstanding = 16

// Pipe is a process's connection to JetStream.
type Pipe struct {
	// JS is for what Pipe has no method for.
	JS jetstream.JetStream

	nc       *nats.Conn
	log      *slog.Logger
	metrics  *telemetry.Metrics
	replicas int
	grace    time.Duration
	space    *space // of the embedded server's disk; nil: somebody else's
}

// Config says how to reach JetStream.
type Config struct {
	// Server is an embedded server, with which URL and what follows it is not used.
	Server *Server
	// URL is the server's, or those of several separated by commas.
	URL             string
	Token           string
	CredentialsFile string
	CAFile          string
	CertFile        string
	KeyFile         string
	// Replicas of every stream; 0: 1.
	Replicas int
	// Name tells this connection from others in the server's monitoring.
	Name string
	// Grace is how long a handler may go on after a stop was asked for. 0: 8 s.
	Grace time.Duration

	Logger  *slog.Logger       // nil: nothing is logged
	Metrics *telemetry.Metrics // nil: nothing is counted
}

// Await is Open, and waits until ctx ends for a server that can be reached.
func Await(ctx context.Context, cfg Config) (*Pipe, error) {
	for attempt := uint64(1); ; attempt++ {
		p, err := Open(cfg)
		if err == nil || !unreachable(err) {
			return p, err
		}
		if attempt == 1 && cfg.Logger != nil {
			cfg.Logger.Warn("waiting for nats", "error", err)
		}
		if !wait(ctx, backoff(attempt, defaultMaxBackoff)) {
			return nil, err
		}
	}
}

// unreachable tells a server that is not there, or not yet, from one that says no
// and from settings that cannot work.
func unreachable(err error) bool {
	var network net.Error
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) || errors.As(err, &network)
}

// Open connects to JetStream. A server that cannot be reached is an error at the
// start, and waited for ever after.
func Open(cfg Config) (*Pipe, error) {
	p := &Pipe{log: cfg.Logger, metrics: cfg.Metrics, replicas: max(cfg.Replicas, 1), grace: cfg.Grace}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.grace == 0 {
		p.grace = 8 * time.Second
	}
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		// Credentials that are refused twice may be right again after the server's own
		// restart; without this the connection would be given up, in silence.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				p.log.Warn("lost the connection to nats, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { p.log.Info("reconnected to nats") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { p.log.Warn("nats", "error", err) }),
	}
	where := redact(cfg.URL)
	if cfg.Server != nil {
		where = "the embedded server"
		p.space = cfg.Server.space
		opts = append(opts, cfg.Server.connectOptions()...)
	} else {
		if cfg.Token != "" {
			opts = append(opts, nats.Token(cfg.Token))
		}
		if cfg.CredentialsFile != "" {
			opts = append(opts, nats.UserCredentials(cfg.CredentialsFile))
		}
		if cfg.CAFile != "" {
			opts = append(opts, nats.RootCAs(cfg.CAFile))
		}
		if cfg.CertFile != "" {
			opts = append(opts, nats.ClientCert(cfg.CertFile, cfg.KeyFile))
		}
	}
	var err error
	if p.nc, err = nats.Connect(cfg.URL, opts...); err != nil {
		return nil, fmt.Errorf("connect to nats at %s: %w", where, err)
	}
	// An ack that is lost must not be waited for, for ever: its message is published
	// again, and is then a duplicate.
	if p.JS, err = jetstream.New(p.nc, jetstream.WithPublishAsyncTimeout(publishTimeout)); err != nil {
		p.nc.Close()
		return nil, fmt.Errorf("use jetstream at %s: %w", where, err)
	}
	return p, nil
}

// redact takes the credentials out of NATS URLs.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil {
			list[i] = "(unreadable url)"
			continue
		}
		u.User = nil
		list[i] = u.String()
	}
	return strings.Join(list, ",")
}

// Connected says whether the connection stands at this moment.
func (p *Pipe) Connected() bool { return p.nc.IsConnected() }

// Close sends what is still buffered and closes the connection.
func (p *Pipe) Close() {
	_ = p.nc.FlushTimeout(time.Second)
	p.nc.Close()
}

// Publish publishes one message and waits until its stream has stored it.
// Duplicate is true, and the message's being there already is a success, when
// the stream had seen its ID.
func (p *Pipe) Publish(ctx context.Context, o Outgoing) (duplicate bool, err error) {
	if err := p.space.refuse(len(o.Data)); err != nil {
		return false, fmt.Errorf("publish %s: %w", o.Subject, err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ack, err := p.JS.PublishMsg(ctx, o.msg())
	if err != nil {
		return false, fmt.Errorf("publish %s: %w", o.Subject, err)
	}
	return ack.Duplicate, nil
}

// Publisher publishes many messages with several on their way at a time.
// Nothing it was given is known to be stored before Flush returns nil.
type Publisher struct {
	p        *Pipe
	subjects []string
	acks     []jetstream.PubAckFuture
}

// Publisher returns a Publisher with nothing outstanding.
func (p *Pipe) Publisher() *Publisher { return &Publisher{p: p} }

// Add publishes o, after waiting for the oldest outstanding ack when there are
// many. The publisher keeps o's data until it is acked.
func (b *Publisher) Add(ctx context.Context, o Outgoing) error {
	if err := b.p.space.refuse(len(o.Data)); err != nil {
		return fmt.Errorf("publish %s: %w", o.Subject, err)
	}
	if len(b.acks) >= maxOutstanding {
		if err := b.await(ctx, 1); err != nil {
			return err
		}
	}
	ack, err := b.p.JS.PublishMsgAsync(o.msg())
	if err != nil {
		return fmt.Errorf("publish %s: %w", o.Subject, err)
	}
	b.acks = append(b.acks, ack)
	b.subjects = append(b.subjects, o.Subject)
	return nil
}

// Flush waits until everything that was added is stored.
func (b *Publisher) Flush(ctx context.Context) error { return b.await(ctx, len(b.acks)) }

func (b *Publisher) await(ctx context.Context, n int) error {
	for range n {
		ack, subject := b.acks[0], b.subjects[0]
		b.acks, b.subjects = b.acks[1:], b.subjects[1:]
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return fmt.Errorf("publish %s: %w", subject, err)
		case <-ctx.Done():
			return fmt.Errorf("publish %s: %w", subject, context.Cause(ctx))
		}
	}
	return nil
}

// Purge removes every message on the subjects that filter selects.
func (p *Pipe) Purge(ctx context.Context, stream, filter string) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	s, err := p.JS.Stream(ctx, stream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(filter))
	}
	if err != nil {
		return fmt.Errorf("purge %s: %w", filter, err)
	}
	return nil
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }
