//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kusto2otlp/kusto2otlp/internal/replay"
)

// mustTerminal returns a terminal of a width, and what shows on it.
func mustTerminal(t *testing.T, width uint16) (terminal, shows *os.File) {
	t.Helper()
	shows, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = shows.Close() })
	fd := int(shows.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}))
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	return terminal, shows
}

// On a terminal a replay has one line that is drawn in place, and is no wider than it is.
func TestBar(t *testing.T) {
	t.Setenv("TERM", "xterm")
	steps := []replay.Progress{
		{Windows: 40},
		{Windows: 40, Issued: 20, Exported: 9, Failed: 1, Points: 900},
		{Windows: 40, Issued: 40, Exported: 39, Failed: 1, Points: 4000},
	}
	draw := func(b *bar) {
		now := time.Now()
		b.now = func() time.Time { return now }
		for _, p := range steps {
			b.show(p)
			b.show(p) // too soon
			now = now.Add(time.Hour)
		}
		b.end(steps[len(steps)-1])
	}
	shown := func(t *testing.T, width uint16, lines int) []string {
		terminal, shows := mustTerminal(t, width)
		draw(newBar(terminal))
		text := ""
		buf := make([]byte, 1<<16)
		for !strings.HasSuffix(text, "\n") {
			n, err := shows.Read(buf)
			require.NoError(t, err)
			text += string(buf[:n])
		}
		require.Equal(t, lines, strings.Count(text, "\n"))
		drawn := strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\x1b[K")
		require.Empty(t, drawn[0])
		return drawn[1:]
	}
	t.Run("OKWide", func(t *testing.T) {
		hashes := strings.Repeat("#", barWidth)
		require.Equal(t, []string{
			"[" + strings.Repeat(" ", barWidth) + "] issued 0 of 40, exported 0, failed 0, 0 points",
			"[" + hashes[:barWidth/4] + strings.Repeat("-", barWidth/2-barWidth/4) + strings.Repeat(" ", barWidth/2) + "] issued 20 of 40, exported 9, failed 1, 900 points",
			"[" + hashes + "] issued 40 of 40, exported 39, failed 1, 4000 points",
			"[" + hashes + "] issued 40 of 40, exported 39, failed 1, 4000 points",
		}, shown(t, 200, 1))
	})
	t.Run("OKNarrow", func(t *testing.T) {
		for _, line := range shown(t, 20, 1) {
			require.Len(t, line, 19, "one that wraps could not be drawn again in place")
		}
	})
	t.Run("OKNoTerminal", func(t *testing.T) {
		var out bytes.Buffer
		draw(newBar(&out))
		require.NotContains(t, out.String(), "\r")
		require.Equal(t, len(steps)+1, strings.Count(out.String(), "\n"))
	})
	t.Run("OKDumb", func(t *testing.T) {
		t.Setenv("TERM", "dumb")
		terminal, _ := mustTerminal(t, 80)
		require.Nil(t, newBar(terminal).file)
	})
}
