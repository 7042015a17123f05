// Package sd is what the relay has to do with systemd: sockets that it hands
// over, and what it wants to be told.
package sd

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Sockets are those handed over (sd_listen_fds), with the names of
// FileDescriptorName=. They can be taken once.
func Sockets() []*os.File { return activation.Files(true) }

// Ready says that clients are served.
func Ready() error { return tell(daemon.SdNotifyReady) }

// Reloading says that a configuration is being read; Ready follows.
func Reloading() error {
	return tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the relay drains or ends, and how long that may take:
// otherwise TimeoutStopSec= of the unit would cut it short.
func Stopping(within time.Duration) error {
	return tell(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, within.Microseconds()))
}

func tell(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}

// Watch calls each as often as the watchdog of systemd wants to hear from us,
// or, without one, every so often, and tells it when there is no error, with
// the line that each returns as the status. It returns when ctx is done.
func Watch(ctx context.Context, every time.Duration, each func(context.Context) (string, error), failed func(error)) error {
	dog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if dog > 0 {
		every = min(every, dog/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		probe, cancel := context.WithTimeout(ctx, every)
		line, err := each(probe)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				failed(err)
			}
			continue
		}
		state := "STATUS=" + line
		if dog > 0 {
			state += "\n" + daemon.SdNotifyWatchdog
		}
		if err := tell(state); err != nil {
			failed(err)
		}
	}
}
