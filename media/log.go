package media

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/pion/logging"
)

// LevelTrace is below debug, for every packet's story.
const LevelTrace = slog.LevelDebug - 4

// pionLog lets pion write to a slog.Logger. Its warnings are about single
// packets and peers' whims, so they are debug to us; what really went wrong
// comes back as an error or a state.
type pionLog struct{ log *slog.Logger }

func (f pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionScope{f.log.With("pion", scope)}
}

type pionScope struct{ log *slog.Logger }

// credentials are what pion's messages may tell of secrets.
var credentials = regexp.MustCompile(`(?i)((?:pwd|password|credential|ufrag)[a-z]*["']?[:= ]+)("[^"]*"|[^\s,;]+)`)

func redact(s string) string { return credentials.ReplaceAllString(s, "$1[secret]") }

func (s pionScope) write(level slog.Level, msg string) {
	s.log.Log(context.Background(), level, "pion", "text", redact(msg))
}

func (s pionScope) printf(level slog.Level, format string, args ...any) {
	// Formatting costs more than the packet it is about.
	if s.log.Enabled(context.Background(), level) {
		s.write(level, fmt.Sprintf(format, args...))
	}
}

func (s pionScope) Trace(msg string)                  { s.write(LevelTrace, msg) }
func (s pionScope) Tracef(format string, args ...any) { s.printf(LevelTrace, format, args...) }
func (s pionScope) Debug(msg string)                  { s.write(LevelTrace, msg) }
func (s pionScope) Debugf(format string, args ...any) { s.printf(LevelTrace, format, args...) }
func (s pionScope) Info(msg string)                   { s.write(slog.LevelDebug, msg) }
func (s pionScope) Infof(format string, args ...any)  { s.printf(slog.LevelDebug, format, args...) }
func (s pionScope) Warn(msg string)                   { s.write(slog.LevelDebug, msg) }
func (s pionScope) Warnf(format string, args ...any)  { s.printf(slog.LevelDebug, format, args...) }
func (s pionScope) Error(msg string)                  { s.write(slog.LevelDebug, msg) }
func (s pionScope) Errorf(format string, args ...any) { s.printf(slog.LevelDebug, format, args...) }
