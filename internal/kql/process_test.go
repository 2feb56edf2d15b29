package kql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// asEngine makes the test binary be an engine's process: "serve", or one that goes wrong.
const asEngine = "KUSTO2OTLP_TEST_ENGINE"

func TestMain(m *testing.M) {
	switch os.Getenv(asEngine) {
	case "":
		os.Exit(m.Run())
	case "serve":
		if err := Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "nonsense":
		fmt.Println("{}")
		fmt.Println("nonsense")
		_, _ = os.Stdin.Read(make([]byte, 1<<20))
	case "hang":
		fmt.Println("{}")
		time.Sleep(time.Hour)
	}
}

func engineCommand(mode string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asEngine+"="+mode)
		cmd.Stderr = os.Stderr
		return cmd
	}
}

func needParser(tb testing.TB) {
	tb.Helper()
	if slowParser {
		tb.Skip("the parser is far too slow with the race detector in it: see race_on_test.go")
	}
	mustOpen(tb)
}

// elsewhere returns a parser with nothing but engines in processes.
func elsewhere(tb testing.TB, mode string, engines int) *Parser {
	tb.Helper()
	needParser(tb)
	p, err := Open(Config{Engines: engines, Command: engineCommand(mode)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	for range engines {
		s := <-p.unloaded
		s.elsewhere = true
		p.unloaded <- s
	}
	return p
}

var texts = []string{
	"ErrorEvents | summarize n = count() by ServiceName, bin(Timestamp, 1m)",
	"ErrorEvents | where Typo > 1",
	"print x = '日本\u2028\\n\\u0001', y = dynamic({'a': '<&>'})",
	"print " + strings.Repeat("1 + ", 2000) + "1", // its answer is many buffers long
}

// An engine in another process gives what one in this process gives.
func TestProcess(t *testing.T) {
	p, schema := elsewhere(t, "serve", 1), mustOpenSchema(t)
	for _, text := range texts {
		want, err := mustOpen(t).Analyze(t.Context(), schema, "TelemetryDB", text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Analyze(t.Context(), schema, "TelemetryDB", text)
		if err != nil {
			t.Fatal(err)
		}
		if g, w := fmt.Sprint(got.Diagnostics, got.Root != nil, len(got.Statements)), fmt.Sprint(want.Diagnostics, want.Root != nil, len(want.Statements)); g != w {
			t.Errorf("%s: got %s, want %s", text, g, w)
		}
		for i := range want.Statements {
			if g, w := fmt.Sprint(got.Statements[i].Columns), fmt.Sprint(want.Statements[i].Columns); g != w {
				t.Errorf("%s: got %s, want %s", text, g, w)
			}
		}
	}
	s := <-p.loaded
	if _, ok := s.engine.(*process); !ok {
		t.Fatalf("it is a %T", s.engine)
	}
	p.loaded <- s
}

// Many analyses at once, on an engine here and one elsewhere.
func TestProcessesAtOnce(t *testing.T) {
	needParser(t)
	p, err := Open(Config{Engines: 2, Command: engineCommand("serve")})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	schema := mustOpenSchema(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			r, err := p.Check(t.Context(), schema, "TelemetryDB", fmt.Sprintf("ErrorEvents | extend c%d = %d | project c%[1]d", i, i))
			if err != nil {
				t.Error(err)
			} else if got := r.summary(); got != fmt.Sprintf("c%d:long open=false", i) {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	kinds := map[string]int{}
	for range 2 {
		s := <-p.loaded
		kinds[fmt.Sprintf("%T", s.engine)]++
		defer func() { p.loaded <- s }()
	}
	if kinds["*kql.vm"] != 1 || kinds["*kql.process"] != 1 {
		t.Errorf("got %v", kinds)
	}
}

// One analysis after the other needs one engine, however many there may be.
func TestOneEngineAtATime(t *testing.T) {
	needParser(t)
	p, err := Open(Config{Engines: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range 4 {
		if _, err := p.Check(t.Context(), nil, "", fmt.Sprintf("print %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.loaded) != 1 || len(p.unloaded) != 2 {
		t.Errorf("%d engines are loaded, %d are not", len(p.loaded), len(p.unloaded))
	}
}

func TestProcessGoesWrong(t *testing.T) {
	check := func(ctx context.Context, p *Parser, text string) error {
		_, err := p.Check(ctx, nil, "", text)
		return err
	}
	t.Run("OK the next analysis has another", func(t *testing.T) {
		p := elsewhere(t, "serve", 1)
		if err := check(t.Context(), p, "print 1"); err != nil {
			t.Fatal(err)
		}
		s := <-p.loaded
		killed := s.engine.(*process).cmd
		p.loaded <- s
		if err := killed.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := check(t.Context(), p, "print 2"); err == nil || !strings.Contains(err.Error(), "the process of the KQL parser: ") {
			t.Fatalf("got %v", err)
		}
		if err := check(t.Context(), p, "print 2"); err != nil {
			t.Fatal(err)
		}
		if killed.ProcessState == nil {
			t.Error("nobody waited for the one that was killed")
		}
	})
	t.Run("OK nothing to start", func(t *testing.T) {
		p := elsewhere(t, "serve", 1)
		p.config.Command = func() *exec.Cmd { return exec.Command("/nonexistent") }
		if err := check(t.Context(), p, "print 1"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("OK one that ends at once", func(t *testing.T) {
		if testing.Short() {
			t.Skip("it loads an engine, which takes long under the race detector")
		}
		p := elsewhere(t, "none such", 1)
		if err := check(t.Context(), p, "print 1"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("ErrNonsense", func(t *testing.T) {
		p := elsewhere(t, "nonsense", 1)
		if err := check(t.Context(), p, "print 1"); err == nil || !strings.Contains(err.Error(), "invalid character") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("ErrTimeout", func(t *testing.T) {
		p := elsewhere(t, "hang", 1)
		p.config.Timeout = 10 * time.Millisecond
		if err := check(t.Context(), p, "print 1"); !errors.Is(err, errTimeout) {
			t.Fatalf("got %v", err)
		}
		if len(p.loaded) != 0 {
			t.Error("it is thrown away")
		}
	})
	t.Run("ErrCanceled", func(t *testing.T) {
		p := elsewhere(t, "hang", 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := check(ctx, p, "print 1"); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("ErrGone", func(t *testing.T) {
		needParser(t)
		in, ask := io.Pipe()
		var out bytes.Buffer
		done := make(chan error, 1)
		go func() { done <- Serve(context.Background(), in, &out) }()
		for _, line := range []string{"{}\n", `{"function":"check","args":["","","print ` + strings.Repeat("1+", 50_000) + `1"]}` + "\n"} {
			if _, err := io.WriteString(ask, line); err != nil {
				t.Fatal(err)
			}
		}
		ask.Close() // as when whoever asked was killed
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if want := "{}\n{\"error\":\"context canceled\"}\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
	t.Run("ErrRequest", func(t *testing.T) {
		needParser(t)
		var out bytes.Buffer
		if err := Serve(t.Context(), strings.NewReader("{\"function\":\"none such\"}\n"+"{}\n"), &out); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Split(out.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[0], "error") || lines[1] != "{}" {
			t.Errorf("got %q", lines)
		}
		if err := Serve(t.Context(), strings.NewReader("nonsense\n"), &out); err == nil || !strings.HasPrefix(err.Error(), "read a request: ") {
			t.Errorf("got %v", err)
		}
	})
}
