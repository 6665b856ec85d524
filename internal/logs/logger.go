package logs

import (
	"fmt"
	"io"
	"log/slog"
)

// New returns a logger that writes lines of JSON (format "json") or of key=value ("text") to w, from level on. Any
// other format is an error.
func New(w io.Writer, format string, level slog.Leveler) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: level}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format = %q; must be json or text", format)
}
