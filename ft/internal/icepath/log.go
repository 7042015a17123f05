package icepath

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/pion/logging"
)

// LevelTrace is below debug, for every packet's story.
const LevelTrace = slog.LevelDebug - 4

// Logger lets pion write to a slog.Logger. Its warnings are about single
// packets and peers' whims, so they are debug to us; what really went wrong
// comes back as an error or a state.
func Logger(log *slog.Logger) logging.LoggerFactory { return pionLog{log} }

type pionLog struct{ log *slog.Logger }

func (f pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionScope{f.log.With("pion", scope)}
}

type pionScope struct{ log *slog.Logger }

// credentials are what pion's messages may tell of secrets.
var credentials = regexp.MustCompile(`(?i)((?:pwd|password|credential|ufrag)[a-z]*["']?[:= ]+)("[^"]*"|[^\s,;]+)`)

func (s pionScope) printf(level slog.Level, format string, args ...any) {
	// Formatting costs more than the packet it is about.
	if s.log.Enabled(context.Background(), level) {
		text := credentials.ReplaceAllString(fmt.Sprintf(format, args...), "$1[secret]")
		s.log.Log(context.Background(), level, "pion", "text", text)
	}
}

func (s pionScope) Trace(msg string)                  { s.printf(LevelTrace, "%s", msg) }
func (s pionScope) Tracef(format string, args ...any) { s.printf(LevelTrace, format, args...) }
func (s pionScope) Debug(msg string)                  { s.printf(LevelTrace, "%s", msg) }
func (s pionScope) Debugf(format string, args ...any) { s.printf(LevelTrace, format, args...) }
func (s pionScope) Info(msg string)                   { s.printf(slog.LevelDebug, "%s", msg) }
func (s pionScope) Infof(format string, args ...any)  { s.printf(slog.LevelDebug, format, args...) }
func (s pionScope) Warn(msg string)                   { s.printf(slog.LevelDebug, "%s", msg) }
func (s pionScope) Warnf(format string, args ...any)  { s.printf(slog.LevelDebug, format, args...) }
func (s pionScope) Error(msg string)                  { s.printf(slog.LevelDebug, "%s", msg) }
func (s pionScope) Errorf(format string, args ...any) { s.printf(slog.LevelDebug, format, args...) }
