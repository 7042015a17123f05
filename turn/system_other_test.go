//go:build !unix

package turn

import (
	"net"
	"testing"
)

func shrink(t testing.TB, _ net.Listener) {
	t.Skip("the queue of connections cannot be made short here")
}

func exhaustFiles(t testing.TB) (restore func()) {
	t.Skip("files cannot be limited here")
	return nil
}
