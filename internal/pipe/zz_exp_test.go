package pipe

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kusto2otlp/kusto2otlp/schemas"
)

func TestZZ(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ballast := filepath.Join(dir, "ballast")
	mib := 0
	if os.Getenv("BALLAST") != "" {
		mib = 1
	}
	srv, err := StartServer(filepath.Join(dir, "data"), log)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	if mib > 0 {
		if err := os.WriteFile(ballast, make([]byte, 30<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Open(Config{Server: srv, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx := context.Background()
	if err := p.EnsureStreams(ctx, []ExporterStream{{Name: "prom", MaxBacklogBytes: 1 << 30}}); err != nil {
		t.Fatal(err)
	}
	jsi, _ := srv.srv.Jsz(nil)
	fmt.Println("maxstore", jsi.Config.MaxStore, jsi.ReservedStore)
	n := 0
	var last string
	for i := range 150 {
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := p.Publish(c, Outgoing{Subject: fmt.Sprintf("k2o.otlp.prom.live.x.%d", i), Data: make([]byte, 500<<10)})
		cancel()
		if err == nil {
			n++
			continue
		}
		if err.Error()[30:] != last {
			last = err.Error()[30:]
			fmt.Println(i, n, err)
		}
		if i > 140 {
			break
		}
		if os.IsTimeout(err) || i > 5 && n < i-10 {
			break
		}
	}
	fmt.Println("stored", n, "enabled", srv.srv.JetStreamEnabled())
	st, err := p.JS.Stream(ctx, schemas.OTLPStream("prom"))
	if err == nil {
		fmt.Println("msgs", st.CachedInfo().State.Msgs)
	} else {
		fmt.Println("info", err)
	}
	c, cancel := context.WithTimeout(ctx, 2*time.Second)
	_, err = p.Publish(c, Outgoing{Subject: "k2o.job.a.b.live.c.d.e", Data: []byte("x")})
	cancel()
	fmt.Println("job:", err)
	var fs syscall.Statfs_t
	syscall.Statfs(dir, &fs)
	fmt.Println("free", fs.Bavail*uint64(fs.Bsize))
	os.Remove(ballast)
	syscall.Statfs(dir, &fs)
	fmt.Println("after removing ballast: free", fs.Bavail*uint64(fs.Bsize), "enabled", srv.srv.JetStreamEnabled())
	for i := range 3 {
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err = p.Publish(c, Outgoing{Subject: fmt.Sprintf("k2o.otlp.prom.live.y.%d", i), Data: make([]byte, 500<<10)})
		cancel()
		fmt.Println("again:", err)
	}
	c, cancel = context.WithTimeout(ctx, 2*time.Second)
	_, err = p.Publish(c, Outgoing{Subject: "k2o.job.a.b.live.c.d.e", Data: []byte("x")})
	cancel()
	fmt.Println("job:", err)
	if err := p.Purge(ctx, schemas.OTLPStream("prom"), ">"); err != nil {
		fmt.Println("purge", err)
	}
	st, err = p.JS.Stream(ctx, schemas.OTLPStream("prom"))
	if err == nil {
		fmt.Println("msgs", st.CachedInfo().State.Msgs)
	}
	for i := range 3 {
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err = p.Publish(c, Outgoing{Subject: fmt.Sprintf("k2o.otlp.prom.live.z.%d", i), Data: make([]byte, 500<<10)})
		cancel()
		fmt.Println("after purge:", err)
	}
	// restart
	p.Close()
	srv.Close()
	srv2, err := StartServer(filepath.Join(dir, "data"), log)
	if err != nil {
		t.Fatal("restart", err)
	}
	defer srv2.Close()
	p, err = Open(Config{Server: srv2, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	st, err = p.JS.Stream(ctx, schemas.OTLPStream("prom"))
	if err == nil {
		fmt.Println("restarted msgs", st.CachedInfo().State.Msgs)
	}
	p.Close()
}
