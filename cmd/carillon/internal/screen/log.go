package screen

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// LevelTrace is below debug: it shows stanzas.
const LevelTrace = slog.Level(-8)

// ParseLevel reads the name of a level.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "trace":
		return LevelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "", "error":
		// What the user should know comes as errors and warnings of our own; the
		// log of the libraries says the same in other words.
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q is none of trace, debug, info, warn, error", name)
}

// NewHandler returns a handler that writes lines such as
//
//	carillon: debug: candidate pair selected content=0 local=relay
func NewHandler(w io.Writer, level slog.Level) slog.Handler {
	return &handler{w: w, level: level, mu: new(sync.Mutex)}
}

type handler struct {
	w     io.Writer
	level slog.Level
	mu    *sync.Mutex
	attrs string
	group string
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "carillon: %s: %s%s", levelName(r.Level), Escape(r.Message), h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.group, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	}
	return "error"
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, m := range v.Group() {
			appendAttr(b, group, m)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := Escape(v.String())
	if text == "" || strings.ContainsAny(text, " \"") {
		text = fmt.Sprintf("%q", v.String())
	}
	fmt.Fprintf(b, " %s%s=%s", group, a.Key, text)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	c := *h
	c.attrs += b.String()
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "."
	return &c
}
