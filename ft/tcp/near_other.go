//go:build !linux

package tcp

import "net"

// keepShort does nothing: the system is left to choose.
func keepShort(net.Conn) {}
