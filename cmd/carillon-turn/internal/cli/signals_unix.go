//go:build unix

package cli

import (
	"os"
	"syscall"
)

var (
	endSignals    = []os.Signal{os.Interrupt, syscall.SIGTERM}
	reloadSignals = []os.Signal{syscall.SIGHUP}
)

func isReload(s os.Signal) bool { return s == syscall.SIGHUP }
