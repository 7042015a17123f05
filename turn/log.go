package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// A logBridge carries pion's own log to ours, for debugging. What it says names
// addresses.
type logBridge struct{ server *Server }

func (b logBridge) NewLogger(string) logging.LeveledLogger { return b }

func (b logBridge) line(format string, args ...any) {
	if l := b.server.log(); l.Enabled(context.Background(), slog.LevelDebug) && !b.server.config.Load().HideAddresses {
		l.Debug("pion: " + fmt.Sprintf(format, args...))
	}
}

func (b logBridge) Trace(string)              {}
func (b logBridge) Tracef(string, ...any)     {}
func (b logBridge) Debug(string)              {}
func (b logBridge) Debugf(string, ...any)     {}
func (b logBridge) Info(msg string)           { b.line("%s", msg) }
func (b logBridge) Infof(f string, a ...any)  { b.line(f, a...) }
func (b logBridge) Warn(msg string)           { b.line("%s", msg) }
func (b logBridge) Warnf(f string, a ...any)  { b.line(f, a...) }
func (b logBridge) Error(msg string)          { b.line("%s", msg) }
func (b logBridge) Errorf(f string, a ...any) { b.line(f, a...) }
