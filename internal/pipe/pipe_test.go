package pipe_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe/pipetest"
	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestMain(m *testing.M) { pipetest.VerifyTestMain(m) }

func TestStartServer(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "made", "by", "us")
		pipetest.MustStart(t, dir)
		info, err := os.Stat(filepath.Join(dir, "nats.json"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "the credential is the owner's alone")

		a, err := pipe.ReadAddress(dir)
		require.NoError(t, err)
		p, err := pipe.Open(pipe.Config{URL: a.URL, Token: a.Token})
		require.NoError(t, err)
		require.True(t, p.Connected())
		p.Close()

		_, err = pipe.Open(pipe.Config{URL: a.URL, Token: "guess"})
		require.ErrorContains(t, err, "Authorization Violation")
	})

	t.Run("ErrInUse", func(t *testing.T) {
		dir := t.TempDir()
		pipetest.MustStart(t, dir)
		_, err := pipe.StartServer(dir, pipetest.Logger(t))
		require.EqualError(t, err, `data directory "`+dir+`" is in use by another kusto2otlp process`)
		_, err = pipe.ReadAddress(dir)
		require.NoError(t, err, "the second must leave the first alone")
	})

	t.Run("ErrNotRunning", func(t *testing.T) {
		dir := t.TempDir()
		s, err := pipe.StartServer(dir, pipetest.Logger(t))
		require.NoError(t, err)
		s.Close()
		s.Close()
		_, err = pipe.ReadAddress(dir)
		require.EqualError(t, err, `no pipeline runs on data directory "`+dir+`": there is no nats.json in it`)
	})
}

func TestOpen(t *testing.T) {
	t.Run("ErrUnreachable", func(t *testing.T) {
		_, err := pipe.Open(pipe.Config{URL: "nats://user:secret@127.0.0.1:1"})
		require.EqualError(t, err, "connect to nats at nats://127.0.0.1:1: nats: no servers available for connection")
	})

	t.Run("OKAwait", func(t *testing.T) {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, DontListen: true})
		require.NoError(t, err)
		s.Start()
		defer s.WaitForShutdown()
		defer s.Shutdown()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		refused := 0
		go func() {
			for ; ; refused++ {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if refused < 2 {
					_ = c.Close()
					continue
				}
				in, err := s.InProcessConn()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(in, c); _ = in.Close() }()
				go func() { _, _ = io.Copy(c, in); _ = c.Close() }()
			}
		}()
		p, err := pipe.Await(t.Context(), pipe.Config{URL: "nats://" + l.Addr().String()})
		require.NoError(t, err)
		require.True(t, p.Connected())
		p.Close()
	})

	t.Run("ErrAwaitStopped", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		_, err := pipe.Await(ctx, pipe.Config{URL: "nats://127.0.0.1:1"})
		require.ErrorIs(t, err, nats.ErrNoServers)
	})

	t.Run("ErrAwaitRefused", func(t *testing.T) {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Authorization: "secret"})
		require.NoError(t, err)
		s.Start()
		defer s.WaitForShutdown()
		defer s.Shutdown()
		require.True(t, s.ReadyForConnections(10*time.Second))
		_, err = pipe.Await(t.Context(), pipe.Config{URL: s.ClientURL()})
		require.ErrorIs(t, err, nats.ErrAuthorization)
	})
}

func TestEnsureStreams(t *testing.T) {
	exporters := []pipe.ExporterStream{{Name: "prom", MaxBacklogBytes: 1 << 20}, {Name: "data.dog", MaxBacklogBytes: 1 << 20}}

	t.Run("OKAtOnceAndAgain", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		errs := make(chan error, 4)
		for range cap(errs) {
			go func() { errs <- p.EnsureStreams(t.Context(), exporters) }()
		}
		for range cap(errs) {
			require.NoError(t, <-errs)
		}
		s, err := p.JS.Stream(t.Context(), schemas.OTLPStream("data.dog"))
		require.NoError(t, err)
		require.Equal(t, "K2O_OTLP_data=2Edog", s.CachedInfo().Config.Name)
		require.Equal(t, jetstream.DiscardNew, s.CachedInfo().Config.Discard)
	})

	t.Run("OKChangedLimit", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		require.NoError(t, p.EnsureStreams(t.Context(), exporters))
		exporters[0].MaxBacklogBytes = 2 << 20
		require.NoError(t, p.EnsureStreams(t.Context(), exporters))
		s, err := p.JS.Stream(t.Context(), schemas.OTLPStream("prom"))
		require.NoError(t, err)
		require.EqualValues(t, 4<<20, s.CachedInfo().Config.MaxBytes)
	})

	t.Run("ErrNoRoom", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		err := p.EnsureStreams(t.Context(), []pipe.ExporterStream{{Name: "prom", MaxBacklogBytes: 1 << 60}})
		require.ErrorContains(t, err, `create or update stream K2O_OTLP_prom`)
		require.ErrorContains(t, err, "insufficient storage")
	})
}

