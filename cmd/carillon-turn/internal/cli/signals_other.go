//go:build !unix

package cli

import "os"

var (
	endSignals    = []os.Signal{os.Interrupt}
	reloadSignals []os.Signal // there is none here
)

func isReload(os.Signal) bool { return false }
