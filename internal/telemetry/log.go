package telemetry

import (
	"io"
	"log/slog"
)

// NewLogger returns the process's logger: one line a record, as JSON or as text.
func NewLogger(w io.Writer, level slog.Level, json bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