func TestPublish(t *testing.T) {
	t.Run("OKDuplicate", func(t *testing.T) {
		p := pipetest.MustOpen(t, "prom")
		o := pipe.Outgoing{Subject: batchSubject(0), ID: "run/0", Data: []byte("a")}
		duplicate, err := p.Publish(t.Context(), o)
		require.NoError(t, err)
		require.False(t, duplicate)
		duplicate, err = p.Publish(t.Context(), o)
		require.NoError(t, err)
		require.True(t, duplicate)
		require.EqualValues(t, 1, messages(t, p, schemas.OTLPStream("prom")))
	})

	t.Run("ErrFull", func(t *testing.T) {
		p := pipetest.MustOpen(t)
		require.NoError(t, p.EnsureStreams(t.Context(), []pipe.ExporterStream{{Name: "prom", MaxBacklogBytes: 1 << 10}}))
		b := p.Publisher()
		for i := range 40 {
			if err := b.Add(t.Context(), pipe.Outgoing{Subject: batchSubject(i), Data: make([]byte, 256)}); err != nil {
				require.ErrorContains(t, err, "maximum bytes exceeded")
				return
			}
		}
		require.ErrorContains(t, b.Flush(t.Context()), "maximum bytes exceeded")
	})
}

func batchSubject(n int) string {
	return schemas.OTLPSubject("prom", schemas.LaneLive, "monitoring", "times", start, "run", n)
}

func TestBacklogAndTrim(t *testing.T) {
	p := pipetest.MustOpen(t, "prom")
	ctx := t.Context()
	stream := schemas.OTLPStream("prom")
	publish := func(n int) {
		t.Helper()
		_, err := p.Publish(ctx, pipe.Outgoing{Subject: batchSubject(n), Data: make([]byte, 1000)})
		require.NoError(t, err)
	}
	backlog := func() uint64 {
		t.Helper()
		b, err := p.Backlog(ctx, "prom")
		require.NoError(t, err)
		return b.Messages
	}
	for n := range 10 {
		publish(n)
	}
	require.EqualValues(t, 10, backlog(), "without a sender everything waits")
	future := time.Now().Add(time.Hour)
	require.NoError(t, p.Trim(ctx, "prom", future, 1<<20, nil))
	require.EqualValues(t, 10, messages(t, p, stream), "what was not delivered is never removed")

	var cons [2]jetstream.Consumer
	for i, lane := range schemas.Lanes {
		var err error
		cons[i], err = p.JS.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
			Durable: schemas.SenderDurable("prom", lane), FilterSubject: schemas.OTLPFilter("prom", lane), AckPolicy: jetstream.AckExplicitPolicy})
		require.NoError(t, err)
	}
	batch, err := cons[0].FetchNoWait(6)
	require.NoError(t, err)
	n := 0
	for msg := range batch.Messages() {
		if n++; n != 4 { // the fourth waits for a retry
			require.NoError(t, msg.DoubleAck(ctx))
		}
	}
	require.Equal(t, 6, n)
	require.EqualValues(t, 5, backlog())

	require.NoError(t, p.Trim(ctx, "prom", time.Now().Add(-time.Hour), 1<<20, nil))
	require.EqualValues(t, 10, messages(t, p, stream), "young and with room to spare: kept for a replay")

	require.NoError(t, p.Trim(ctx, "prom", time.Now().Add(-time.Hour), 8500, nil))
	require.EqualValues(t, 7, messages(t, p, stream), "delivered ones make room, up to the first that was not")

	require.NoError(t, p.Trim(ctx, "prom", future, 1<<20, nil))
	require.EqualValues(t, 7, messages(t, p, stream))
}
